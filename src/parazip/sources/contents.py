"""What a member's contents are: the one room that knows their kinds.

| kind | what it is |
| --- | --- |
| `bytes` | the contents themselves |
| `File` | all of a file; it may turn out to have fewer or more bytes than the system tells |
| `FilePiece` | bytes that stand in another file as they are |
| `ArchiveMember` | a member of another archive: it is copied, and never read here |
| `Twin` | a file that is copied from another archive if it is the same there |
| `Feed` | what a program gives piece by piece; `feeds` makes bytes of it, or opens it |
| `OpenFeed` | a long one: its beginning, and the way to the rest |
| `FeedBlock` | a block of that |

Each function is one question, and answers it for every kind. No other room asks for a kind. So a
new one is a tuple in `model` that has a `size`, and what is to be answered here.

`File` comes first wherever its answer is of its own: nearly all members are files, and a
microsecond here is an eighth of a member's time.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from parazip.codecs import checksums, deflating
from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.errors import SourceChangedError
from parazip.format.values import Buffer, Entry, Record
from parazip.model import (
    ArchiveMember,
    Contents,
    Feed,
    FeedBlock,
    File,
    FilePiece,
    Member,
    OpenFeed,
    Pack,
    Range,
    Twin,
)
from parazip.sources import feeds, files

FORMAT = 4
"""The version of marshal: the same for each Python that may be asked, newer ones included."""

RANGE = 256 << 10
"""A copied member of more compressed bytes is never in memory as a whole.

