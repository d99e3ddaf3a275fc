"""The output counts by itself; members that come block by block get true headers."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from parazip.engine.writer import ArchiveWriter
from parazip.format.records import FLAG_DESCRIPTOR, LIMIT_32, pack_central_header, pack_local_header
from parazip.format.values import DEFLATED, STORED, Record
from parazip.model import Block, Part
from parazip.output.stream import Output, Pipe
from parazip.testing import InlineExecutor, ShortOutput
from support.archives import contents_of
from support.paths import make_noise
from support.writing import ATTRIBUTES, DATE, FAST, LINES, PADDED_NOISE, make_member


def make_record_of_size(name: str, method: int, size: int) -> Record:
    return Record(name.encode(), 0, method, DATE, 0, 0, size, ATTRIBUTES, 0)


def make_deflated_block(data: bytes) -> Block:
    """A finished stream in two pieces, as a codec may give it."""
    packed = zlib.compress(data, 6, -15)
    return Block((packed[:9], packed[9:]), zlib.crc32(data), len(data))


def make_stored_block(data: bytes) -> Block:
    return Block((data,), zlib.crc32(data), len(data))


def length_of(block: Block) -> int:
    return sum(map(len, block.data))


def make_part(name: str, data: bytes) -> Part:
    made = Record(
        name.encode(), 0, STORED, DATE, zlib.crc32(data), len(data), len(data), ATTRIBUTES, 0
    )
    return Part((pack_local_header(made, False) + data,), pack_central_header(made), {})


@pytest.mark.parametrize("bite", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_output_writes_everything_to_a_file_that_takes_little(
    bite: int, kind: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    file = io.BytesIO()
    output = Output(ShortOutput(file, bite), "short")
    for data in (b"abcdefg", b"", b"hi"):
        output.write(kind(data))
    output.patch(2, b"CDEF")
    output.write(b"!")
    assert file.getvalue() == b"abCDEFghi!"
    assert output.position == 10


def test_output_counts_from_where_the_file_stands() -> None:
    file = io.BytesIO()
    file.write(b"in front")
    output = Output(file, "file")
    assert (output.seekable, output.position) == (True, 8)
    output.write(b"12345")
    output.rewind(10)
    assert (output.position, file.getvalue()) == (10, b"in front12")
    output.patch(8, b"x")
    output.write(b"y")
    assert (output.position, file.getvalue()) == (11, b"in frontx2y")


def test_output_that_cannot_seek_counts_from_zero() -> None:
    file = io.BytesIO(b"........")
    file.seek(8)
    output = Output(Pipe(file, "pipe"), "pipe")
    output.write(b"12")
    assert (output.seekable, output.position) == (False, 2)


@pytest.mark.parametrize("bite", [1, 1000])
def test_archive_on_a_file_that_takes_little_is_the_same(bite: int) -> None:
    members = [make_member("a", b"a" * 5000), make_member("cut", LINES[: (1 << 20) + 9])]
    whole, short = io.BytesIO(), io.BytesIO()
    settings = parazip.Settings(level=1)
    parazip.write(whole, members, settings, executor=InlineExecutor())
    parazip.write(ShortOutput(short, bite), members, settings, executor=InlineExecutor())
    assert short.getvalue() == whole.getvalue()


def test_archive_behind_other_bytes_of_an_open_file_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.write(b"in front")
        report = parazip.write(file, [make_member("cut", LINES), make_member("b", b"b")], FAST)
    assert report.bytes_out == path.stat().st_size - 8
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].header_offset == 8
    assert contents_of(path) == {"cut": LINES, "b": b"b"}


def test_archive_at_the_end_of_a_file_opened_for_appending_is_right_or_refused(
    tmp_path: Path,
) -> None:
    """Such a file says that it can seek, and writes at its end all the same."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"in front")
    with path.open("ab") as file:
        try:
            parazip.write(file, [make_member("cut", LINES), make_member("b", b"b")], FAST)
        except parazip.ParazipError:
            return
    assert contents_of(path) == {"cut": LINES, "b": b"b"}


# --- Members that come block by block --------------------------------------------------------


def local_of(file: io.BytesIO, offset: int = 0) -> tuple[int, int, int, int, int]:
    """Version needed, flags, CRC and sizes of a local file header, by zipfile's own table."""
    fields = zipfile.struct.unpack_from(  # type: ignore[attr-defined]  # not in its stubs
        zipfile.structFileHeader,  # type: ignore[attr-defined]  # not in its stubs
        file.getvalue(),
        offset,
    )
    return fields[1], fields[3], fields[7], fields[8], fields[9]


