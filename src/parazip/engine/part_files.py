"""The file of one finished part: what the cache keeps, and how that is written and read.

A head (magic, lengths of what follows, CRC-32 of the data), a description in JSON (key and
tallies), the part's central directory headers, a CRC-32 over all these, and the part's data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from io import FileIO
from typing import BinaryIO, NamedTuple

from parazip.codecs import checksums
from parazip.model import Tally

MOST_HEADERS = 64 << 20
"""Bytes of a part's headers, which are in memory at once: those of half a million members."""

_MOST_DESCRIPTION = 64 << 10
"""Bytes of a description: a key and a few sums. As JSON they take thirty times as many."""
_MAGIC = b"parazip1"
_HEAD = struct.Struct("<8s2IQI")
_CRC = struct.Struct("<I")


class Description(NamedTuple):
    """What stands in front of a part's data.

    Attributes:
        tallies: what was done to its members.
        directory: their central directory headers.
        offset: where the data begin in the file.
        length: the bytes of the data.
        crc: their CRC-32.
    """

    tallies: dict[str, Tally]
    directory: bytes
    offset: int
    length: int
    crc: int


def read_description(file: BinaryIO, key: str, size: int) -> Description:
    """What a file of `size` bytes says of its part; anything may stand there.

    Raises:
        ValueError: it is no part, is damaged, or belongs to another key.
        Exception: its JSON is not what we write.
    """
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise ValueError("it is not whole")
    magic, text_length, directory_length, length, crc = _HEAD.unpack(head)
    offset = _HEAD.size + text_length + directory_length + _CRC.size
    if magic != _MAGIC or offset + length != size:
        raise ValueError("it is not whole")
    if text_length > _MOST_DESCRIPTION or directory_length > MOST_HEADERS:
        raise ValueError("its description is too long")
    described = file.read(text_length + directory_length)
    if _CRC.unpack(file.read(_CRC.size))[0] != checksums.crc32(described, checksums.crc32(head)):
        raise ValueError("its description is damaged")
    text = json.loads(described[:text_length])
    if text["key"] != key:
        raise ValueError("it belongs to another key")
    tallies = {coder: Tally(*map(int, sums)) for coder, sums in text["tallies"].items()}
    if any(number < 0 for tally in tallies.values() for number in tally):
        raise ValueError("its numbers are negative")
    return Description(tallies, described[text_length:], offset, length, crc)


def write_part(
    file: FileIO,
    key: str,
    tallies: Mapping[str, Tally],
    directory: bytes,
    length: int,
    data: Iterable[bytes],
) -> None:
    """Writes a part into a new file; `read_description` tells of the arguments.

    The head comes last: what broke off has none.
    """
    text = json.dumps({"key": key, "tallies": tallies}).encode()
    file.seek(_HEAD.size + len(text) + len(directory) + _CRC.size)
    crc = 0
    for chunk in data:
        _write_all(file, chunk)
        crc = checksums.crc32(chunk, crc)
    head = _HEAD.pack(_MAGIC, len(text), len(directory), length, crc)
    description = head + text + directory
    file.seek(0)
    _write_all(file, description + _CRC.pack(checksums.crc32(description)))


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