Copying it from file to file saves two copies then, which is more than its system calls take.
"""

REMOTE_RANGE = 4 << 20
"""The same of a member of a remote archive: fetching some side by side saves much more."""


def find_file(contents: Contents) -> File | None:
    """The file whose contents these are from its first byte to its last, if there is one."""
    if isinstance(contents, File):
        return contents
    return contents.file if isinstance(contents, Twin) else None


def find_archive_member(contents: Contents) -> ArchiveMember | None:
    """The member of another archive that is certainly copied; None where reading is needed."""
    return contents if isinstance(contents, ArchiveMember) else None


def find_original(contents: Contents) -> ArchiveMember | None:
    """The member of another archive that is copied, or may be."""
    if isinstance(contents, ArchiveMember):
        return contents
    return contents.original if isinstance(contents, Twin) else None


def find_root(contents: Contents, name: str) -> str | None:
    """The path of the folder, or of the archive, in which a file with these contents has a name."""
    if isinstance(contents, FilePiece):
        return contents.archive.path
    file = find_file(contents)
    return file.path[: -len(name) - 1] if file is not None else None


def are_remote(members: Sequence[Member]) -> bool:
    """Whether members of a task come from URLs: the first or the last, as they seldom differ."""
    return bool(members) and (_is_remote(members[0].source) or _is_remote(members[-1].source))


def _is_remote(contents: Contents) -> bool:
    if isinstance(contents, File):
        return contents.is_remote
    original = find_original(contents)
    return original is not None and original.archive.is_remote


def fetch_files(members: list[Member]) -> list[Member]:
    """The same members; the bytes of remote files are in memory then, fetched side by side.

    Raises what `files.read_file` raises.
    """
    sources = [member.source for member in members]
    remote_files = [each for each in sources if isinstance(each, File) and each.is_remote]
    if not remote_files:
        return members
    data = dict(zip(remote_files, files.read_remote(remote_files), strict=True))
    return [
        member._replace(source=data[member.source])
        if isinstance(member.source, File) and member.source.is_remote
        else member
        for member in members
    ]


def describe_origin(member: Member) -> str:
    """Where a member comes from, for messages."""
    source = member.source
    if isinstance(source, ArchiveMember):
        return f"{source.entry.name} in {source.archive.path}"
    if isinstance(source, FilePiece):
        return f"{member.name} in {source.archive.path}"
    file = find_file(source)
    return file.path if file is not None else member.name


def pair_with(contents: Contents, original: ArchiveMember) -> ArchiveMember | Twin | None:
    """What takes the place of contents that may be a member of an archive; None if they cannot be.

    Their sizes are the same.
    """
    if isinstance(contents, FilePiece):
        return original if contents.crc == original.entry.record.crc else None
    file = find_file(contents)
    return Twin(file, original) if file is not None else None


def without_original(contents: Contents) -> Contents:
    """The same contents, no longer looked for in another archive."""
    return contents.file if isinstance(contents, Twin) else contents


def without_data(member: Member) -> Member:
    """A member for messages: what it holds may go; but a link is told from others by its target."""
    if stat.S_ISLNK(member.attributes >> 16):
        return member
    return member._replace(source=b"") if isinstance(member.source, bytes | Feed) else member


_ONCE = Feed, OpenFeed, FeedBlock
"""What comes as somebody iterates."""


def can_be_read_again(contents: Contents) -> bool:
    """Whether contents that were read once are still there."""
    return not isinstance(contents, _ONCE)


def count_expected_bytes(contents: Contents) -> int:
    """The bytes that were expected before most were read: what was counted for progress."""
    return contents.expected if isinstance(contents, FeedBlock) else _count_bytes(contents)


def has_known_size(contents: Contents) -> bool:
    """Whether anybody has told how many bytes there are; it need not be true."""
    return not isinstance(contents, _ONCE) or contents.told_size is not None


def are_in_memory(contents: Contents) -> bool:
    """Whether contents take memory as long as the member is known."""
    return isinstance(contents, bytes | FeedBlock) and bool(contents)


def can_travel(contents: Contents, most: int, most_in_memory: int) -> bool:
    """Whether contents can be taken elsewhere as a whole.

    Args:
        contents: what may be taken.
        most: how many bytes they may have.
        most_in_memory: how many of them may be in memory.
    """
    if isinstance(contents, bytes):
        return len(contents) <= most_in_memory
    return contents.size <= most and can_be_read_again(contents)


def count_bytes_in_memory(contents: Contents) -> int:
    """The bytes of contents that are in memory as long as the member is known."""
    return len(contents) if isinstance(contents, bytes) else 0


def cut_feed(contents: Contents) -> Iterator[tuple[int, FeedBlock]] | None:
    """The blocks of contents that can be read once only; None if these are none."""
    return feeds.cut_feed(contents) if isinstance(contents, OpenFeed) else None


def resolve_twin(contents: Contents) -> Contents:
    """Where contents are to be taken from, if two places may have them: the first is compared.

    Raises what `files.crc32_of_file` raises.
    """
    if not isinstance(contents, Twin):
        return contents
    is_same = files.crc32_of_file(contents.file) == contents.original.entry.record.crc
    return contents.original if is_same else contents.file


def count_held_bytes(contents: Contents) -> int:
    """The bytes in memory of contents that are copied, or made together with such."""
    original = find_original(contents)
    if original is not None:
        return min(original.entry.record.compressed_size, count_most_held(original.archive))
    return _count_bytes(contents)


def count_most_held(archive: File) -> int:
    """The most compressed bytes of a copied member that are in memory as a whole."""
    return REMOTE_RANGE if archive.is_remote else RANGE


def count_read_bytes(contents: Contents) -> int:
    """The bytes that have to be read, to be compressed or compared."""
    return 0 if isinstance(contents, ArchiveMember) else _count_bytes(contents)


def _count_bytes(contents: Contents) -> int:
    return len(contents) if isinstance(contents, bytes) else contents.size


def _locate_in_file(contents: Contents) -> tuple[File, int]:
    """The file that contents stand in as they are, and where they begin there."""
    if isinstance(contents, FilePiece):
        return contents.archive, contents.offset
    file = find_file(contents)
    if file is None:
        raise TypeError(f"no file has these contents as they are: {contents!r}")
    return file, 0


def read_whole(contents: Contents) -> bytes:
    """All of it; raises what `files.read_file` raises."""
    if isinstance(contents, File):
        return files.read_file(contents)
    if isinstance(contents, bytes):
        return contents
    if isinstance(contents, FilePiece):
        file = contents.archive
        view = memoryview(bytearray(contents.size))
        piece = contents.offset, contents.offset + contents.size
        with files.open_unchanged(file, pieces=[piece]) as opened:
            return bytes(files.fill_view(file, opened, contents.offset, view))
    return files.read_file(_locate_in_file(contents)[0])


def read_chunks(contents: Contents) -> Iterable[Buffer]:
    """All of it, a chunk at a time, each only until the next is asked for.

    Raises what `files.open_unchanged` raises.
    """
    if isinstance(contents, bytes):
        return (contents,)
    file, offset = _locate_in_file(contents)
    if isinstance(contents, FilePiece):
        return files.read_chunks(file, offset=offset, length=contents.size)
    return files.read_chunks(file)


class BlockView(NamedTuple):
    """What a block of a large member is made of; good until this thread asks for the next.

    Attributes:
        window: up to 32 KiB before the block, if the coder is to have them.
        data: the block.
        is_last: whether the contents end with it.
    """

    window: memoryview
    data: memoryview
    is_last: bool


class _Scratch(threading.local):
    """A thread's read buffer. Made once: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(WINDOW + BLOCK + 1))


