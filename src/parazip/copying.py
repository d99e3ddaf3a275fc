"""The producer that copies: members of other archives, without inflating them.

A deflate stream does not know where it stands, so it can be taken out of one archive and put into
another as it is. What describes it is made anew: a fresh header with the member's new name, date
and attributes, real sizes and CRC, and a zip64 extra field only where a number does not fit. What
the old archive said besides (extra fields, comments, data descriptors, the flag that announces
them) stays behind, but for the alignment of stored members: where their padding says a multiple
(0xD935) and they begin there, they go on doing so.

What is probably the same file elsewhere (a `Twin`) is copied too, once the CRC-32 of that file is
found to be the one that the archive's directory tells of; if it is not, the file is compressed.

Each member's local record is held against its archive's directory on the way. Its contents are
believed to be what the directory says, unless the CRC is asked to be checked; but that nothing is
said to be in a deflate stream is always checked, and so is a link's target.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from io import FileIO
from itertools import groupby
from typing import NoReturn

from parazip import files
from parazip.codecs import inflating
from parazip.codecs.levels import STORE
from parazip.compress import compress_whole
from parazip.errors import NotCopiedError
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.names import MIMETYPE, find_fault, leads_out, make_pattern
from parazip.format.reader import read_directory
from parazip.format.records import (
    FLAG_ENCRYPTED,
    FLAG_PATCH,
    LIMIT_32,
    LOCAL,
    make_record,
    pack_central_header,
    pack_headers,
    pack_local_header,
    parse_alignment,
)
from parazip.format.refusals import Judge
from parazip.format.surroundings import Surroundings, read_surroundings
from parazip.format.values import DEFLATED, STORED, Buffer, Entry
from parazip.model import ArchiveMember, File, FilePiece, Header, Member, Part, Range, Tally, Twin
from parazip.plan import RANGE, CopyBatch

COPIED = "copied"
"""How what was copied is called where others have the name of their coder."""

_MAX_EXTRA = 0xFFFF
_CHUNK = 256 << 10
"""What is inflated at a time; what is left of it when a MiB came out is copied by the codec."""

_SHORT = 4 << 10
_AHEAD = 64 << 10
"""What is short is read together with what follows it: two system calls take longer than a copy."""


def read_entries(archive: File) -> list[Entry]:
    """The members of an archive, as its directory tells of them.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: it is damaged, or no archive.
    """
    with files.open_unchanged(archive) as file:
        return read_directory(archive.path, archive.size, partial(_read, file))


def check_passed_over(archive: File, entries: Iterable[Entry]) -> None:
    """Makes sure that members that are not copied have one meaning, as those that are.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a record disagrees with the directory.
    """
    judge = Judge(archive.path)
    with files.open_unchanged(archive) as file:
        read = partial(_read, file)
        for entry in entries:
            find_data_offset(judge, entry, _front(read, entry), read)


def read_archive_surroundings(archive: File) -> Surroundings:
    """What an archive has besides its members; raises what `read_entries` raises."""
    members = read_entries(archive)
    with files.open_unchanged(archive) as file:
        judge = Judge(archive.path)
        return read_surroundings(judge, archive.size, partial(_read, file), members)


def locate_stored(archive: File, file: FileIO, entry: Entry) -> FilePiece:
    """The contents of a stored member, as the piece of its archive, open in `file`, that they are.

    Raises:
        BadArchiveError: its local header disagrees with the directory.
    """
    read = partial(_read, file)
    begin = find_data_offset(Judge(archive.path), entry, _front(read, entry), read)
    return FilePiece(archive, begin, entry.record.size, entry.record.crc)


def find_contents_offset(packed: ArchiveMember) -> int:
    """Where the contents of a stored member begin, counted from the start of their archive.

    Raises what `locate_stored` raises, and what `read_entries` raises of the file.
    """
    with files.open_unchanged(packed.archive) as file:
        return locate_stored(packed.archive, file, packed.entry).offset


def refuse_unsafe_name(archive: str, entry: Entry) -> None:
    """Refuses a name that leads out of the folder that it is unpacked in, or to no file in it.

    Raises:
        NotCopiedError: it does.
    """
    why = find_fault(entry.name, is_file=bool(entry.record.size))
    if why:
        rule = "name-leads-out" if leads_out(entry.name) else "name-of-a-folder"
        _refuse(archive, entry, rule, f"its name {why}")


def refuse_uncopyable(archive: str, entry: Entry) -> None:
    """Refuses what cannot be copied as it is.

    Raises:
        NotCopiedError: it is encrypted, or has another method than stored and deflated, or stands
            for a device or the like, which some readers make, or leave out, and others take for a
            file.
    """
    record = entry.record
    if record.flags & FLAG_ENCRYPTED:
        _refuse(archive, entry, "encrypted", "it is encrypted", _OTHER)
    if record.flags & FLAG_PATCH:
        _refuse(archive, entry, "patch", "it is a patch", _OTHER)
    if record.method not in (STORED, DEFLATED):
        what = f"it has the compression method {record.method}, not stored or deflated"
        _refuse(archive, entry, "method", what, _OTHER)
    if (kind := record.attributes >> 28) not in _KINDS:
        what = f"it is {_SPECIAL_KINDS.get(kind, 'neither a file nor a folder nor a link')}"
        _refuse(archive, entry, "special-file", what)


_OTHER = ", or unpack the archive and merge the folder"

_LINK = 10
_KINDS = (8, 4, _LINK)
"""The highest 4 bits of the mode of a file, a folder, and a link."""

_SPECIAL_KINDS = {
    0: "a volume label or a reparse point of Windows",
    1: "a named pipe",
    2: "a device",
    6: "a device",
    12: "a socket",
}

NOT_COPIED = (
    "name-leads-out",
    "name-of-a-folder",
    "encrypted",
    "patch",
    "method",
    "special-file",
)
"""The ids of what keeps a member from being copied, and not the archive from being read."""


def _refuse(archive: str, entry: Entry, rule: str, what: str, other: str = "") -> NoReturn:
    reason = f"cannot copy {entry.name} of {archive}: {what}"
    raise NotCopiedError(
        f"{reason}; leave it out with --exclude {shlex.quote(make_pattern(entry.name))}{other} "
        f"[{rule}]",
        member=entry.name,
        id=rule,
        reason=reason,
    )


def copy_batch(copies: CopyBatch) -> Part | None:
    """Members of other archives as one part; the large ones stay where they are until written.

    None says that one of them is not to be in memory as a whole: a large one that is not the same
    in the archive, or one that is larger than the system tells.

    Raises:
        SourceError: an archive or a file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a local header disagrees with the directory, or a checked CRC is wrong.
    """
    pieces: list[Buffer | Range | Header] = []
    small: list[Buffer] = []
    directory = []
    tallies: dict[str, list[int]] = {}
    offset = unknown = 0
    for archive, members in groupby(copies.members, _archive()):
        judge = Judge(archive.path) if archive else None
        with files.open_unchanged(archive) if archive else nullcontext() as file:
            read = _ahead(file) if file else None
            for member in members:
                source = member.source
                align = member.align
                data: Buffer | Range
                if isinstance(source, Twin):
                    source = _same(source)
                if isinstance(source, ArchiveMember) and archive and judge and read:
                    entry = source.entry
                    _, _, method, _, crc, packed, size, attributes, _ = entry.record
                    data, multiple = _data(judge, archive, read, entry)
                    # A twin is to be as its file would be, and `mimetype` without any extra field.
                    if multiple and source is member.source and member.name != MIMETYPE:
                        align = align or multiple
                    is_link = attributes >> 28 == _LINK
                    if is_link or copies.check or (packed and not member.size):
                        _check(judge, entry, _chunks(read, data))
                        if is_link:
                            _check_target(judge, entry, data)
                    how = COPIED
                else:
                    if member.size > copies.recipe.cut:
                        return None
                    coder = copies.recipe.whole
                    try:
                        method, data, crc, size = compress_whole(
                            member._replace(source=source), coder
                        )
                    except files.UnsizedError:
                        return None
                    unknown += size - member.size
                    if unknown > files.MOST_UNKNOWN:
                        return None
                    packed, how = len(data), str(coder if method else STORE)
                if max(size, packed, offset) < LIMIT_32:
                    header, central = pack_headers(member, method, crc, packed, size, offset)
                else:
                    made = make_record(member, method, crc, packed, offset)._replace(size=size)
                    header = pack_local_header(made, max(size, packed) >= LIMIT_32)
                    central = pack_central_header(made)
                if align > 1 and not method:
                    pieces += (b"".join(small), Header(header, align, not member.align))
                    small.clear()
                else:
                    small.append(header)
                if isinstance(data, Range):
                    pieces += (b"".join(small), data)
                    small.clear()
                else:
                    small.append(data)
                directory.append(central)
                offset += len(header) + packed
                sums = tallies.setdefault(how, [0, 0, 0])
                sums[0] += 1
                sums[1] += size
                sums[2] += packed
    pieces.append(b"".join(small))
    return Part(
        tuple(pieces), b"".join(directory), {how: Tally(*sums) for how, sums in tallies.items()}
    )


def _same(twin: Twin) -> ArchiveMember | File:
    """Where the contents are to be taken from: an archive that has the same, or the file."""
    same = files.crc32_of_file(twin.file) == twin.original.entry.record.crc
    return twin.original if same else twin.file


def _archive() -> Callable[[Member], File | None]:
    """The archive that a member is in; for one without contents, that of those before it."""
    archive = None

    def find(member: Member) -> File | None:
        nonlocal archive
        source = member.source
        if isinstance(source, Twin):
            source = source.original
        if isinstance(source, ArchiveMember):
            archive = source.archive
        return archive

    return find


def _data(judge: Judge, archive: File, read: Read, entry: Entry) -> tuple[memoryview | Range, int]:
    """A member's compressed bytes; large ones as a range of their file. And its multiple, if any.

    One read takes the local header and, of a small member, its data: how long the extra field
    between them is, only the header tells.
    """
    size = entry.record.compressed_size
    is_small = size <= RANGE
    data = _front(read, entry, size if is_small else 0)
    begin = find_data_offset(judge, entry, data, read)
    multiple = 0
    at = LOCAL.size + len(entry.record.name)
    at_data = begin - entry.record.offset
    if at < at_data and (found := parse_alignment(data[at:at_data])) and begin % found == 0:
        multiple = found
    if not is_small:
        return Range(archive, begin, size), multiple
    return memoryview(data)[at_data : at_data + size], multiple


def _front(read: Read, entry: Entry, more: int = 0) -> bytes:
    """A member's local header, and at least `more` bytes of what follows it, as far as it goes."""
    offset = entry.record.offset
    most = LOCAL.size + len(entry.record.name) + _MAX_EXTRA + more
    return read(offset, min(most, entry.end - offset))


