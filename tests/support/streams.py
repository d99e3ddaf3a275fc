"""Outputs that are no seekable files."""

from __future__ import annotations

import io
from typing import Any


class OneWayBytes(io.BytesIO):
    """A file that cannot seek: zipfile writes data descriptors to it."""

    def tell(self) -> int:
        raise io.UnsupportedOperation


class OneWay(io.RawIOBase):
    """A file that cannot seek, like a pipe: zipfile writes data descriptors to it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


class WriteOnly:
    """What web frameworks hand in: nothing but `write` and `flush`."""

    def __init__(self) -> None:
        self.sent = 0
        self.data = bytearray()

    def write(self, data: Any) -> int:
        self.sent += len(data)
        self.data += data
        return len(data)

    def flush(self) -> None:
        pass
