"""Decides how each member is made: whole or cut, by which coder, in which tasks.

Pure: no input or output, no threads, no clock. What it decides depends on the members, the
recipe and the verdict on large members' contents, never on jobs or memory, so the same members
always give the same bytes.

Members of up to `recipe.cut` bytes are compressed whole. Many of them share one task, as a task
has a price of its own: consecutive members up to `BATCH` bytes and `BATCH_MEMBERS` members. A
larger member is cut into blocks of `sizes.BLOCK` bytes, a task each; or, where it must not be cut
to be as zipfile makes it, it is a `StreamTask`; or, where it has to be stored on an output that
cannot seek, it is a `StoredTask`. Members that are copied from other archives share tasks in the
same way, by the bytes that they hold in memory; those that are copied only if they are the same
there, also by the bytes that are read to find that out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from typing import NamedTuple, TypeAlias, TypeVar

from parazip.codecs import checksums, levels
from parazip.codecs.levels import STORE, Coder, Recipe
from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.errors import DuplicateMemberError
from parazip.format.names import (
    MIMETYPE,
    MOST_STEPS,
    ReaderJudge,
    explain_unstorable,
    find_file_within,
)
from parazip.format.records import check_align
from parazip.model import Found, Member, Pack
from parazip.sources.contents import (
    RANGE,
    are_remote,
    can_be_read_again,
    count_held_bytes,
    count_read_bytes,
    cut_feed,
    describe_origin,
    find_original,
    unpack_members,
    without_data,
)
from parazip.sources.findings import Findings

BATCH = 1 << 20
"""Bytes that the members of one task hold: as much as a block, so that all tasks take alike."""

BATCH_MEMBERS = 256
"""The most members of a task: with fewer the price of a task shows."""

_MOST_COMPARED = 4 << 20
"""Bytes that a task of copies reads, to compare or to compress them: a few ms of work."""

_SECTION = 4 << 20
_SECTION_MEMBERS = 256
"""A section ends after so many bytes, or with a name whose hash says so: one name of so many.

A part in the cache has a file of its own, so it should not be short; nor long, as all of it is made
anew when one of its members changes."""

_SHORT = 32 << 10
"""Members of up to so many bytes cost more in calls and bookkeeping than in compressing."""

_MANY = 500
"""So many short members are worth starting helpers for."""

PEEK = 2 * _MANY
"""So many members are looked at before any work begins: enough to tell whether helpers pay."""

_PER_MEMBER = 1 << 10
"""Bytes that a member takes besides its contents: its headers, its names, its values."""


class Batch(NamedTuple):
    """Consecutive members that are compressed whole by one task.

    Attributes:
        members: in archive order.
        recipe: how they are made: all whole, but those that turn out to be too large for that.
        size: their uncompressed bytes in all.
    """

    members: list[Member]
    recipe: Recipe
    size: int

    @property
    def held(self) -> int:
        """Bytes that the task has in memory: all of them."""
        return self.size

    @property
    def cost(self) -> int:
        """Bytes the task may need: what it reads, what it makes, and its results joined."""
        return 3 * self.size + _PER_MEMBER * len(self.members)


class PackedBatch(NamedTuple):
    """A batch whose members are plain bytes, and need not be known here.

    Attributes:
        pack: the members; none of them is larger than a block.
        recipe: how they are made.
    """

    pack: Pack
    recipe: Recipe

    @property
    def size(self) -> int:
        """The members' uncompressed bytes in all."""
        return self.pack.size

    @property
    def held(self) -> int:
        """Bytes that the task has in memory: all of them."""
        return self.size

    @property
    def cost(self) -> int:
        """Bytes the task may need, as those of a `Batch`."""
        return 3 * self.size + _PER_MEMBER * self.pack.members

    def unpack(self) -> Batch:
        """The batch itself."""
        return Batch(unpack_members(self.pack), self.recipe, self.size)


class BlockTask(NamedTuple):
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
    def is_first(self) -> bool:
        """Whether the member begins with this block."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the member is said to end with this block."""
        return self.start + self.length >= self.member.size

    @property
    def cost(self) -> int:
        """Bytes the task may need: window and block, and its result while that grows."""
        return WINDOW + 3 * self.length


