"""Members are read back in batches: their records against the directory, and their contents.

A batch is done here or in a helper; what is found of it is plain tuples, which marshal takes.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from parazip.codecs import others
from parazip.errors import BadArchiveError
from parazip.extraction.contents import judged_chunks, read_chunks
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.records import FLAG_DESCRIPTOR, FLAG_ENCRYPTED, FLAG_PATCH, LOCAL
from parazip.format.refusals import Judge, Refusal, shorten
from parazip.format.values import DEFLATED, STORED, Entry, Record
from parazip.model import File
from parazip.sources import files
from parazip.sources.archives import LINK, check_contents, check_target, read_at, read_front
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
    """

    archive: File
    entries: Sequence[Entry]


def check(batch: Batch, helpers: Helpers) -> Checked:
    """Checks a batch; asks a helper to do so, if there are any.

    Raises:
        SourceError: the archive cannot be read.
        SourceChangedError: it is not what it was when it was found.
    """
    if helpers.are_started:
        entries = [(name, tuple(record), end) for name, record, end in batch.entries]
        answer = helpers.ask(marshal.dumps((tuple(batch.archive), entries)))
        if answer is not None:
            refusals, noted = marshal.loads(answer)
            return Checked([Refusal(*one) for one in refusals], noted)
    return check_here(batch)


def answer_question(question: bytes) -> bytes:
    """Checks the batch of a question."""
    archive, flat = marshal.loads(question)
    entries = [Entry(name, Record(*record), end) for name, record, end in flat]
    refusals, noted = check_here(Batch(File(*archive), entries))
    return marshal.dumps(([tuple(one) for one in refusals], noted))


def check_here(batch: Batch) -> Checked:
    """Checks a batch; see `check`."""
    checked = Checked([], [])

    def hear(refusal: Refusal) -> None:
        shown = refusal._replace(expected=shorten(refusal.expected), found=shorten(refusal.found))
        checked.refusals.append(shown)

    judge = Judge(batch.archive.path, hear)
    with files.open_unchanged(batch.archive) as file:
        read = partial(read_at, file)
        for entry in batch.entries:
            with suppress(BadArchiveError):  # it was heard of; nothing more can be read there
                for rule, found in _check_member(judge, entry, batch.archive.size, read):
                    checked.noted.append((rule, entry.name, found))
    return checked


def _check_member(judge: Judge, entry: Entry, size: int, read: Read) -> Iterator[tuple[str, str]]:
    """Checks a member of a file of `size` bytes; gives what is to be noted, by rules."""
    record = entry.record
    if record.offset >= size:
        return  # that it is outside of the file has been heard of
    front = read_front(read, entry)
    begin = find_data_offset(judge, entry, front, read)
    its_flags = LOCAL.unpack_from(front)[2]
    if its_flags & ~record.flags & FLAG_DESCRIPTOR:
        yield "data-descriptor", "its local header has flag 3"
    if begin + record.compressed_size > entry.end:
        return  # that, too; what is read there is another member's, or nothing
    if record.flags & FLAG_ENCRYPTED:
        yield _UNCHECKED, "it is encrypted"
    elif record.flags & FLAG_PATCH:
        yield _UNCHECKED, "it is a patch"
    elif record.method in (STORED, DEFLATED):
        if record.attributes >> 28 == LINK:
            is_short = record.compressed_size <= RANGE
            target = read(begin, record.compressed_size) if is_short else None
            check_target(judge, entry, target)
        check_contents(judge, entry, read_chunks(read, begin, record.compressed_size))
    elif record.method in others.find_methods():
        for _ in judged_chunks(judge, entry, begin, read):
            pass
    else:
        yield _UNCHECKED, f"its method is {record.method}"


_UNCHECKED = "contents-unchecked"
