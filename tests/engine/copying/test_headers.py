"""Copied members have fresh headers and the same compressed bytes."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.format.values import DEFLATED, STORED
from support.archives import join_records
from support.copying import (
    AROUND,
    DEFLATED_MEMBERS,
    DESCRIPTOR,
    FILE,
    FOLDER,
    LINES,
    LINK,
    MOMENT,
    NOISE,
    UTF8,
    assert_fresh,
    make_stored_record,
    merge_to_bytes,
    read_raw_members,
    write_by_zipfile,
)
from support.readers import ENVIRONMENT, programs

STORED_MEMBERS = {
    "empty": b"",
    "one byte": b"1",
    "text.txt": LINES[:5000],
    "folder/": b"",
    "folder/in it": b"inside",
    "gr\u00fc\u00df/\u4e2d\U0001f600": b"named",
    **{f"stored {size}": NOISE[:size] for size in AROUND},
    "last": NOISE[:3000],
}

SOURCES: dict[str, tuple[Mapping[str, bytes], dict[str, Any]]] = {
    "stored": (STORED_MEMBERS, {}),
    "deflated": (DEFLATED_MEMBERS, {}),
    "zip64": (DEFLATED_MEMBERS, {"zip64": True}),
    "zip64, stored": (STORED_MEMBERS, {"zip64": True}),
    "zip64 in the directory": (DEFLATED_MEMBERS, {"extra": struct.pack("<2H", 1, 0)}),
    "descriptors": (DEFLATED_MEMBERS, {"one_way": True}),
    "descriptors, stored": (STORED_MEMBERS, {"one_way": True}),
    "descriptors, zip64": (DEFLATED_MEMBERS, {"one_way": True, "zip64": True}),
    "descriptors, zip64, stored": (STORED_MEMBERS, {"one_way": True, "zip64": True}),
    "extra fields": (DEFLATED_MEMBERS, {"extra": struct.pack("<2HI", 0x5455, 4, 7)}),
    "long extra fields": (STORED_MEMBERS, {"extra": bytes(60_000)}),
    "comments": (DEFLATED_MEMBERS, {"comment": b"PK\1\2 of a comment"}),
    "in front": (STORED_MEMBERS, {"front": b"#!/bin/sh\nexit\n"}),
}


def source_archive(name: str) -> bytes:
    members, options = SOURCES[name]
    return write_by_zipfile(members, STORED if members is STORED_MEMBERS else DEFLATED, **options)


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.zip"
    path.write_bytes(source_archive(request.param))
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_has_what_a_copy_must_not_have(name: str) -> None:
    """Archives that are like ours would show little."""
    options = SOURCES[name][1]
    data = source_archive(name)
    files = [member for member in read_raw_members(data) if not member.info.is_dir()]
    assert {member.info.compress_size for member in files}.issuperset(AROUND)
    is_one_way = options.get("one_way", False)
    for _, local, _, extra, _, _ in files:
        assert bool(local[1] & DESCRIPTOR) == is_one_way
        assert local[5] == 0 or not is_one_way
        assert extra.startswith(b"\1\0\x10\0") == options.get("zip64", False)
        assert extra.endswith(options.get("extra", b""))
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert all(info.comment == options.get("comment", b"") for info in read.infolist())
        assert (read.infolist()[0].header_offset > 0) == ("front" in options)


@pytest.mark.parametrize("check_crc", [False, True])
def test_headers_are_fresh_and_compressed_bytes_the_same(source: Path, check_crc: bool) -> None:
    made = merge_to_bytes([source], check_crc=check_crc)
    assert_fresh(made)
    before, after = read_raw_members(source.read_bytes()), read_raw_members(made)
    for old, new in zip(before, after, strict=True):
        assert old.info.filename == new.info.filename
        assert old.info.compress_type == new.info.compress_type
        assert (old.info.CRC, old.info.file_size) == (new.info.CRC, new.info.file_size)
        assert old.info.external_attr == new.info.external_attr
        assert old.data == new.data


def test_a_copy_of_a_copy_is_the_same(source: Path, tmp_path: Path) -> None:
    parazip.merge(tmp_path / "first.zip", [source])
    parazip.merge(tmp_path / "second.zip", [tmp_path / "first.zip"])
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_the_report_counts_what_was_copied(tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(write_by_zipfile(DEFLATED_MEMBERS))
    report = parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"])
    infos = [member.info for member in read_raw_members((tmp_path / "o.zip").read_bytes())]
    size = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    assert (report.members, report.bytes_in) == (len(infos), size)
    assert report.codecs == {"copied": parazip.Tally(len(infos), size, packed)}
    assert report.bytes_out == (tmp_path / "o.zip").stat().st_size


UNIX, DARWIN, DOS = 3, 19, 0

# Name, flags, system, external attributes; and what they become: name and attributes.
ATTRIBUTES: dict[str, tuple[bytes, int, int, int, str, int]] = {
    "file": (b"a", 0, UNIX, FILE, "a", FILE),
    "executable": (b"a", 0, UNIX, 0o100755 << 16, "a", 0o100755 << 16),
    "setuid": (b"a", 0, UNIX, 0o104711 << 16, "a", 0o104711 << 16),
    "no kind": (b"a", 0, UNIX, 0o600 << 16, "a", 0o100600 << 16),
    "no mode": (b"a", 0, UNIX, 0, "a", FILE),
    "macOS": (b"a", 0, DARWIN, 0o100711 << 16, "a", 0o100711 << 16),
    "DOS": (b"a", 0, DOS, 0x21, "a", FILE),
    "DOS with a mode": (b"a", 0, DOS, 0o100600 << 16, "a", FILE),
    "folder": (b"d/", 0, UNIX, FOLDER, "d/", FOLDER),
    "folder, no bit of DOS": (b"d/", 0, UNIX, 0o040700 << 16, "d/", 0o040700 << 16 | 0x10),
    "folder of DOS": (b"d/", 0, DOS, 0x10, "d/", FOLDER),
    "link": (b"l", 0, UNIX, LINK, "l", LINK),
    "UTF-8": ("\u4e2d".encode(), UTF8, UNIX, FILE, "\u4e2d", FILE),
    "UTF-8 without the flag": ("\u4e2d".encode(), 0, UNIX, FILE, "\u4e2d", FILE),
    "code page 437": (b"gr\x81n", 0, DOS, 0x20, "gr\u00fcn", FILE),
    "ASCII with the flag": (b"a", UTF8, UNIX, FILE, "a", FILE),
}


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_names_and_attributes(tmp_path: Path, case: str) -> None:
    name, flags, system, attributes, new_name, new_attributes = ATTRIBUTES[case]
    data = b"" if name.endswith(b"/") else b"a target"
    path = tmp_path / "s.zip"
    path.write_bytes(
        join_records((make_stored_record(name, data, attributes, flags), data), system=system)
    )
    made = merge_to_bytes([path])
    assert_fresh(made)
    (member,) = read_raw_members(made)
    assert (member.info.filename, member.data) == (new_name, data)
    assert member.info.external_attr == new_attributes
    (member,) = read_raw_members(merge_to_bytes([("p/\u00fc", path)]))
    assert member.info.filename == "p/\u00fc/" + new_name
    assert member.info.flag_bits == UTF8


def test_a_link_is_a_link_when_it_is_taken_out(tmp_path: Path) -> None:
    if "unzip" not in programs():
        pytest.skip("unzip is not installed")
    link = zipfile.ZipInfo("link", MOMENT)
    link.create_system, link.external_attr = 3, LINK
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(link, "target")
    parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"])
    subprocess.run([programs()["unzip"].command, "-q", "o.zip"], cwd=tmp_path, check=True)
    assert os.readlink(tmp_path / "link") == "target"


def plant_members(root: Path) -> Mapping[str, bytes]:
    members = {"a.txt": LINES[:200_000], "d/b": NOISE[:1000], "d/empty": b"", "\u4e2d": b"named"}
    for name, data in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return members


WRITERS: dict[str, list[str]] = {
    "zip": ["zip", "-qr", "../s.zip", "."],
    "zip to a pipe": ["sh", "-c", "zip -qr - . | cat > ../s.zip"],
    "zip, zip64": ["zip", "-qr", "-fz", "../s.zip", "."],
    "7z": ["7z", "a", "-tzip", "-bso0", "../s.zip", "."],
    "bsdtar": ["bsdtar", "-cf", "../s.zip", "--format=zip", "a.txt", "d", "\u4e2d"],
    "jar": ["jar", "cf", "../s.zip", "a.txt", "d", "\u4e2d"],
}


@pytest.mark.parametrize("writer", WRITERS)
def test_archives_by_other_people_are_copied(tmp_path: Path, writer: str) -> None:
    if shutil.which(writer.partition(" ")[0].strip(",")) is None:
        pytest.skip(f"{writer} is not installed")
    members = plant_members(tmp_path / "tree")
    subprocess.run(WRITERS[writer], cwd=tmp_path / "tree", env=ENVIRONMENT, check=True)
    parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"], check_crc=True)
    old, new = (read_raw_members((tmp_path / name).read_bytes()) for name in ("s.zip", "o.zip"))
    assert [member.data for member in old] == [member.data for member in new]
    for member in new:
        assert (member.local_extra, member.info.extra, member.info.comment) == (b"", b"", b"")
        assert not member.info.flag_bits & DESCRIPTOR
    with zipfile.ZipFile(tmp_path / "o.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert {name: found[name] for name in members} == members
