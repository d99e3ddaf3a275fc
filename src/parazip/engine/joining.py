"""Joins the blocks of large members, one member at a time.

What is planned from the size of a file need not hold: it may have fewer bytes by now or more, and
systems tell wrong sizes of files in /proc. The file ends where it ends, so its last block may come
early or late; a block more is then made here, on the writer's thread, as that is rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from parazip.codecs import checksums
from parazip.codecs.levels import STORE, Coder
from parazip.codecs.sizes import BLOCK
from parazip.engine import compress, plan
from parazip.engine.writer import ArchiveWriter
from parazip.errors import SourceError
from parazip.format.records import LIMIT_32, make_record
from parazip.format.values import DEFLATED, STORED
from parazip.model import Block, Member
from parazip.sources import contents


class JoinedMember(NamedTuple):
    """A member all of whose blocks are written.

    Attributes:
        coder: what made them.
        size: of its contents in bytes.
        compressed_size: what that became.
    """

    coder: Coder
    size: int
    compressed_size: int


@dataclass(slots=True)
class _Unfinished:
    """What was joined so far of a member.

    Attributes:
        is_wide: whether its header has room for 4 GiB and more.
        crc: the CRC-32 of its contents so far.
        size: how many bytes these are.
        tail: the CRC-32 of the last 32 KiB of them.
    """

    is_wide: bool
    crc: int = 0
    size: int = 0
    tail: int = 0


class BlockJoiner:
    """Writes blocks as they come, and the header of their member when it is complete.

    Args:
        writer: of the archive.
    """

    def __init__(self, writer: ArchiveWriter) -> None:
        self._writer = writer
        self._unfinished: _Unfinished | None = None

    def join_block(self, task: plan.BlockTask, block: Block) -> JoinedMember | None:
        """Writes one block; the blocks of a member come one after the other.

        Args:
            task: what was asked for.
            block: what came of it.

        Returns:
            The member, if it is complete with this block.

        Raises:
            SourceChangedError: the file has other contents than when the block before was read.
        """
        if task.is_first:
            self._begin_member(task)
        if self._unfinished is None:
            return None  # the file ended before this block
        joined = self._write_block(task, block)
        while task.is_last and not block.is_last:  # it has more bytes than the system tells
            task = self._plan_next(task)
            block = compress.compress_block(task)
            joined = self._write_block(task, block)
        return joined

    def _plan_next(self, task: plan.BlockTask) -> plan.BlockTask:
        """The block after the one that was to be the last.

        A header without room for 4 GiB cannot get any: then all is made once more from the start.
        """
        start = task.start + BLOCK
        unfinished = self._unfinished
        is_narrow = unfinished is not None and not unfinished.is_wide
        if is_narrow and start + BLOCK >= LIMIT_32:
            self._writer.take_back_member()
            start = 0
            self._begin_member(task, is_wide=True)
        return task._replace(start=start, length=BLOCK)

    def _begin_member(self, task: plan.BlockTask, is_wide: bool = False) -> None:
        member = task.member
        method = STORED if task.coder == STORE else DEFLATED
        self._writer.begin_member(make_record(member, method, 0, 0, 0), is_wide, member.align)
        self._unfinished = _Unfinished(is_wide or member.size >= LIMIT_32)

    def _write_block(self, task: plan.BlockTask, block: Block) -> JoinedMember | None:
        member = task.member
        unfinished = self._unfinished
        assert unfinished is not None
        # A block is compressed with the bytes before it as its window. They are read twice, by the
        # task before, too; if the two readings differ, no reader could inflate the member.
        if block.window and block.window != unfinished.tail:
            raise contents.explain_unseen_change(member.source)
        self._writer.write_block(block)
        unfinished.crc = checksums.crc32_combine(unfinished.crc, block.crc, block.size)
        unfinished.size += block.size
        can_widen = self._writer.can_seek and contents.can_be_read_again(member.source)
        if unfinished.size >= LIMIT_32 and not (unfinished.is_wide or can_widen):
            raise SourceError(
                f"cannot put in {member.name}: it has 4 GiB or more, and its header has no room "
                "for that; tell its size before",
                member=member.name,
            )
        unfinished.tail = block.tail
        if not block.is_last:
            return None
        self._unfinished = None
        return self._end_member(member, task.coder, unfinished)

    def _end_member(
        self, member: Member, coder: Coder, unfinished: _Unfinished
    ) -> JoinedMember | None:
        compressed_size = self._writer.end_member(
            unfinished.crc,
            must_stay=not contents.can_be_read_again(member.source),
            contents=unfinished.size,
        )
        if compressed_size is not None:
            return JoinedMember(coder, unfinished.size, compressed_size)
        # Deflate did not make it smaller, so it was taken back: it is stored.
        joined = None
        for task in plan.cut_into_blocks(member, STORE):
            joined = self.join_block(task, compress.compress_block(task)) or joined
        return joined
