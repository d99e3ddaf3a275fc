"""Sizes, offsets and counts around what 32 and 16 bits hold, on an output that keeps no zeros.

A size of 0xFFFFFFFF announces zip64, so the largest that needs none is 0xFFFFFFFE.
"""

from __future__ import annotations

import functools
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

import parazip
from parazip.output.stream import Pipe
from parazip.testing import InlineExecutor, SparseOutput

pytestmark = pytest.mark.once

DATE = 0x5264_28C4

ATTRIBUTES = 0o100644 << 16

FITS, LIMIT = 0xFFFFFFFE, 0xFFFFFFFF

GIB4 = 1 << 32

HEAD = b"the start of a sparse file"

HUGE = {
    "largest without zip64": FITS,
    "4 GiB - 1": LIMIT,
    "4 GiB": GIB4,
    "4 GiB + 1": GIB4 + 1,
}

ZIP64_EXTRA = 0x0001


def resized(path: Path, size: int) -> parazip.Member:
    """The one sparse file, made `size` bytes long: a few bytes, then zeros that take no room.

    It stays the same file all the time, as a system reads zeros faster for the second time.
    """
    os.truncate(path, size)
    info = path.stat()
    file = parazip.File(str(path), size, info.st_mtime_ns, info.st_ino)
    return parazip.Member("huge", file, ATTRIBUTES, DATE)


def small(name: str, data: bytes = b"") -> parazip.Member:
    return parazip.Member(name, data, ATTRIBUTES, DATE)


@functools.cache
def crc_of(size: int) -> int:
    """The CRC-32 of the sparse file, by zlib and the long way round."""
    crc, rest = zlib.crc32(HEAD), size - len(HEAD)
    zeros = bytes(8 << 20)
    while rest:
        crc = zlib.crc32(zeros if rest >= len(zeros) else zeros[:rest], crc)
        rest -= min(rest, len(zeros))
    return crc


class Local(NamedTuple):
    version: int
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    name: str
    extra: bytes


def local_header(output: SparseOutput, offset: int) -> Local:
    output.seek(offset)
    fields = struct.unpack("<4s3H4I2H", output.read(30))
    assert fields[0] == b"PK\3\4"
    name = output.read(fields[8]).decode()
    extra = output.read(fields[9])
    _, version, flags, method, _, crc, compressed_size, size, _, _ = fields
    return Local(version, flags, method, crc, compressed_size, size, name, extra)


def end_records(output: SparseOutput) -> tuple[bool, bytes]:
    """Whether the archive ends with zip64 records, and its EOCD."""
    output.seek(-22 - 20, os.SEEK_END)
    tail = output.read()
    assert tail[20:24] == b"PK\5\6"
    return tail.startswith(b"PK\6\7"), tail[20:]


def central_extras(output: SparseOutput, begin: int) -> dict[str, bytes]:
    """The extra fields of the central directory as they stand; zipfile shows them changed."""
    output.seek(begin)
    extras = {}
    while (header := output.read(46))[:4] == b"PK\1\2":
        name_length, extra_length = struct.unpack_from("<2H", header, 28)
        name = output.read(name_length).decode()
        extras[name] = output.read(extra_length)
    return extras


def zip64_extra(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", ZIP64_EXTRA, 8 * len(values), *values)


@pytest.fixture(scope="module")
def sparse_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sparse") / "file"
    path.write_bytes(HEAD)
    return path


@pytest.mark.once
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (HUGE[name] > LIMIT)) for name in HUGE],
)
def test_huge_stored_member_has_zip64_when_its_size_needs_it(sparse_file: Path, name: str) -> None:
    size = HUGE[name]
    output = SparseOutput()
    members = [small("first", b"1"), resized(sparse_file, size), small("last", b"2")]
    report = parazip.write(output, members, parazip.Settings(level=0))
    assert (report.bytes_out, report.bytes_in) == (output.size, size + 2)
    with zipfile.ZipFile(output) as archive:
        infos, begin = archive.infolist(), archive.start_dir
        assert (archive.read("first"), archive.read("last")) == (b"1", b"2")
        with archive.open("huge") as member:
            assert member.read(len(HEAD) + 3) == HEAD + b"\0\0\0"
    first, huge, last = infos
    zip64 = size > FITS
    assert [info.filename for info in infos] == ["first", "huge", "last"]
    assert (first.header_offset, huge.header_offset) == (0, 30 + 5 + 1)
    assert last.header_offset == 36 + 30 + 4 + 20 * zip64 + size
    assert begin == last.header_offset + 30 + 4 + 1
    assert (huge.file_size, huge.compress_size, huge.flag_bits) == (size, size, 0)
    assert crc_of(size) == huge.CRC
    assert [info.extract_version for info in infos] == [20, 45 if zip64 else 20, 45]
    assert local_header(output, 36) == Local(
        version=45 if zip64 else 20,
        flags=0,
        method=zipfile.ZIP_STORED,
        crc=huge.CRC,
        compressed_size=min(size, LIMIT),
        size=min(size, LIMIT),
        name="huge",
        extra=zip64_extra(size, size) if zip64 else b"",
    )
    assert local_header(output, last.header_offset).extra == b""
    assert central_extras(output, begin) == {
        "first": b"",
        "huge": zip64_extra(size, size) if zip64 else b"",
        "last": zip64_extra(last.header_offset),
    }
    assert end_records(output)[0]


