"""Members that are neither stored nor deflated come out as zipfile has them, or are refused."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip.codecs import others
from parazip.codecs.inflating import StreamEndError
from parazip.format.values import Buffer
from support.paths import list_below, make_noise

MIB = 1 << 20
METHODS = [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
CONTENTS = {
    "empty": b"",
    "small": b"text " * 99,
    "noise": make_noise(3 * MIB),
    "zeros": bytes(20 * MIB),
}


def pack(path: Path, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    return path


@pytest.mark.once
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_they_come_out(tmp_path: Path, method: int, jobs: int) -> None:
    path = pack(tmp_path / "a.zip", method)
    parazip.extract(path, tmp_path / "out", settings=parazip.Settings(jobs=jobs))
    assert list_below(tmp_path / "out") == CONTENTS


@pytest.mark.once
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["small", "noise", "zeros"])
def test_a_damaged_one_is_named(tmp_path: Path, method: int, name: str) -> None:
    path = pack(tmp_path / "a.zip", method)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    middle = info.header_offset + 30 + len(name) + info.compress_size // 2
    data[middle : middle + 4] = bytes(byte ^ 0x55 for byte in data[middle : middle + 4])
    path.write_bytes(data)
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.extract(path, tmp_path / "out")
    assert caught.value.member == name
    assert caught.value.id in ("stream-damaged", "crc-mismatch")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", METHODS)
def test_no_more_comes_out_than_was_claimed(method: int) -> None:
    """Without the limit a few kilobytes would become 40 MB for a member that says it has one."""
    compressed = compress(method, bytes(40 * MIB))
    pieces: list[Buffer] = []
    with pytest.raises(StreamEndError, match="goes on"):
        pieces.extend(others.decompress(method, [compressed], 1))
    assert pieces in ([], [b"\0"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 99])
def test_a_stream_ends_where_its_member_does(method: int, size: int) -> None:
    compressed = compress(method, bytes(size))
    assert b"".join(others.decompress(method, [compressed], size)) == bytes(size)
    halves = [compressed[:20], compressed[20:]]
    assert b"".join(others.decompress(method, halves, size)) == bytes(size)
    for wrong, what in {
        compressed + b"junk": "goes on",
        compressed[:-2]: "does not end",
    }.items():
        with pytest.raises(StreamEndError, match=what):
            list(others.decompress(method, [wrong], size))
    with pytest.raises(StreamEndError, match="goes on"):
        list(others.decompress(method, [compressed, b"junk"], size))


def test_lzma_may_have_no_mark_at_its_end() -> None:
    properties = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}
    stream = lzma.compress(b"text " * 99, lzma.FORMAT_ALONE, filters=[properties])
    data = b"\x09\x04\x05\0" + stream[:5] + stream[13:]
    pieces = others.decompress(zipfile.ZIP_LZMA, [data], 5 * 99, has_end=False)
    assert b"".join(pieces) == b"text " * 99


def compress(method: int, data: bytes) -> bytes:
    """The compressed bytes of a member, as zipfile writes them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("m", data)
        size = archive.getinfo("m").compress_size
    return file.getvalue()[31 : 31 + size]


def test_a_dictionary_that_is_claimed_is_not_made() -> None:
    compressed = bytearray(compress(zipfile.ZIP_LZMA, b"text " * 99))
    struct.pack_into("<I", compressed, 5, 0xFFFF_FFFF)
    pieces = others.decompress(zipfile.ZIP_LZMA, [bytes(compressed)], 5 * 99)
    assert b"".join(pieces) == b"text " * 99


OTHERS = [
    b"",
    b"\x09\x04\x05\x00\x5d\x00\x00\x00",
    b"\x09\x04\x06\x00" * 4,
    b"\x09\x04\x05\0\xff" + bytes(9),
]


@pytest.mark.parametrize("data", OTHERS)
def test_what_has_no_properties_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="properties"):
        list(others.decompress(zipfile.ZIP_LZMA, [data], 9))


def test_without_the_library_they_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "a.zip", zipfile.ZIP_LZMA)
    monkeypatch.setattr(others, "find_methods", lambda: ())
    with pytest.raises(parazip.NotCopiedError, match=r"method 14, not stored or deflated"):
        parazip.extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
