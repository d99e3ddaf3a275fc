"""The standard library's class as type checkers should know it, and what is handed to it."""

from __future__ import annotations

import os
import zipfile
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

from parazip.codecs.table import CodecName
from parazip.progress import Sink

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
        """Bytes from the position on."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves the position."""


class Writable(Protocol):
    """What an archive can be written to."""

    def write(self, data: bytes, /) -> int:
        """Takes bytes."""

    def flush(self) -> None:
        """Hands on what is held."""

    def close(self) -> None:
        """Ends the use of it."""


class Appendable(Readable, Protocol):
    """What an archive can be appended to."""

    def tell(self) -> int:
        """The position."""


if TYPE_CHECKING:

    class Stock(zipfile.ZipFile):
        """What the standard library's class has that its stubs keep to themselves."""

        _allowZip64: bool  # noqa: N815 # as zipfile has it
        _didModify: bool  # noqa: N815
        _filePassed: bool  # noqa: N815
        _lock: AbstractContextManager[Any]
        _seekable: bool
        _strict_timestamps: bool
        _writing: bool

        def _extract_member(
            self, member: zipfile.ZipInfo, targetpath: str, pwd: bytes | None
        ) -> str: ...
        def _open_to_write(
            self, zinfo: zipfile.ZipInfo, force_zip64: bool = False
        ) -> IO[bytes]: ...

        metadata_encoding: str | None

        def _fpclose(self, fp: IO[bytes]) -> None: ...
        def _write_end_record(self) -> None: ...
        def _writecheck(self, zinfo: zipfile.ZipInfo) -> None: ...

    class StockReader(zipfile.ZipExtFile):
        """What the standard library's reader has that its stubs keep to themselves."""

        _compress_left: int
        _decompressor: Any
        _eof: bool
        _expected_crc: int | None
        _fileobj: IO[bytes]
        _left: int
        _offset: int
        _orig_compress_size: int
        _orig_compress_start: int
        _orig_file_size: int
        _readbuffer: bytes
        _running_crc: int

else:
    Stock = zipfile.ZipFile
    StockReader = zipfile.ZipExtFile
