"""Writes what came of tasks, in their order, and counts it.

What is rare is made here, too, on the writer's thread: members that come as a stream, and those
that cannot be made as was planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parazip.codecs import checksums
from parazip.engine import compress, plan, wire
from parazip.engine.joining import BlockJoiner
from parazip.engine.progress import Counter
from parazip.engine.writer import ArchiveWriter
from parazip.format.records import make_record
from parazip.format.values import DEFLATED
from parazip.model import Block, Part, Tally
from parazip.output.stream import Output
from parazip.sources import contents


class ResultWriter:
    """Hands the results of tasks to the writer.

    Args:
        writer: of the archive.
        output: where it writes to.
        counter: told of what is written.

    Attributes:
        tallies: what was done since `begin_section`, by the name of the coder.
        had_planned_sizes: whether each file had as many bytes as the system told. If not, nothing
            tells whether one is still what it was.
    """

    def __init__(self, writer: ArchiveWriter, output: Output, counter: Counter) -> None:
        self._writer = writer
        self._output = output
        self._counter = counter
        self._joiner = BlockJoiner(writer)
        self.begin_section()

    def begin_section(self) -> None:
        """Counts from here on."""
        self.tallies: dict[str, Tally] = {}
        self.had_planned_sizes = True

    def write(self, task: plan.Task, result: Part | Block | None) -> Iterator[None]:
        """Writes what came of a task; stops after each piece until it is asked to go on.

        Args:
            task: what was asked for.
            result: what came of it. None of a stream, which is made here, and of members of which
                one cannot be made as was planned.
        """
        match task, result:
            case plan.BlockTask(), Block():
                self._write_block(task, result)
            case plan.StreamTask(), _:
                yield from self._write_stream(task)
            case ((plan.Batch() | plan.CopyBatch()), None):
                yield from self._make_one_by_one(task)
            case (plan.PackedBatch(), None):
                yield from self._make_one_by_one(task.unpack())
            case (plan.PackedBatch(), Part()):
                pack = task.pack
                self.write_part(result, pack.members, pack.size, pack.last)
            case ((plan.Batch() | plan.CopyBatch() | plan.StoredTask()), Part()):
                self.write_part(result, len(task.members), task.size, task.members[-1].name)
            case _:
                raise TypeError(f"{type(result).__name__} does not come of {type(task).__name__}")
        yield

    def make_here(self, tasks: Iterable[plan.Task]) -> Iterator[None]:
        """Makes and writes what is so rare that no other thread is asked."""
        for task in tasks:
            yield from self.write(
                task, None if isinstance(task, plan.StreamTask) else wire.do_task(task)
            )

    def write_part(self, part: Part, members: int, planned: int, last: str) -> None:
        """Writes members that are complete.

        Args:
            part: what they have become.
            members: how many there are.
            planned: how many bytes they were said to have.
            last: the name of the last one.
        """
        self._writer.write_part(part)
        self.count(part.tallies)
        self._correct_size(planned, sum([tally.bytes_in for tally in part.tallies.values()]))
        self._counter.advance(members, planned, self._output.position, last)

    def count(self, tallies: dict[str, Tally]) -> None:
        """Takes note of what was done to some members."""
        add_tallies(self.tallies, tallies)

    def _make_one_by_one(self, task: plan.Batch | plan.CopyBatch) -> Iterator[None]:
        """Makes members of which one cannot be made as was planned.

        A large one is not the same in the archive, or is larger than the system tells. Whose fault
        it is shows when each is a task of its own.
        """
        is_alone = len(task.members) == 1
        for member in task.members:
            source = contents.without_original(member.source)
            again: Iterable[plan.Task]
            if is_alone and source is member.source:
                again = plan.plan_large_member(member, task.recipe, contents.looks_compressible)
            else:
                if is_alone:
                    member = member._replace(source=source)
                check = isinstance(task, plan.CopyBatch) and task.check
                again = plan.plan_tasks([member], task.recipe, contents.looks_compressible, check)
            yield from self.make_here(again)

    def _write_block(self, task: plan.BlockTask, block: Block) -> None:
        member = task.member
        expected = contents.count_expected_bytes(member.source)
        joined = self._joiner.join_block(task, block)
        if joined is not None:
            self.count({str(joined.coder): Tally(1, joined.size, joined.compressed_size)})
            self._correct_size(expected, joined.size)
        size = max(0, min(task.length, expected - task.start))
        self._counter.advance(1 if task.is_last else 0, size, self._output.position, member.name)

    def _write_stream(self, task: plan.StreamTask) -> Iterator[None]:
        """Makes and writes a member that is not cut, piece by piece."""
        member = task.member
        self._writer.begin_member(make_record(member, DEFLATED, 0, 0, 0))
        crc = size = 0
        for block in compress.stream_blocks(task):
            self._writer.write_block(block)
            crc = checksums.crc32_combine(crc, block.crc, block.size)
            planned = max(0, min(block.size, member.size - size))
            size += block.size
            self._counter.advance(0, planned, self._output.position, member.name)
            yield
        compressed_size = self._writer.end_member(crc, must_stay=True, contents=size)
        assert compressed_size is not None
        self.count({str(task.coder): Tally(1, size, compressed_size)})
        self._correct_size(member.size, size)
        self._counter.advance(1, 0, self._output.position, member.name)

    def _correct_size(self, planned: int, size: int) -> None:
        """Takes note of members that had other sizes than the system told."""
        if size != planned:
            self._counter.correct(size - planned)
            self.had_planned_sizes = False


def add_tallies(sums: dict[str, Tally], tallies: dict[str, Tally]) -> None:
    """Adds what was done to some members to `sums`."""
    for coder, tally in tallies.items():
        sums[coder] = sums[coder].plus(tally) if coder in sums else tally
