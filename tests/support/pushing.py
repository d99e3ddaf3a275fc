"""Archives that differ a little, and the object that one of them has become."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Mapping
from typing import Any

from parazip.format.records import make_record, pack_central_header, pack_end_records
from parazip.format.records import pack_local_header as pack_local
from parazip.model import Member
from support.s3_server import S3

URL = "s3://bucket/dir/a b+c.zip"
"""A name that has to be quoted where the object is copied from."""

SIZE = 20_000


def make_contents(count: int = 40, size: int = SIZE) -> dict[str, bytes]:
    source = random.Random(7)
    return {f"{number:02}.bin": source.randbytes(size) for number in range(count)}


def pack_archive(contents: Mapping[str, bytes], *, is_stream: bool = False) -> bytes:
    """An archive by zipfile; as a stream it has data descriptors."""
    made = io.BytesIO()
    target: Any = _Stream(made) if is_stream else made
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


class _Stream:
    """What can be written to, and no more."""

    def __init__(self, file: io.BytesIO) -> None:
        self.write = file.write
        self.flush = file.flush


def pack_deflated(streams: Mapping[str, tuple[bytes, int, int]]) -> bytes:
    """An archive of deflate streams as they are, each with its contents' CRC-32 and size."""
    data, directory = b"", b""
    for name, (stream, crc, size) in streams.items():
        member = Member(name, bytes(size), 0o100644 << 16, 1 << 21 | 1 << 16)
        record = make_record(member, 8, crc, len(stream), len(data))
        data += pack_local(record, zip64=False) + stream
        directory += pack_central_header(record)
    return data + directory + pack_end_records(len(streams), len(directory), len(data))


def read_object(s3: S3, url: str = URL) -> bytes:
    s3.system.invalidate_cache()
    data: bytes = s3.system.cat(url)
    return data
