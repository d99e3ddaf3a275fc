"""Fakes for tests of archives, for parazip's own and for yours.

A disk that is full, a writer that takes two bytes at a time, an archive of 20 GiB: what is rare or
dear on a real machine costs nothing here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, ParamSpec, TypeVar

from parazip.format.values import Buffer
from parazip.output.stream import BinaryOutput

__all__ = ["OPERATIONS", "FailingOutput", "InlineExecutor", "ShortOutput", "SparseOutput"]

OPERATIONS = ("write", "seek", "tell", "truncate", "flush")
"""What `FailingOutput` can count and fail at."""

Outcome = TypeVar("Outcome")
Arguments = ParamSpec("Arguments")

_PAGE = 64 << 10
_ZEROS = bytes(1 << 20)


class SparseOutput(io.BufferedIOBase):
    """A binary file in memory that keeps no zeros, for archives of many GiB.

    It can be written, read, moved about in and truncated like `io.BytesIO`, so that
    `zipfile.ZipFile` opens it; but only pages of 64 KiB that have something else than zeros in
    them take memory. Zeros are written and read at about the speed of copying.

    Example:
        A member whose local header stands at 5 GiB::

            output = SparseOutput()
            output.seek(5 << 30)
            parazip.write(output, members)
            assert zipfile.ZipFile(output).infolist()[0].header_offset == 5 << 30

    Attributes:
        size: the length of the file in bytes, zeros included.
    """

    def __init__(self) -> None:
        self.size = 0
        self._position = 0
        self._pages: dict[int, bytearray] = {}

    @property
    def kept(self) -> int:
        """Bytes of memory that the pages take."""
        return len(self._pages) * _PAGE

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position where the next read or write begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to `offset`, counted from the start, the position (1) or the end (2).

        Raises:
            ValueError: the new position would be negative, or `whence` is none of 0, 1 and 2.
        """
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        position = offset + (0, self._position, self.size)[whence]
        if position < 0:
            raise ValueError(f"negative position {position}")
        self._position = position
        return position

    def write(self, data: Any, /) -> int:
        """Writes all of `data` (any buffer of bytes); what lies between it and the end is zeros."""
        contents = data if isinstance(data, bytes) else bytes(data)
        begin = self._position
        self._position = begin + len(contents)
        if contents:
            self.size = max(self.size, self._position)
        if _ZEROS.startswith(contents) and self._is_empty(begin, len(contents)):
            return len(contents)
        for page, start, taken, length in _split_into_pages(begin, len(contents)):
            piece = contents if length == len(contents) else contents[taken : taken + length]
            if page in self._pages:
                self._pages[page][start : start + length] = piece
            elif not _ZEROS.startswith(piece):
                self._pages[page] = bytearray(_PAGE)
                self._pages[page][start : start + length] = piece
        return len(contents)

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes from the position on; all that there are, if `size` is negative."""
        begin = self._position
        there = max(0, self.size - begin)
        length = there if size is None or size < 0 else min(size, there)
        self._position = begin + length
        if length <= len(_ZEROS) and self._is_empty(begin, length):
            return _ZEROS[:length]
        contents = bytearray(length)
        for page, start, taken, count in _split_into_pages(begin, length):
            if page in self._pages:
                contents[taken : taken + count] = self._pages[page][start : start + count]
        return bytes(contents)

    def _is_empty(self, begin: int, length: int) -> bool:
        return not any(page in self._pages for page, *_ in _split_into_pages(begin, length))

    def truncate(self, size: int | None = None, /) -> int:
        """Makes the file `size` bytes long, shorter or longer; the position stays."""
        length = self._position if size is None else size
        if length < 0:
            raise ValueError(f"negative size {length}")
        if length < self.size:
            last, start = divmod(length, _PAGE)
            self._pages = {page: held for page, held in self._pages.items() if page <= last}
            if last in self._pages:
                self._pages[last][start:] = bytes(_PAGE - start)
        self.size = length
        return length


class _Piece(NamedTuple):
    """What a range touches of one page.

    Attributes:
        page: its number.
        start: where the piece begins in the page.
        taken: where it begins in the range.
        length: its bytes.
    """

    page: int
    start: int
    taken: int
    length: int


def _split_into_pages(begin: int, length: int) -> Iterator[_Piece]:
    """The pieces of a range, a page each."""
    taken = 0
    while taken < length:
        page, start = divmod(begin + taken, _PAGE)
        count = min(_PAGE - start, length - taken)
        yield _Piece(page, start, taken, count)
        taken += count


class FailingOutput:
    """A binary file of which one call fails, as on a full disk or a pipe that nobody reads.

    Only one call fails; those after it reach the file again, and `calls` tells whether there
    were any. A test goes over all calls that there are::

        for n in itertools.count(1):
            output = FailingOutput(io.BytesIO(), n, OSError(errno.ENOSPC, "full"))
            try:
                parazip.create(output, ["src"])
            except parazip.OutputError:
                assert output.calls == n
            else:
                break

    Args:
        file: where all other calls go.
        fail_at: which call fails, counted from 1.
        error: what it raises.
        operations: the names of the methods that are counted, some of `OPERATIONS`.

    Attributes:
        calls: how many of these methods were called so far.
    """

    def __init__(
        self,
        file: BinaryOutput,
        fail_at: int,
        error: OSError,
        operations: Collection[str] = OPERATIONS,
    ) -> None:
        self._file = file
        self._fail_at = fail_at
        self._error = error
        self._operations = operations
        self.calls = 0

    def write(self, data: Buffer, /) -> int | None:
        """Writes, or fails."""
        self._count("write")
        return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves the position, or fails."""
        self._count("seek")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tells the position, or fails."""
        self._count("tell")
        return self._file.tell()

    def truncate(self, size: int, /) -> int:
        """Changes the length, or fails."""
        self._count("truncate")
        return self._file.truncate(size)

    def flush(self) -> None:
        """Flushes, or fails."""
        self._count("flush")
        self._file.flush()

    def seekable(self) -> bool:
        """What the file says; never fails."""
        return self._file.seekable()

    def _count(self, operation: str) -> None:
        if operation in self._operations:
            self.calls += 1
            if self.calls == self._fail_at:
                raise self._error


class ShortOutput:
    """A binary file that takes few bytes at a time, as pipes and sockets may.

    Args:
        file: where the bytes go.
        bite: the most bytes that one call of `write` takes.
    """

    def __init__(self, file: BinaryOutput, bite: int) -> None:
        self._file = file
        self._bite = bite
        self.seek = file.seek
        self.tell = file.tell
        self.truncate = file.truncate
        self.flush = file.flush
        self.seekable = file.seekable

    def write(self, data: Buffer, /) -> int | None:
        """Writes the first bytes of `data` and tells how many they were."""
        return self._file.write(memoryview(data)[: self._bite])


class InlineExecutor(Executor):
    """An executor without threads: `submit` runs the task and gives a future that is finished.

    An `Exception` of the task stands in its future; anything else (`KeyboardInterrupt`) ends
    `submit` itself, as there is nobody else whom it could concern.
    """

    def submit(
        self, fn: Callable[Arguments, Outcome], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Outcome]:
        """Runs `fn` at once."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
