"""Batches and blocks of files, compressed; and what if a file changes meanwhile."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from parazip.codecs import checksums, deflating
from parazip.codecs.levels import STORE, Coder, Recipe
from parazip.codecs.sizes import BLOCK, CUT_SMALL
from parazip.engine import compress, plan
from parazip.engine.plan import Batch
from parazip.errors import SourceChangedError, SourceError
from parazip.format.records import parse_central_header
from parazip.format.values import DEFLATED, STORED, Record
from parazip.model import File, Member, Tally
from parazip.sources.contents import looks_compressible
from parazip.sources.selection import Selection
from parazip.sources.walk import find_members
from support.paths import replace_file, shrink_file

CODER = Coder("libdeflate", 6)

NOISE = random.Random(3).randbytes(300_000)


def write_and_find(path: Path, contents: bytes) -> File:
    path.write_bytes(contents)
    (member,) = find_members([path], Selection())
    assert isinstance(member.source, File)
    return member.source


def batch_of(*members: Member) -> Batch:
    recipe = Recipe(CODER, CODER, CUT_SMALL)
    return Batch(list(members), recipe, sum(member.size for member in members))


def parse_records(directory: bytes) -> list[Record]:
    out = []
    position = 0
    while position < len(directory):
        record, length = parse_central_header(directory, position)
        out.append(record)
        position += length
    return out


def test_a_part_holds_its_members_and_tells_where(tmp_path: Path) -> None:
    contents = [b"", b"abc" * 1000, NOISE, b"x", b"kept" * 500]
    members = [
        Member(
            f"m{i}", write_and_find(tmp_path / f"m{i}", data) if i % 2 else data, i << 16, i, i == 4
        )
        for i, data in enumerate(contents)
    ]
    part = compress.compress_batch(batch_of(*members))
    assert part is not None
    methods = []
    (joined,) = part.data
    assert isinstance(joined, bytes)
    for member, data, record in zip(members, contents, parse_records(part.directory), strict=True):
        header = joined[record.offset : record.offset + 30]
        assert header[:4] == b"PK\3\4"
        begin = record.offset + 30 + sum(struct.unpack("<2H", header[26:]))
        packed = joined[begin : begin + record.compressed_size]
        unpacked = packed if record.method == STORED else zlib.decompress(packed, -15)
        assert unpacked == data
        assert record.crc == zlib.crc32(data)
        assert (record.name.decode(), record.attributes, record.date) == (
            member.name,
            member.attributes,
            member.date,
        )
        methods.append(record.method)
    assert methods == [STORED, DEFLATED, STORED, STORED, STORED]
    assert part.tallies["libdeflate 6"][:2] == (1, 3000)
    assert part.tallies["stored"] == Tally(4, 302_001, 302_001)


def set_time_to_zero(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def rewrite_in_secret(path: Path) -> None:
    """Other bytes in the same file, and its time put back; once more within one tick of a clock."""
    info = path.stat()
    while path.stat().st_ctime_ns == info.st_ctime_ns:
        with path.open("r+b") as file:
            file.write(b"other")
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def grow_anew(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


CHANGES = [
    (set_time_to_zero, "its modification time and change time are not what they were"),
    (replace_file, "its inode and change time are not what they were"),
    pytest.param(
        rewrite_in_secret,
        "its change time is not what it was",
        marks=pytest.mark.skipif(os.name != "posix", reason="only POSIX tells change times"),
    ),
    (grow_anew, "it had 5000 bytes and has 5004 now"),
    (shrink_file, "it had 5000 bytes and has 4999 now"),
]


@pytest.mark.parametrize(("change", "complaint"), CHANGES)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_a_changed_source_is_an_error(
    tmp_path: Path, change: Callable[[Path], None], complaint: str, cut: bool
) -> None:
    path = tmp_path / "file"
    member = Member("file", write_and_find(path, b"12345" * 1000), 0, 0)
    change(path)
    task = next(plan.cut_into_blocks(member, Coder("isal", 2))) if cut else batch_of(member)
    with pytest.raises(SourceChangedError, match=complaint) as caught:
        compress.compress_block(task) if isinstance(
            task, plan.BlockTask
        ) else compress.compress_batch(task)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_a_source_that_went_is_an_error_with_its_errno(tmp_path: Path, cut: bool) -> None:
    path = tmp_path / "file"
    member = Member("file", write_and_find(path, b"12345"), 0, 0)
    path.unlink()
    task = next(plan.cut_into_blocks(member, STORE)) if cut else batch_of(member)
    with pytest.raises(SourceError, match=f"cannot read {path}: No such file") as caught:
        compress.compress_block(task) if isinstance(
            task, plan.BlockTask
        ) else compress.compress_batch(task)
    assert caught.value.errno == 2


def test_blocks_join_and_carry_their_crc(tmp_path: Path) -> None:
    data = (b"some text, some more text. " * 200_000)[: 2 * BLOCK + 12_345]
    for source in (data, write_and_find(tmp_path / "file", data)):
        member = Member("file", source, 0, 0)
        for coder in (STORE, Coder("isal", 2), Coder("zlib-ng", 5), Coder("zlib", 9)):
            blocks = [compress.compress_block(cut) for cut in plan.cut_into_blocks(member, coder)]
            joined = b"".join(chunk for block in blocks for chunk in block.data)
            assert (joined if coder is STORE else zlib.decompress(joined, -15)) == data
            crc = 0
            for block in blocks:
                crc = checksums.crc32_combine(crc, block.crc, block.size)
            assert crc == zlib.crc32(data)


def test_large_members_are_judged_by_their_contents(tmp_path: Path) -> None:
    for data, verdict in ((NOISE, False), (b"text " * 60_000, True)):
        for source in (data, write_and_find(tmp_path / "file", data)):
            assert looks_compressible(Member("m", source, 0, 0)) is verdict


def test_noise_is_stored_without_being_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = deflating.compress_whole
    seen: list[int] = []

    def watch(coder: Coder, data: bytes) -> object:
        seen.append(len(data))
        return real(coder, data)

    monkeypatch.setattr(deflating, "compress_whole", watch)
    part = compress.compress_batch(batch_of(Member("noise", NOISE, 0, 0)))
    assert part is not None
    assert set(part.tallies) == {"stored"}
    assert sum(seen) <= deflating.SAMPLED
