"""The reader of a member: what the standard library's gives, call by call, in less time.

That the contents are right in the end is not enough: if a member is damaged, the bytes before the
damage may be all that somebody wants. So the same call has to fail, with the same error, after the
same bytes. Two things make that true.

* What is read bit by bit is inflated by zlib-ng, in half of zlib's time. At each call it does what
  zlib does (`codecs.StepInflater`). ISA-L, which is faster, does not: it keeps up to 64 KiB back,
  so that ends and errors come at other calls.
* What is read from front to back in large steps is inflated as a whole by libdeflate, in half of
  zlib-ng's time. That counts only if nothing is odd about the member: the stream ends where it
  should, the size is right, and so is the CRC-32. Otherwise nothing has happened, and the reader
  goes on bit by bit from where it stands.

While contents are held, the standard library's part of the reader is left behind. The steps that
are taken meanwhile are noted, so that it can take them too when something else is asked for. That
is not told by another class, as many (`shutil.copyfileobj`, `pickle`) keep the methods at hand.
"""

from __future__ import annotations

import zipfile
from typing import Any

from parazip import codecs
from parazip.dropin.stock import StockReader
from parazip.model import DEFLATED

WHOLE = 16 << 20
"""Bytes up to which contents are held while they are given out."""

_STEP = 64 << 10
"""Bytes in a step that is large: `shutil.copyfileobj` takes no smaller ones."""


class MemberReader(StockReader):
    """A member that is read bit by bit."""

    def _update_crc(self, newdata: bytes) -> None:
        expected = self._expected_crc
        if expected is None:
            return
        self._running_crc = codecs.crc32(newdata, self._running_crc)
        if self._eof and self._running_crc != expected:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self.name!r}")


class HoldingReader(MemberReader):
    """A member that is held in memory if that pays and it is sound; else it is read bit by bit.

    It is a deflate stream with a CRC-32, not encrypted, in a file that can be read twice.

    Attributes:
        is_all_wanted: whether who takes one large step will take others. Without that being known
            only the second is taken to mean it, as many just look at a member's beginning.
    """

    is_all_wanted = False
    _can_hold = True
    _held: _Held | None = None

    def read(self, n: int | None = -1) -> bytes:
        """The next `n` bytes, fewer only at the end; None or a negative number means all."""
        held = self._held
        if n is None or n < 0 or n >= _STEP or n >= self._orig_file_size:
            if held is None and self._can_hold and self._pays_to_hold(n):
                held = self._held = self._hold()
            if held is not None and not self.closed:
                data = held.step(n)
                if not held.left:
                    self._be_at_end()
                return data
        elif held is not None:
            self._let_go()
        return super().read(n)

    def _pays_to_hold(self, n: int | None) -> bool:
        """Whether half of the member or more is about to be read."""
        if self.closed or not (n is None or type(n) is int):
            return False
        given = self.tell()
        is_rest = n is None or not 0 <= n < self._orig_file_size - given
        if not self.is_small:
            return is_rest and not given
        is_all_wanted, self.is_all_wanted = self.is_all_wanted or is_rest, True
        return is_all_wanted and given <= self._orig_file_size // 2

    @property
    def is_small(self) -> bool:
        """Whether its contents may be held while they are given out."""
        return max(self._orig_file_size, self._orig_compress_size) <= WHOLE

    def _hold(self) -> _Held | None:
        source = self._fileobj
        place = source.tell()
        try:
            source.seek(self._orig_compress_start)
            data = source.read(self._orig_compress_size)
            contents = codecs.inflated_whole(data, self._orig_file_size)
        except (OSError, ValueError, MemoryError):  # it comes again where zipfile would meet it
            contents = None
        finally:
            source.seek(place)
        if contents is None or codecs.crc32(contents) != self._expected_crc:
            self._can_hold = False
            return None
        return _Held(contents, self.tell())

    def _be_at_end(self) -> None:
        """As zipfile's reader is when it has given the last byte."""
        self._held = None
        self._readbuffer = b""
        self._offset = self._left = self._compress_left = 0
        self._eof = True

    def _let_go(self) -> None:
        """Goes on bit by bit, from where zipfile's reader is after the same steps."""
        held, self._held = self._held, None
        self._can_hold = False
        if held is not None:
            for step in held.steps:
                super().read(step)

    def read1(self, n: int | None) -> bytes:  # type: ignore[override] # it has no default
        """Up to `n` bytes, as many as reading the file once gives."""
        if self._held is not None:
            self._let_go()
        return super().read1(n)

    def peek(self, n: int = 1) -> bytes:
        """Some of the next bytes, which are still to be read."""
        if self._held is not None:
            self._let_go()
        can_hold, self._can_hold = self._can_hold, False  # as it reads, and takes that back
        try:
            return super().peek(n)
        finally:
            self._can_hold = can_hold

    def readline(self, limit: int = -1) -> bytes:  # type: ignore[override] # in zipfile's way
        """The next line, or its first `limit` bytes."""
        if self._held is not None:
            self._let_go()
        return super().readline(limit)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves the position, and gives it."""
        if self._held is not None:
            self._let_go()
        return super().seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return super().tell() + (self._held.given if self._held else 0)

    def close(self) -> None:
        """Ends the use of it."""
        self._held = None
        super().close()


class _Held:
    """The contents of a member from where they were not given yet.

    Attributes:
        steps: how many bytes were asked for, time after time.
        given: how many were given.
        left: how many are still to be given.
    """

    def __init__(self, contents: bytearray, start: int) -> None:
        self.steps: list[int | None] = []
        self.given = 0
        self.left = len(contents) - start
        self._rest = memoryview(contents)[start:]

    def step(self, n: int | None) -> bytes:
        """The next `n` bytes, or all."""
        end = None if n is None or n < 0 else self.given + n
        data = bytes(self._rest[self.given : end])
        self.steps.append(n)
        self.given += len(data)
        self.left -= len(data)
        return data


def hasten(file: object, can_reread: bool) -> None:
    """Makes a reader of the standard library's ours, if it is one that we know.

    Args:
        file: the reader, from which nothing has been read.
        can_reread: whether bytes of the archive may be read in any order, and twice.
    """
    if type(file) is not zipfile.ZipExtFile:
        return
    reader: Any = file
    reader.__class__ = MemberReader
    if reader._compress_type == DEFLATED:
        reader._decompressor = codecs.StepInflater()
        if can_reread and reader._decrypter is None and reader._expected_crc is not None:
            reader.__class__ = HoldingReader
