"""The file-like object that a new member's contents are written to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from parazip import codecs
from parazip.dropin.background import Background, Piece
from parazip.dropin.pending import Ticket
from parazip.model import Recipe

if TYPE_CHECKING:
    from parazip.dropin.writing import Writing

BLOCK = codecs.BLOCK

_CRUMB = 4 << 10
_HEAP = 64 << 10
"""What is written in crumbs is swept up into heaps: objects of a few bytes take ten times that."""


class WriteHandle(io.BufferedIOBase):
    """What `ZipFile.open(name, "w")` gives.

    A member stays in memory until it has more bytes than are compressed whole; from then on each
    block goes to the workers as soon as it is known that another one follows.
    """

    def __init__(self, archive: Writing, ticket: Ticket, recipe: Recipe) -> None:
        self._archive = archive
        self._ticket = ticket
        self._recipe = recipe
        self._chunks: list[bytes] = []
        self._crumbs = bytearray()
        self._crumb = 0 if recipe.whole.codec == "zlib" else _CRUMB  # it is to get what came
        self._held = 0
        self._window = b""
        self._start = 0
        self._background: Background[Ticket] | None = None

    @property
    def name(self) -> str:
        """The member's name."""
        return self._ticket.info.filename

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
            OSError: what was put in before cannot be written.
        """
        if self.closed:
            raise ValueError("write to a closed file")
        chunk = data if type(data) is bytes else memoryview(data).tobytes()
        size = len(chunk)
        if size < self._crumb:
            self._crumbs += chunk
        else:
            self._sweep()
            self._chunks.append(chunk)
        if len(self._crumbs) >= _HEAP:
            self._sweep()
        self._held += size
        self._ticket.size += size
        if self._held > (self._recipe.cut if self._background is None else BLOCK):
            with self._archive._lock:
                self._cut()
                self._archive._work()
        return size

    def _sweep(self) -> None:
        if self._crumbs:
            self._chunks.append(bytes(self._crumbs))
            self._crumbs.clear()

    def close(self) -> None:
        """Ends the member.

        Raises:
            RuntimeError: it has more bytes than its header has room for.
            OSError: what was put in before cannot be written.
        """
        if self.closed:
            return
        super().close()
        self._sweep()
        archive = self._archive
        with archive._lock:
            if self._is_lost():
                archive._writing = False
                archive._raise_failure()
            archive._written(self._ticket, self._put_rest)

    def _is_lost(self) -> bool:
        """Whether an error took away the blocks that were put in before."""
        return self._background not in (None, self._archive._behind)

    def _put_rest(self, background: Background[Ticket]) -> None:
        if self._background is None:
            background.whole(self._ticket, self._recipe.whole, self._chunks, self._held)
        else:
            self._put(b"".join(self._chunks), last=True)

    def _cut(self) -> None:
        """Puts in all blocks but the last, which may turn out to be the member's last."""
        if self._is_lost():
            self._archive._raise_failure()
        self._background = self._archive._background
        self._sweep()
        chunks = self._chunks
        while len(chunks) > 1 and len(chunks[0]) == BLOCK:
            self._put(chunks.pop(0), last=False)
            self._held -= BLOCK
        view = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        end = (self._held - 1) // BLOCK * BLOCK
        for start in range(0, end, BLOCK):
            self._put(view[start : start + BLOCK], last=False)
        if end:
            self._chunks = [bytes(view[end:])]
            self._held -= end

    def _put(self, data: bytes | memoryview, last: bool) -> None:
        piece = Piece(self._ticket, self._recipe.block, self._window, data, self._start, last)
        self._window = bytes(data[-codecs.WINDOW :])
        self._start += len(data)
        assert self._background is not None
        self._background.piece(piece)
