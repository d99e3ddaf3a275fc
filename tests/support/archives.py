"""What archives hold, and archives that zipfile makes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO

from parazip.format.records import pack_central_header, pack_end_records, pack_local_header
from parazip.format.values import Record


def join_records(*members: tuple[Record, bytes], system: int = 3) -> bytes:
    """An archive of records that say what they like; only their offsets are set right."""
    headers, body = bytearray(), bytearray()
    for record, data in members:
        header = pack_central_header(record._replace(offset=len(body)))
        headers += header[:5] + bytes([system]) + header[6:]
        body += pack_local_header(record, False) + data
    return bytes(body + headers) + pack_end_records(len(members), len(headers), len(body))


def contents_of(archive: str | Path | bytes | IO[bytes]) -> dict[str, bytes]:
    """What an archive holds by its names, of which none is there twice; each member is tested."""
    with open_archive(archive) as read:
        assert read.testzip() is None
        names = read.namelist()
        assert len(set(names)) == len(names)
        return {name: read.read(name) for name in names}


def names_in(archive: Path | bytes) -> list[str]:
    """The names of an archive's members, which are tested."""
    return list(contents_of(archive))


def open_archive(archive: str | Path | bytes | IO[bytes]) -> zipfile.ZipFile:
    """An archive as zipfile reads it, in a file or by its bytes."""
    return zipfile.ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive)


def compressed_bytes_of(path: Path, name: str) -> bytes:
    """A member's bytes as they are compressed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = path.read_bytes()
    lengths = data[info.header_offset + 26 : info.header_offset + 30]
    begin = info.header_offset + 30 + int.from_bytes(lengths[:2], "little")
    begin += int.from_bytes(lengths[2:], "little")
    return data[begin : begin + info.compress_size]
