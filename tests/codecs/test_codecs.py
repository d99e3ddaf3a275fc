"""Codecs, levels and stretches: what is compressed is inflated again, and to the same bytes."""

from __future__ import annotations

import random
import threading
import zlib
from collections.abc import Callable
from typing import get_args
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parazip.codecs import checksums, deflating, inflating
from parazip.codecs.deflating import compress_block, compress_whole, looks_compressible
from parazip.codecs.levels import DEFLATE_STORED, STORE, Coder, choose_recipe
from parazip.codecs.sizes import BLOCK, CUT_FAST, CUT_SMALL, RESTART, WINDOW
from parazip.codecs.table import CODEC_NAMES, CodecName
from support.paths import make_noise

WHOLE = sorted(
    {choose_recipe(level, codec).whole for level in range(1, 10) for codec in CODEC_NAMES}
)

BLOCKS = sorted(
    {choose_recipe(level, codec).block for level in range(1, 10) for codec in CODEC_NAMES}
)

WORDS = [bytes(random.Random(n).choices(b"abcdefgh_", k=n % 9 + 2)) for n in range(500)]


def make_words(size: int, seed: int = 0) -> bytes:
    chosen = random.Random(seed)
    out = bytearray()
    while len(out) < size:
        out += chosen.choice(WORDS) + b" "
    return bytes(out[:size])


@pytest.mark.parametrize("coder", WHOLE, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 100, WINDOW - 1, WINDOW, WINDOW + 1, 200_000])
@pytest.mark.parametrize("make", [make_words, make_noise, bytes], ids=["text", "noise", "zeros"])
def test_whole_members_are_valid_deflate(
    coder: Coder, size: int, make: Callable[[int], bytes]
) -> None:
    data = make(size)
    stream = zlib.decompressobj(-15)
    assert stream.decompress(compress_whole(coder, data)) == data
    assert stream.eof
    assert stream.unused_data == b""


@pytest.mark.once
@pytest.mark.parametrize("coder", [*BLOCKS, DEFLATE_STORED], ids=str)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(
        st.sampled_from([1, 2, 1000, WINDOW - 1, WINDOW, WINDOW + 1, 99_999]),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 5),
)
def test_blocks_join_into_one_stream(coder: Coder, sizes: list[int], seed: int) -> None:
    data = make_words(sum(sizes), seed)
    joined = b""
    start = 0
    for index, size in enumerate(sizes):
        window = data[max(0, start - WINDOW) : start]
        last = index == len(sizes) - 1
        joined += b"".join(compress_block(coder, window, data[start : start + size], start, last))
        start += size
    stream = zlib.decompressobj(-15)
    assert stream.decompress(joined) == data
    assert stream.eof
    assert stream.unused_data == b""