class StreamTask(NamedTuple):
    """A large member that one coder compresses from its first byte to its last.

    Nothing of it can be made before its turn comes: it is not to be in memory as a whole.

    Attributes:
        member: what is to be put in.
        coder: compresses it.
    """

    member: Member
    coder: Coder

    @property
    def cost(self) -> int:
        """Bytes the task may need: a piece, and what becomes of it."""
        return 2 * BLOCK


class StoredTask(NamedTuple):
    """A large member that is stored on an output that cannot seek.

    Its CRC-32 has to be in front of it: readers of a pipe find no end of stored contents by which
    to know where a data descriptor begins. So it is read twice, once for that.

    Attributes:
        member: what is to be put in.
    """

    member: Member

    @property
    def members(self) -> list[Member]:
        """The one member."""
        return [self.member]

    @property
    def size(self) -> int:
        """Its uncompressed bytes."""
        return self.member.size

    @property
    def cost(self) -> int:
        """Bytes the task may need: a piece that is read."""
        return BLOCK


class CopyBatch(NamedTuple):
    """Consecutive members that are copied from other archives by one task.

    Attributes:
        members: in archive order; those that are, or may be, in another archive, and small ones
            of other kinds among them.
        recipe: how those are made that turn out not to be in an archive.
        check: whether the CRC-32 of what is copied is checked, which takes inflating it.
        size: their uncompressed bytes in all.
        held: bytes that the task has in memory: the compressed bytes of small members.
        largest: bytes of the largest file that is read, to be compared or compressed.
    """

    members: list[Member]
    recipe: Recipe
    check: bool
    size: int
    held: int
    largest: int = 0

    @property
    def cost(self) -> int:
        """Bytes the task may need: what it reads, and the same joined; one file at a time."""
        file = 3 * self.largest if self.largest <= self.recipe.cut else BLOCK
        return 2 * self.held + file + _PER_MEMBER * len(self.members)

    @property
    def makes_headers_only(self) -> bool:
        """Whether nothing has to be done but to make headers."""
        return not (self.check or self.largest or are_remote(self.members))


class MembersTask(NamedTuple):
    """Consecutive members of all kinds, whose tasks one worker plans and does by itself.

    Attributes:
        members: in archive order.
        recipe: how they are made.
        check: whether the CRC-32 of what is copied is checked.
        size: their uncompressed bytes in all.
    """

    members: list[Member]
    recipe: Recipe
    check: bool
    size: int

    def plan(self, shrinks: Callable[[Member], bool]) -> Iterator[Task]:
        """The tasks that make them; see `plan_tasks`."""
        return plan_tasks(self.members, self.recipe, shrinks, self.check)


Task: TypeAlias = Batch | PackedBatch | BlockTask | CopyBatch | StreamTask | StoredTask

AnyFound = TypeVar("AnyFound", Member, Found)


def place_first(member: Member) -> Member:
    """The first member as it is put in: one named `mimetype` is stored, without an extra field.

    So its contents are at byte 38 of the archive, where readers look for them (EPUB 3.3, 4.2.3;
    OpenDocument 1.2 part 3, 3.3).
    """
    return member._replace(store=True, align=0) if member.name == MIMETYPE else member


def with_placed_first(members: Iterator[AnyFound]) -> Iterator[AnyFound]:
    """The same members, the first as it is put in; see `place_first`."""
    for member in members:
        yield member if isinstance(member, Pack) else place_first(member)
        break
    yield from members