_scratch = _Scratch()


def read_block(
    contents: Contents, start: int, length: int, is_last: bool, has_window: bool
) -> BlockView:
    """`length` bytes from `start` on, at most `sizes.BLOCK`, and the window before them.

    Args:
        contents: of a large member.
        start: where the block begins in them.
        length: how many bytes it is said to have.
        is_last: whether it is said to be the last.
        has_window: whether a window is of use.

    Raises what `files.open_unchanged` raises.
    """
    if isinstance(contents, File):
        return _read_block_of_file(contents, start, length, is_last, has_window)
    if isinstance(contents, FeedBlock):
        window = memoryview(contents.window if has_window else b"")
        return BlockView(window, memoryview(contents.data), is_last)
    begin = max(0, start - WINDOW) if has_window else start
    if isinstance(contents, bytes):
        view = memoryview(contents)[begin : start + length]
    else:
        file, offset = _locate_in_file(contents)
        view = _scratch.view[: start + length - begin]
        piece = offset + begin, offset + start + length
        with files.open_unchanged(file, pieces=[piece]) as opened:
            files.fill_view(file, opened, offset + begin, view)
    return BlockView(view[: start - begin], view[start - begin :], is_last)


def _read_block_of_file(
    file: File, start: int, length: int, is_last: bool, has_window: bool
) -> BlockView:
    """A block of a file, which ends where it ends, whatever the system says of its size.

    If it has fewer bytes, a block is the last that was not to be; if it has more, the one that was
    to be the last is not, and has all the bytes it can have. Where changes are no error, the window
    could differ from what was compressed before it, so there is none.
    """
    # One byte more than a block holds tells whether the file goes on.
    most = BLOCK + 1 if is_last else length
    has_window = has_window and file.is_watched and start < file.size
    begin = max(0, start - WINDOW) if has_window else start
    with files.open_unchanged(file, pieces=[(begin, start + most)]) as opened:
        view = files.read_into(opened, begin, _scratch.view[: start + most - begin])
    data = view[start - begin :]
    ends = len(data) <= BLOCK if is_last else len(data) < most
    return BlockView(view[: start - begin], data[:BLOCK], ends)


def explain_unseen_change(contents: Contents) -> SourceChangedError:
    """The error that says that contents were read twice and were not the same."""
    return files.explain_unseen_change(_locate_in_file(contents)[0])


def leave_in_place(contents: Contents) -> tuple[Buffer | Range, int]:
    """Contents that are stored, where they are until they are written, and their CRC-32.

    A file has as many bytes as were read for the CRC-32, whatever the system tells of its size.
    Raises what `files.measure_file` raises.
    """
    if isinstance(contents, bytes):
        return contents, checksums.crc32(contents)
    file, offset = _locate_in_file(contents)
    crc, size = measure_contents(contents)
    return Range(file, offset, size), crc


