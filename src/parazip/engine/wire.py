"""What is made of a task, by a worker itself or by another process that is asked.

Others are asked in plain bytes and answer so: helpers a task at a time, executors a shard. Each
kind of thing that may stand at one place has a tag in front: tasks, what comes of them, and pieces
of parts here, contents in `contents`.
"""

from __future__ import annotations

import marshal
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from parazip.codecs import libraries
from parazip.codecs.levels import Coder, Recipe
from parazip.engine import compress, copying
from parazip.engine.plan import (
    BATCH,
    Batch,
    BlockTask,
    CopyBatch,
    MembersTask,
    PackedBatch,
    StoredTask,
)
from parazip.engine.searching import (
    Answer,
    SearchTask,
    flatten_search,
    read_found,
    restore_search,
    search,
    write_found,
)
from parazip.errors import note_member
from parazip.format.values import Buffer
from parazip.model import (
    Block,
    File,
    Header,
    Member,
    Part,
    Range,
    SentPart,
    Tally,
    Uploaded,
)
from parazip.sources import contents
from parazip.workers.helpers import Helpers, running_helpers

FORMAT = contents.FORMAT

WorkerTask: TypeAlias = Batch | PackedBatch | BlockTask | CopyBatch | StoredTask
"""What a worker does."""

_CAPACITY = 2 * BATCH
"""The most bytes that a helper has to answer: a task's compressed members and their headers."""


def start_helpers(count: int) -> AbstractContextManager[Helpers]:
    """So many helpers that do tasks; see `answer_question`."""
    return running_helpers(
        f"{__name__}:{answer_question.__name__}", count, _CAPACITY, libraries.find_library_folders()
    )


def do_task(task: WorkerTask, helpers: Helpers | None = None) -> Part | Block | None:
    """What the task asks for; see `compress` and `copying`.

    Args:
        task: what is to be done.
        helpers: who may be asked to do it. Blocks are not worth asking: a codec's one long call.
    """
    if isinstance(task, BlockTask | StoredTask):
        return _do_large(task)
    if not isinstance(task, PackedBatch) and contents.are_remote(task.members):
        # Helpers reach no URLs.
        members = contents.fetch_files(task.members)
        return _make_part(task._replace(members=members))
    if helpers and helpers.are_started and task.held <= BATCH:
        # None may also be the answer; then the task is done once more, with the same result.
        result = helpers.ask_for(read_answer, write_question(task))
        if result is not None:
            return result
    return _make_part(task)


def do_search(task: SearchTask, helpers: Helpers) -> Answer:
    """What a helper finds; where none answers, the caller has to search itself."""
    found = helpers.ask_for(read_found, write_question(task))
    if found is None:
        return [each._replace(is_odd=True) for each in task.searches]
    return found


def _do_large(task: BlockTask | StoredTask) -> Part | Block:
    try:
        if isinstance(task, BlockTask):
            return compress.compress_block(task)
        return compress.store_untouched(task)
    except MemoryError as error:
        note_member(error, contents.describe_origin(task.member))
        raise


def answer_question(question: bytes, folder: str = "") -> bytes:
    """What whoever is asked makes of a question; raises what `do_task` raises.

    Args:
        question: which.
        folder: from where paths count, if not from the current folder.
    """
    task = read_question(question, folder)
    if isinstance(task, SearchTask):
        return write_found(search(task))
    return write_answer(do_task(task))


def _make_part(task: Batch | PackedBatch | CopyBatch) -> Part | None:
    if isinstance(task, PackedBatch):
        task = task.unpack()
    return compress.compress_batch(task) if isinstance(task, Batch) else copying.copy_batch(task)


_COMPRESS, _COPY, _BLOCK, _STORED, _ALL = "compress", "copy", "block", "stored", "all"
_PACKED, _SEARCH = "packed", "search"
"""How the kinds of tasks are called, in front of what they hold."""

_MANY: dict[str, type[Batch | CopyBatch | MembersTask]] = {
    _COMPRESS: Batch,
    _COPY: CopyBatch,
    _ALL: MembersTask,
}


def write_question(task: WorkerTask | MembersTask | SearchTask) -> bytes:
    """A task as plain bytes; each archive stands there once, as most members share one.

    Raises:
        TypeError: it has contents that stay in their process.
    """
    if isinstance(task, SearchTask):
        return marshal.dumps((_SEARCH, flatten_search(task), [], ()), FORMAT)
    if isinstance(task, PackedBatch):
        how = _flatten_recipe(task.recipe), task.size
        return marshal.dumps((_PACKED, task.pack.data, [], how), FORMAT)
    archives: dict[File, int] = {}
    tag, task_members, how = _flatten_task(task)
    members = contents.flatten_members(task_members, archives)
    question: Any = tag, members, [tuple(archive) for archive in archives], how
    return marshal.dumps(question, FORMAT)


