"""The producer that copies: members of other archives, without inflating them.

A deflate stream does not know where it stands, so it can be taken out of one archive and put into
another as it is. What describes it is made anew: a fresh header with the member's new name, date
and attributes, real sizes and CRC, and a zip64 extra field only where a number does not fit. What
the old archive said besides (extra fields, comments, data descriptors, the flag that announces
them) stays behind.

What is probably the same file elsewhere (a `Twin`) is copied too, once the CRC-32 of that file is
found to be the one that the archive's directory tells of; if it is not, the file is compressed.

Each member's local header is held against its archive's directory on the way. Its contents are
believed to be what the directory says, unless the CRC is asked to be checked.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from io import FileIO
from itertools import groupby
from typing import NoReturn

from parazip import codecs, files
from parazip.compress import whole
from parazip.errors import BadArchiveError, NotCopiedError
from parazip.format.reader import data_offset, read_directory
from parazip.format.records import (
    FLAG_ENCRYPTED,
    FLAG_PATCH,
    LIMIT_32,
    LOCAL,
    central_header,
    local_header,
    record,
)
from parazip.model import (
    DEFLATED,
    STORE,
    STORED,
    Buffer,
    Entry,
    File,
    Member,
    Packed,
    Part,
    Range,
    Stored,
    Tally,
    Twin,
)
from parazip.names import fault
from parazip.plan import RANGE, Copies

COPIED = "copied"
"""How what was copied is called where others have the name of their coder."""

_MAX_EXTRA = 0xFFFF
_CHUNK = 1 << 20


def entries(archive: File) -> list[Entry]:
    """The members of an archive, as its directory tells of them.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: it is damaged, or no archive.
    """
    with files.reading(archive) as file:
        return read_directory(
            archive.path, archive.size, lambda offset, length: _read(file, offset, length)
        )


def stored(archive: File, file: FileIO, entry: Entry) -> Stored:
    """The contents of a stored member, as the piece of its archive, open in `file`, that they are.

    Raises:
        BadArchiveError: its local header disagrees with the directory.
    """
    begin = data_offset(archive.path, entry, _front(file, entry))
    return Stored(archive, begin, entry.record.size, entry.record.crc)


def refuse_name(archive: str, entry: Entry) -> None:
    """Refuses a name that leads out of the folder that it is unpacked in, or to no file in it.

    Raises:
        NotCopiedError: it does.
    """
    why = fault(entry.name, is_file=bool(entry.record.compressed_size))
    if why:
        _refuse(archive, entry, f"its name {why}")


def refuse(archive: str, entry: Entry) -> None:
    """Refuses what cannot be copied as it is.

    Raises:
        NotCopiedError: it is encrypted, or has another method than stored and deflated.
    """
    other = ", or unpack the archive and merge the folder"
    if entry.record.flags & FLAG_ENCRYPTED:
        _refuse(archive, entry, "it is encrypted", other)
    if entry.record.flags & FLAG_PATCH:
        _refuse(archive, entry, "it is a patch", other)
    if entry.record.method not in (STORED, DEFLATED):
        method = entry.record.method
        what = f"it has the compression method {method}, not stored or deflated"
        _refuse(archive, entry, what, other)


def _refuse(archive: str, entry: Entry, what: str, other: str = "") -> NoReturn:
    raise NotCopiedError(
        f"cannot copy {entry.name} of {archive}: {what}; leave it out with "
        f"--exclude {shlex.quote(glob.escape(entry.name))}{other}",
        member=entry.name,
    )


def batch(copies: Copies) -> Part | None:
    """Members of other archives as one part; the large ones stay where they are until written.

    None says that a large member is not the same in the archive: it has to be cut into blocks. It
    is alone in its task.

    Raises:
        SourceError: an archive or a file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a local header disagrees with the directory, or a checked CRC is wrong.
    """
    pieces: list[Buffer | Range] = []
    small: list[Buffer] = []
    directory = []
    tallies: dict[str, list[int]] = {}
    offset = 0
    for archive, members in groupby(copies.members, _archive()):
        with files.reading(archive) if archive else nullcontext() as file:
            for member in members:
                source = member.source
                data: Buffer | Range
                if isinstance(source, Twin):
                    source = _same(source)
                if isinstance(source, Packed) and archive and file:
                    entry = source.entry
                    _, _, method, _, crc, packed, *_ = entry.record
                    data = _data(archive, file, entry)
                    if copies.check:
                        _check(archive.path, entry, _chunks(file, data))
                    how = COPIED
                else:
                    if member.size > copies.recipe.cut:
                        return None
                    coder = copies.recipe.whole
                    method, data, crc, _ = whole(member._replace(source=source), coder)
                    packed, how = len(data), str(coder if method else STORE)
                made = record(member, method, crc, packed, offset)
                header = local_header(made, max(made.size, packed) >= LIMIT_32)
                small.append(header)
                if isinstance(data, Range):
                    pieces += (b"".join(small), data)
                    small.clear()
                else:
                    small.append(data)
                directory.append(central_header(made))
                offset += len(header) + packed
                sums = tallies.setdefault(how, [0, 0, 0])
                sums[0] += 1
                sums[1] += made.size
                sums[2] += packed
    pieces.append(b"".join(small))
    return Part(
        tuple(pieces), b"".join(directory), {how: Tally(*sums) for how, sums in tallies.items()}
    )


def _same(twin: Twin) -> Packed | File:
    """Where the contents are to be taken from: an archive that has the same, or the file."""
    same = files.crc32(twin.file) == twin.packed.entry.record.crc
    return twin.packed if same else twin.file


def _archive() -> Callable[[Member], File | None]:
    """The archive that a member is in; for one without contents, that of those before it."""
    archive = None

    def find(member: Member) -> File | None:
        nonlocal archive
        source = member.source
        if isinstance(source, Twin):
            source = source.packed
        if isinstance(source, Packed):
            archive = source.archive
        return archive

    return find


def _data(archive: File, file: FileIO, entry: Entry) -> memoryview | Range:
    """A member's compressed bytes; large ones as a range of their file.

    One read takes the local header and, of a small member, its data: how long the extra field
    between them is, only the header tells.
    """
    size = entry.record.compressed_size
    is_small = size <= RANGE
    data = _front(file, entry, size if is_small else 0)
    begin = data_offset(archive.path, entry, data)
    if not is_small:
        return Range(archive, begin, size)
    begin -= entry.record.offset
    return memoryview(data)[begin : begin + size]


def _front(file: FileIO, entry: Entry, more: int = 0) -> bytes:
    """A member's local header, and at least `more` bytes of what follows it, as far as it goes."""
    offset = entry.record.offset
    most = LOCAL.size + len(entry.record.name) + _MAX_EXTRA + more
    return _read(file, offset, min(most, entry.end - offset))


def _read(file: FileIO, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` on; fewer at the end of the file."""
    file.seek(offset)
    data = file.read(length) or b""
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


def _chunks(file: FileIO, data: memoryview | Range) -> Iterator[Buffer]:
    if not isinstance(data, Range):
        yield data
        return
    for start in range(0, data.length, _CHUNK):
        yield _read(file, data.offset + start, min(_CHUNK, data.length - start))


def _check(archive: str, entry: Entry, chunks: Iterable[Buffer]) -> None:
    record = entry.record
    try:
        found = codecs.inflated(record.method, chunks, record.size)
    except ValueError as error:
        raise BadArchiveError(
            f"{archive} is damaged: the data of {entry.name} at offset {record.offset}: {error}",
            archive=archive,
            member=entry.name,
        ) from error
    if found != (record.crc, record.size):
        raise BadArchiveError(
            f"{archive} is damaged: the data of {entry.name} at offset {record.offset}: expected "
            f"CRC {record.crc:#010x} of {record.size} bytes, found {found[0]:#010x} of {found[1]}",
            archive=archive,
            member=entry.name,
        )
