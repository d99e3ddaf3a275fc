"""Members are read back in batches: their records against the directory, and their contents.

A batch is done here or in a helper; what is found of it is plain tuples, which marshal takes.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from parazip.codecs import others
from parazip.errors import BadArchiveError, note_member
from parazip.extraction.contents import judged_chunks, read_chunks
from parazip.extraction.targets import find_way_out
from parazip.format.directory import normalize_date
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.records import FLAG_DESCRIPTOR, FLAG_ENCRYPTED, FLAG_PATCH, LOCAL, ZIP64_TAG
from parazip.format.refusals import Judge, Refusal, shorten
from parazip.format.values import DEFLATED, MOST_DEFLATED, STORED, Entry, Record
from parazip.model import File
from parazip.sources import files
from parazip.sources.archives import (
    LINK,
    check_contents,
    check_target,
    locate_records,
    read_at,
    read_front,
)
from parazip.sources.contents import RANGE
from parazip.workers.helpers import Helpers


class Checked(NamedTuple):
    """What came of a batch.

    Attributes:
        refusals: what is not right.
        noted: what is told besides: the id of a rule, the name of the member, and what was found.
    """

    refusals: list[Refusal]
    noted: list[tuple[str, str, str]]


class Batch(NamedTuple):
    """Members that are checked one after the other.

    Attributes:
        archive: the file of their archive.
        entries: the members.
        bombs: offsets of those whose contents are not read.
    """

    archive: File
    entries: Sequence[Entry]
    bombs: Collection[int] = ()


def check(batch: Batch, helpers: Helpers) -> Checked:
    """Checks a batch; asks a helper to do so, if there are any.

    Raises:
        SourceError: the archive cannot be read.
        SourceChangedError: it is not what it was when it was found.
    """
    if helpers.are_started and not batch.archive.is_remote:  # helpers reach no URLs
        entries = [(name, tuple(record), end) for name, record, end in batch.entries]
        answer = helpers.ask(marshal.dumps((tuple(batch.archive), entries, tuple(batch.bombs))))
        if answer is not None:
            refusals, noted = marshal.loads(answer)
            return Checked([Refusal(*one) for one in refusals], noted)
    return check_here(batch)


def answer_question(question: bytes) -> bytes:
    """Checks the batch of a question."""
    archive, flat, bombs = marshal.loads(question)
    entries = [Entry(name, Record(*record), end) for name, record, end in flat]
    refusals, noted = check_here(Batch(File(*archive), entries, bombs))
    return marshal.dumps(([tuple(one) for one in refusals], noted))


def check_here(batch: Batch) -> Checked:
    """Checks a batch; see `check`."""
    checked = Checked([], [])

    def hear(refusal: Refusal) -> None:
        shown = refusal._replace(expected=shorten(refusal.expected), found=shorten(refusal.found))
        checked.refusals.append(shown)

    judge = Judge(batch.archive.path, hear)
    pieces = locate_records(batch.archive, batch.entries)
    with files.open_unchanged(batch.archive, pieces=pieces) as file:
        read = partial(read_at, file)
        for entry in batch.entries:
            try:
                for rule, found in _check_member(judge, entry, batch, read):
                    checked.noted.append((rule, entry.name, found))
            except BadArchiveError:
                pass  # it was heard of; nothing more can be read there
            except MemoryError as error:
                note_member(error, f"{entry.name} in {batch.archive.path}")
                raise
    return checked


def _check_member(
    judge: Judge, entry: Entry, batch: Batch, read: Read
) -> Iterator[tuple[str, str]]:
    """Checks a member of a batch; gives what is to be noted, by rules."""
    record = entry.record
    if record.offset >= batch.archive.size:
        return  # that it is outside of the file has been heard of
    front = read_front(read, entry)
    begin = find_data_offset(judge, entry, front, read)
    end = begin + record.compressed_size
    if end > entry.end:
        return  # that, too; what is read there is another member's, or nothing
    yield from _find_local_traits(record, front[: begin - record.offset], entry.end - end)
    if record.flags & FLAG_ENCRYPTED:
        yield _UNCHECKED, "it is encrypted"
    elif record.flags & FLAG_PATCH:
        yield _UNCHECKED, "it is a patch"
    elif record.offset in batch.bombs:
        yield _UNCHECKED, f"it claims more than {MOST_DEFLATED:,} times its compressed bytes"
    elif record.method in (STORED, DEFLATED):
        if record.attributes >> 28 == LINK and record.size <= RANGE:  # longer ones were heard of
            is_short = record.compressed_size <= RANGE
            data = read(begin, record.compressed_size) if is_short else None
            target = check_target(judge, entry, data)
            if why := find_way_out(entry.name, target):
                yield "link-leads-out", f"its target {why}"
        check_contents(judge, entry, read_chunks(read, begin, record.compressed_size))
    elif record.method in others.find_methods():
        for _ in judged_chunks(judge, entry, begin, read):
            pass
    else:
        yield _UNCHECKED, f"its method is {record.method}"


_UNCHECKED = "contents-unchecked"

_LONGEST_DESCRIPTOR = 24
"""Signature, CRC-32 and two sizes of 8 bytes (APPNOTE 4.3.9)."""

_EXTRA = struct.Struct("<2H")
_ONE_SIZE = 8
"""Bytes of a zip64 field with one size. For what is stored, that may stand for both."""


def _find_local_traits(record: Record, header: bytes, behind: int) -> Iterator[tuple[str, str]]:
    """What is in order about a record, and refused by some.

    Args:
        record: the member, as the directory has it.
        header: its local header, with name and extra field.
        behind: bytes between its data and the next record.
    """
    fields = LOCAL.unpack_from(header)
    if fields[2] & ~record.flags & FLAG_DESCRIPTOR:
        yield "data-descriptor", "its local header has flag 3"
    if fields[4] != record.date and normalize_date(fields[4]) != record.date:
        yield "local-date", "another date"
    has_descriptor = (fields[2] | record.flags) & FLAG_DESCRIPTOR
    if behind > (_LONGEST_DESCRIPTOR if has_descriptor else 0):
        yield "gap", "bytes behind it"
    at = LOCAL.size + fields[-2]
    while at + _EXTRA.size <= len(header):
        tag, length = _EXTRA.unpack_from(header, at)
        at += _EXTRA.size + length
        if tag == ZIP64_TAG and length == _ONE_SIZE and record.method != STORED:
            yield "local-zip64-field", "one size"
    if at < len(header):
        yield "local-extra-field", "bytes that are no field"
