"""The values that travel through the rooms; all of them frozen.

`Member` and `File` exist once for each member, so they are named tuples: a frozen dataclass takes
six times as long to make.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias

from parazip.codecs.levels import Recipe
from parazip.codecs.table import CODEC_NAMES, CodecName
from parazip.errors import SettingsError
from parazip.format.values import Buffer, Entry
from parazip.workers.budget import MEMORY

Changes: TypeAlias = Literal["ctime", "mtime", "size", "none"]
CHANGES: tuple[Changes, ...] = ("ctime", "mtime", "size", "none")

MIB = 1 << 20
LEVEL = 6
"""Where nothing else is said."""


class File(NamedTuple):
    """A regular file as it was found; it must still look like this when it is read.

    Attributes:
        path: where it is.
        size: in bytes.
        mtime_ns: its modification time, in nanoseconds since 1970.
        inode: its inode number, 0 where the system has none to give.
        ctime_ns: when the system last changed anything about it, in nanoseconds since 1970: unlike
            the modification time nobody can set it. 0 where it does not count: on Windows, which
            has another meaning for it, and for files that others may give new names meanwhile.
        changes: what shows that it has changed: "ctime" any of these, "mtime" size and modification
            time, "size" the size alone, "none" nothing.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0
    changes: Changes = "ctime"

    @property
    def is_watched(self) -> bool:
        """Whether other contents would show, as far as the system tells."""
        return self.changes in ("ctime", "mtime")


class ArchiveMember(NamedTuple):
    """A member of another archive, which is copied as it is compressed there.

    Attributes:
        archive: the file of that archive.
        entry: what its central directory says.
    """

    archive: File
    entry: Entry

    @property
    def size(self) -> int:
        """Its uncompressed size in bytes."""
        return self.entry.record.size


class Twin(NamedTuple):
    """A file that looks like a member of another archive: it is copied from there if it is one.

    Attributes:
        file: what is put in.
        packed: what its CRC-32 is compared with; their sizes are the same.
    """

    file: File
    original: ArchiveMember

    @property
    def size(self) -> int:
        """Its uncompressed size in bytes."""
        return self.file.size


class FilePiece(NamedTuple):
    """Contents that stand in another file as they are, such as a stored member of an archive.

    Attributes:
        archive: that file.
        offset: where they begin in it, in bytes.
        size: how many bytes they are.
        crc: their CRC-32, as the archive tells it.
    """

    archive: File
    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes of a file from `offset` on, to be written as they are."""

    file: File
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True, slots=True)
class Header:
    """A local file header in front of contents that are to begin at a multiple of some number.

    Only the writer knows where it lands, so it is the writer that pads it.

    Attributes:
        data: the header, without padding.
        multiple: of how many bytes, counted from the start of the file.
        is_kept: whether that was so in another archive, and nobody has asked for it now.
    """

    data: bytes
    multiple: int
    is_kept: bool = False

    def __len__(self) -> int:
        return len(self.data)


class Frame(NamedTuple):
    """What an archive is besides its members, for the one that takes its place.

    Attributes:
        archive: its file.
        front: how many bytes stand in front of its first record.
        comment: its comment (APPNOTE 4.3.16).
    """

    archive: File
    front: int
    comment: bytes


Contents: TypeAlias = File | bytes | FilePiece | ArchiveMember | Twin
"""Where a member's contents come from."""


class Member(NamedTuple):
    """Something that is to become a member of an archive.

    Attributes:
        name: its name in the archive, with `/` between folders; a folder's ends with `/`.
        source: where its contents come from: a file or a piece of one, the bytes themselves,
            another archive, or a file that may be in another archive.
        attributes: its external attributes (APPNOTE 4.4.15): the Unix mode in the high half.
        date: its MS-DOS date in the high half and time in the low half (APPNOTE 4.4.6).
        store: True where it must not be compressed, whatever the settings say.
        align: where it is stored, its contents begin at a multiple of so many bytes in the file;
            a power of two up to `format.records.MOST_ALIGN`. 1 where they may begin anywhere, and 0
            where a multiple counts that the archive asks for which the member comes from.
    """

    name: str
    source: Contents
    attributes: int
    date: int
    store: bool = False
    align: int = 0

    @property
    def size(self) -> int:
        """Its uncompressed size in bytes."""
        source = self.source
        return len(source) if isinstance(source, bytes) else source.size


class Tally(NamedTuple):
    """What one coder did: members, and their bytes before and after."""

    members: int
    bytes_in: int
    bytes_out: int

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.members + other.members,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
        )


class Part(NamedTuple):
    """Finished local file records of one or more consecutive members.

    Plain bytes and numbers, so that it can be made in another process or kept on disk.

    Attributes:
        data: the local file records' bytes, in pieces; large ones may still be in a file, and
            headers of members that are aligned are not padded yet.
        directory: the members' central directory headers, offsets relative to `data` as it is,
            without padding.
        tallies: what was done to the members, by the name of the coder.
    """

    data: tuple[Buffer | Range | Header, ...]
    directory: bytes
    tallies: dict[str, Tally]


