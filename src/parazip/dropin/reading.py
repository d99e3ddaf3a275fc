"""Reads members faster than the standard library's own code."""

from __future__ import annotations

import zipfile
from typing import Any, cast

from parazip import codecs
from parazip.model import DEFLATED

_Reader = zipfile.ZipExtFile


class MemberReader(_Reader):
    """A member that is inflated by ISA-L, at twice the speed of zlib."""

    def _update_crc(self, newdata: bytes) -> None:
        reader = cast("Any", self)
        expected = reader._expected_crc
        if expected is None:
            return
        crc = reader._running_crc = codecs.crc32(newdata, reader._running_crc)
        if reader._eof and crc != expected:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self.name!r}")


def hasten(file: Any) -> None:
    """Makes a reader of the standard library's a `MemberReader`, if it is one that we know."""
    if type(file) is _Reader:
        reader: Any = file
        reader.__class__ = MemberReader
        if reader._compress_type == DEFLATED:
            reader._decompressor = codecs.Inflater()


def slow_down(file: Any) -> Any:
    """Makes a reader that has not read yet the standard library's again, and gives it."""
    if type(file) is MemberReader:
        reader: Any = file
        reader.__class__ = _Reader
        if reader._compress_type == DEFLATED:
            reader._decompressor = codecs.zlib_inflater()
    return file