def test_cut_member_on_an_output_that_seeks_has_everything_in_its_header() -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    block = make_deflated_block(LINES)
    archive.begin_member(make_record_of_size("cut", DEFLATED, len(LINES)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length_of(block)
    archive.finish()
    assert local_of(file) == (20, 0, block.crc, length_of(block), len(LINES))
    assert contents_of(file) == {"cut": LINES}


def test_cut_member_on_an_output_that_cannot_seek_has_a_descriptor() -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(Pipe(file, "pipe"), "pipe"))
    block = make_deflated_block(LINES)
    archive.begin_member(make_record_of_size("cut", DEFLATED, len(LINES)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length_of(block)
    archive.finish()
    assert local_of(file) == (20, FLAG_DESCRIPTOR, 0, 0, 0)
    after = 30 + len("cut") + length_of(block)
    assert file.getvalue()[after : after + 20] == (
        b"PK\7\x08"
        + block.crc.to_bytes(4, "little")
        + length_of(block).to_bytes(4, "little")
        + len(LINES).to_bytes(4, "little")
        + b"PK\1\2"
    )
    assert contents_of(file) == {"cut": LINES}
    with zipfile.ZipFile(file) as read:
        assert read.getinfo("cut").flag_bits == FLAG_DESCRIPTOR


def test_cut_member_between_parts_lands_where_the_directory_says() -> None:
    for wrap in (lambda file: file, lambda file: Pipe(file, "pipe")):
        file = io.BytesIO()
        archive = ArchiveWriter(Output(wrap(file), "file"))
        archive.write_prefix(b"#!prefix\n")
        archive.write_part(make_part("first", b"1"))
        archive.begin_member(
            make_record_of_size("cut", STORED if wrap(file) is file else DEFLATED, 6)
        )
        blocks = (
            [make_stored_block(b"abc"), make_stored_block(b"def")]
            if wrap(file) is file
            else [make_deflated_block(b"abcdef")]
        )
        for block in blocks:
            archive.write_block(block)
        archive.end_member(zlib.crc32(b"abcdef"))
        archive.write_part(make_part("last", b"2"))
        archive.finish()
        assert contents_of(file) == {"first": b"1", "cut": b"abcdef", "last": b"2"}


@pytest.mark.parametrize("growth", [0, 1])
def test_member_that_did_not_shrink_is_taken_back_without_a_trace(growth: int) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    archive.write_part(make_part("first", b"1"))
    before = file.getvalue()
    block = make_deflated_block(make_noise(1000))
    archive.begin_member(make_record_of_size("noise", DEFLATED, length_of(block) - growth))
    archive.write_block(block)
    assert archive.end_member(block.crc) is None
    assert file.getvalue() == before
    archive.write_part(make_part("last", b"2"))
    archive.finish()
    assert contents_of(file) == {"first": b"1", "last": b"2"}


@pytest.mark.parametrize("kind", ["stored", "pipe"])
def test_member_that_did_not_shrink_stays_where_it_cannot_or_need_not_be_taken_back(
    kind: str,
) -> None:
    file = io.BytesIO()
    data = make_noise(1000)
    method, block = (
        (STORED, make_stored_block(data))
        if kind == "stored"
        else (DEFLATED, make_deflated_block(data))
    )
    archive = ArchiveWriter(Output(file if kind == "stored" else Pipe(file, "pipe"), kind))
    archive.begin_member(make_record_of_size("noise", method, len(data)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length_of(block)
    archive.finish()
    assert contents_of(file) == {"noise": data}


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_large_member_that_only_looks_as_if_it_shrank_is_stored(kind: str) -> None:
    file = io.BytesIO()
    members = [make_member("a", b"a"), make_member("noise", PADDED_NOISE), make_member("z", b"z")]
    report = parazip.write(file if kind == "file" else Pipe(file, "-"), members, FAST)
    assert contents_of(file) == {"a": b"a", "noise": PADDED_NOISE, "z": b"z"}
    assert report.bytes_out == len(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("noise")
    assert (info.compress_type == STORED) == (kind == "file")
    assert (info.flag_bits == FLAG_DESCRIPTOR) == (kind == "pipe")


@pytest.mark.parametrize(
    ("size", "zip64"), [(LIMIT_32 - 1, False), (LIMIT_32, True), (LIMIT_32 + 1, True)]
)
def test_header_of_a_cut_member_reserves_zip64_when_its_size_needs_it(
    size: int, zip64: bool
) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    archive.begin_member(make_record_of_size("huge", DEFLATED, size))
    archive.write_block(make_deflated_block(b"as if this were 4 GiB"))
    assert archive.end_member(7) is not None
    header = file.getvalue()[: 34 + 20]
    assert header[4:6] == (b"\x2d\0" if zip64 else b"\x14\0")
    assert header[28:30] == (b"\x14\0" if zip64 else b"\0\0")
    if zip64:
        assert header[34:46] == b"\1\0\x10\0" + size.to_bytes(8, "little")


@pytest.mark.parametrize(("size", "zip64"), [(1 << 31, False), (LIMIT_32 - 1, True)])
def test_descriptor_is_wide_where_the_compressed_size_could_need_it(size: int, zip64: bool) -> None:
    """The header comes first, and its zip64 field is what tells a reader how wide sizes are."""
    file = io.BytesIO()
    archive = ArchiveWriter(Output(Pipe(file, "pipe"), "pipe"))
    block = make_deflated_block(b"as if this were 4 GiB")
    archive.begin_member(make_record_of_size("huge", DEFLATED, size))
    archive.write_block(block)
    archive.end_member(7)
    header = 30 + len("huge") + (20 if zip64 else 0)
    assert file.getvalue()[28:30] == (b"\x14\0" if zip64 else b"\0\0")
    descriptor = file.getvalue()[header + length_of(block) :]
    width = 8 if zip64 else 4
    assert descriptor == (
        b"PK\7\x08"
        + (7).to_bytes(4, "little")
        + length_of(block).to_bytes(width, "little")
        + size.to_bytes(width, "little")
    )


def test_archive_without_members_is_an_archive() -> None:
    file = io.BytesIO()
    report = parazip.write(file, [])
    assert contents_of(file) == {}
    assert (report.members, report.bytes_out) == (0, 22)