class Block(NamedTuple):
    """A compressed piece of one member.

    Attributes:
        data: bytes that join the stream of the blocks before it, in pieces as the codec made
            them: they are written one after the other, so joining them would be a copy more.
        crc: the CRC-32 of the piece.
        size: the uncompressed size of the piece in bytes.
        is_last: whether the member ends with it.
        window: the CRC-32 of the window before it, as it was read for this block; 0 if none was.
        tail: the CRC-32 of the window that the next block has before it.
    """

    data: tuple[Buffer, ...]
    crc: int
    size: int
    is_last: bool = False
    window: int = 0
    tail: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive members that are kept as one part, or told of together.

    Attributes:
        members: gives them, as they are to be made if they are not at hand.
        label: what people are told that it is; empty if they are not told.
        key: names all that determines the part's bytes; empty if it is not kept.
        recipe: how they are compressed, if not as all others.
        check_crc: whether the CRC-32 of those that are copied is checked.
        aside: what is to be done on another thread while it is made; if it raises, the archive
            fails.
    """

    members: Callable[[], Iterable[Member]]
    label: str = ""
    key: str = ""
    recipe: Recipe | None = None
    check_crc: bool = False
    alongside: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an archive is made. Only `level` and `codec` have a say in its bytes.

    Attributes:
        level: 0 (store) to 9 (smallest), one scale over all codecs.
        codec: "auto" takes the best codec for each level and kind of member.
        jobs: threads that compress; None means the CPUs that this process may use.
        memory: bytes that may be in flight at once.

    Raises:
        SettingsError: a value is out of its range.
        TypeError: a value is no whole number.
    """

    level: int = LEVEL
    codec: CodecName = "auto"
    jobs: int | None = None
    memory: int = MEMORY

    def __post_init__(self) -> None:
        _check_whole("level", "a whole number", self.level)
        _check_whole("memory", "a number of bytes", self.memory)
        if self.jobs is not None:
            _check_whole("jobs", "a whole number or None", self.jobs)
        if not 0 <= self.level <= 9:
            raise SettingsError(f"level {self.level} is not one of 0 to 9")
        if self.codec not in CODEC_NAMES:
            raise SettingsError(f"codec {self.codec!r} is not one of {', '.join(CODEC_NAMES)}")
        if self.jobs is not None and self.jobs < 1:
            raise SettingsError(f"jobs must be 1 or more, not {self.jobs}")
        if self.memory < MIB:
            raise SettingsError(f"memory must be 1 MiB or more, not {self.memory} bytes")


def _check_whole(field: str, what: str, value: object) -> None:
    if not isinstance(value, SupportsIndex):
        raise TypeError(f"{field} is {what}, not {value!r}")


class SectionReport(NamedTuple):
    """What was done to one section.

    Attributes:
        label: the section's.
        recalled: whether it came out of the cache.
        tallies: what was done to its members, now or when it was put into the cache.
        seconds: from the end of the section before to the end of this one.
    """

    label: str
    recalled: bool
    tallies: Mapping[str, Tally]
    seconds: float


class LeftOut(NamedTuple):
    """Something that is not put in.

    Attributes:
        name: that it would have, or its path.
        why: the option that leaves it out, or the line of an ignore file.
    """

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an archive would be made of.

    Attributes:
        members: what would be put in, in order.
        left_out: what would not be, and why, sorted by name.
        skipped: how much was left out because it could not be put in, by its kind.
        notes: what people may want to know besides, a sentence each.
        changes: where an archive would be changed, which of its members would be "added" and
            "changed", by their names; all others are kept.
        deleted: how many would be taken out; they are what is `left_out` then.
    """

    members: tuple[Member, ...]
    left_out: tuple[LeftOut, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    changes: Mapping[str, str] | None = None
    deleted: int = 0

    def counts(self) -> dict[str, int]:
        """How many members would be new, and how many would be taken out."""
        whats = [*(self.changes or {}).values()]
        counts = {what: whats.count(what) for what in ("added", "changed")}
        return {**counts, "deleted": self.deleted}

    @property
    def bytes_in(self) -> int:
        """Uncompressed bytes of all members."""
        return sum(member.size for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was made.

    Attributes:
        archive: where it is; "-" for an output that was handed in open.
        members: how many, folders included.
        bytes_in: uncompressed bytes of all members.
        bytes_out: size of the whole archive in bytes.
        seconds: from the first look at the sources until the archive stood under its name.
        codecs: what each codec did, by the codec's name and own level, "stored" or "copied".
        recalled: members that came out of the cache; they count under the codecs that made them.
        skipped: how much was left out because it could not be put in: "special", "dangling",
            "unreadable".
        sections: what was done to each labelled section.
        aligned: stored members whose contents begin at the multiple that was asked for.
        notes: what people may want to know besides, a sentence each.
        changes: how many members were "added", "changed" and "deleted", where an archive was
            changed.
    """

    archive: str
    members: int
    bytes_in: int
    bytes_out: int
    seconds: float
    codecs: Mapping[str, Tally] = field(default_factory=dict)
    recalled: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    sections: tuple[SectionReport, ...] = ()
    aligned: int = 0
    notes: tuple[str, ...] = ()
    changes: Mapping[str, int] | None = None


def parse_size(text: str) -> int:
    """A size such as `64M`, `1.5GiB` or `65536` in bytes; units are powers of 1,024.

    Raises:
        SettingsError: the text is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(?:i?B)?)\s*", text, re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write 64M, 1.5G or a number of bytes")
    unit = 1024 ** " KMGT".index(match[2].upper() or " ")
    size = float(match[1]) * unit
    if size >= 1 << 63:
        raise SettingsError(f"{text!r} is more than any machine has")
    return int(size)


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as the text that messages and reports show."""
    return os.fspath(path)
