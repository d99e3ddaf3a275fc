"""The file-like object that a new member's contents are written to.

A member stays in memory until it has more bytes than are compressed whole. From then on it is cut
into blocks, and each goes to the workers as soon as it is known that another one follows. What they
have finished is written by the calls that come next; when `close` returns all of it is there.

`journal` tells in which states a member can be, and what an error or Ctrl-C leaves of it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from parazip.codecs import checksums, deflating
from parazip.codecs.levels import DEFLATE_STORED, STORE, Coder, Recipe
from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.dropin import inside
from parazip.dropin.journal import (
    BEGUN,
    COUNTED,
    DONE,
    ENDING,
    FAILED,
    HELD,
    NEW,
    Journal,
    State,
)
from parazip.format.records import FLAG_DESCRIPTOR
from parazip.format.values import Buffer
from parazip.model import Block
from parazip.workers.line import Lane, line_for

if TYPE_CHECKING:
    from parazip.dropin.writing import Writing

_BLOCK = BLOCK

_SHORT = 4 << 10
_GATHERED = 64 << 10
"""Shorter writes are gathered until they are so many bytes: objects of a few bytes take ten times
that in memory."""

_BLOCKS_PER_WORKER = 2
"""Blocks in flight for each worker. With fewer a worker waits for the writer now and then."""

_DESCRIPTOR = struct.Struct("<4s3I")
_ZIP64_DESCRIPTOR = struct.Struct("<4sI2Q")
_SIGNATURE = b"PK\7\x08"


class _BlockTask(NamedTuple):
    """A block of a member that is cut.

    Attributes:
        coder: compresses it.
        window: the up to 32 KiB before it.
        data: its bytes.
        start: where in the member they begin.
        is_last: whether the member ends with them.
    """

    coder: Coder
    window: Buffer
    data: Buffer
    start: int
    is_last: bool


class MemberWriter(io.BufferedIOBase):
    """What `ZipFile.open(name, "w")` gives.

    Attributes:
        state: see `journal`.

    Args:
        archive: what the member is put into.
        journal: the archive's.
        info: what people know of the member; gets its sizes and CRC-32.
        recipe: how it is compressed.
        zip64: whether its header has room for 4 GiB and more.
    """

    state: State = NEW
    _lane: Lane[_BlockTask, Block] | None = None

    def __init__(
        self,
        archive: Writing,
        journal: Journal,
        info: zipfile.ZipInfo,
        recipe: Recipe,
        zip64: bool,
    ) -> None:
        self._archive = archive
        self._journal = journal
        self._info = info
        # What a header has no room for is refused now. Within one call that puts in all of the
        # member, the header is made once, when all its numbers are known.
        self._header = None if journal.is_in_call else info.FileHeader(zip64)
        self._recipe = recipe
        self._has_zip64 = zip64
        self._chunks: list[bytes] = []
        self._short_writes = bytearray()
        # Where zlib is asked for, it gets the very pieces that zipfile would give it: they are part
        # of what makes the bytes the same.
        self._short = 0 if recipe.whole.codec == "zlib" else _SHORT
        self._size_in_memory = 0
        self._window = b""
        self._start = 0
        self._failure: Exception | None = None
        self._size = self._crc32 = self._compressed_size = 0

    @property
    def name(self) -> str:
        """The member's name."""
        return self._info.filename

    @property
    def mode(self) -> str:
        """What can be done with it: `wb`."""
        return "wb"

    def writable(self) -> bool:
        """True."""
        return True

    # What others call

    def write(self, data: Any, /) -> int:
        """Takes the bytes of `data`, and gives their number.

        Raises:
            ValueError: this object is closed.
            OSError: the archive cannot be written.
        """
        if not self.state.is_written_out:
            raise self._failure or ValueError("I/O operation on closed file.")
        chunk = data if type(data) is bytes else memoryview(data).tobytes()
        try:
            self._take(chunk)
        except Exception as error:
            self._failure = error
            self.state = FAILED
            raise
        except BaseException:  # after Ctrl-C nobody can tell how much of `data` has been taken
            self.abandon()
            raise
        return len(chunk)

    def close(self) -> None:
        """Ends the member: when this returns, it is in the archive.

        Raises:
            RuntimeError: it has more bytes than its header has room for.
            OSError: the archive cannot be written. The member is not in it.
        """
        if self.closed:
            return
        is_begun = self.state is BEGUN
        super().close()
        self.state = ENDING
        try:
            if self._failure is not None:
                raise self._failure
            with inside.get_lock(self._archive):
                self._put_in(is_begun)
        finally:
            self._release()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and self._journal.is_in_call:
            self.abandon()  # the call puts in all or nothing
        self.close()

    def __del__(self) -> None:
        """Puts in what nobody has closed, as `zipfile` does; but not what a call has left."""
        if self.state is NEW or self._journal.is_in_call:
            self.abandon()
        self.close()

    def abandon(self) -> None:
        """Ends without putting in the member."""
        if self.state is not DONE:
            super().close()
            self._release()

    def show(self) -> None:
        """Lets everything be in the archive that was handed to the workers."""
        with inside.get_lock(self._archive):
            if self.state.is_written_out:
                self.begin()
                if self._lane is not None:
                    self._write_blocks(self._lane.take_all())

    def begin(self) -> None:
        """Writes the local file header, if it is not there yet, with the numbers known so far."""
        if self.state is HELD:
            header = self._header or self._info.FileHeader(self._has_zip64)
            self._journal.go_to_end(self._archive).write(header)
            self.state = BEGUN

    # How contents are taken

    def _take(self, chunk: bytes) -> None:
        size = len(chunk)
        if size < self._short:
            self._short_writes += chunk
        else:
            self._gather_short_writes()
            self._chunks.append(chunk)
        if len(self._short_writes) >= _GATHERED:
            self._gather_short_writes()
        self._size_in_memory += size
        self._size += size
        if self._size_in_memory > (_BLOCK if self._is_cut else self._recipe.cut):
            with inside.get_lock(self._archive):
                self._hand_on_blocks()

    def _gather_short_writes(self) -> None:
        if self._short_writes:
            self._chunks.append(bytes(self._short_writes))
            self._short_writes.clear()

    @property
    def _is_cut(self) -> bool:
        return self._start > 0

    def _hand_on_blocks(self) -> None:
        """Hands on all blocks but the last, which may turn out to be the member's last."""
        self.begin()
        self._gather_short_writes()
        chunks = self._chunks
        # What comes in blocks goes on as it is, without a copy; all else is joined and cut.
        while len(chunks) > 1 and len(chunks[0]) == _BLOCK:
            self._hand_on(chunks.pop(0), is_last=False)
            self._size_in_memory -= _BLOCK
        view = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        end = (self._size_in_memory - 1) // _BLOCK * _BLOCK
        for start in range(0, end, _BLOCK):
            self._hand_on(view[start : start + _BLOCK], is_last=False)
        if end:
            self._chunks = [bytes(view[end:])]
            self._size_in_memory -= end

    def _hand_on(self, data: Buffer, is_last: bool) -> None:
        """Has a block compressed, and writes those that are finished."""
        task = _BlockTask(self._recipe.block, self._window, data, self._start, is_last)
        self._window = bytes(data[-WINDOW:])
        self._start += len(data)
        if task.coder == STORE:  # a copy is done sooner than another thread is told
            self._write_blocks([(task, _compress_task(task))])
            return
        if self._lane is None:
            settings = self._journal.settings
            self._lane = _open_lane(settings.jobs, settings.memory)
        self._lane.put(task)
        self._write_blocks(self._lane.take_finished())

    def _write_blocks(self, blocks: Iterable[tuple[_BlockTask, Block]]) -> None:
        file = self._archive._parazip_file
        written = 0
        for task, block in blocks:
            for data in block.data:
                file.write(data)
                self._compressed_size += len(data)
            self._crc32 = checksums.crc32_combine(self._crc32, block.crc, block.size)
            written += len(task.data)
        # Not within the loop: who is told may look at the file, and so come here again while the
        # lane is still being gone through.
        if written:
            self._journal.tell_progress(self._archive, 0, written, self.name)

    # How the record is ended

    def _put_in(self, is_begun: bool) -> None:
        self._gather_short_writes()
        contents: Buffer = b""
        if self._is_cut:
            self._hand_on(b"".join(self._chunks), is_last=True)
            if self._lane is not None:
                self._write_blocks(self._lane.take_all())
        else:
            contents = self._compress_whole()
        info = self._info
        info.CRC = self._crc32
        info.compress_size = self._compressed_size
        info.file_size = self._size
        self._check_sizes()
        if is_begun:
            self._end_record(contents)
        else:
            file = self._journal.go_to_end(self._archive)
            file.write(b"".join((info.FileHeader(self._has_zip64), contents, self._descriptor)))
            file.flush()
        self._journal.add(self._archive, info)
        self.state = COUNTED
        size = 0 if self._is_cut else self._size
        self._journal.tell_progress(self._archive, 1, size, self.name)

    def _compress_whole(self) -> Buffer:
        coder, chunks = self._recipe.whole, self._chunks
        for chunk in chunks:
            self._crc32 = checksums.crc32(chunk, self._crc32)
        compressed = b"".join(chunks) if coder == STORE else deflating.deflate_whole(coder, chunks)
        self._compressed_size = len(compressed)
        return compressed

    def _end_record(self, contents: Buffer) -> None:
        """Ends a record whose header is written; fills that in, where it can be gone back to."""
        file = self._archive._parazip_file
        file.write(bytes(contents))  # not every file takes a bytearray, which libdeflate gives
        if self._info.flag_bits & FLAG_DESCRIPTOR:
            file.write(self._descriptor)
            return
        end = file.tell()
        file.seek(self._info.header_offset)
        file.write(self._info.FileHeader(self._has_zip64))
        file.seek(end)

    @property
    def _descriptor(self) -> bytes:
        """What follows the contents: a data descriptor (APPNOTE 4.3.9), or nothing."""
        if not self._info.flag_bits & FLAG_DESCRIPTOR:
            return b""
        layout = _ZIP64_DESCRIPTOR if self._has_zip64 else _DESCRIPTOR
        return layout.pack(_SIGNATURE, self._crc32, self._compressed_size, self._size)

    def _check_sizes(self) -> None:
        """Refuses sizes for which the header has no room, as `zipfile` does it."""
        if self._has_zip64 or max(self._size, self._compressed_size) <= zipfile.ZIP64_LIMIT:
            return
        subject = "File" if self._size > zipfile.ZIP64_LIMIT else "Compressed"
        raise RuntimeError(f"{subject} size too large, try using force_zip64")

    def _release(self) -> None:
        self.state = DONE
        self._failure = None  # it leads back to this object
        if self._lane is not None:
            self._lane.close()
        self._chunks = []


def _open_lane(jobs: int | None, memory: int) -> Lane[_BlockTask, Block]:
    line = line_for(jobs, memory)
    return line.open_lane(
        _compress_task,
        cost=lambda task: 3 * len(task.data),
        weight=lambda block: sum(map(len, block.data)),
        most=_BLOCKS_PER_WORKER * line.jobs,
    )


def _compress_task(task: _BlockTask) -> Block:
    """What a worker does."""
    coder, window, data, start, is_last = task
    if coder != STORE and not deflating.looks_compressible(
        len(data), lambda at, size: data[at : at + size]
    ):
        coder = DEFLATE_STORED
    compressed = deflating.compress_block(coder, window, data, start, is_last)
    return Block(compressed, checksums.crc32(data), len(data))