def check_names(
    members: Iterable[AnyFound],
    findings: Findings | None = None,
    *,
    advice: str = "leave it out with --exclude",
    apart: str = "keep them apart with --prefix",
    readers: Callable[[Findings, str], ReaderJudge] | None = ReaderJudge,
    is_one_tree: bool = False,
    is_same: Callable[[Member, Member], bool] = lambda first, second: False,
) -> Iterator[AnyFound]:
    """The same members, each name once; refuses names that no archive can or should hold.

    All members are looked at, but none is given after the first problem. Whoever made a pack has
    looked at those in it, and no other member has a name of theirs.

    Args:
        members: what is to be put in.
        findings: of the search for them, which ends with them.
        advice: what to do with a file whose name cannot be stored, if not to rename it.
        apart: what to do about two members of one name, if not to leave one out.
        readers: judges the names by what other readers make of them, if that counts.
        is_one_tree: whether it is certain that no file stands where another member has a folder.
        is_same: whether a second member of one name is the first once more, and not needed.

    Raises:
        MemberNameError: a name is empty, too long, not encodable as UTF-8, or leads out of the
            archive.
        DuplicateMemberError: two members have the same name.
        SettingsError: one is to be aligned to what cannot be.
        ParazipError: what was found in the search.
    """
    findings = findings or Findings()
    problems = findings.problems
    judge = readers(findings, advice) if readers is not None else None
    recent: list[str] = []
    seen: dict[str, Member] = {}
    for member in members:
        if isinstance(member, Pack):
            if not problems:
                yield member
            continue
        name = member.name
        key = name[:-1] if name.endswith("/") else name
        if not key or len(key) > 2 * MOST_STEPS or not key.isascii():
            error = explain_unstorable(name, advice)
            if error is not None:
                findings.refuse(error)
                continue
        if key in seen:
            first = seen[key]
            if not is_same(first, member):
                findings.refuse(_make_duplicate_error(first, member, apart))
            continue
        seen[key] = without_data(member)
        recent.append(key)
        if len(recent) == _JUDGED:
            if judge is not None:
                judge.judge(recent)
            recent.clear()
        if member.align:
            check_align(name, member.align)
        if not problems:
            yield member
    if judge is not None:
        judge.judge(recent)
        judge.judge_together(seen)
        if not is_one_tree:
            _refuse_files_as_folders(seen, findings, apart)
    findings.finish()


_JUDGED = 1024
"""So many names are judged at once."""


def _refuse_files_as_folders(seen: dict[str, Member], findings: Findings, apart: str) -> None:
    """Nobody can take out both `a` and `a/b`, if `a` is a file."""
    if file := find_file_within(seen, lambda name: seen[name].name.endswith("/")):
        below = next(member for member in seen.values() if member.name.startswith(f"{file}/"))
        findings.refuse(
            DuplicateMemberError(
                f"two members would have the name {file}: {describe_origin(seen[file])} and "
                f"{describe_origin(below)}; "
                f"one is a file and the other needs a folder; leave one out, or {apart}",
                member=file,
            )
        )


def _make_duplicate_error(first: Member, second: Member, apart: str) -> DuplicateMemberError:
    return DuplicateMemberError(
        f"two members would have the name {second.name.rstrip('/')}: {describe_origin(first)} and "
        f"{describe_origin(second)}; leave one out, or {apart}",
        member=second.name,
    )


def peek(members: Iterator[Found]) -> tuple[list[Member], Iterator[Found]]:
    """The first members, as many as tell whether helpers pay, and all others.

    What can be read once only is one of the others: what comes behind it is not asked for before it
    was read.
    """
    first: list[Member] = []
    for member in islice(members, PEEK):
        if isinstance(member, Pack) or not can_be_read_again(member.source):
            return first, chain([member], members)
        first.append(member)
    return first, members


