"""Archives to be copied from, and what must be fresh in copies."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import parazip
from parazip import Settings
from parazip.format.values import DEFLATED, STORED, Record
from parazip.settings import MIB
from parazip.sources.contents import RANGE
from support.streams import OneWay

MOMENT = (2021, 3, 4, 5, 6, 8)

DATE = 0x5264_28C4

FILE, FOLDER, LINK = 0o100644 << 16, 0o040755 << 16 | 0x10, 0o120777 << 16

DESCRIPTOR, UTF8 = 1 << 3, 1 << 11

NOISE = random.Random(1).randbytes(3 * MIB)
"""Bytes that do not shrink."""

LINES = b"".join(b"line %d of a text that shrinks\n" % i for i in range(90_000))


def make_packing_to(size: int) -> bytes:
    """Contents of which zipfile makes `size` deflated bytes."""
    for shrinking in range(3000, 3100):
        length = size
        for _ in range(8):
            data = LINES[:shrinking] + NOISE[:length]
            missing = size - len(zlib.compress(data, 6, -15))
            if not missing:
                return data
            length += missing
    raise AssertionError(f"nothing packs to {size} bytes")


AROUND = (RANGE - 1, RANGE, RANGE + 1)
"""Compressed sizes; from the last on a member goes from file to file."""

DEFLATED_MEMBERS = {
    "empty": b"",
    "one byte": b"1",
    "text.txt": LINES,
    "folder/": b"",
    "gr\u00fc\u00df/\u4e2d\U0001f600": LINES[:99],
    **{f"deflated {size}": make_packing_to(size) for size in AROUND},
    "last": LINES[:3000],
}


def write_by_zipfile(
    members: Mapping[str, bytes],
    method: int = DEFLATED,
    *,
    zip64: bool = False,
    one_way: bool = False,
    extra: bytes = b"",
    comment: bytes = b"",
    front: bytes = b"",
) -> bytes:
    """An archive by zipfile, with all that a copy is to leave behind."""
    file: Any = OneWay() if one_way else io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = comment
        for name, data in members.items():
            info = zipfile.ZipInfo(name, MOMENT)
            info.external_attr = FOLDER if info.is_dir() else FILE
            info.compress_type = STORED if info.is_dir() else method
            info.extra, info.comment = extra, comment
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return front + (bytes(file.data) if one_way else file.getvalue())


class Raw(NamedTuple):
    """One member as it stands in an archive, both headers taken apart here.

    Attributes:
        local: the local header's fixed fields but signature and lengths.
        local_extra: its extra field.
        data: the compressed bytes.
        end: where they end.
    """

    info: zipfile.ZipInfo
    local: tuple[int, ...]
    local_name: bytes
    local_extra: bytes
    data: bytes
    end: int


def read_raw_members(archive: bytes) -> list[Raw]:
    found = []
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.testzip() is None
        infos = read.infolist()
    for info in infos:
        at = info.header_offset
        signature, *local, name, extra = struct.unpack_from("<4s5H3I2H", archive, at)
        assert signature == b"PK\3\4"
        begin = at + 30 + name + extra
        data = archive[begin : begin + info.compress_size]
        names = archive[at + 30 : at + 30 + name], archive[at + 30 + name : begin]
        found.append(Raw(info, tuple(local), *names, data, begin + info.compress_size))
    return found


def assert_fresh(archive: bytes, begin: int = 0) -> None:
    """Records lie side by side, and say what is true of their members and nothing else."""
    for member in read_raw_members(archive):
        info = member.info
        assert info.header_offset == begin
        begin = member.end
        time, date = struct.pack("<I", DATE)[:2], struct.pack("<I", DATE)[2:]
        flags = 0 if info.filename.isascii() else UTF8
        assert member.local == (
            20, flags, info.compress_type, int.from_bytes(time, "little"),
            int.from_bytes(date, "little"), info.CRC, info.compress_size, info.file_size,
        )  # fmt: skip
        assert (member.local_name, member.local_extra) == (info.filename.encode(), b"")
        assert (info.extract_version, info.create_version, info.create_system) == (20, 20, 3)
        assert (info.flag_bits, info.extra, info.comment) == (flags, b"", b"")
        assert (info.volume, info.internal_attr, info.date_time) == (0, 0, MOMENT)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert (read.start_dir, read.comment) == (begin, b"")
        names = sum(len(info.filename.encode()) for info in read.infolist())
        count = len(read.infolist())
    assert len(archive) == begin + 46 * count + names + 22


def merge_to_bytes(sources: Iterable[Any], settings: Settings | None = None, **more: Any) -> bytes:
    output = io.BytesIO()
    parazip.merge(output, sources, settings, **more)
    return output.getvalue()


def make_stored_record(name: bytes, data: bytes, attributes: int = FILE, flags: int = 0) -> Record:
    crc, size = zlib.crc32(data), len(data)
    return Record(name, flags, STORED, DATE, crc, size, size, attributes, 0)


@contextmanager
def assert_nothing_written(path: Path) -> Iterator[None]:
    """In the block what stands at `path` stays as it is, and nothing comes beside it."""
    path.write_bytes(b"what stood there before")
    before = sorted(path.parent.iterdir())
    yield
    assert path.read_bytes() == b"what stood there before"
    assert sorted(path.parent.iterdir()) == before
