"""Copied members of 4 GiB and behind 4 GiB, and archives of many records."""

from __future__ import annotations

import os
import random
import struct
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip.codecs import levels
from parazip.engine import copying
from parazip.engine.plan import CopyBatch
from parazip.format.records import pack_central_header, pack_end_records, pack_local_header
from parazip.format.values import DEFLATED, STORED, Record
from parazip.model import ArchiveMember, File, Member, Range
from parazip.sources import archives, files
from parazip.testing import SparseOutput
from support.copying import (
    DATE,
    DEFLATED_MEMBERS,
    FILE,
    NOISE,
    make_stored_record,
    write_by_zipfile,
)

LIMIT = 0xFFFFFFFF


@pytest.mark.parametrize("offset", [LIMIT - 1, LIMIT, 1 << 32, 1 << 40])
def test_a_copied_member_behind_4_gib(tmp_path: Path, offset: int) -> None:
    (tmp_path / "s.zip").write_bytes(write_by_zipfile(DEFLATED_MEMBERS, zip64=True))
    output = SparseOutput()
    output.seek(offset)
    parazip.merge(output, [tmp_path / "s.zip"])
    with zipfile.ZipFile(output) as archive:
        infos = archive.infolist()
        assert {info.filename: archive.read(info) for info in infos} == DEFLATED_MEMBERS
    assert infos[0].header_offset == offset
    for info in infos:
        output.seek(info.header_offset + 28)
        assert output.read(2) == b"\0\0"
        assert info.extract_version == (45 if info.header_offset >= LIMIT else 20)


def sparse(path: Path, method: int, size: int, compressed_size: int) -> File:
    """An archive of a huge member that is a hole in the file, and of a small one."""
    huge = Record(b"huge", 0, method, DATE, 7, compressed_size, size, FILE, 0)
    with open(path, "wb") as file:
        file.write(pack_local_header(huge, max(size, compressed_size) >= LIMIT))
        begin = file.seek(compressed_size, os.SEEK_CUR)
        small = make_stored_record(b"small", b"1")._replace(offset=begin)
        file.write(pack_local_header(small, False) + b"1")
        directory = pack_central_header(huge) + pack_central_header(small)
        place = file.tell()
        file.write(directory + pack_end_records(2, len(directory), place))
    return files.describe_file(str(path), path.stat())


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 5 << 30])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_copied_member_of_4_gib(tmp_path: Path, method: int, size: int) -> None:
    """Looked at as the part that is to be written: the bytes themselves are no affair of it."""
    packed = size if method == STORED else size // 1000
    archive = sparse(tmp_path / "s.zip", method, size, packed)
    entries = archives.read_entries(archive)
    members = [Member("p/" + e.name, ArchiveMember(archive, e), FILE, DATE) for e in entries]
    part = copying.copy_batch(
        CopyBatch(members, levels.choose_recipe(6, "auto"), False, size + 1, 1)
    )
    assert part is not None
    header, data, rest = part.data
    is_wide = size >= LIMIT
    local = Record(b"p/huge", 0, method, DATE, 7, packed, size, FILE, 0)
    assert header == pack_local_header(local, is_wide)
    assert len(header) == 30 + 6 + 20 * is_wide
    assert data == Range(archive, 30 + 4 + 20 * is_wide, packed)
    begin = len(header) + packed
    small = make_stored_record(b"p/small", b"1")._replace(offset=begin)
    assert rest == pack_local_header(small, False) + b"1"
    assert part.directory == pack_central_header(local) + pack_central_header(small)
    assert part.tallies == {"copied": parazip.Tally(2, size + 1, packed + 1)}


def test_a_copied_member_that_inflates_to_more_than_4_gib(tmp_path: Path) -> None:
    archive = sparse(tmp_path / "s.zip", DEFLATED, LIMIT + 1, 5_000_000)
    output = SparseOutput()
    parazip.merge(output, [archive.path])
    with zipfile.ZipFile(output) as read:
        huge, small = read.infolist()
        assert (huge.file_size, huge.compress_size, huge.CRC) == (LIMIT + 1, 5_000_000, 7)
        assert read.read(small) == b"1"
    assert huge.extra == struct.pack("<2HQ", 1, 8, LIMIT + 1)
    output.seek(0)
    assert output.read(54)[30:] == b"huge" + struct.pack("<2H2Q", 1, 16, LIMIT + 1, 5_000_000)


@pytest.mark.parametrize("seed", range(5))
def test_records_in_any_order_are_copied(tmp_path: Path, seed: int) -> None:
    """Their order in the file and in the directory, and their lengths, are not related."""
    chance = random.Random(seed)
    wanted = {f"{i}": NOISE[: chance.choice((0, 9, 4_000, 4_100, 70_000))] for i in range(300)}
    shuffled = tmp_path / "shuffled.zip"
    with zipfile.ZipFile(shuffled, "w") as archive:
        for name, data in wanted.items():
            archive.writestr(name, data)
        chance.shuffle(archive.filelist)
        order = archive.namelist()
    merged = tmp_path / "merged.zip"
    parazip.merge(merged, [shuffled])
    with zipfile.ZipFile(merged) as archive:
        assert archive.namelist() == order
        assert {name: archive.read(name) for name in order} == wanted
