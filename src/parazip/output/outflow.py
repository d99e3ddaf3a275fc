"""An output whose bytes are taken away as they come, by whoever sends them on."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator

from parazip.format.values import Buffer
from parazip.model import Range
from parazip.output.stream import Output, Pipe, read_range

_LEAST = 64 << 10
"""Bytes of a chunk, but the last: shorter ones would cost a server more than they save a client."""

_MOST = 2 << 20


class Outflow(Output):
    """Holds what was written until it is taken; of ranges of files only where they are.

    Args:
        name: what messages call it.
    """

    def __init__(self, name: str) -> None:
        self._pieces: deque[bytes | Range] = deque()
        self._held = 0
        super().__init__(Pipe(io.BytesIO(), name), name)  # into which nothing is written

    def write(self, data: Buffer) -> None:
        """Holds `data`."""
        self._hold(bytes(data))

    def copy(self, piece: Range) -> None:
        """Holds the place of a piece of a file, which is read when it is taken."""
        self._hold(piece)

    def _hold(self, piece: bytes | Range) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        self.position += len(piece)

    def take(self, *, is_end: bool = False) -> Iterator[bytes]:
        """What was written, in chunks of 64 KiB to 2 MiB; what is less stays, but at the end.

        Raises:
            SourceError: a file cannot be read, or is not what it was when it was found.
        """
        if self._held < _LEAST and not is_end:
            return
        joined: list[bytes] = []
        length = 0
        for piece in self._take_pieces():
            joined.append(piece)
            length += len(piece)
            if length >= _LEAST:
                data = b"".join(joined)
                while len(data) >= _LEAST:
                    yield data[:_MOST]
                    data = data[_MOST:]
                joined, length = [data], len(data)
        if length and is_end:
            yield b"".join(joined)
        elif length:
            self._pieces.append(b"".join(joined))
            self._held += length

    def _take_pieces(self) -> Iterator[bytes]:
        while self._pieces:
            piece = self._pieces.popleft()
            self._held -= len(piece)
            if isinstance(piece, Range):
                for chunk in read_range(piece):
                    yield bytes(chunk)
            else:
                yield piece
