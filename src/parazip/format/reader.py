"""Reads an archive's members by its central directory, strictly: what is odd is refused, by name.

Everything in an archive is a claim that somebody made. Nothing is believed before it is held
against the file: a length, an offset or a count leads nowhere outside of it, and no memory is taken
for what cannot be there. What two readers could understand in two ways is refused. What is odd, but
means one thing to all of them, passes. `refusals` lists the rules by their ids.

Each byte of the file is accounted for. `end` finds the central directory, `directory` reads its
headers, and here their records are laid side by side: none overlap, and what stands in front of the
first is no record and no archive (`prefix`). `local` holds each record against its header and looks
at what stands behind it. That is done when the member is copied or passed over, as a local header
is read with the data.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from parazip.format.directory import KIND_LINK, read_headers
from parazip.format.end import Directory, Read, find_directory
from parazip.format.local import find_end_of_last
from parazip.format.prefix import refuse_ambiguous_prefix
from parazip.format.records import LOCAL
from parazip.format.refusals import Judge
from parazip.format.values import Entry, Record


def read_directory(path: str, size: int, read: Read, judge: Judge | None = None) -> list[Entry]:
    """The members of an archive in the order of its central directory; names may come twice.

    Args:
        path: what messages call the archive.
        size: of its file, in bytes.
        read: gives `length` bytes from `offset` on, fewer at the end: `read(offset, length)`.
        judge: is told what is not right; by default the first such thing is raised.

    Raises:
        BadArchiveError: it is no archive, or something about it is not right; the message names
            the record, its offset, what was expected and what was found.
    """
    judge = judge or Judge(path)
    directory = find_directory(judge, size, read)
    names, records = read_headers(judge, directory, read)
    if directory.disk and any(record.attributes >> 28 == KIND_LINK for record in records):
        # bsdtar reads it as a stream then, where links are files; nobody else looks at it.
        expected = "a directory on disk 0, as there are links"
        judge.refuse("split-archive", "EOCD", directory.end, expected, directory.disk)
    order = sorted(range(len(records)), key=lambda i: records[i].offset)
    ends = _find_ends(judge, directory, records, order, read)
    first = records[order[0]].offset if order else directory.begin
    refuse_ambiguous_prefix(judge, first, read)
    if directory.shift:
        for name, record in zip(names, records, strict=True):
            _check_unshifted(judge, name, record, directory.shift, read)
    return list(map(Entry, names, records, ends))


class Layout(NamedTuple):
    """Where things are in an archive, as its directory says.

    Attributes:
        front: what stands in front of the first record, as far as it was read.
        records: what the directory says of the members, in the order of the file. No two begin at
            one place, and none behind the end.
        end: where the last record ends, or the directory begins if there is none.
        size: of the file, in bytes.
    """

    front: bytes
    records: list[Record]
    end: int
    size: int

    @property
    def begin(self) -> int:
        """Where the first record begins, or the directory if there is none."""
        return self.records[0].offset if self.records else self.end


_MOST_FRONT = 64 << 10


def read_layout(path: str, size: int, read: Read) -> Layout:
    """Where things are in an archive, for who believes nothing of it: what is odd passes.

    No more is read of the file than its directory, the last local header, and up to 64 KiB of what
    stands in front of the first record.

    Args:
        path: what messages call the archive.
        size: of its file, in bytes.
        read: see `read_directory`.

    Raises:
        BadArchiveError: it is no archive, or its directory cannot be read.
    """
    judge = Judge(path, lambda refusal: None)
    directory = find_directory(judge, size, read)
    _, found = read_headers(judge, directory, read)
    end = directory.begin
    inside = {record.offset: record for record in found if 0 <= record.offset < end}
    records = [inside[offset] for offset in sorted(inside)]
    if records:
        last = records[-1]
        end = max(last.offset + 1, find_end_of_last(last, end, read))
    layout = Layout(b"", records, end, size)
    return layout._replace(front=read(0, min(layout.begin, _MOST_FRONT)))


def _find_ends(
    judge: Judge, directory: Directory, records: list[Record], order: list[int], read: Read
) -> list[int]:
    """Where the next record begins, for each; records that overlap are refused."""
    ends = [directory.begin] * len(records)
    for i, j in pairwise(order):
        first, second = records[i], records[j]
        least = first.offset + LOCAL.size + len(first.name) + first.compressed_size
        if least > second.offset:
            judge.refuse(
                "records-overlap",
                f"record of {second.name!r}",
                second.offset,
                f"offset {least} or more, behind {first.name!r}",
                second.offset,
            )
        ends[i] = second.offset
    if order:
        ends[order[-1]] = find_end_of_last(records[order[-1]], directory.begin, read)
    return ends


def _check_unshifted(judge: Judge, name: str, record: Record, shift: int, read: Read) -> None:
    """Refuses a record that is found by a reader that does not count the prefix."""
    offset = record.offset - shift
    header = read(offset, LOCAL.size + len(record.name))
    if header.startswith(b"PK\3\4") and header[LOCAL.size :] == record.name:
        judge.refuse(
            "two-records",
            f"local file header of {name!r}",
            offset,
            f"the one at {record.offset} alone",
            "another",
            name,
        )