def restarting(coder: Coder, data: bytes, block: int, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A stream of blocks, every second of which begins afresh."""
    monkeypatch.setattr(deflating, "RESTART", 2 * block)
    joined = b""
    for start in range(0, len(data), block):
        window = data[max(0, start - WINDOW) : start]
        last = start + block >= len(data)
        piece = data[start : start + block]
        joined += b"".join(compress_block(coder, window, piece, start, last))
    return joined


def inflate_pieces(*pieces: bytes, size: int) -> bytes | None:
    with mock.patch.object(inflating, "RESTART", size):
        stretch = inflating.inflate_stretch(map(memoryview, pieces))
    if stretch is None:
        return None
    data = b"".join(stretch.pieces)
    assert stretch.crc == zlib.crc32(data)
    assert size == len(data)
    return data


@pytest.mark.parametrize("make", [make_words, make_noise], ids=["text", "noise"])
@pytest.mark.parametrize("coder", [*BLOCKS, DEFLATE_STORED], ids=str)
def test_a_stretch_stands_for_itself(
    coder: Coder, make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = 50_000
    data = make(5 * block + 7)
    joined = restarting(coder, data, block, monkeypatch)
    stream = zlib.decompressobj(-15)
    assert stream.decompress(joined) == data
    assert stream.eof
    first, second, rest = joined.split(deflating.SYNC_MARKER)
    size = 2 * block
    assert inflate_pieces(first + deflating.SYNC_MARKER, size=size) == data[:size]
    assert (
        inflate_pieces(second[:11], second[11:], deflating.SYNC_MARKER, size=size)
        == data[size : 2 * size]
    )
    assert inflate_pieces(first + deflating.SYNC_MARKER, size=size - 1) is None
    assert inflate_pieces(first + deflating.SYNC_MARKER, size=size + 1) is None
    assert inflate_pieces(rest, size=block + 7) is None  # it is the last


def test_where_a_large_member_restarts() -> None:
    data = make_words(RESTART + BLOCK)
    ends = []
    for start in range(0, len(data), BLOCK):
        window = data[max(0, start - WINDOW) : start]
        last = start + BLOCK == len(data)
        made = b"".join(compress_block(Coder("zlib", 1), window, data[start:][:BLOCK], start, last))
        ends.append(made.endswith(deflating.SYNC_MARKER))
    assert ends == [False] * 7 + [True, False]


@pytest.mark.parametrize("distance", [1, 2, 300, WINDOW - 1000])
@pytest.mark.parametrize("before", [0, 1, 257, 5000])
def test_what_refers_to_before_is_no_stretch(distance: int, before: int) -> None:
    window = make_noise(WINDOW)
    own = random.Random(2).randbytes(before)
    known = (window[-distance:] * 300)[:300]
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=window)
    joined = compressor.compress(own + known) + compressor.flush(zlib.Z_SYNC_FLUSH)
    refers = inflate_pieces(joined, size=before + len(known)) is None
    try:
        zlib.decompressobj(-15).decompress(joined)
    except zlib.error:
        assert refers
    else:  # zlib found a match in what is its own, or none
        assert not refers


@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.text("ab", max_size=400).map(str.encode),
        st.integers(0, 400).map(lambda size: b"a" * size),
    ),
    level=st.integers(0, 9),
    strategy=st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED]),
)
@settings(max_examples=60)
def test_what_ends_within_a_block_is_no_stretch(data: bytes, level: int, strategy: int) -> None:
    """Above all where nothing but the code for the block's end is missing, of which the first bits
    may be those that follow."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    joined = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert inflate_pieces(joined, size=len(data)) == data
    complete = len(joined) - len(b"\0\0\0\xff\xff")  # if the block happens to end with a byte
    ends = set()
    for end in range(1, len(joined)):
        sizes = {len(zlib.decompressobj(-15).decompress(joined[: end - less])) for less in (0, 1)}
        ends |= {end for size in sizes if inflate_pieces(joined[:end], size=size) is not None}
    assert ends <= {complete} or level == 0


def test_a_stream_that_has_ended_is_no_stretch() -> None:
    whole = zlib.compress(make_words(1000), 6, -15)
    for more in (b"", b"\0", deflating.SYNC_MARKER, whole):
        assert inflate_pieces(whole + more, size=1000) is None


def test_a_window_saves_what_cutting_would_cost() -> None:
    """Incompressible by itself, known from the window: the second block is next to nothing."""
    half = make_noise(WINDOW // 2)
    for coder in BLOCKS:
        cold = b"".join(compress_block(coder, b"", half, 0, last=True))
        primed = b"".join(compress_block(coder, half, half, len(half), last=True))
        assert len(primed) < len(cold) / 20, coder


def test_stored_blocks_are_the_bytes_themselves() -> None:
    assert compress_block(STORE, b"", b"abc", 0, last=False) == (b"abc",)


@pytest.mark.once
@pytest.mark.parametrize("coder", WHOLE, ids=str)
def test_whole_streams_are_the_same_on_every_thread(coder: Coder) -> None:
    """ISA-L's levels 1 and 2 read an unset register where a stream starts without a dictionary."""
    pieces = [make_words(300 + 7 * n, n) for n in range(400)]
    expected = [bytes(compress_whole(coder, piece)) for piece in pieces]
    results: list[list[bytes]] = [[], [], []]

    def again(result: list[bytes]) -> None:
        result += [bytes(compress_whole(coder, piece)) for piece in pieces]

    threads = [threading.Thread(target=again, args=(result,)) for result in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


@pytest.mark.parametrize("level", [1, 2])
def test_isa_l_never_starts_a_stream_without_a_dictionary(level: int) -> None:
    """The crutch is there: a stored block of one byte (RFC 1951, 3.2.4), then the rest."""
    data = make_words(5000)
    head = b"\0\1\0\xfe\xff" + data[:1]
    coder = Coder("isal", level)
    assert bytes(compress_whole(coder, data)).startswith(head)
    assert b"".join(compress_block(coder, b"", data, 0, last=True)).startswith(head)
    primed = b"".join(compress_block(coder, data, data, len(data), last=True))
    assert not primed.startswith(b"\0\1\0\xfe\xff")


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_every_level_of_every_codec_has_a_recipe(codec: CodecName) -> None:
    for level in range(1, 10):
        made = choose_recipe(level, codec)
        if codec != "auto":
            assert made.whole.codec == codec
        assert made.block.codec != "libdeflate"
        assert made.cut in (CUT_FAST, CUT_SMALL)
    assert choose_recipe(0, codec).whole == STORE


@pytest.mark.parametrize("codec", [name for name in CODEC_NAMES if name != "isal"])
def test_higher_levels_are_smaller(codec: CodecName) -> None:
    """Where they are other levels of the codec. ISA-L's depend on the data: 2 may beat 3."""
    data = make_words(400_000) + make_noise(10_000) + make_words(100_000, 2)
    coders = [choose_recipe(level, codec).whole for level in (1, 6, 9)]
    sizes = [len(compress_whole(coder, data)) for coder in coders]
    assert coders[0] == coders[1] or sizes[0] > sizes[1]
    assert sizes[1] * 1.001 > sizes[2]


def test_codec_names_are_what_the_type_says() -> None:
    assert get_args(CodecName) == CODEC_NAMES


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (make_words(200_000), True),
        (bytes(200_000), True),
        (make_noise(200_000), False),
        (make_noise(100_000) + make_words(100_000), True),
        (make_noise(100) + zlib.compress(make_words(500_000)), False),
    ],
    ids=["text", "zeros", "noise", "half", "deflated"],
)
def test_data_that_is_compressed_already_is_noticed(data: bytes, verdict: bool) -> None:
    looked_at = 0

    def read(start: int, length: int) -> bytes:
        nonlocal looked_at
        looked_at += length
        assert start >= 0
        assert start + length <= len(data)
        return data[start : start + length]

    assert looks_compressible(len(data), read) is verdict
    assert looked_at <= deflating.SAMPLED


@given(st.binary(max_size=6000), st.binary(max_size=6000))
def test_crc_combines(first: bytes, second: bytes) -> None:
    combined = checksums.crc32_combine(checksums.crc32(first), checksums.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)


def test_block_holds_a_window() -> None:
    assert BLOCK >= WINDOW