def looks_compressible(member: Member) -> bool:
    """Whether a large member's contents look compressible; reads a few samples of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    source = member.source
    if isinstance(source, bytes | OpenFeed):
        known = source if isinstance(source, bytes) else source.head
        return deflating.looks_compressible(
            len(known), lambda start, size: known[start : start + size]
        )
    file, offset = _locate_in_file(source)
    with files.open_unchanged(file) as opened:

        def read_sample(start: int, size: int) -> memoryview:
            return files.read_into(opened, offset + start, memoryview(bytearray(size)))

        # A file of fewer bytes than that is asked about after many more were found in it.
        return deflating.looks_compressible(max(member.size, files.MOST_UNKNOWN), read_sample)


def measure_contents(contents: Contents) -> tuple[int, int]:
    """CRC-32 and size; a file is read for that, see `files.measure_file`."""
    if isinstance(contents, bytes):
        return checksums.crc32(contents), len(contents)
    if isinstance(contents, ArchiveMember):
        return contents.entry.record.crc, contents.size
    if isinstance(contents, FilePiece):
        return contents.crc, contents.size
    return files.measure_file(_locate_in_file(contents)[0])


def identify_contents(
    contents: Contents, identify_file: Callable[[File], object]
) -> tuple[object, object] | None:
    """What tells contents from all others, as plain values; None if nothing certainly does.

    Args:
        contents: whose.
        identify_file: tells the contents of a file from all others.

    Returns:
        What tells the file, or the bytes, from others; and what in that file the contents are.
    """
    where: object = None
    if isinstance(contents, File):
        known = identify_file(contents)
    elif isinstance(contents, bytes):
        known = hashlib.sha256(contents).digest() if contents else b""
    elif isinstance(contents, ArchiveMember):
        known = identify_file(contents.archive)
        name, record, end = contents.entry
        where = name, tuple(record), end
    elif isinstance(contents, FilePiece):
        known = identify_file(contents.archive)
        where = contents.offset, contents.size
    else:  # whether a twin is one, only reading it would tell
        known = None
    return None if known is None else (known, where)


_BYTES, _FILE, _PIECE, _MEMBER, _TWIN = "bytes", "file", "piece", "member", "twin"
"""How the kinds are called on the wire, in front of what they hold."""


def flatten_contents(contents: Contents, archives: dict[File, int]) -> tuple[Any, ...]:
    """Contents as plain values with a tag in front; `restore_contents` is the way back.

    Args:
        contents: what is flattened.
        archives: other archives and the numbers that stand for them; new ones are added. Most
            members of a task share one.
    """
    if isinstance(contents, File):
        return (_FILE,) + contents  # noqa: RUF005 - a third faster than unpacking
    if isinstance(contents, bytes):
        return _BYTES, contents
    if isinstance(contents, ArchiveMember):
        archive = archives.setdefault(contents.archive, len(archives))
        name, record, end = contents.entry
        return _MEMBER, archive, name, tuple(record), end
    if isinstance(contents, FilePiece):
        archive = archives.setdefault(contents.archive, len(archives))
        return _PIECE, archive, contents.offset, contents.size, contents.crc
    if isinstance(contents, Twin):
        return _TWIN, tuple(contents.file), flatten_contents(contents.original, archives)
    raise TypeError(f"what comes as somebody iterates stays in its process: {contents!r:.60}")


def restore_contents(flat: tuple[Any, ...], archives: list[File], folder: str = "") -> Contents:
    """The contents that `flatten_contents` made plain values of.

    Args:
        flat: these.
        archives: the other archives, in the order of their numbers.
        folder: from where paths count, if not from the current folder.

    Raises:
        ValueError: the tag is none of ours.
    """
    tag = flat[0]
    values = flat[1:]
    if tag == _FILE:
        return restore_file(values, folder)
    if tag == _BYTES:
        return bytes(values[0])
    if tag == _MEMBER:
        return _restore_archive_member(values, archives)
    if tag == _PIECE:
        archive, offset, size, crc = values
        return FilePiece(archives[archive], offset, size, crc)
    if tag == _TWIN:
        file, original = values
        return Twin(restore_file(file, folder), _restore_archive_member(original[1:], archives))
    raise ValueError(f"there are no contents of the kind {tag!r}")


def restore_file(values: Sequence[Any], folder: str = "") -> File:
    """A file of plain values; its path counts from `folder`, if that is given."""
    file = File(*values)
    if not folder or file.is_remote:
        return file
    return file._replace(path=os.path.join(folder, file.path))


def flatten_members(members: Iterable[Member], archives: dict[File, int]) -> list[tuple[Any, ...]]:
    """Members as plain values; `archives` are those of `flatten_contents`."""
    return [
        (name, flatten_contents(source, archives), attributes, date, store, align)
        for name, source, attributes, date, store, align in members
    ]


def restore_members(
    flat: Iterable[tuple[Any, ...]], archives: list[File], folder: str = ""
) -> list[Member]:
    """The members that `flatten_members` made plain values of; see `restore_contents`."""
    return [
        Member(name, restore_contents(source, archives, folder), *facts)
        for name, source, *facts in flat
    ]


def pack_members(members: Sequence[Member]) -> Pack:
    """Members that are no other archive's, as plain bytes."""
    size = sum([member.size for member in members])
    data = marshal.dumps(flatten_members(members, {}), FORMAT)
    return Pack(data, len(members), size, members[-1].name)


def unpack_members(pack: Pack) -> list[Member]:
    """The members of a pack."""
    return restore_members(marshal.loads(pack.data), [])


def _restore_archive_member(values: Sequence[Any], archives: list[File]) -> ArchiveMember:
    archive, name, record, end = values
    return ArchiveMember(archives[archive], Entry(name, Record(*record), end))
