"""A store that keeps numbers and sizes, and an upload whose parts have sizes and no bytes."""

from __future__ import annotations

import mmap
from concurrent.futures import Future
from typing import Any, cast

from parazip.errors import OutputError
from parazip.format.values import Buffer
from parazip.model import SentPart, Ticket
from parazip.output.multipart import LARGEST_PART, MOST_PARTS, SMALLEST_PART, Multipart
from parazip.output.upload import Upload

_CHUNK = 1 << 30


class Nothing:
    """Bytes of which nobody looks at one: addresses without memory."""

    def __init__(self) -> None:
        self._view = memoryview(mmap.mmap(-1, _CHUNK))

    def cut(self, length: int) -> list[Buffer]:
        """So many of them, in pieces."""
        whole, rest = divmod(length, _CHUNK)
        return [*[self._view] * whole, self._view[:rest]] if rest else [self._view] * whole


class Count:
    """Stands for a `bytearray` whose bytes nobody reads."""

    def __init__(self) -> None:
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iadd__(self, data: Buffer) -> Count:
        self._length += len(data)
        return self

    def __delitem__(self, place: slice) -> None:
        self._length = min(self._length, place.start)

    def __setitem__(self, place: slice, data: bytes) -> None:
        assert place.stop <= self._length


class Ledger:
    """What S3 knows of an upload; refuses what S3 refuses.

    Attributes:
        sizes: of the parts of the complete object.
        requests: how many there were from here.
        received: bytes that came from here.
    """

    url = "s3://bucket/simulated.zip"
    bucket, key = "bucket", "simulated.zip"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.requests = 0
        self.received = 0
        self.is_begun = False

    def begin(self) -> str:
        """Begins the upload."""
        self.requests += not self.is_begun
        self.is_begun = True
        return "upload"

    def put(self, data: Buffer) -> None:
        """Takes the object by one request."""
        self._receive(len(data))
        self.sizes = [len(data)]

    def send(self, number: int, data: Buffer) -> Future[SentPart]:
        """Takes a part of ours."""
        self.begin()
        self._receive(len(data))
        sent: Future[SentPart] = Future()
        sent.set_result(make_part(number, len(data)))
        return sent

    def complete(self, parts: list[SentPart]) -> None:
        """Makes the object."""
        self.requests += 1
        numbers = [part.number for part in parts]
        self.sizes = [part.size for part in parts]
        _demand(numbers == sorted({*numbers}), "numbers of parts do not ascend")
        _demand(all(size >= SMALLEST_PART for size in self.sizes[:-1]), "a part is too small")

    def abort(self) -> bool:
        """Nothing is left of an upload that keeps nothing."""
        return True

    def _receive(self, size: int) -> None:
        self.requests += 1
        self.received += size


def make_part(number: int, size: int) -> SentPart:
    """A part as S3 takes it.

    Raises:
        OutputError: S3 takes no such part.
    """
    _demand(number <= MOST_PARTS, f"there are more than {MOST_PARTS:,} parts")
    _demand(size <= LARGEST_PART, "a part is too large")
    return SentPart(number, "etag", 0, size)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise OutputError(otherwise)


class CountedUpload(Upload):
    """The real upload, with parts that have no bytes.

    Attributes:
        tickets: how many were given.
        refused: how many were not given, as there were no numbers left.
        returned: how many were given back.
        peak: bytes of parts that were in memory at once.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(cast("Multipart", ledger), "the archive")
        self._parts[0].data = cast("bytearray", Count())
        self.tickets = self.refused = self.returned = self.peak = 0

    def give_ticket(self, size: int) -> Ticket | None:
        """See `Sharing`."""
        ticket = super().give_ticket(size)
        self.tickets += ticket is not None
        self.refused += ticket is None
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """See `Sharing`."""
        super().give_back(ticket)
        self.returned += 1

    def write(self, data: Any) -> None:
        """See `Output`."""
        super().write(data)
        held = sum([len(part.data) for part in self._parts])
        self.peak = max(self.peak, held)

    def _begin_part(self, number: int, begin: int) -> None:
        super()._begin_part(number, begin)
        self._parts[-1].data = cast("bytearray", Count())

    def promise(self, number: int) -> None:
        """Expects a part of others under a number."""
        self._promised.append(number)
