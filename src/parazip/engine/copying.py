"""The producer that copies: members of other archives, without inflating them.

A deflate stream does not know where it stands, so it can be taken out of one archive and put into
another as it is. What describes it is made anew: a fresh header with the member's new name, date
and attributes, real sizes and CRC, and a zip64 extra field only where a number does not fit. What
the old archive said besides (extra fields, comments, data descriptors, the flag that announces
them) stays behind, but for the alignment of stored members: where their padding says a multiple
(0xD935) and they begin there, they go on doing so.

What is probably the same file elsewhere (a `Twin`) is copied too, once the CRC-32 of that file is
found to be the one in the archive's directory; if it is not, the file is compressed.

Each member's local record is held against its archive's directory on the way. Its contents are
believed to be what the directory says, unless the CRC is asked to be checked; but that nothing is
said to be in a deflate stream is always checked, and so is a link's target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from io import RawIOBase
from itertools import groupby

from parazip.codecs.levels import STORE
from parazip.engine.compress import compress_whole
from parazip.engine.plan import CopyBatch
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.names import MIMETYPE
from parazip.format.records import (
    LIMIT_32,
    LOCAL,
    make_record,
    pack_central_header,
    pack_headers,
    pack_local_header,
    parse_alignment,
)
from parazip.format.refusals import Judge
from parazip.format.values import Buffer, Entry
from parazip.model import File, Header, Member, Part, Range, RunningTally
from parazip.sources import files
from parazip.sources.archives import (
    LINK,
    check_contents,
    check_target,
    locate_record,
    read_at,
    read_front,
)
from parazip.sources.contents import (
    RANGE,
    count_most_held,
    find_archive_member,
    find_original,
    resolve_twin,
)

COPIED = "copied"
"""How what was copied is called where others have the name of their coder."""

_CHUNK = 256 << 10
"""Bytes that are checked at a time: the codec copies what is left of them at each MiB it gives."""

_SHORT = 4 << 10
_AHEAD = 64 << 10
"""What is short is read together with what follows it: two system calls take longer than a copy."""


def copy_batch(task: CopyBatch) -> Part | None:
    """Members of other archives as one part; the large ones stay where they are until written.

    None says that one of them is not to be in memory as a whole: a large one that is not the same
    in the archive, or one that is larger than the system tells.

    Raises:
        SourceError: an archive or a file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a local header disagrees with the directory, or a checked CRC is wrong.
    """
    builder = _PartBuilder()
    coder = task.recipe.whole
    unknown = 0
    for archive, group in groupby(task.members, _make_archive_finder()):
        members = list(group)
        with nullcontext() if archive is None else _open_archive(archive, members) as file:
            copier = _Copier(archive, file, task.check) if archive and file else None
            for member in members:
                source = resolve_twin(member.source)
                copied = find_archive_member(source)
                if copied is not None and copier is not None:
                    data, multiple = copier.copy(copied.entry)
                    # A twin is to be as its file would be, and `mimetype` without any extra field.
                    if source is not member.source or member.name == MIMETYPE:
                        multiple = 0
                    entry = copied.entry.record
                    builder.add(member, entry.method, entry.crc, data, entry.size, COPIED, multiple)
                    continue
                if member.size > task.recipe.cut:
                    return None
                try:
                    method, made, crc, size = compress_whole(member._replace(source=source), coder)
                except files.UnsizedError:
                    return None
                unknown += size - member.size
                if unknown > files.MOST_UNKNOWN:
                    return None
                builder.add(member, method, crc, made, size, str(coder if method else STORE))
    return builder.build()


def _open_archive(archive: File, members: list[Member]) -> AbstractContextManager[RawIOBase]:
    """The archive, open, for what is read of these members."""
    pieces = []
    for member in members if archive.is_remote else ():
        original = find_original(member.source)
        if original is not None:
            size = original.entry.record.compressed_size
            is_small = size <= count_most_held(archive)
            pieces.append(locate_record(original.entry, size if is_small else 0))
    return files.open_unchanged(archive, pieces=pieces)


def _make_archive_finder() -> Callable[[Member], File | None]:
    """A function that finds the archive of a member; if it has none, the last one that was found.

    So an archive stays open for all its members, whatever small files are among them.
    """
    archive = None

    def find_archive(member: Member) -> File | None:
        nonlocal archive
        original = find_original(member.source)
        if original is not None:
            archive = original.archive
        return archive

    return find_archive


class _PartBuilder:
    """Puts members into a part, one after the other."""

    def __init__(self) -> None:
        self._pieces: list[Buffer | Range | Header] = []
        self._small: list[Buffer] = []  # what will be joined to the next piece
        self._directory: list[bytes] = []
        self._tallies: dict[str, RunningTally] = {}
        self._offset = 0

    def add(
        self,
        member: Member,
        method: int,
        crc: int,
        data: Buffer | Range,
        size: int,
        coder: str,
        multiple: int = 0,
    ) -> None:
        """Puts a member behind the others.

        Args:
            member: whose name, date and attributes count.
            method: how its contents are compressed.
            crc: their CRC-32.
            data: they, compressed.
            size: their uncompressed bytes.
            coder: the name of what compressed them.
            multiple: where they begin in another archive, and shall go on doing so unless the
                member says otherwise.
        """
        compressed_size = len(data)
        offset = self._offset
        if max(size, compressed_size, offset) < LIMIT_32:
            header, central = pack_headers(member, method, crc, compressed_size, size, offset)
        else:
            made = make_record(member, method, crc, compressed_size, offset)._replace(size=size)
            header = pack_local_header(made, max(size, compressed_size) >= LIMIT_32)
            central = pack_central_header(made)
        small = self._small
        align = member.align or multiple
        if align > 1 and not method:
            self._pieces += (b"".join(small), Header(header, align, not member.align))
            small.clear()
        else:
            small.append(header)
        if isinstance(data, Range):
            self._pieces += (b"".join(small), data)
            small.clear()
        else:
            small.append(data)
        self._directory.append(central)
        self._offset = offset + len(header) + compressed_size
        tally = self._tallies.get(coder)
        if tally is None:
            tally = self._tallies[coder] = RunningTally()
        tally.members += 1
        tally.bytes_in += size
        tally.bytes_out += compressed_size

    def build(self) -> Part:
        """The part."""
        data = (*self._pieces, b"".join(self._small))
        tallies = {coder: tally.finish() for coder, tally in self._tallies.items()}
        return Part(data, b"".join(self._directory), tallies)


class _Copier:
    """Takes members out of an archive as they are compressed there.

    Args:
        archive: which.
        file: it, open.
        check: whether the CRC-32 of each member is checked.
    """

    def __init__(self, archive: File, file: RawIOBase, check: bool) -> None:
        self._archive = archive
        # Of a remote archive the records that are needed are in memory by now, and no others.
        self._read = partial(read_at, file) if archive.is_remote else _reading_ahead(file)
        self._most_held = count_most_held(archive)
        self._check = check
        self._judge = Judge(archive.path)

    def copy(self, entry: Entry) -> tuple[memoryview | Range, int]:
        """A member's compressed bytes, large ones as a range of their file, and its multiple.

        Raises:
            BadArchiveError: they are not what the directory says, as far as that is checked.
        """
        data, multiple = self._find_data(entry)
        record = entry.record
        is_link = record.attributes >> 28 == LINK
        if is_link or self._check or (record.compressed_size and not record.size):
            check_contents(self._judge, entry, _split(self._read, data))
            if is_link:
                target = None if isinstance(data, Range) or len(data) > RANGE else data
                check_target(self._judge, entry, target)
        return data, multiple

    def _find_data(self, entry: Entry) -> tuple[memoryview | Range, int]:
        """The bytes and the multiple; one read takes the header, and the data of a small member."""
        size = entry.record.compressed_size
        is_small = size <= self._most_held
        data = read_front(self._read, entry, size if is_small else 0)
        begin = find_data_offset(self._judge, entry, data, self._read)
        multiple = 0
        extra = LOCAL.size + len(entry.record.name)
        contents = begin - entry.record.offset
        if (
            extra < contents
            and (wanted := parse_alignment(data[extra:contents]))
            and begin % wanted == 0
        ):
            multiple = wanted
        if not is_small:
            return Range(self._archive, begin, size), multiple
        return memoryview(data)[contents : contents + size], multiple


def _reading_ahead(file: RawIOBase) -> Read:
    """Reads a file, and what is short out of a longer piece: records mostly stand in order."""
    piece, begin = b"", 0

    def read(offset: int, length: int) -> bytes:
        nonlocal piece, begin
        if length > _SHORT:
            return read_at(file, offset, length)
        at = offset - begin
        if not 0 <= at <= len(piece) - length:
            piece, begin, at = read_at(file, offset, _AHEAD), offset, 0
        return piece[at : at + length]

    return read


def _split(read: Read, data: memoryview | Range) -> Iterator[Buffer]:
    """A member's compressed bytes, a chunk at a time."""
    if not isinstance(data, Range):
        yield data
        return
    for start in range(0, data.length, _CHUNK):
        yield read(data.offset + start, min(_CHUNK, data.length - start))
