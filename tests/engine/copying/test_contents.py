"""Contents of copied members that are checked."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import BadArchiveError
from parazip.codecs import checksums
from parazip.codecs.sizes import BLOCK
from parazip.format.values import DEFLATED, STORED, Record
from parazip.settings import MIB
from parazip.sources.contents import RANGE
from support.archives import join_records
from support.copying import (
    DATE,
    FILE,
    LINES,
    NOISE,
    assert_fresh,
    assert_nothing_written,
    make_packing_to,
    make_stored_record,
    merge_to_bytes,
    read_raw_members,
    write_by_zipfile,
)
from support.odd_archives import deflate

VICTIMS: dict[str, tuple[int, bytes]] = {
    "stored, small": (STORED, LINES[:5000]),
    "stored, just in memory": (STORED, NOISE[:RANGE]),
    "stored, large": (STORED, NOISE[: RANGE + 1]),
    "stored, in chunks": (STORED, NOISE[: 2 * MIB + 1]),
    "deflated, small": (DEFLATED, LINES[:5000]),
    "deflated, just in memory": (DEFLATED, make_packing_to(RANGE)),
    "deflated, large": (DEFLATED, make_packing_to(RANGE + 1)),
    "deflated, in chunks": (DEFLATED, LINES[:20_000] + NOISE[: 2 * MIB + 1]),
}


def find_compressed(archive: bytes, name: str) -> tuple[int, int]:
    """Where the compressed bytes of a member begin and end."""
    (member,) = (member for member in read_raw_members(archive) if member.info.filename == name)
    return member.end - len(member.data), member.end


def flip_bit_at(archive: bytes, at: int) -> bytes:
    return archive[:at] + bytes([archive[at] ^ 4]) + archive[at + 1 :]


@pytest.mark.parametrize("place", ["begin", "middle", "end"])
@pytest.mark.parametrize("case", VICTIMS)
def test_a_flipped_bit_is_found_when_it_is_looked_for(
    tmp_path: Path, case: str, place: str
) -> None:
    method, data = VICTIMS[case]
    path = tmp_path / "s.zip"
    good = write_by_zipfile({"before": b"1", "vic/tim": data, "after": b"2"}, method)
    begin, end = find_compressed(good, "vic/tim")
    at = {"begin": begin, "middle": (begin + end) // 2, "end": end - 1}[place]
    path.write_bytes(flip_bit_at(good, at))
    offset = begin - len("vic/tim") - 30
    with (
        assert_nothing_written(tmp_path / "o.zip"),
        pytest.raises(BadArchiveError, match=f"data of vic/tim at offset {offset}: ") as error,
    ):
        parazip.merge(tmp_path / "o.zip", [path], check_crc=True)
    assert error.value.member == "vic/tim"
    # Without being asked nobody looks, and what is copied is what stood there.
    assert merge_to_bytes([path])[begin:end] == path.read_bytes()[begin:end]


def claim_size(packed: bytes, data: bytes, size: int | None = None) -> bytes:
    """An archive of one deflated member, whatever its bytes are."""
    length = len(data) if size is None else size
    made = Record(b"m", 0, DEFLATED, DATE, zlib.crc32(data), len(packed), length, FILE, 0)
    return join_records((made, packed), (make_stored_record(b"n", b"1"), b"1"))


def zeros(count: int) -> bytes:
    """A deflate stream of `count` MiB of zeros, made without making them."""
    stream = zlib.compressobj(6, DEFLATED, -15)
    first = stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return first * count + stream.flush()


TO_CHUNK = make_packing_to(MIB)

SMALL_TEXT = LINES[:9000]

GOES_ON, NO_END = ".* goes on where it should end", ".* does not end"

# The compressed bytes, the contents that are claimed, and what is told.
LIES: dict[str, tuple[bytes, bytes, str]] = {
    "ends early": (deflate(SMALL_TEXT)[:-1], SMALL_TEXT, NO_END),
    "ends early, large": (deflate(NOISE[:300_000])[:-1], NOISE[:300_000], NO_END),
    "ends at a chunk": (deflate(NOISE)[:MIB], NOISE, NO_END),
    "goes on": (deflate(SMALL_TEXT) + b"\0", SMALL_TEXT, GOES_ON),
    "goes on, large": (deflate(NOISE[:300_000]) + b"\0", NOISE[:300_000], GOES_ON),
    "goes on in the next chunk": (deflate(TO_CHUNK) + b"\0", TO_CHUNK, GOES_ON),
    "two streams": (deflate(SMALL_TEXT) * 2, SMALL_TEXT, GOES_ON),
    "two streams, one in a chunk": (deflate(TO_CHUNK) * 2, TO_CHUNK, GOES_ON),
    "a byte more": (deflate(SMALL_TEXT + b"x"), SMALL_TEXT, GOES_ON),
    "a byte less": (deflate(SMALL_TEXT[:-1]), SMALL_TEXT, "expected CRC .* of 9000 bytes, found"),
    "1 GiB more": (zeros(1024), b"\0", GOES_ON),
}


@pytest.mark.parametrize("case", LIES)
def test_a_deflate_stream_that_is_not_what_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    packed, data, told = LIES[case]
    path = tmp_path / "s.zip"
    path.write_bytes(claim_size(packed, data))
    inflated, crc32 = [], checksums.crc32

    def counted(data: Any, crc: int = 0) -> int:
        inflated.append(len(data))
        return crc32(data, crc)

    monkeypatch.setattr(checksums, "crc32", counted)
    with (
        assert_nothing_written(tmp_path / "o.zip"),
        pytest.raises(BadArchiveError, match=f"data of m at offset 0: {told}") as error,
    ):
        parazip.merge(tmp_path / "o.zip", [path], check_crc=True)
    assert error.value.member == "m"
    assert sum(inflated) <= len(data) + BLOCK + 1
    monkeypatch.undo()
    copied = merge_to_bytes([path])
    assert copied[31 : 31 + len(packed)] == packed


@pytest.mark.parametrize("kind", ["zeros", "pattern", "repeats"])
@pytest.mark.parametrize("more", [-1, 0, 1, 99, 258, 1000, 10_000])
def test_what_inflates_to_blocks_and_some_bytes_more_is_right(
    tmp_path: Path, kind: str, more: int
) -> None:
    pattern = {"zeros": bytes(9), "pattern": b"abc", "repeats": LINES[:200]}[kind]
    contents = (pattern * (3 * MIB // len(pattern)))[: 2 * BLOCK + more]
    assert len(contents) == 2 * BLOCK + more
    (tmp_path / "s.zip").write_bytes(write_by_zipfile({"m": contents}))
    assert_fresh(merge_to_bytes([tmp_path / "s.zip"], check_crc=True))
