"""The reader of a member: what the standard library's gives, call by call, in less time.

That the contents are right in the end is not enough: if a member is damaged, the bytes before the
damage may be all that somebody wants. So the same call has to fail, with the same error, after the
same bytes. Two things make that true.

* What is read bit by bit is inflated by zlib-ng, in half of zlib's time. At each call it does what
  zlib does (`inflating.StepInflater`). ISA-L, which is faster, does not: it keeps up to 64 KiB
  back, so that ends and errors come at other calls, and goes on for a while where zlib sees the
  damage.
* What is read from front to back in large steps is inflated as a whole by libdeflate, in half of
  zlib-ng's time. That counts only if nothing is odd about the member: the stream ends where it
  should, the size is right, and so is the CRC-32. Otherwise nothing has happened, and the reader
  goes on bit by bit from where it stands.

While contents are held, the standard library's part of the reader is left behind. The steps that
are taken meanwhile are noted, so that it can take them too when something else is asked for. That
is not told by another class, as many (`shutil.copyfileobj`, `pickle`) keep the methods at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from parazip.codecs import checksums, inflating
from parazip.dropin.inside import MemberReader, StandardReader
from parazip.format.values import DEFLATED

WHOLE = 16 << 20
"""Bytes up to which contents are held while they are given out."""

_TINY = 4 << 10
"""Bytes of a member that zlib inflates as fast as any, if asking for the others is counted."""

STEP = 64 << 10
"""Bytes in a step that is large: `shutil.copyfileobj` takes no smaller ones."""


class HoldingReader(MemberReader):
    """A member that is held in memory if that pays and it is sound; else it is read bit by bit.

    It is a deflate stream with a CRC-32, not encrypted, in a file that can be read twice. Its
    stream is said to be no larger than twice the contents, so that no claim takes much memory.

    Attributes:
        is_all_wanted: whether who takes one large step will take others. Without that being known
            only the second is taken to mean it, as many just look at a member's beginning.
    """

    is_all_wanted = False
    _can_hold = True
    _size = 0  # `contents_size`, set with the class: each small read compares with it
    _held: _Held | None = None

    def read(self, n: int | None = -1) -> bytes:
        """The next `n` bytes, fewer only at the end; None or a negative number means all."""
        if n is None or n < 0 or n >= STEP or n >= self._size:
            if self._held is not None:
                return self._give_step(n, self._held)
            if self._can_hold and self._pays_to_hold(n):
                place = self.source.tell()
                contents = self._inflate_sound()
                if contents is not None:
                    return self._give_first(n, contents, place)
                self._can_hold = False
                self.source.seek(place)
        elif self._held is not None:
            self._stop_holding()
        return super().read(n)

    def _pays_to_hold(self, n: int | None) -> bool:
        """Whether half of the member or more is about to be read."""
        if self.closed or self.is_at_end or not (n is None or type(n) is int):
            return False
        size = self.contents_size
        if self.contents_left == size and (n is None or not 0 <= n < size):
            return True
        if not self.is_small:
            return False
        given = self.tell()
        is_rest = n is None or not 0 <= n < size - given
        is_all_wanted, self.is_all_wanted = self.is_all_wanted or is_rest, True
        return is_all_wanted and given <= size // 2

    @property
    def is_small(self) -> bool:
        """Whether its contents may be held while they are given out."""
        return self.contents_size <= WHOLE and self.compressed_size <= WHOLE

    def _inflate_sound(self) -> bytes | bytearray | None:
        """The contents, if nothing is odd about them."""
        source = self.source
        try:
            if source.tell() != self.compressed_start:
                source.seek(self.compressed_start)
            data = source.read(self.compressed_size)
            contents = inflating.inflate_whole(data, self.contents_size)
        except (OSError, ValueError, MemoryError):  # it comes again where zipfile would meet it
            return None
        is_sound = contents is not None and checksums.crc32(contents) == self.expected_crc
        return contents if is_sound else None

    def _give_first(self, n: int | None, contents: bytes | bytearray, place: int) -> bytes:
        """Gives the first bytes of what is to be held, or all without holding it."""
        if self.contents_left == len(contents) and (n is None or not 0 <= n < len(contents)):
            self._end_holding()
            return bytes(contents)
        self._held = _Held(place, memoryview(contents)[self.tell() :])
        return self._give_step(n, self._held)

    def _give_step(self, n: int | None, held: _Held) -> bytes:
        end = None if n is None or n < 0 else held.given + n
        data = bytes(held.rest[held.given : end])
        held.steps.append(n)
        held.given += len(data)
        if held.given == len(held.rest):
            self._end_holding()
        return data

    def _end_holding(self) -> None:
        """Lets zipfile's reader be where it is when it has given the last byte."""
        self._held = None
        self._can_hold = False
        self.move_to_end()

    def _stop_holding(self) -> None:
        """Goes on bit by bit, from where zipfile's reader is after the same steps."""
        held, self._held = self._held, None
        self._can_hold = False
        if held is not None:
            self.source.seek(held.place)
            for step in held.steps:
                super().read(step)

    def read1(self, n: int | None) -> bytes:  # type: ignore[override] # it has no default
        """Up to `n` bytes, as many as reading the file once gives."""
        if self._held is not None:
            self._stop_holding()
        return super().read1(n)

    def peek(self, n: int = 1) -> bytes:
        """Some of the next bytes, which are still to be read."""
        if self._held is not None:
            self._stop_holding()
        can_hold, self._can_hold = self._can_hold, False  # as it reads, and takes that back
        try:
            return super().peek(n)
        finally:
            self._can_hold = can_hold

    def readline(self, limit: int = -1) -> bytes:  # type: ignore[override] # in zipfile's way
        """The next line, or its first `limit` bytes."""
        if self._held is not None:
            self._stop_holding()
        return super().readline(limit)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves the position, and gives it."""
        if self._held is not None:
            self._stop_holding()
        return super().seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return super().tell() + (self._held.given if self._held else 0)

    def close(self) -> None:
        """Ends the use of it."""
        self._held = None
        super().close()


@dataclass
class _Held:
    """What is held of a member.

    Attributes:
        place: where zipfile's reader goes on reading the archive.
        rest: the contents from there on where it stands.
        given: how many bytes of them were given.
        steps: how many were asked for, time after time.
    """

    place: int
    rest: memoryview
    given: int = 0
    steps: list[int | None] = field(default_factory=list)


def replace_reader(file: object, can_reread: bool) -> None:
    """Makes a reader of the standard library's ours, if it is one that we know.

    Args:
        file: the reader, from which nothing has been read.
        can_reread: whether bytes of the archive may be read in any order, and twice.
    """
    if type(file) is not StandardReader:
        return
    reader: Any = file
    reader.__class__ = MemberReader
    if reader.method == DEFLATED and reader.contents_left > _TINY:
        reader.inflater = inflating.StepInflater()
        is_plain = reader.decrypter is None and reader.expected_crc is not None
        if can_reread and is_plain and reader.compressed_left <= 2 * reader.contents_left:
            reader.__class__ = HoldingReader
            reader._size = reader.contents_size
