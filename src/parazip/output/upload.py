"""An archive that goes to S3 while it is being made; nothing of it is on disk.

Its bytes collect in parts, each of which is sent when it is full, while the next ones are made.
Headers of members that come in blocks are filled in, and members are taken back, as in a file, so
the bytes are those of a file. For that the writer says what it may come back to (`Output.hold`):

* A part is not sent as long as bytes of it may be written over, or it may have to end earlier.
* All others are sent at once. If they are taken back after that, they are sent again under their
  numbers, with other bytes; and numbers that are not used in the end do not count.

Others may send parts, too, where they make them (`Sharing`). The number of such a part is promised
before it is known how many bytes there are in front of it. So what is written here between two of
them has to do with the numbers between theirs: the last of these parts takes all that is left. No
part but the last of all may have less than 5 MiB. So our last part but one waits until the last one
has as many, and takes its bytes if a part of others comes before that. And no number that is
promised is used for bytes of ours: if there are more of them than was told, they wait until its
part comes, and that part is made here.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from parazip.errors import OutputError, ParazipError
from parazip.format.values import Buffer
from parazip.model import Piece, SentPart, Ticket, Uploaded
from parazip.output.multipart import LARGEST_PART, MOST_PARTS, SMALLEST_PART, Multipart
from parazip.output.stream import Output, Pipe, Sharing

PART = 8 << 20
"""Bytes of a part."""

PARTS_BEFORE = 1300
"""So many parts have been sent at most when they begin to grow. From then on each is that share of
all that is before it: so 10,000 parts, which is all that S3 takes, are enough for 5 TiB."""

ENOUGH = 8 << 40
"""Bytes for which the numbers of parts are made to last: where many parts were small, those that
follow are larger than that share."""

SHARED = 64 << 20
"""Bytes of contents that others make a part of, and bytes of the parts between theirs."""

MOST_GROWTH = 16
"""How many times that they get where contents shrink so well that it does not fill a part."""

MOST_PROMISED = 9_000
"""Numbers of parts of others are not above that: the directory comes behind them."""

MOST_ON_THE_WAY = 32 << 20
"""Bytes of parts that are being sent; one part may have more."""

MOST_COPIED = 32 << 20
"""Bytes of a section that can be kept in the cache."""


class _Part:
    """A part that is not sent yet.

    Attributes:
        number: from 1 on.
        begin: where it begins in the archive.
        size: bytes with which it is full.
        data: those that are there.
    """

    def __init__(self, number: int, begin: int, size: int) -> None:
        self.number = number
        self.begin = begin
        self.size = size
        self.data = bytearray()

    def overlaps(self, piece: Piece) -> bool:
        """Whether bytes of a piece of the archive are in it, if it is full."""
        begin, end = piece
        return begin < self.begin + len(self.data) and end > self.begin


class Transfers:
    """Parts that are on their way to a store, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], int]] = deque()

    def add(self, future: Future[Any], size: int) -> None:
        """One more part, which counts as `size` bytes until it has arrived."""
        self._waiting.append((future, size))

    def take(self, most: int) -> Iterator[Any]:
        """What came of those that have arrived, until no more than `most` bytes are on the way."""
        waiting = self._waiting
        while waiting and (waiting[0][0].done() or sum(size for _, size in waiting) > most):
            result = waiting[0][0].result()
            waiting.popleft()
            yield result


