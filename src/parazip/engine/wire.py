"""What is made of a task, by a worker itself or by a helper process that it asks.

A helper is asked in plain bytes and answers so. Each kind of thing that may stand at one place has
a tag in front: tasks and pieces of parts here, contents in `contents`.
"""

from __future__ import annotations

import marshal
from contextlib import AbstractContextManager
from typing import Any

from parazip.codecs import libraries
from parazip.codecs.levels import Coder, Recipe
from parazip.engine import compress, copying
from parazip.engine.plan import BATCH, Batch, BlockTask, CopyBatch, StoredTask
from parazip.errors import note_member
from parazip.format.values import Buffer
from parazip.model import Block, File, Header, Member, Part, Range, Tally
from parazip.sources import contents
from parazip.workers.helpers import Helpers, running_helpers

_CAPACITY = 2 * BATCH
"""The most bytes that a helper has to answer: a task's compressed members and their headers."""


def start_helpers(count: int) -> AbstractContextManager[Helpers]:
    """So many helpers that do tasks; see `answer_question`."""
    return running_helpers(
        f"{__name__}:{answer_question.__name__}", count, _CAPACITY, libraries.find_library_folders()
    )


def do_task(
    task: Batch | BlockTask | CopyBatch | StoredTask, helpers: Helpers | None = None
) -> Part | Block | None:
    """What the task asks for; see `compress` and `copying`.

    Args:
        task: what is to be done.
        helpers: who may be asked to do it. Blocks are not worth asking: a codec's one long call.
    """
    if isinstance(task, BlockTask | StoredTask):
        return _do_large(task)
    if contents.are_remote(task.members):  # helpers reach no URLs
        members = contents.fetch_files(task.members)
        return _make_part(task._replace(members=members))
    if helpers and helpers.are_started and task.held <= BATCH:
        answer = helpers.ask(_write_question(task))
        if answer is not None:
            return _read_answer(answer)
    return _make_part(task)


def _do_large(task: BlockTask | StoredTask) -> Part | Block:
    try:
        if isinstance(task, BlockTask):
            return compress.compress_block(task)
        return compress.store_untouched(task)
    except MemoryError as error:
        note_member(error, contents.describe_origin(task.member))
        raise


def answer_question(question: bytes) -> bytes:
    """What a helper makes of a question."""
    return _write_answer(_make_part(_read_question(question)))


def _make_part(task: Batch | CopyBatch) -> Part | None:
    return compress.compress_batch(task) if isinstance(task, Batch) else copying.copy_batch(task)


_TASKS: dict[str, type[Batch | CopyBatch]] = {"compress": Batch, "copy": CopyBatch}
_TASK_TAGS = {kind: tag for tag, kind in _TASKS.items()}


def _write_question(task: Batch | CopyBatch) -> bytes:
    """A task as plain bytes; each archive stands there once, as most members share one."""
    archives: dict[File, int] = {}
    flatten = contents.flatten_contents
    members = [
        (name, flatten(source, archives), attributes, date, store, align)
        for name, source, attributes, date, store, align in task.members
    ]
    _, (whole, block, cut, plain), *rest = task
    recipe = tuple(whole), tuple(block), cut, tuple(plain)
    files = [tuple(archive) for archive in archives]
    question: Any = _TASK_TAGS[type(task)], members, files, recipe, rest
    return marshal.dumps(question)


def _read_question(question: bytes) -> Batch | CopyBatch:
    """The task in a question.

    Raises:
        ValueError: a tag is none of ours.
    """
    tag, members, files, (whole, block, cut, plain), rest = marshal.loads(question)
    kind = _TASKS.get(tag)
    if kind is None:
        raise ValueError(f"there are no tasks of the kind {tag!r}")
    archives = [File(*file) for file in files]
    restore = contents.restore_contents
    made = [Member(name, restore(source, archives), *facts) for name, source, *facts in members]
    return kind(made, Recipe(Coder(*whole), Coder(*block), cut, Coder(*plain)), *rest)


def _write_answer(part: Part | None) -> bytes:
    if part is None:
        return marshal.dumps(None)
    data = [_flatten_piece(piece) for piece in part.data]
    tallies = {coder: tuple(tally) for coder, tally in part.tallies.items()}
    return marshal.dumps((data, part.directory, tallies))


def _read_answer(answer: bytes) -> Part | None:
    """The part in a helper's answer.

    Raises:
        ValueError: a tag is none of ours.
    """
    values = marshal.loads(answer)
    if values is None:
        return None
    data, directory, tallies = values
    pieces = tuple(_restore_piece(piece) for piece in data)
    return Part(pieces, directory, {coder: Tally(*sums) for coder, sums in tallies.items()})


_BYTES, _RANGE, _HEADER = "bytes", "range", "header"


def _flatten_piece(piece: Buffer | Range | Header) -> tuple[Any, ...]:
    """A piece of a part as plain values with a tag in front."""
    if isinstance(piece, Range):
        return _RANGE, tuple(piece.file), piece.offset, piece.length
    if isinstance(piece, Header):
        return _HEADER, piece.data, piece.multiple, piece.is_inherited
    return _BYTES, piece


def _restore_piece(flat: tuple[Any, ...]) -> Buffer | Range | Header:
    tag, *values = flat
    if tag == _BYTES:
        return bytes(values[0])
    if tag == _RANGE:
        file, offset, length = values
        return Range(File(*file), offset, length)
    if tag == _HEADER:
        return Header(*values)
    raise ValueError(f"there are no pieces of the kind {tag!r}")
