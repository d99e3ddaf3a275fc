"""The file-like object that a new member's contents are written to.

A member stays in memory until it has more bytes than are compressed whole. From then on it is cut
into blocks, and each goes to the workers as soon as it is known that another one follows. What they
have finished is written by the calls that come next; when `close` returns all of it is there.

A member counts from one moment to the next (`Writing.add`): until then the archive's end is where
it was, and what was written behind it is overwritten or cut off. So an error, or Ctrl-C at any
instruction, takes away that member and no other.
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
from parazip.format.records import FLAG_DESCRIPTOR
from parazip.format.values import Buffer
from parazip.model import Block
from parazip.workers.line import Lane, line_for

if TYPE_CHECKING:
    from parazip.dropin.writing import Writing

_BLOCK = BLOCK

_CRUMB = 4 << 10
_HEAP = 64 << 10
"""What is written in crumbs is swept up into heaps: objects of a few bytes take ten times that."""

_AHEAD = 2
"""Blocks in flight for each worker. With fewer a worker waits for the writer now and then."""

_DESCRIPTOR = struct.Struct("<4s3I")
_ZIP64_DESCRIPTOR = struct.Struct("<4sI2Q")
_SIGNATURE = b"PK\7\x08"


class _Piece(NamedTuple):
    """A block of a member that is cut.

    Attributes:
        coder: compresses it.
        window: the up to 32 KiB before it.
        data: its bytes.
        start: where in the member they begin.
        last: whether the member ends with them.
    """

    coder: Coder
    window: Buffer
    data: Buffer
    start: int
    last: bool


class MemberWriter(io.BufferedIOBase):
    """What `ZipFile.open(name, "w")` gives.

    Attributes:
        is_opened: whether it was given to somebody, so that what it has got is to be put in.
        is_done: whether the member is in the archive, or never will be. Until then no other may be
            put in, though this object is closed: `progress` may try it.

    Args:
        archive: what the member is put into.
        info: what people know of it; gets its sizes and CRC-32.
        recipe: how it is compressed.
        zip64: whether its header has room for 4 GiB and more.
    """

    is_opened = is_done = False
    _lane: Lane[_Piece, Block] | None = None

    def __init__(
        self, archive: Writing, info: zipfile.ZipInfo, recipe: Recipe, zip64: bool
    ) -> None:
        self._archive = archive
        self._info = info
        # What cannot be told in a header is refused now; within one call, at its end.
        self._header = None if archive.is_in_call else info.FileHeader(zip64)
        self._recipe = recipe
        self._zip64 = zip64
        self._chunks: list[bytes] = []
        self._crumbs = bytearray()
        self._crumb = 0 if recipe.whole.codec == "zlib" else _CRUMB  # it is to get what came
        self._held = 0
        self._window = b""
        self._start = 0
        self._is_begun = False
        self._failure: Exception | None = None
        self._size = self._crc = self._compressed_size = 0

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

    def write(self, data: Any, /) -> int:
        """Takes the bytes of `data`, and gives their number.

        Raises:
            ValueError: this object is closed.
            OSError: the archive cannot be written.
        """
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        chunk = data if type(data) is bytes else memoryview(data).tobytes()
        try:
            self._take(chunk)
        except Exception as error:
            self._failure = error
            raise
        except BaseException:  # what has been taken cannot be told after Ctrl-C
            self.abandon()
            raise
        return len(chunk)

    def _take(self, chunk: bytes) -> None:
        size = len(chunk)
        if size < self._crumb:
            self._crumbs += chunk
        else:
            self._sweep()
            self._chunks.append(chunk)
        if len(self._crumbs) >= _HEAP:
            self._sweep()
        self._held += size
        self._size += size
        if self._held > (_BLOCK if self._is_cut else self._recipe.cut):
            with self._archive._lock:
                self._cut()

    def _sweep(self) -> None:
        if self._crumbs:
            self._chunks.append(bytes(self._crumbs))
            self._crumbs.clear()

    @property
    def _is_cut(self) -> bool:
        return self._start > 0

    def close(self) -> None:
        """Ends the member: when this returns, it is in the archive.

        Raises:
            RuntimeError: it has more bytes than its header has room for.
            OSError: the archive cannot be written. The member is not in it.
        """
        if self.closed:
            return
        super().close()
        try:
            if self._failure is not None:
                failure, self._failure = self._failure, None  # it leads back to this object
                raise failure
            with self._archive._lock:
                self._end()
        finally:
            self._let_go()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        is_interrupt = kind is not None and not issubclass(kind, Exception)
        if is_interrupt and self._archive.is_in_call:
            self.abandon()  # the call puts in all or nothing
        self.close()

    def __del__(self) -> None:
        """Ends what nobody ended, as `zipfile` does; but not what a call was interrupted in."""
        if not self.is_opened or self._archive.is_in_call:
            self.abandon()
        self.close()

    def abandon(self) -> None:
        """Ends without putting in the member."""
        if not self.is_done:
            super().close()
            self._let_go()

    def _let_go(self) -> None:
        self.is_done = True
        if self._lane is not None:
            self._lane.close()
        self._chunks = []

    def begin(self) -> None:
        """Writes the local file header, if it is not there yet, with the numbers known so far."""
        if not self._is_begun:
            header = self._header or self._info.FileHeader(self._zip64)
            self._archive.go_to_end().write(header)
            self._is_begun = True

    def show(self) -> None:
        """Lets everything be in the archive that was handed to the workers."""
        with self._archive._lock:
            if self._failure is None:
                self.begin()
                if self._lane is not None:
                    self._write_blocks(self._lane.take_all())

    def _cut(self) -> None:
        """Hands on all blocks but the last, which may turn out to be the member's last."""
        self.begin()
        self._sweep()
        chunks = self._chunks
        while len(chunks) > 1 and len(chunks[0]) == _BLOCK:
            self._put(chunks.pop(0), last=False)
            self._held -= _BLOCK
        view = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        end = (self._held - 1) // _BLOCK * _BLOCK
        for start in range(0, end, _BLOCK):
            self._put(view[start : start + _BLOCK], last=False)
        if end:
            self._chunks = [bytes(view[end:])]
            self._held -= end

    def _put(self, data: Buffer, last: bool) -> None:
        piece = _Piece(self._recipe.block, self._window, data, self._start, last)
        self._window = bytes(data[-WINDOW:])
        self._start += len(data)
        if piece.coder == STORE:
            self._write_blocks([(piece, _compress(piece))])
            return
        if self._lane is None:
            self._lane = _new_lane(*self._archive.line_settings)
        self._lane.put(piece)
        self._write_blocks(self._lane.take_finished())

    def _write_blocks(self, blocks: Iterable[tuple[_Piece, Block]]) -> None:
        file = self._archive.file
        written = 0
        for piece, block in blocks:
            for data in block.data:
                file.write(data)
                self._compressed_size += len(data)
            self._crc = checksums.crc32_combine(self._crc, block.crc, block.size)
            written += len(piece.data)
        if written:  # told behind the loop: who hears it may look, and so come here again
            self._archive.tell_progress(0, written, self.name)

    def _end(self) -> None:
        self._sweep()
        packed: Buffer = b""
        if self._is_cut:
            self._put(b"".join(self._chunks), last=True)
            if self._lane is not None:
                self._write_blocks(self._lane.take_all())
        else:
            packed = self._compress_whole()
        info = self._info
        info.CRC = self._crc
        info.compress_size = self._compressed_size
        info.file_size = self._size
        self._check_sizes()
        if self._is_begun:
            self._end_record(packed)
        else:
            file = self._archive.go_to_end()
            file.write(b"".join((info.FileHeader(self._zip64), packed, self._descriptor)))
            file.flush()
        self._archive.add(info)
        self._archive.tell_progress(1, 0 if self._is_cut else self._size, self.name)

    def _compress_whole(self) -> Buffer:
        coder, chunks = self._recipe.whole, self._chunks
        for chunk in chunks:
            self._crc = checksums.crc32(chunk, self._crc)
        packed = b"".join(chunks) if coder == STORE else deflating.deflate_whole(coder, chunks)
        self._compressed_size = len(packed)
        return packed

    def _end_record(self, packed: Buffer) -> None:
        """Ends a record whose header is written; fills that in, where it can be gone back to."""
        file = self._archive.file
        file.write(bytes(packed))  # as from zipfile: not every file takes what libdeflate gives
        if self._info.flag_bits & FLAG_DESCRIPTOR:
            file.write(self._descriptor)
            return
        end = file.tell()
        file.seek(self._info.header_offset)
        file.write(self._info.FileHeader(self._zip64))
        file.seek(end)

    @property
    def _descriptor(self) -> bytes:
        """What follows the contents: a data descriptor (APPNOTE 4.3.9), or nothing."""
        if not self._info.flag_bits & FLAG_DESCRIPTOR:
            return b""
        shape = _ZIP64_DESCRIPTOR if self._zip64 else _DESCRIPTOR
        return shape.pack(_SIGNATURE, self._crc, self._compressed_size, self._size)

    def _check_sizes(self) -> None:
        """Refuses sizes for which the header has no room, as `zipfile` does it."""
        if self._zip64 or max(self._size, self._compressed_size) <= zipfile.ZIP64_LIMIT:
            return
        what = "File" if self._size > zipfile.ZIP64_LIMIT else "Compressed"
        raise RuntimeError(f"{what} size too large, try using force_zip64")


def _new_lane(jobs: int | None, memory: int) -> Lane[_Piece, Block]:
    line = line_for(jobs, memory)
    return line.open_lane(
        _compress,
        cost=lambda piece: 3 * len(piece.data),
        weight=lambda block: sum(map(len, block.data)),
        most=_AHEAD * line.jobs,
    )


def _compress(piece: _Piece) -> Block:
    """What a worker does."""
    coder, window, data, start, last = piece
    if coder != STORE and not deflating.looks_compressible(
        len(data), lambda at, size: data[at : at + size]
    ):
        coder = DEFLATE_STORED
    packed = deflating.compress_block(coder, window, data, start, last)
    return Block(packed, checksums.crc32(data), len(data))