class Upload(Output):
    """An archive that becomes an object of S3.

    Args:
        store: takes it.
        name: what messages call it.
    """

    def __init__(self, store: Multipart, name: str) -> None:
        super().__init__(Pipe(io.BytesIO(), name), name)  # into which nothing is written
        self.seekable = True
        self._store = store
        self._is_shared = False
        self._growth = 1
        self._promised: deque[int] = deque()
        self._last_promised = 0
        self._planned = 0
        self._room = 0
        # Not sent yet: those that are done and held, and the one that is being filled.
        self._parts = [_Part(1, 0, PART)]
        self._sent: dict[int, Future[SentPart]] = {}
        self._on_the_way = Transfers()
        self._held: Piece = (0, 0)
        self._copy: bytearray | None = None
        self._copy_begin = 0

    @property
    def gives_back(self) -> bool:
        """As far as `take_copy` has it."""
        return True

    def write(self, data: Buffer) -> None:
        """Takes all of `data`; sends parts that are full by then."""
        if self._copy is not None:
            if self._fits(data):
                self._copy += data
            else:
                self._copy = None
        view = memoryview(data)
        while view:
            part = self._parts[-1]
            taken = view[: max(0, self._measure(part) - len(part.data))]
            part.data += taken
            self.position += len(taken)
            view = view[len(taken) :]
            if len(part.data) >= self._measure(part):
                self._begin_own_part(part)

    def patch(self, position: int, data: bytes) -> None:
        """Writes `data` over what stands at `position`, all of which is held."""
        if self._copy is not None:
            at = position - self._copy_begin
            self._copy[at : at + len(data)] = data
        for part in self._parts:
            begin = max(position, part.begin)
            end = min(position + len(data), part.begin + len(part.data))
            if begin < end:
                new = data[begin - position : end - position]
                part.data[begin - part.begin : end - part.begin] = new

    def rewind(self, position: int) -> None:
        """Takes back all that was written after `position`, which is held."""
        if self._copy is not None:
            del self._copy[position - self._copy_begin :]
        self._parts = [part for part in self._parts if part.begin <= position]
        last = self._parts[-1]
        del last.data[position - last.begin :]
        self.position = position
        # What has the number of a part that is to be sent again must not arrive after it.
        self._wait_until_sent(0)
        for number in [number for number in self._sent if number >= last.number]:
            del self._sent[number]

    def hold(self, length: int) -> None:
        """See `Output`."""
        self._held = (self.position, self.position + length)

    def let_go(self) -> None:
        """See `Output`."""
        self._held = (0, 0)
        self._send_full()

    def start_copy(self) -> None:
        """See `Output`."""
        self._copy, self._copy_begin = bytearray(), self.position

    def take_copy(self) -> bytes | None:
        """See `Output`; None if it would be more than `MOST_COPIED` bytes."""
        copied, self._copy = self._copy, None
        return None if copied is None else bytes(copied)

    def flush(self) -> None:
        """Nothing: what is not sent yet is sent by `complete`."""

    # What others send

    def share(self) -> Sharing:
        """See `Output`."""
        self._is_shared = True
        return self

    @property
    def size(self) -> int:
        """See `Sharing`."""
        left = MOST_PROMISED + 1 - self._find_number()
        if left <= 0:  # all comes here, so it should be little at once
            return PART
        return _choose_size(self._planned, SHARED * self._growth, left)

    def leave_room(self, size: int) -> None:
        """See `Sharing`."""
        self._planned += size
        self._room = (self._room or 1) + size

    def give_ticket(self, size: int) -> Ticket | None:
        """See `Sharing`."""
        number = self._find_number()
        # What stands in front of an archive is there before anything is planned.
        in_front = self._room if self._last_promised else max(self._room, self.position)
        # With so little in front of it, it would have to be made here once more.
        has_no_place = 0 < in_front < SMALLEST_PART and size <= SHARED
        if has_no_place or number > MOST_PROMISED:
            self.leave_room(size)
            return None
        with self.explaining_errors():
            upload = self._store.begin()
        self._planned += size
        self._room = 0
        self._last_promised = number
        self._promised.append(number)
        return Ticket(self._store.url, upload, number, SMALLEST_PART)

    def give_back(self, ticket: Ticket) -> None:
        """See `Sharing`; others get more from then on."""
        self._promised.remove(ticket.number)
        self._growth = min(self._growth + 1, MOST_GROWTH)

    def has_place(self, ticket: Ticket) -> bool:
        """See `Sharing`."""
        last = self._parts[-1]
        is_enough = len(last.data) >= SMALLEST_PART or self._find_neighbour() is not None
        return not last.data or (is_enough and last.number < ticket.number)

    def accept(self, piece: Uploaded) -> None:
        """See `Output`."""
        part = piece.part
        if part is not None:
            if len(self._parts[-1].data) < SMALLEST_PART:
                short = self._parts.pop()
                if short.data:
                    self._parts[-1].data += short.data
            self._promised.remove(part.number)
            sent: Future[SentPart] = Future()
            sent.set_result(part)
            self._sent[part.number] = sent
            self._begin_part(part.number + 1, self.position + part.size)
        self.position += piece.length

    def complete(self) -> None:
        """Lets the archive appear."""
        with self.explaining_errors():
            if len(self._parts) == 1 and not self._store.is_begun:
                self._store.put(self._parts[0].data)
                return
            for part in self._parts:
                if part.data:
                    self._send(part)
            self._wait_until_sent(0)
            parts = [self._sent[number].result() for number in sorted(self._sent)]
            # Nobody who reads the archive could tell that a part of it is not there.
            assert sum(part.size for part in parts) == self.position
            self._store.complete(parts)

    def explaining_errors(self) -> AbstractContextManager[None]:
        """Errors of the store in this block are told with the archive's name."""
        return explaining_errors(self.name)

    def _find_number(self) -> int:
        """The number of the next part of others: behind as many as ours may need."""
        room = -(-self._room // SHARED)
        return max(self._last_promised, self._parts[-1].number) + 1 + room

    def _fits(self, data: Buffer) -> bool:
        return self.position - self._copy_begin + len(data) <= MOST_COPIED

    def _measure(self, part: _Part) -> int:
        """With how many bytes a part is full; one that would need a promised number takes all."""
        needed = part.number, part.number + 1
        is_last = any(number in self._promised for number in needed)
        return LARGEST_PART if is_last else part.size

    def _find_neighbour(self) -> _Part | None:
        """Our part in front of the last one, if it is not sent yet."""
        *others, last = self._parts
        is_there = others and others[-1].number == last.number - 1
        return others[-1] if is_there else None

    def _begin_own_part(self, part: _Part) -> None:
        """Begins the part behind one of ours that is full."""
        if self._measure(part) > part.size:
            raise OutputError(
                f"cannot write {self.name}: members have become {LARGEST_PART >> 30} GiB larger "
                "than they were when they were found; try again when nothing writes to them",
                member=self.name,
            )
        self._begin_part(part.number + 1, self.position)

    def _begin_part(self, number: int, begin: int) -> None:
        smallest = SHARED if self._last_promised else PART
        size = _choose_size(begin, smallest, max(1, MOST_PARTS + 1 - number))
        self._parts.append(_Part(number, begin, size))
        self._send_full()

    def _send_full(self) -> None:
        """Sends all parts that are done, not held, and need not take the bytes of the last one."""
        *full, last = self._parts
        is_short = self._is_shared and len(last.data) < SMALLEST_PART
        neighbour = self._find_neighbour() if is_short else None
        held = [part for part in full if part is neighbour or part.overlaps(self._held)]
        self._parts = [*held, last]
        with self.explaining_errors():
            for part in full:
                if part not in held:
                    self._send(part)

    def _send(self, part: _Part) -> None:
        if part.number > MOST_PARTS:
            raise OutputError(
                f"cannot write {self.name}: it has more than {part.begin / 1e9:,.0f} GB, and would "
                f"need more than the {MOST_PARTS:,} parts that a store takes; make several archives"
            )
        self._wait_until_sent(MOST_ON_THE_WAY - len(part.data))
        future = self._store.send(part.number, part.data)
        self._sent[part.number] = future
        self._on_the_way.add(future, len(part.data))

    def _wait_until_sent(self, most: int) -> None:
        """Waits until no more than `most` bytes are on the way, and for all that failed before."""
        with self.explaining_errors():
            for _ in self._on_the_way.take(most):
                pass


def _choose_size(before: int, smallest: int, left: int) -> int:
    """Bytes of a part, if so many are before it, and so many numbers are left."""
    share = before // PARTS_BEFORE
    if 0 < before < ENOUGH:
        # If each part has that share of what is before it, `left` of them reach `ENOUGH`.
        share = max(share, int(before * math.log(ENOUGH / before) / left))
    return min(max(smallest, share), LARGEST_PART)


@contextmanager
def uploading(store: Multipart, name: str) -> Iterator[Upload]:
    """An archive that appears when the block ends well; otherwise the upload is aborted.

    Args:
        store: takes it.
        name: what messages call it.

    Raises:
        OutputError: the store does not take it.
    """
    upload = Upload(store, name)
    with aborting(store):
        yield upload
        upload.complete()


@contextmanager
def aborting(store: Multipart) -> Iterator[None]:
    """If the block raises anything, the upload is aborted, and what is left of it is told."""
    try:
        yield
    except BaseException as error:
        if not store.abort():
            _add_note(
                error,
                "an unfinished upload may be left over there, which costs what its bytes cost: aws "
                f"s3api list-multipart-uploads --bucket {store.bucket} --prefix {store.key} shows "
                "it, and abort-multipart-upload removes it",
            )
        raise


def _add_note(error: BaseException, note: str) -> None:
    if isinstance(error, ParazipError):
        error.args = (f"{error.args[0]}; {note}",)
    else:
        error.add_note(note)


@contextmanager
def explaining_errors(name: str) -> Iterator[None]:
    """Errors of a store in this block are told with the name of what is written there."""
    try:
        yield
    except (ParazipError, MemoryError):
        raise
    except Exception as error:
        from parazip.sources import stores  # which imports fsspec; by now that is there

        has_words = isinstance(error, OSError) and str(error)
        told = error if has_words else stores.as_system_error(error)
        assert isinstance(told, OSError)
        raise OutputError.of(name, told, _find_hint(error)) from error


_MISSING = "see that its bucket is there, and that you may write to it"

_HINTS = {
    "FileNotFoundError": _MISSING,
    "PermissionError": _MISSING,
    "NoCredentialsError": "set AWS_PROFILE, or what else the AWS command line takes keys from",
    "ParamValidationError": "",
}
"""What can be done about errors, by the names of their kinds: those of botocore among them."""


def _find_hint(error: Exception) -> str:
    if isinstance(error, ImportError):  # it says itself what to install
        return ""
    return _HINTS.get(type(error).__name__, "try again later")
