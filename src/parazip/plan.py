"""Decides how each member is made: whole or cut, by which coder, in which tasks.

Pure: no input or output, no threads, no clock. What it decides depends on the members, the
recipe and the verdict on large members' contents, never on jobs or memory, so the same members
always give the same bytes.

Members of up to `recipe.cut` bytes are compressed whole. Many of them share one task, as a task
has a price of its own: consecutive members up to `BATCH` bytes and `BATCH_MEMBERS` members. A
larger member is cut into blocks of `codecs.BLOCK` bytes, a task each. Members that are copied from
other archives share tasks in the same way, by the bytes that they hold in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, TypeAlias

from parazip import codecs
from parazip.errors import DuplicateMemberError, MemberNameError
from parazip.format.records import MAX_NAME
from parazip.model import STORE, Coder, File, Member, Packed, Recipe

BATCH = 1 << 20
BATCH_MEMBERS = 256

RANGE = 256 << 10
"""A copied member of more compressed bytes is never in memory as a whole."""

_SECTION = 4 << 20
_SECTION_MEMBERS = 256

_SHORT = 32 << 10

_PER_MEMBER = 1 << 10


class Batch(NamedTuple):
    """Consecutive members that are compressed whole by one task.

    Attributes:
        members: in archive order.
        coder: compresses all of them but those that are to be stored.
        size: their uncompressed bytes in all.
    """

    members: list[Member]
    coder: Coder
    size: int

    @property
    def cost(self) -> int:
        """Bytes the task may need: what it reads, what it makes, and its results joined."""
        return 3 * self.size + _PER_MEMBER * len(self.members)


class Cut(NamedTuple):
    """One block of a member that is compressed by blocks.

    Attributes:
        member: the whole member.
        coder: the same for all of its blocks.
        start: where the block begins in the member, in bytes.
        length: its uncompressed bytes.
    """

    member: Member
    coder: Coder
    start: int
    length: int

    @property
    def first(self) -> bool:
        """Whether the member begins with this block."""
        return self.start == 0

    @property
    def last(self) -> bool:
        """Whether the member ends with this block."""
        return self.start + self.length == self.member.size

    @property
    def cost(self) -> int:
        """Bytes the task may need: window and block, and its result while that grows."""
        return codecs.WINDOW + 3 * self.length


class Copies(NamedTuple):
    """Consecutive members of other archives that are copied by one task.

    Attributes:
        members: in archive order; the source of each is `Packed`, or empty as a folder's.
        check: whether their CRC-32 is checked, which takes inflating them.
        size: their uncompressed bytes in all.
        held: bytes that the task keeps in memory: the compressed bytes of small members.
    """

    members: list[Member]
    check: bool
    size: int
    held: int

    @property
    def cost(self) -> int:
        """Bytes the task may need: what it reads, and the same joined."""
        return 2 * self.held + _PER_MEMBER * len(self.members)


Task: TypeAlias = Batch | Cut | Copies


def checked(members: Iterable[Member]) -> Iterator[Member]:
    """The same members; refuses names that no archive can hold.

    Raises:
        MemberNameError: a name is empty, too long or not encodable as UTF-8.
        DuplicateMemberError: two members have the same name.
    """
    seen: dict[str, Member] = {}
    for member in members:
        name = member.name
        key = name[:-1] if name.endswith("/") else name
        if not key or len(key) > MAX_NAME // 4 or not key.isascii():
            _check_encoded(name)
        if seen.setdefault(key, member) is not member:
            raise DuplicateMemberError(
                f"two members would have the name {key}: {told(seen[key])} and "
                f"{told(member)}; leave one out, or keep them apart with --prefix",
                member=name,
            )
        yield member


def _check_encoded(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise MemberNameError(
            f"the name {name!r} cannot be stored: it is not valid UTF-8; rename the file "
            "or leave it out with --exclude",
            member=name,
        ) from error
    if not 0 < length <= MAX_NAME:
        raise MemberNameError(
            f"the name {name[:60]!r}... cannot be stored: it has {length} bytes, and a zip "
            f"archive takes 1 to {MAX_NAME}",
            member=name,
        )


def told(member: Member) -> str:
    """Where a member comes from, for messages."""
    source = member.source
    if isinstance(source, Packed):
        return f"{source.entry.name} in {source.archive.path}"
    return source.path if isinstance(source, File) else member.name


def short_members(members: Iterable[Member]) -> int:
    """How many members cost more in calls and bookkeeping than in compressing."""
    return sum([member.size <= _SHORT for member in members])


def sections(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Runs of members that the cache keeps as one part each.

    A run ends with some 4 MiB, or with a name whose hash says so. So a member that comes or goes
    moves the ends of a few runs and not of all that follow, and these are found again.
    """
    run: list[Member] = []
    size = 0
    for member in members:
        if run and size + member.size > 2 * _SECTION:
            yield run
            run, size = [], 0
        run.append(member)
        size += member.size
        if size >= _SECTION or codecs.crc32(member.name.encode()) % _SECTION_MEMBERS == 0:
            yield run
            run, size = [], 0
    if run:
        yield run


def tasks(
    members: Iterable[Member],
    recipe: Recipe,
    shrinks: Callable[[Member], bool],
    check_crc: bool = False,
) -> Iterator[Task]:
    """The tasks that make `members`, in archive order, as soon as they are known.

    Args:
        members: what is to be put in.
        recipe: coders, and where cutting begins.
        shrinks: the verdict on members of more than `recipe.cut` bytes; the others are judged
            by the task that reads them.
        check_crc: whether the CRC-32 of members that are copied is checked.
    """
    for is_copied, group in groupby(members, _kind()):
        if is_copied:
            yield from _copies(group, check_crc)
        else:
            yield from _compressions(group, recipe, shrinks)


def _kind() -> Callable[[Member], bool]:
    """Whether a member is copied; one without contents goes with those before it."""
    is_copied = False

    def kind(member: Member) -> bool:
        nonlocal is_copied
        if member.source != b"":
            is_copied = isinstance(member.source, Packed)
        return is_copied

    return kind


def _compressions(
    members: Iterable[Member], recipe: Recipe, shrinks: Callable[[Member], bool]
) -> Iterator[Batch | Cut]:
    batch: list[Member] = []
    size = 0
    for member in members:
        length = member.size
        is_large = length > recipe.cut
        if batch and (is_large or size + length > BATCH or len(batch) == BATCH_MEMBERS):
            yield Batch(batch, recipe.whole, size)
            batch, size = [], 0
        if is_large:
            compress = not member.store and recipe.block != STORE and shrinks(member)
            yield from cuts(member, recipe.block if compress else recipe.plain)
        else:
            batch.append(member)
            size += length
    if batch:
        yield Batch(batch, recipe.whole, size)


def _copies(members: Iterable[Member], check: bool) -> Iterator[Copies]:
    batch: list[Member] = []
    size = held = 0
    for member in members:
        source = member.source
        holds = 0
        if isinstance(source, Packed):
            holds = min(source.entry.record.compressed_size, RANGE)
        if batch and (held + holds > BATCH or len(batch) == BATCH_MEMBERS):
            yield Copies(batch, check, size, held)
            batch, size, held = [], 0, 0
        batch.append(member)
        size += member.size
        held += holds
    if batch:
        yield Copies(batch, check, size, held)


def cuts(member: Member, coder: Coder) -> Iterator[Cut]:
    """The blocks of one large member."""
    size = member.size
    for start in range(0, size, codecs.BLOCK):
        yield Cut(member, coder, start, min(codecs.BLOCK, size - start))
