"""What is made of a task, by a worker itself or by a helper process that it asks.

A helper is asked in plain bytes and answers so: here is how tasks and parts are spelled.
"""

from __future__ import annotations

import marshal
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

from parazip import compress, copying
from parazip.codecs import libraries
from parazip.codecs.levels import Coder, Recipe
from parazip.format.values import Buffer, Entry, Record
from parazip.model import (
    ArchiveMember,
    Block,
    Contents,
    File,
    FilePiece,
    Header,
    Member,
    Part,
    Range,
    Tally,
    Twin,
)
from parazip.plan import BATCH, Batch, BlockTask, CopyBatch, StoredTask
from parazip.workers.helpers import Helpers, running_helpers

_CAPACITY = 2 * BATCH
"""The most bytes that a helper has to answer: a task's compressed members and their headers."""


def start_helpers(count: int) -> AbstractContextManager[Helpers]:
    """So many helpers that do tasks; see `answer_question`."""
    return running_helpers(
        f"{__name__}:{answer_question.__name__}", count, _CAPACITY, libraries.find_library_folders()
    )


def do_task(
    task: Batch | BlockTask | CopyBatch | StoredTask, crew: Helpers | None = None
) -> Part | Block | None:
    """What the task asks for; see `compress` and `copying`.

    Args:
        task: what is to be done.
        crew: who may be asked to do it. Blocks are not worth asking: a codec's one long call.
    """
    if isinstance(task, BlockTask):
        return compress.compress_block(task)
    if isinstance(task, StoredTask):
        return compress.store_untouched(task)
    if crew and crew.are_started and (task.size if isinstance(task, Batch) else task.held) <= BATCH:
        answer = crew.ask(_question(task))
        if answer is not None:
            return _answered(answer)
    return _make(task)


def answer_question(question: bytes) -> bytes:
    """What a helper makes of a question."""
    task = _task(*marshal.loads(question))
    part = _make(task)
    if part is None:
        return marshal.dumps(None)
    data = [_plain_piece(piece) for piece in part.data]
    tallies = {how: tuple(tally) for how, tally in part.tallies.items()}
    return marshal.dumps((data, part.directory, tallies))


def _answered(answer: bytes) -> Part | None:
    """The part in a helper's answer."""
    told = marshal.loads(answer)
    if told is None:
        return None
    data, directory, tallies = told
    pieces = tuple(_piece(piece) for piece in data)
    return Part(pieces, directory, {how: Tally(*sums) for how, sums in tallies.items()})


def _plain_piece(piece: Buffer | Range | Header) -> Any:
    """Bytes are told as they are, all else as tuples that differ in their lengths."""
    if isinstance(piece, Range):
        return tuple(piece.file), piece.offset, piece.length
    if isinstance(piece, Header):
        return piece.data, piece.multiple, piece.is_kept, None
    return piece


def _piece(told: Any) -> Buffer | Range | Header:
    if isinstance(told, bytes):
        return told
    if len(told) == len(fields(Header)) + 1:  # a range has three
        return Header(*told[:-1])
    file, *where = told
    return Range(File(*file), *where)


def _make(task: Batch | CopyBatch) -> Part | None:
    return compress.compress_batch(task) if isinstance(task, Batch) else copying.copy_batch(task)


def _question(task: Batch | CopyBatch) -> bytes:
    """A task as plain bytes; archives are told once, as most members of a task share one."""
    archives: dict[File, int] = {}
    members = [
        (name, _plain(source, archives), attributes, date, store, align)
        for name, source, attributes, date, store, align in task.members
    ]
    _, (whole, block, cut, plain), *rest = task
    how: tuple[Any, ...] = ((tuple(whole), tuple(block), cut, tuple(plain)), *rest)
    return marshal.dumps((members, [tuple(archive) for archive in archives], how))


def _task(members: list[Any], archives: list[Any], how: tuple[Any, ...]) -> Batch | CopyBatch:
    files = [File(*archive) for archive in archives]
    made = [Member(name, _source(source, files), *rest) for name, source, *rest in members]
    (whole, block, cut, plain), *rest = how
    recipe = Recipe(Coder(*whole), Coder(*block), cut, Coder(*plain))
    kind = Batch if len(how) == len(Batch._fields) - 1 else CopyBatch
    return kind(made, recipe, *rest)


def _plain(source: Contents, archives: dict[File, int]) -> Any:
    """Bytes are told as they are, all else as tuples that differ in their lengths."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, File):
        return tuple(source)
    if isinstance(source, Twin):
        return tuple(source.file), _plain(source.original, archives)
    if isinstance(source, FilePiece):
        return archives.setdefault(source.archive, len(archives)), *source[1:]
    name, record, end = source.entry
    return archives.setdefault(source.archive, len(archives)), name, (*record, end)


def _source(told: Any, archives: list[File]) -> Contents:
    if isinstance(told, bytes):
        return told
    if len(told) == len(File._fields):
        return File(*told)
    if len(told) == len(Twin._fields):
        file, packed = told
        return Twin(File(*file), _packed(archives, *packed))
    if len(told) == len(FilePiece._fields):
        archive, *where = told
        return FilePiece(archives[archive], *where)
    return _packed(archives, *told)


def _packed(
    archives: list[File], archive: int, name: str, record: tuple[Any, ...]
) -> ArchiveMember:
    return ArchiveMember(archives[archive], Entry(name, Record(*record[:-1]), record[-1]))