def _read(file: FileIO, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` on; fewer at the end of the file."""
    file.seek(offset)
    data = file.read(length) or b""
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


def _ahead(file: FileIO) -> Read:
    """Reads a file, and what is short out of a longer piece: records mostly stand in order."""
    piece, begin = b"", 0

    def read(offset: int, length: int) -> bytes:
        nonlocal piece, begin
        if length > _SHORT:
            return _read(file, offset, length)
        at = offset - begin
        if not 0 <= at <= len(piece) - length:
            piece, begin, at = _read(file, offset, _AHEAD), offset, 0
        return piece[at : at + length]

    return read


def _chunks(read: Read, data: memoryview | Range) -> Iterator[Buffer]:
    if not isinstance(data, Range):
        yield data
        return
    for start in range(0, data.length, _CHUNK):
        yield read(data.offset + start, min(_CHUNK, data.length - start))


def _check_target(judge: Judge, entry: Entry, data: memoryview | Range) -> None:
    """Refuses a link's target that ends at a NUL for who makes the link.

    It is in memory as a whole for that. Empty blocks make a deflate stream as long as one likes, so
    one that is no short target's is refused as well.
    """
    record = entry.record
    what = f"the data of {entry.name}"
    if isinstance(data, Range):
        expected = f"at most {RANGE:,} compressed bytes of a link's target"
        judge.refuse("link-target", what, record.offset, expected, data.length, entry.name)
        return
    target = inflating.inflate_whole(bytes(data), record.size) if record.method else bytes(data)
    if target is None or b"\0" in target:
        expected = "a link's target without NUL"
        judge.refuse("link-target", what, record.offset, expected, target, entry.name)


def _check(judge: Judge, entry: Entry, chunks: Iterable[Buffer]) -> None:
    """Refuses contents that are not what the directory says."""
    record = entry.record
    what = f"the data of {entry.name}"
    try:
        found = inflating.measure_inflated(record.method, chunks, record.size)
    except inflating.StreamEndError as error:
        expected = f"a deflate stream of {record.compressed_size} bytes"
        judge.refuse("stream-end", what, record.offset, expected, str(error), entry.name)
    except ValueError as error:
        expected = "a deflate stream"
        judge.refuse("stream-damaged", what, record.offset, expected, str(error), entry.name)
    else:
        if found != (record.crc, record.size):
            expected = f"CRC {record.crc:#010x} of {record.size} bytes"
            told = f"{found[0]:#010x} of {found[1]}"
            judge.refuse("crc-mismatch", what, record.offset, expected, told, entry.name)