@pytest.mark.once
def test_huge_deflated_member_needs_zip64_for_its_size_alone(sparse_file: Path) -> None:
    output = SparseOutput()
    members = [small("first"), resized(sparse_file, GIB4 + 1), small("last", b"last")]
    parazip.write(output, members, parazip.Settings(level=1))
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        info, begin = archive.getinfo("huge"), archive.start_dir
        assert archive.read("last") == b"last"
    assert (info.file_size, info.flag_bits, info.compress_type) == (GIB4 + 1, 0, 8)
    assert info.compress_size < GIB4 // 50
    local = local_header(output, info.header_offset)
    assert local.extra == zip64_extra(info.file_size, info.compress_size)
    extras = {"first": b"", "huge": zip64_extra(info.file_size), "last": b""}
    assert central_extras(output, begin) == extras
    assert not end_records(output)[0]


@pytest.mark.once
def test_huge_deflated_member_in_a_pipe_has_a_wide_descriptor(sparse_file: Path) -> None:
    output = SparseOutput()
    members = [small("first"), resized(sparse_file, GIB4 + 1), small("last", b"last")]
    parazip.write(Pipe(output, "-"), members, parazip.Settings(level=1))
    with zipfile.ZipFile(output) as archive:
        info = archive.getinfo("huge")
        assert archive.read("last") == b"last"
        with archive.open("huge") as member:
            assert member.read(100) == HEAD + bytes(100 - len(HEAD))
    assert (info.file_size, info.flag_bits, info.CRC) == (GIB4 + 1, 8, crc_of(GIB4 + 1))
    local = local_header(output, info.header_offset)
    assert (local.version, local.flags, local.crc) == (45, 8, 0)
    assert local.extra == zip64_extra(0, 0)
    output.seek(info.header_offset + 30 + 4 + 20 + info.compress_size)
    assert output.read(24) == struct.pack(
        "<4sI2Q", b"PK\7\x08", info.CRC, info.compress_size, info.file_size
    )


@pytest.mark.parametrize("offset", [FITS - 1, FITS, LIMIT, GIB4, 1 << 40])
def test_offset_needs_zip64_from_4_gib_on_and_not_earlier(offset: int) -> None:
    output = SparseOutput()
    output.seek(offset)
    report = parazip.write(output, [small("a", b"a")], executor=InlineExecutor())
    assert report.bytes_out == output.size - offset
    begin = offset + 30 + 1 + 1
    with zipfile.ZipFile(output) as archive:
        info = archive.getinfo("a")
        assert archive.read("a") == b"a"
        assert (info.header_offset, archive.start_dir) == (offset, begin)
    wide = offset > FITS
    assert central_extras(output, begin) == {"a": zip64_extra(offset) if wide else b""}
    assert local_header(output, offset).extra == b""
    assert end_records(output)[0] == (begin > FITS)


@pytest.mark.parametrize("begin", [FITS - 1, FITS, LIMIT, GIB4])
def test_directory_needs_zip64_records_from_4_gib_on_and_not_earlier(begin: int) -> None:
    output = SparseOutput()
    output.seek(begin)
    parazip.write(output, [], executor=InlineExecutor())
    assert end_records(output)[0] == (begin > FITS)
    with zipfile.ZipFile(output) as archive:
        assert (archive.namelist(), archive.start_dir) == ([], begin)


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_65_536_members_need_zip64_and_fewer_do_not(count: int) -> None:
    output = SparseOutput()
    members = [small(f"{i:x}") for i in range(count)]
    report = parazip.write(output, members)
    assert report.members == count
    with zipfile.ZipFile(output) as archive:
        infos, begin = archive.infolist(), archive.start_dir
    assert [info.filename for info in infos] == [member.name for member in members]
    position = 0
    for info in infos:
        assert info.header_offset == position
        position += 30 + len(info.filename)
    assert begin == position
    zip64, end = end_records(output)
    assert zip64 == (count > 65_535)
    assert struct.unpack_from("<2H", end, 8) == (min(count, 65_535),) * 2
    output.seek(-22 - 20 - 56, os.SEEK_END)
    assert (output.read(4) == b"PK\6\6") == zip64
    if zip64:
        output.seek(-22 - 20 - 56 + 24, os.SEEK_END)
        assert struct.unpack("<2Q", output.read(16)) == (count, count)
