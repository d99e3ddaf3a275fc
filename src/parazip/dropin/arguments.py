"""The types of what is handed to `ZipFile`."""

from __future__ import annotations

import os
from typing import Literal, Protocol, TypeAlias, TypedDict

from parazip.codecs.table import CodecName
from parazip.engine.progress import Sink

StrPath: TypeAlias = str | os.PathLike[str]
Mode: TypeAlias = Literal["r", "w", "x", "a"]


class Parallel(TypedDict, total=False):
    """What `ZipFile` takes besides what `zipfile.ZipFile` takes; see there."""

    level: int | None
    codec: CodecName
    jobs: int | None
    memory: int
    progress: Sink | None


class Readable(Protocol):
    """What an archive can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes from the position on."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves the position."""


class Writable(Protocol):
    """What an archive can be written to."""

    def write(self, data: bytes, /) -> int:
        """Takes bytes."""

    def flush(self) -> None:
        """Passes on what is buffered."""

    def close(self) -> None:
        """Releases the file."""


class Appendable(Readable, Protocol):
    """What an archive can be appended to."""

    def tell(self) -> int:
        """The position."""
