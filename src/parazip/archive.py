"""The only wiring: sources, plan, producers and writer become an archive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from itertools import chain, islice
from typing import Any, cast

from parazip import codecs, compress, plan
from parazip.errors import SettingsError, SourceError
from parazip.helper import helpers
from parazip.model import (
    DEFLATE_STORED,
    DEFLATED,
    STORE,
    STORED,
    Block,
    Member,
    Part,
    Recipe,
    Report,
    Settings,
    Tally,
)
from parazip.output import BinaryOutput, Output, Pipe, replacing
from parazip.pool import Budget, Pool, usable_cpus, workers
from parazip.progress import Counter, Sink
from parazip.sources import Selection, scan
from parazip.writer import ArchiveWriter

_CHUNK = 1 << 20

_PEEK = 1000
"""So many members are looked at before any work begins: enough to tell whether helpers pay."""

_ANSWER_CAPACITY = 2 * plan.BATCH


def create(
    archive: str | os.PathLike[str] | BinaryOutput | Pipe,
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    names: Iterable[str | os.PathLike[str]] = (),
    prepend: str | os.PathLike[str] | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
) -> Report:
    """Puts files and folders into a new archive.

    The archive appears complete under its name, or not at all; one that stood there before is
    replaced in one step. Its bytes depend on the sources, the selection, level and codec alone.

    Args:
        archive: a path, or an open binary file, from its position on. A file that cannot seek,
            or is to be written from front to back (`parazip.output.Pipe`), gets data descriptors
            for members that are cut into blocks.
        paths: files, and folders with all they hold, in this order.
        settings: level, codec, jobs, memory.
        selection: what to leave out, names and dates.
        names: files and folders that are taken one by one, after `paths`.
        prepend: path of a file whose bytes are put in front of the archive.
        shebang: what follows `#!` on the archive's first line. An archive that begins with `#!`
            is made executable.
        progress: called with a `Progress` each time something was written.

    Returns:
        What was made.

    Raises:
        SourceError: something to be put in is missing, unreadable, not a file, or changed.
        MemberNameError: a name cannot be stored, or two members have the same.
        DateError: a file's time is not in 1980 to 2107.
        OutputError: the archive cannot be written.
    """
    began = time.monotonic()
    members = scan(paths, selection or Selection(), _place(archive), names)
    report = write(archive, members, settings, prepend=prepend, shebang=shebang, progress=progress)
    return replace(report, seconds=time.monotonic() - began)


def write(
    archive: str | os.PathLike[str] | BinaryOutput | Pipe,
    members: Iterable[Member],
    settings: Settings | None = None,
    *,
    prepend: str | os.PathLike[str] | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
    executor: Executor | None = None,
) -> Report:
    """Writes a new archive of members that are told one by one; see `create`.

    Args:
        archive: a path, or an open binary file.
        members: what to put in, in this order.
        settings: level, codec, jobs, memory.
        prepend: path of a file whose bytes are put in front of the archive.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was written.
        executor: threads that compress, instead of `settings.jobs` new ones and their helpers.
    """
    settings = settings or Settings()
    if shebang is not None:
        _check_shebang(shebang)
    began = time.monotonic()
    recipe = codecs.recipe(settings.level, settings.codec)
    counter = Counter(progress)
    with _opened(archive) as output:
        start = output.position
        writer = ArchiveWriter(output)
        is_script = _prepend(writer, shebang, prepend)
        if not output.seekable:
            recipe = recipe._replace(plain=DEFLATE_STORED)
        assembly = _Assembly(writer, output, counter)
        _fill(assembly, _counted(plan.checked(members), counter), recipe, settings, executor)
        writer.finish()
        if is_script:
            output.make_executable()
    return Report(
        archive=output.name,
        members=counter.members_total,
        bytes_in=counter.bytes_total,
        bytes_out=output.position - start,
        seconds=time.monotonic() - began,
        codecs=assembly.tallies,
    )


def _place(archive: str | os.PathLike[str] | BinaryOutput | Pipe) -> str | int | None:
    """The path of an archive, or the descriptor of its file, or None if it has none."""
    if isinstance(archive, str | os.PathLike):
        return os.fspath(archive)
    file: Any = archive.file if isinstance(archive, Pipe) else archive
    try:
        return int(file.fileno())
    except (AttributeError, OSError):  # not every output has one
        return None


def _opened(
    archive: str | os.PathLike[str] | BinaryOutput | Pipe,
) -> AbstractContextManager[Output]:
    if isinstance(archive, str | os.PathLike):
        return replacing(os.fspath(archive))
    return nullcontext(Output(archive, str(getattr(archive, "name", "-"))))


def _check_shebang(text: str) -> None:
    if not text.removeprefix("#!").strip() or any(c in text for c in "\n\r\0"):
        raise SettingsError(
            f"the shebang {text!r} is not one line that names a program, such as "
            "/usr/bin/env python3"
        )


def _prepend(
    writer: ArchiveWriter, shebang: str | None, path: str | os.PathLike[str] | None
) -> bool:
    """Writes what stands in front of the archive; tells whether it is a script."""
    line = b"" if shebang is None else b"#!" + os.fsencode(shebang.removeprefix("#!")) + b"\n"
    writer.prefix(line)
    begins = line
    for chunk in _chunks(os.fspath(path)) if path is not None else ():
        begins = begins or chunk
        writer.prefix(chunk)
    return begins.startswith(b"#!")


def _chunks(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise SourceError.of(path, error) from error


def _counted(members: Iterable[Member], counter: Counter) -> Iterator[Member]:
    for member in members:
        counter.found(member.size)
        yield member


def _fill(
    assembly: _Assembly,
    members: Iterator[Member],
    recipe: Recipe,
    settings: Settings,
    executor: Executor | None,
) -> None:
    """Compresses `members` on all workers and assembles the results in order."""
    jobs = settings.jobs or usable_cpus()
    count = min(jobs, usable_cpus())
    first = list(islice(members, _PEEK))
    needs_help = executor is None and jobs > 1 and plan.short_members(first) > _PEEK // 2

    def run(task: plan.Task) -> Part | Block:
        if needs_help and isinstance(task, plan.Batch) and task.size <= plan.BATCH:
            answer = crew.ask(compress.question(task))
            if answer is not None:
                return compress.answered(answer)
        return compress.run(task)

    pool: Pool[plan.Task, Part | Block] = Pool(
        run, Budget(settings.memory), cost=lambda task: task.cost, weight=compress.weight
    )
    tasks = plan.tasks(chain(first, members), recipe, compress.shrinks)
    with (
        pool.interrupts_held(),
        helpers(compress.answer, count if needs_help else 0, _ANSWER_CAPACITY) as crew,
        workers(jobs) if executor is None else nullcontext(executor) as threads,
        closing(pool.run(tasks, threads)) as results,
    ):
        for task, result in results:
            if isinstance(task, plan.Batch):
                assembly.part(task, cast("Part", result))
            else:
                assembly.block(task, cast("Block", result))


class _Assembly:
    """Takes results in order, hands them to the writer and keeps the books."""

    def __init__(self, writer: ArchiveWriter, output: Output, counter: Counter) -> None:
        self._writer = writer
        self._output = output
        self._counter = counter
        self._crc = 0
        self.tallies: dict[str, Tally] = {}

    def part(self, batch: plan.Batch, part: Part) -> None:
        """A batch of members that are complete."""
        self._writer.part(part)
        for coder, tally in part.tallies.items():
            self._count(coder, tally)
        members = batch.members
        self._counter.advance(len(members), batch.size, self._output.position, members[-1].name)

    def block(self, cut: plan.Cut, block: Block) -> None:
        """A block of a member that is cut; blocks of one member come one after the other."""
        self._join(cut, block)
        finished = 1 if cut.last else 0
        self._counter.advance(finished, block.size, self._output.position, cut.member.name)

    def _join(self, cut: plan.Cut, block: Block) -> None:
        member = cut.member
        if cut.first:
            method = STORED if cut.coder == STORE else DEFLATED
            self._writer.begin(compress.record(member, method, 0, 0, 0))
            self._crc = 0
        self._writer.block(block)
        self._crc = codecs.crc32_combine(self._crc, block.crc, block.size)
        if not cut.last:
            return
        compressed_size = self._writer.end(self._crc)
        if compressed_size is None:
            for again in plan.cuts(member, STORE):
                self._join(again, compress.block(again))
        else:
            self._count(str(cut.coder), Tally(1, member.size, compressed_size))

    def _count(self, coder: str, tally: Tally) -> None:
        self.tallies[coder] = self.tallies[coder].plus(tally) if coder in self.tallies else tally
