"""Members that are still being compressed, and what people see of them.

A `ZipInfo` whose CRC-32, compressed size and offset are not known yet is lent another class. To
look at one of the three waits until that member is written, and no longer; then the three are what
they are, and the class is the standard library's again.
"""

from __future__ import annotations

import struct
import weakref
import zipfile
from typing import Any, Protocol

from parazip import codecs
from parazip.format.records import FLAG_DESCRIPTOR, LIMIT_32

_NUMBERS = struct.Struct("<3I")
_NUMBERS_AT = 14
_ZIP64_SIZES = struct.Struct("<2Q")
_DESCRIPTOR = struct.Struct("<4s3I")
_ZIP64_DESCRIPTOR = struct.Struct("<4sI2Q")

INFO = zipfile.ZipInfo
"""The class itself; by its name another one may be found one day."""


class Archive(Protocol):
    """Whoever writes pending members."""

    def settle(self, ticket: Ticket) -> None:
        """Waits until the member is written."""


class Ticket:
    """A member on its way into the archive.

    Attributes:
        info: what the archive's user has of it.
        size: its uncompressed bytes so far.
        crc: their CRC-32, as far as they are compressed.
        compressed_size: what they take in the archive so far.
        offset: where its local file header begins, once that is known.
        done: whether it is written, or never will be.
    """

    __slots__ = (
        "_archive",
        "_described",
        "_header",
        "_told",
        "_zip64",
        "compressed_size",
        "crc",
        "done",
        "info",
        "offset",
        "size",
    )

    def __init__(self, archive: Archive, info: zipfile.ZipInfo, zip64: bool) -> None:
        self._archive = weakref.ref(archive)
        self._zip64 = zip64
        self.info = info
        self.size = self.crc = self.compressed_size = self.offset = 0
        self.done = False
        self._told: tuple[Any, ...] | None = None
        self.seal()

    @staticmethod
    def of(info: zipfile.ZipInfo) -> Ticket:
        """The ticket of a member that is pending."""
        ticket = _OFFSET.__get__(info)
        assert isinstance(ticket, Ticket)
        return ticket

    def seal(self) -> None:
        """Takes the header as `info` has it now; what is changed later is not in it."""
        info = self.info
        told = (info.filename, info.date_time, info.compress_type, info.flag_bits, info.extra)
        if told != self._told:
            self._told = told
            self._described = bool(info.flag_bits & FLAG_DESCRIPTOR)
            self._header = info.FileHeader(self._zip64)

    def grow(self, crc: int, size: int) -> None:
        """So many more bytes, with that CRC-32, have been compressed."""
        self.crc = codecs.crc32_combine(self.crc, crc, size)

    @property
    def header(self) -> bytes:
        """The local file header with the numbers that are known now (APPNOTE 4.3.7)."""
        header = self._header
        if self._described:
            return header
        if not self._zip64:
            numbers = _NUMBERS.pack(self.crc, self.compressed_size, self.size)
            return b"".join((header[:_NUMBERS_AT], numbers, header[_NUMBERS_AT + 12 :]))
        numbers = _NUMBERS.pack(self.crc, LIMIT_32, LIMIT_32)
        sizes = _ZIP64_SIZES.pack(self.size, self.compressed_size)
        return b"".join((header[:_NUMBERS_AT], numbers, header[_NUMBERS_AT + 12 : -16], sizes))

    @property
    def descriptor(self) -> bytes:
        """What follows the contents: a data descriptor (APPNOTE 4.3.9), or nothing."""
        if not self._described:
            return b""
        shape = _ZIP64_DESCRIPTOR if self._zip64 else _DESCRIPTOR
        return shape.pack(b"PK\7\x08", self.crc, self.compressed_size, self.size)

    def check_size(self) -> None:
        """Refuses sizes for which the header, which stands already, has no room.

        Raises:
            RuntimeError: as `zipfile` does it.
        """
        if self._zip64 or max(self.size, self.compressed_size) <= zipfile.ZIP64_LIMIT:
            return
        what = "File" if self.size > zipfile.ZIP64_LIMIT else "Compressed"
        raise RuntimeError(f"{what} size too large, try using force_zip64")

    def lend(self) -> None:
        """From now on who looks at the numbers of `info` waits for them."""
        info = self.info
        info.file_size = self.size
        _OFFSET.__set__(info, self)
        info.__class__ = PendingInfo

    def settle(self) -> None:
        """Waits until the member is written."""
        archive = self._archive()
        if archive is not None:
            archive.settle(self)

    def keep(self) -> None:
        """The member is written: gives `info` its numbers."""
        info = self.info
        info.__class__ = INFO
        info.CRC = self.crc
        info.compress_size = self.compressed_size
        info.header_offset = self.offset
        self.done = True

    def lose(self) -> None:
        """The member will not be written: `info` is like a new one."""
        info = self.info
        info.__class__ = INFO
        del info.header_offset
        info.CRC = info.compress_size = 0
        self.done = True


def _awaited(name: str) -> Any:
    slot = vars(INFO)[name]

    def get(info: PendingInfo) -> int:
        settle(info)
        return int(slot.__get__(info))

    def put(info: PendingInfo, value: int) -> None:
        settle(info)
        slot.__set__(info, value)

    return property(get, put)


class PendingInfo(INFO):
    """A `ZipInfo` for as long as its member is not written."""

    __slots__ = ()

    CRC = _awaited("CRC")
    compress_size = _awaited("compress_size")
    header_offset = _awaited("header_offset")

    def __repr__(self) -> str:
        settle(self)
        return INFO.__repr__(self)

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        settle(self)
        return object.__reduce_ex__(self, protocol)  # super() would look for the class it had


_OFFSET: Any = vars(INFO)["header_offset"]


def settle(info: zipfile.ZipInfo) -> None:
    """Waits until the member that `info` tells of is written; then `info` is not pending."""
    if type(info) is PendingInfo:
        Ticket.of(info).settle()