def _flatten_task(
    task: Batch | BlockTask | CopyBatch | StoredTask | MembersTask,
) -> tuple[str, list[Member], tuple[Any, ...]]:
    """A task's tag, its members, and all else as plain values."""
    if isinstance(task, BlockTask):
        member, coder, *place = task
        return _BLOCK, [member], (tuple(coder), *place)
    if isinstance(task, StoredTask):
        return _STORED, task.members, ()
    members, recipe, *rest = task
    tag = next(tag for tag, kind in _MANY.items() if isinstance(task, kind))
    return tag, members, (_flatten_recipe(recipe), *rest)


def _flatten_recipe(recipe: Recipe) -> tuple[Any, ...]:
    whole, block, cut, plain = recipe
    return tuple(whole), tuple(block), cut, tuple(plain)


def read_question(question: bytes, folder: str = "") -> WorkerTask | SearchTask:
    """The task in a question.

    Args:
        question: which.
        folder: from where paths count, if not from the current folder.

    Raises:
        ValueError: a tag is none of ours.
    """
    task = _restore_task(question, folder)
    assert not isinstance(task, MembersTask)
    return task


def read_members(question: bytes, folder: str = "") -> MembersTask:
    """The members in a question; see `read_question`."""
    task = _restore_task(question, folder)
    assert isinstance(task, MembersTask)
    return task


def _restore_task(question: bytes, folder: str) -> WorkerTask | MembersTask | SearchTask:
    tag, flat, files, how = marshal.loads(question)
    if tag == _SEARCH:
        return restore_search(flat)
    if tag == _PACKED:
        tag, flat = _COMPRESS, marshal.loads(flat)
    archives = [contents.restore_file(file, folder) for file in files]
    members = contents.restore_members(flat, archives, folder)
    if tag == _BLOCK:
        coder, start, length = how
        return BlockTask(members[0], Coder(*coder), start, length)
    if tag == _STORED:
        return StoredTask(members[0])
    if tag not in _MANY:
        raise ValueError(f"there are no tasks of the kind {tag!r}")
    (whole, block, cut, plain), *rest = how
    recipe = Recipe(Coder(*whole), Coder(*block), cut, Coder(*plain))
    return _MANY[tag](members, recipe, *rest)


_PART, _PIECE = "part", "piece"
"""How what comes of tasks is called: a part, or a block, which is a piece of a member."""


def write_answer(result: Part | Block | None) -> bytes:
    """What came of a task as plain bytes."""
    if result is None:
        return marshal.dumps(None, FORMAT)
    data = [_flatten_piece(piece) for piece in result.data]
    if isinstance(result, Block):
        *facts, sent = result[1:]
        flat: Any = _PIECE, data, *facts, sent and _flatten_piece(sent)
        return marshal.dumps(flat, FORMAT)
    tallies = {coder: tuple(tally) for coder, tally in result.tallies.items()}
    return marshal.dumps((_PART, data, result.directory, tallies), FORMAT)


def read_answer(answer: Buffer) -> Part | Block | None:
    """What came of a task.

    Raises:
        ValueError: a tag is none of ours.
    """
    values = marshal.loads(answer)
    if values is None:
        return None
    tag, data, *rest = values
    pieces: tuple[Any, ...] = tuple(_restore_piece(piece) for piece in data)
    if tag == _PIECE:
        *facts, sent = rest
        values = *facts, sent and _restore_piece(sent)
        return Block(pieces, *values)
    if tag == _PART:
        directory, tallies = rest
        return Part(pieces, directory, {coder: Tally(*sums) for coder, sums in tallies.items()})
    raise ValueError(f"nothing of the kind {tag!r} comes of a task")


_BYTES, _RANGE, _HEADER, _UPLOADED = "bytes", "range", "header", "uploaded"


def _flatten_piece(piece: Buffer | Range | Header | Uploaded) -> tuple[Any, ...]:
    """A piece of a part as plain values with a tag in front."""
    if isinstance(piece, Uploaded):
        return _UPLOADED, piece.length, piece.part and tuple(piece.part)
    if isinstance(piece, Range):
        return _RANGE, tuple(piece.file), piece.offset, piece.length
    if isinstance(piece, Header):
        return _HEADER, piece.data, piece.multiple, piece.is_inherited
    return _BYTES, piece


def _restore_piece(flat: tuple[Any, ...]) -> Buffer | Range | Header | Uploaded:
    tag, *values = flat
    if tag == _BYTES:
        return bytes(values[0])
    if tag == _RANGE:
        file, offset, length = values
        return Range(File(*file), offset, length)
    if tag == _HEADER:
        return Header(*values)
    if tag == _UPLOADED:
        length, part = values
        return Uploaded(length, part and SentPart(*part))
    raise ValueError(f"there are no pieces of the kind {tag!r}")
