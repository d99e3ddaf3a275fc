"""Takes parts as a store does, in memory."""

from __future__ import annotations

from concurrent.futures import Future

from parazip.format.values import Buffer
from parazip.model import SentPart


class Shelf:
    """Where an upload goes.

    Attributes:
        data: the object, once it is complete.
        sizes: of the parts that it was made of.
    """

    url = "shelf://made"

    def __init__(self) -> None:
        self.data = b""
        self.sizes: list[int] = []
        self._parts: dict[int, bytes] = {}

    @property
    def is_begun(self) -> bool:
        return bool(self._parts)

    def begin(self) -> str:
        return "upload"

    def put(self, data: Buffer) -> None:
        self.data = bytes(data)

    def send(self, number: int, data: Buffer) -> Future[SentPart]:
        self._parts[number] = bytes(data)
        sent: Future[SentPart] = Future()
        sent.set_result(SentPart(number, "", 0, len(data)))
        return sent

    def complete(self, parts: list[SentPart]) -> None:
        numbers = [part.number for part in parts]
        assert numbers == sorted(set(numbers))
        self.sizes = [part.size for part in parts]
        self.data = b"".join(self._parts[number] for number in numbers)