def are_mostly_short(members: Sequence[Member]) -> bool:
    """Whether most of many members cost more in calls and bookkeeping than in compressing."""
    short = sum([member.size <= _SHORT for member in members])
    return short > max(_MANY, len(members) // 2)


def split_into_sections(members: Iterable[Found]) -> Iterator[list[Member]]:
    """Groups of members that the cache keeps as one part each.

    A group ends with some 4 MiB, or with a name whose hash says so. So a member that comes or goes
    moves the ends of a few groups and not of all that follow, and these are found again.
    """
    group: list[Member] = []
    size = 0
    for member in members:
        assert not isinstance(member, Pack)  # a key tells of each member
        if group and size + member.size > 2 * _SECTION:
            yield group
            group, size = [], 0
        group.append(member)
        size += member.size
        if size >= _SECTION or checksums.crc32(member.name.encode()) % _SECTION_MEMBERS == 0:
            yield group
            group, size = [], 0
    if group:
        yield group


def plan_tasks(
    members: Iterable[Found],
    recipe: Recipe,
    shrinks: Callable[[Member], bool],
    check_crc: bool = False,
    *,
    is_late: Callable[[], bool] | None = None,
) -> Iterator[Task]:
    """The tasks that make `members`, in archive order, as soon as they are known.

    Args:
        members: what is to be put in.
        recipe: coders, and where cutting begins.
        shrinks: the verdict on members of more than `recipe.cut` bytes; the others are judged
            by the task that reads them.
        check_crc: whether the CRC-32 of members that are copied is checked.
        is_late: whether a task is not to wait for more members. Which share one has no say in their
            bytes.
    """
    members = iter(members)
    first = list(_up_to_contents(members))
    is_copied_first = bool(first) and _is_copied(first[-1])
    goes_with_copies = _make_sorter(is_copied_first)
    for is_copied, group in groupby(chain(first, members), goes_with_copies):
        if is_copied:
            yield from _plan_copies(group, recipe, check_crc)
        else:
            yield from _plan_compressing(group, recipe, shrinks, is_late)


def _is_copied(member: Found) -> bool:
    return not isinstance(member, Pack) and find_original(member.source) is not None


def _up_to_contents(members: Iterator[Found]) -> Iterator[Found]:
    """Members up to the first that is not empty, that one included."""
    for member in members:
        yield member
        if member.size:
            return


def _make_sorter(is_copied: bool) -> Callable[[Found], bool]:
    """A predicate: whether a member is one of those that are copied, or goes with them.

    What is small goes with those before it. So the few files of a distribution that are not its
    wheel's need no tasks of their own.

    Args:
        is_copied: what holds for small members in front of all others.
    """

    def goes_with_copies(member: Found) -> bool:
        nonlocal is_copied
        if isinstance(member, Pack):
            return False
        if find_original(member.source) is not None:
            is_copied = True
        elif member.size > (RANGE if is_copied else 0):
            is_copied = False
        return is_copied

    return goes_with_copies


def _plan_compressing(
    members: Iterable[Found],
    recipe: Recipe,
    shrinks: Callable[[Member], bool],
    is_late: Callable[[], bool] | None,
) -> Iterator[Batch | PackedBatch | BlockTask | StreamTask | StoredTask]:
    batch: list[Member] = []
    size = 0
    for member in members:
        if isinstance(member, Pack):
            if batch:
                yield Batch(batch, recipe, size)
                batch, size = [], 0
            yield PackedBatch(member, recipe)
            continue
        length = member.size
        is_large = length > BLOCK and (length > recipe.cut or not can_be_read_again(member.source))
        if batch and (is_large or size + length > BATCH or len(batch) == BATCH_MEMBERS):
            yield Batch(batch, recipe, size)
            batch, size = [], 0
        if is_large:
            yield from plan_large_member(member, recipe, shrinks)
        else:
            batch.append(member)
            size += length
            if is_late is not None and is_late():
                yield Batch(batch, recipe, size)
                batch, size = [], 0
    if batch:
        yield Batch(batch, recipe, size)


def _plan_copies(members: Iterable[Found], recipe: Recipe, check: bool) -> Iterator[CopyBatch]:
    batch: list[Member] = []
    size = held = read = largest = 0
    for member in members:
        assert not isinstance(member, Pack)  # these are compressed
        to_hold = count_held_bytes(member.source)
        to_read = count_read_bytes(member.source)
        if batch and (
            held + to_hold > BATCH
            or read + to_read > _MOST_COMPARED
            or max(largest, to_read) > recipe.cut
            or len(batch) == BATCH_MEMBERS
        ):
            yield CopyBatch(batch, recipe, check, size, held, largest)
            batch, size, held, read, largest = [], 0, 0, 0, 0
        batch.append(member)
        size += member.size
        held += to_hold
        read += to_read
        largest = max(largest, to_read)
    if batch:
        yield CopyBatch(batch, recipe, check, size, held, largest)


def plan_large_member(
    member: Member, recipe: Recipe, shrinks: Callable[[Member], bool]
) -> Iterator[BlockTask | StreamTask | StoredTask]:
    """The tasks that make a member that is never in memory as a whole."""
    if recipe.block.codec == levels.ZIPFILE and not member.store:
        yield StreamTask(member, recipe.block)
        return
    compress = not member.store and recipe.block != STORE and shrinks(member)
    must_be_stored = member.store or member.align > 1
    if (
        compress
        or recipe.plain == STORE
        or not (must_be_stored and can_be_read_again(member.source))
    ):
        yield from cut_into_blocks(member, recipe.block if compress else recipe.plain)
    else:
        yield StoredTask(member)


def cut_into_blocks(member: Member, coder: Coder) -> Iterator[BlockTask]:
    """The blocks of one large member; at least one, as it may be larger than it is said to be."""
    if blocks := cut_feed(member.source):
        for start, block in blocks:
            yield BlockTask(member._replace(source=block), coder, start, len(block.data))
        return
    size = member.size
    for start in range(0, size or 1, BLOCK):
        yield BlockTask(member, coder, start, min(BLOCK, (size or BLOCK) - start))
