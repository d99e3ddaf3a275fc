"""The values that travel through the rooms; all of them frozen.

`Member` and `File` exist once for each member, so they are named tuples: a frozen dataclass takes
six times as long to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from parazip.codecs.levels import Recipe
from parazip.format.values import Buffer, Entry

Changes: TypeAlias = Literal["ctime", "mtime", "size", "none"]
CHANGES: tuple[Changes, ...] = ("ctime", "mtime", "size", "none")


Piece: TypeAlias = tuple[int, int]
"""Bytes of a file: the offset of the first, and the one behind the last."""


class File(NamedTuple):
    """A regular file as it was found; it must still look like this when it is read.

    Attributes:
        path: where it is; of a remote file its URL.
        size: in bytes.
        mtime_ns: its modification time, in nanoseconds since 1970.
        inode: its inode number, 0 where the system has none to give.
        ctime_ns: when the system last changed anything about it, in nanoseconds since 1970: unlike
            the modification time nobody can set it. 0 where it does not count: on Windows, which
            has another meaning for it, and for files that others may give new names meanwhile.
        changes: what shows that it has changed: "ctime" any of these, "mtime" size and modification
            time, "size" the size alone, "none" nothing.
        version: of a remote file, what tells its contents from those that it had or will have,
            such as an ETag; it is compared unless only the size counts. Empty if nothing tells.
            None for a file of this system.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0
    changes: Changes = "ctime"
    version: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether it is read from a URL."""
        return self.version is not None

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
        original: that member; its CRC-32 is compared with the file's, their sizes are the same.
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


class Feed(NamedTuple):
    """Contents that come as somebody iterates, from their first byte to their last.

    Attributes:
        chunks: gives them, in pieces of any size.
        told_size: how many bytes they are said to be; None if nobody knows.
    """

    chunks: Iterable[Buffer]
    told_size: int | None

    @property
    def size(self) -> int:
        """How many bytes they are, as far as that is known."""
        return self.told_size or 0


class OpenFeed(NamedTuple):
    """Contents of a feed that are too many to be in memory at once.

    Attributes:
        head: those that have come.
        rest: gives those that are still to come, at most so many bytes as it is asked for.
        told_size: how many bytes they are said to be in all; None if nobody knows.
    """

    head: bytes
    rest: Callable[[int], bytes]
    told_size: int | None

    @property
    def size(self) -> int:
        """How many bytes they are, as far as that is known."""
        return self.told_size or len(self.head)


class FeedBlock(NamedTuple):
    """A block of an open feed, which is all that is in memory of it.

    Attributes:
        window: up to 32 KiB before the block.
        data: the block.
        size: of all contents in bytes; as long as it is not known, one more than have come.
        expected: how many there were said to be, or had come, when the feed was opened.
        told_size: how many there were said to be; None if nobody knew.
    """

    window: bytes
    data: bytes
    size: int
    expected: int
    told_size: int | None


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
        is_inherited: whether that was so in another archive, and nobody has asked for it now.
    """

    data: bytes
    multiple: int
    is_inherited: bool = False

    def __len__(self) -> int:
        return len(self.data)


class Ticket(NamedTuple):
    """The right to send a part of an archive into a store, for somebody who makes it elsewhere.

    Attributes:
        url: of the archive.
        upload: what the store calls the upload.
        number: of the part.
        smallest: how many bytes it must have at least.
    """

    url: str
    upload: str
    number: int
    smallest: int


class SentPart(NamedTuple):
    """A part of an archive that has arrived in a store.

    Attributes:
        number: from 1 on.
        etag: what the store calls its bytes.
        crc: their CRC-32.
        size: how many there are.
        is_told: whether the store knows their CRC-32.
    """

    number: int
    etag: str
    crc: int
    size: int
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`length` bytes that are in the store already where the archive goes.

    Attributes:
        length: how many.
        part: the part that begins with them; None for what follows in the same part.
    """

    length: int
    part: SentPart | None

    def __len__(self) -> int:
        return self.length


class Frame(NamedTuple):
    """What an archive is besides its members, for the one that takes its place.

    Attributes:
        archive: its file.
        prefix_size: how many bytes stand in front of its first record.
        comment: its comment (APPNOTE 4.3.16).
    """

    archive: File
    prefix_size: int
    comment: bytes


Contents: TypeAlias = File | bytes | FilePiece | ArchiveMember | Twin | Feed | OpenFeed | FeedBlock
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


class Pack(NamedTuple):
    """Consecutive members that a helper has found and checked, on their way to another one.

    Attributes:
        data: the members as plain bytes; see `sources.contents.pack_members`.
        members: how many there are.
        size: their uncompressed bytes in all.
        last: the name of the last of them.
    """

    data: bytes
    members: int
    size: int
    last: str


Found: TypeAlias = Member | Pack
"""What a search gives."""


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


class RunningTally:
    """A `Tally` while it is counted."""

    __slots__ = ("bytes_in", "bytes_out", "members")

    def __init__(self) -> None:
        self.members = self.bytes_in = self.bytes_out = 0

    def finish(self) -> Tally:
        """What was counted."""
        return Tally(self.members, self.bytes_in, self.bytes_out)


class Part(NamedTuple):
    """Finished local file records of one or more consecutive members.

    Plain bytes and numbers, so that it can be made in another process, or come out of the cache.

    Attributes:
        data: the local file records' bytes, in pieces; large ones may still be in a file, or be in
            a store already, and headers of members that are aligned are not padded yet.
        directory: the members' central directory headers, offsets relative to `data` as it is,
            without padding.
        tallies: what was done to the members, by the name of the coder.
    """

    data: tuple[Buffer | Range | Header | Uploaded, ...]
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
        sent: stands for its bytes, if they are in a store already; then there are no data.
    """

    data: tuple[Buffer, ...]
    crc: int
    size: int
    is_last: bool = False
    window: int = 0
    tail: int = 0
    sent: Uploaded | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive members that have one key in the cache, or one label for people.

    Attributes:
        members: gives them, as they are to be made if they are not at hand.
        label: what it is, for people; empty if they need not know of it.
        key: stands for all that determines the part's bytes; empty if the cache is not to have it.
        recipe: how they are compressed, if not as all others.
        check_crc: whether the CRC-32 of those that are copied is checked.
        alongside: what is to be done on another thread while it is made; if it raises, the
            archive fails.
    """

    members: Callable[[], Iterable[Found]]
    label: str = ""
    key: str = ""
    recipe: Recipe | None = None
    check_crc: bool = False
    alongside: Callable[[], object] | None = None
