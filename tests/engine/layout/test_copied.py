"""Copied members are aligned anew, and those that stay as they were."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from parazip.format.records import ALIGN_TAG
from parazip.model import Member
from parazip.output.stream import Pipe
from support.archives import contents_of
from support.layout import (
    DATE,
    DEFLATED,
    FAST,
    FILE,
    NOISE,
    SPREADSHEET,
    STORED,
    TEXT,
    assert_aligned,
    create_bytes,
    create_on_pipe,
    find_members_in,
)
from support.patience import HUNG
from support.readers import programs, run_reader


def test_copied_members_get_padding_anew(tree: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{n}.zip" for n in (1, 2, 3))
    first.write_bytes(create_bytes(tree, store=("*.jar",), align=((16, "*"),)))
    parazip.merge(second, [first], None, Selection(align=((512, "*"),)), prepend=b"#!x\n")
    kept = parazip.merge(third, [second], prepend=b"#!longer\n")
    assert kept.aligned == 0  # as nobody has asked for it
    found = find_members_in(second.read_bytes())
    for name, member in find_members_in(first.read_bytes()).items():
        assert found[name].method == member.method
        if member.method == STORED:
            assert_aligned(found[name], 512)
        else:
            assert not found[name].extra
    for member in find_members_in(third.read_bytes()).values():
        if member.method == STORED:
            assert_aligned(member, 512)
    assert contents_of(third.read_bytes()) == contents_of(first.read_bytes())
    parazip.merge(second, [third], None, Selection(align=((1, "*"),)))
    parazip.merge(third, [second])
    assert not any(member.extra for member in find_members_in(third.read_bytes()).values())


@pytest.fixture
def aligned(tree: Path, tmp_path: Path) -> Path:
    """An archive of the tree whose stored members are aligned, jars more than others."""
    path = tmp_path / "a.zip"
    path.write_bytes(create_bytes(tree, store=("*.jar",), align=((64, "*"), (4096, "*.jar"))))
    return path


def assert_still_aligned(path: Path, *but: str) -> None:
    stored = 0
    for name, member in find_members_in(path.read_bytes()).items():
        if name not in but and member.method == STORED:
            assert_aligned(member, 4096 if name.endswith(".jar") else 64)
            stored += 1
    assert stored > 5


@pytest.mark.parametrize("change", ["update", "delete", "merge", "checked", "a pipe"])
def test_members_that_stay_stay_aligned(
    tree: Path, tmp_path: Path, aligned: Path, change: str
) -> None:
    (tmp_path / "b.txt").write_bytes(b"what is new is aligned if that is asked for")
    if change == "update":
        selection = Selection(directory=tmp_path)
        report = parazip.update(aligned, ["b.txt"], None, selection, shebang="/bin/sh")
    elif change == "delete":
        report = parazip.delete(aligned, ["a.txt", "noise.bin"])
    elif change == "a pipe":
        file = io.BytesIO()
        report = parazip.merge(Pipe(file, "-"), [aligned], prepend=b"#!/bin/sh\n")
        aligned.write_bytes(file.getvalue())
    else:
        is_checked = change == "checked"
        report = parazip.merge(aligned, [("n", aligned)], check_crc=is_checked, prepend=b"#!\n")
    assert_still_aligned(aligned, "b.txt")
    assert report.notes == ()
    assert report.aligned == 0


def test_a_multiple_that_is_asked_for_counts_more_than_one_that_is_kept(aligned: Path) -> None:
    report = parazip.merge(aligned, [aligned], None, Selection(align=((32, "lib/*"), (8, "a.txt"))))
    found = find_members_in(aligned.read_bytes())
    assert_aligned(found["lib/one.jar"], 32)
    assert_aligned(found["lib/deep/"], 32)
    assert_aligned(found["noise"], 64)
    assert report.aligned == sum(
        name.startswith("lib/") and name != "lib/" and member.method == STORED
        for name, member in found.items()
    )
    assert report.notes == (
        "compressed members are not aligned: 2 of the 5 that were to be; --store keeps files as "
        "they are",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="helpers start sooner where they are forked")
def test_helpers_keep_alignment(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for number in range(1500):
        (tree / str(number)).write_bytes(NOISE[number : number + 50])
    chosen = Selection(directory=tree, align=((16, "*7*"),))
    parazip.create(tmp_path / "a.zip", ["."], None, chosen)
    (tree / "new").write_bytes(b"new")
    made = []
    for jobs in (1, 2):
        (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes())
        command = [sys.executable, "-m", "parazip", "update", "-q", "-j", str(jobs), "b.zip"]
        done = [*command, "--prepend", "t/new", "-C", "t", "."]
        subprocess.run(done, cwd=tmp_path, check=True, timeout=HUNG)
        made.append((tmp_path / "b.zip").read_bytes())
    assert made[0] == made[1]
    for name, member in find_members_in(made[0]).items():
        if "7" in name:
            assert_aligned(member, 16)
        else:
            assert not member.extra


def padded_by_hand(field: bytes, begin: int) -> bytes:
    """An archive of one stored member with an extra field, its contents at a place in the file."""
    info = zipfile.ZipInfo("a", (2021, 3, 4, 5, 6, 8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, b"contents")
    data = file.getvalue()
    front = bytes(begin - 31 - len(field))
    local = data[:28] + struct.pack("<H", len(field)) + data[30:31] + field + data[31:39]
    directory = bytearray(data[39:-22])
    struct.pack_into("<I", directory, 42, len(front))
    end = bytearray(data[-22:])
    struct.pack_into("<I", end, 16, len(front) + len(local))
    return b"#" * len(front) + local + bytes(directory) + bytes(end)


FIELDS = {
    "true": (struct.pack("<3H", ALIGN_TAG, 2, 4), 400, 4),
    "behind another": (struct.pack("<2HI3HH", 0x5455, 4, 0, ALIGN_TAG, 4, 16, 0), 400, 16),
    "not true": (struct.pack("<3H", ALIGN_TAG, 2, 4096), 400, 0),
    "no power of two": (struct.pack("<3H", ALIGN_TAG, 2, 5), 400, 0),
    "none": (struct.pack("<3H", ALIGN_TAG, 2, 0), 400, 0),
    "one": (struct.pack("<3H", ALIGN_TAG, 2, 1), 400, 0),
    "more than we write": (struct.pack("<3H", ALIGN_TAG, 2, 65535), 2 * 65535, 0),
    "without a number": (struct.pack("<2H", ALIGN_TAG, 0), 400, 0),
    "in another field": (struct.pack("<2H3H", 0x5455, 6, ALIGN_TAG, 2, 4), 400, 0),
    "zeros, as zipalign has them": (bytes(3), 400, 0),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_multiple_is_kept_where_it_is_told_and_true(tmp_path: Path, case: str) -> None:
    """What is not would let a few bytes of claims make many of padding."""
    field, begin, multiple = FIELDS[case]
    path = tmp_path / "a.zip"
    path.write_bytes(padded_by_hand(field, begin))
    parazip.merge(tmp_path / "b.zip", [path], prepend=b"odd")
    found = find_members_in((tmp_path / "b.zip").read_bytes())["a"]
    if multiple:
        assert_aligned(found, multiple)
    else:
        assert not found.extra
    assert contents_of((tmp_path / "b.zip").read_bytes()) == {"a": b"contents"}


def test_a_mimetype_that_was_aligned_loses_its_field(tmp_path: Path) -> None:
    data = padded_by_hand(struct.pack("<3H", ALIGN_TAG, 2, 4), 400)
    (tmp_path / "a.zip").write_bytes(data)
    parazip.delete(tmp_path / "a.zip", ["a"])
    name = tmp_path / "mimetype"
    name.write_bytes(SPREADSHEET)
    made = [Member("x", b"x", FILE, DATE, align=64), Member("mimetype", b"y", FILE, DATE, align=4)]
    parazip.write(tmp_path / "a.zip", made)
    parazip.delete(tmp_path / "a.zip", ["x"])
    found = find_members_in((tmp_path / "a.zip").read_bytes())["mimetype"]
    assert (found.extra, found.begin) == ({}, 38)


@pytest.mark.skipif(shutil.which("zipalign") is None, reason="there is no zipalign here")
def test_zipalign_finds_nothing_to_align_after_a_change(tree: Path, tmp_path: Path) -> None:
    (tree / "lib" / "x.so").write_bytes(NOISE[:70_000])
    path = tmp_path / "a.apk"
    align = ((4, "*"), (16384, "*.so"))
    path.write_bytes(create_bytes(tree, store=("*.so", "*.jar"), align=align))
    parazip.delete(path, ["a.txt", "lib/deep/"])
    (tree / "lib" / "new").write_bytes(b"1")
    selection = Selection(directory=tree, align=align)
    parazip.update(path, ["lib/new"], None, selection)
    done = run_reader(["zipalign", "-c", "-v", "-p", "4", path])
    assert done.returncode == 0, done.stdout
    assert find_members_in(path.read_bytes())["lib/x.so"].begin % 16384 == 0


@pytest.mark.parametrize("paths", [["."], ["noise", "lib"]])
def test_an_update_of_what_is_aligned_already_writes_nothing(
    tree: Path, aligned: Path, paths: list[str]
) -> None:
    (tree / "mimetype").write_bytes(SPREADSHEET)
    chosen = Selection(directory=tree, store=("*.jar",), align=((64, "*"), (4096, "*.jar")))
    parazip.create(aligned, ["."], FAST, chosen)
    before = aligned.stat().st_ino, aligned.read_bytes()
    assert parazip.update(aligned, paths, FAST, chosen).changes == {
        "added": 0,
        "changed": 0,
        "deleted": 0,
    }
    assert (aligned.stat().st_ino, aligned.read_bytes()) == before
    more = replace(chosen, align=((128, "noise"), (64, "*"), (4096, "*.jar")))
    report = parazip.update(aligned, paths, FAST, more)
    is_new = find_members_in(before[1])["noise"].begin % 128 != 0
    assert report.changes == {"added": 0, "changed": int(is_new), "deleted": 0}
    assert find_members_in(aligned.read_bytes())["noise"].begin % 128 == 0
    assert parazip.update(aligned, paths, FAST, more).changes == dict.fromkeys(report.changes, 0)


def test_an_update_tells_of_compressed_members_that_are_not_aligned(
    tree: Path, aligned: Path
) -> None:
    (tree / "new.txt").write_bytes(TEXT)
    chosen = Selection(directory=tree, align=((64, "new.txt"),))
    assert "compressed members are not aligned: 1 of the 1" in " ".join(
        parazip.update(aligned, ["new.txt"], FAST, chosen).notes
    )


@pytest.mark.parametrize("check_crc", [False, True])
def test_copying_and_compressing_side_by_side(tree: Path, tmp_path: Path, check_crc: bool) -> None:
    (tmp_path / "a.zip").write_bytes(create_bytes(tree, level=0))
    file = io.BytesIO()
    chosen = Selection(align=((64, "noise*"), (8, "lib/*")))
    sources = [("one", tmp_path / "a.zip"), ("two", tree), ("three", tmp_path / "a.zip")]
    parazip.merge(Pipe(file, "-"), sources, FAST, chosen, check_crc=check_crc)
    found = find_members_in(file.getvalue())
    for top in ("one", "two", "three"):
        assert_aligned(found[f"{top}/noise"], 64)
        assert_aligned(found[f"{top}/noise.bin"], 64)
        assert_aligned(found[f"{top}/lib/deep/"], 8)
        assert not found[f"{top}/empty"].extra
    assert found["one/lib/one.jar"].begin % 8 == 0
    assert found["two/lib/one.jar"].method == DEFLATED


def test_what_is_aligned_can_be_merged(tree: Path, tmp_path: Path) -> None:
    """The strict reader takes padding for what it is."""
    path = tmp_path / "a.zip"
    path.write_bytes(create_bytes(tree, store=("*.jar",), align=((4096, "*"),)))
    parazip.merge(tmp_path / "b.zip", [path], check_crc=True)
    assert contents_of((tmp_path / "b.zip").read_bytes()) == contents_of(path.read_bytes())


@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("name", programs())
def test_readers_read_what_is_aligned(tree: Path, tmp_path: Path, name: str, output: str) -> None:
    make = create_bytes if output == "file" else create_on_pipe
    path = tmp_path / "a.zip"
    path.write_bytes(make(tree, store=("*.jar",), align=((4096, "lib/*"), (4, "*"))))
    out = tmp_path / "out"
    out.mkdir()
    reader = programs()[name].command
    commands: dict[str, list[str | Path]] = {
        "unzip": [reader, "-q", path],
        "7z": [reader, "x", path],
        "bsdtar": [reader, "-xf", path],
        "jar": [reader, "--extract", "--file", path],
    }
    done = run_reader(commands[name], cwd=out)
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower()
    there = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert there == {
        str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()
    }


@pytest.mark.skipif(shutil.which("zipalign") is None, reason="there is no zipalign here")
def test_zipalign_finds_nothing_to_align(tree: Path, tmp_path: Path) -> None:
    (tree / "lib" / "x.so").write_bytes(NOISE[:70_000])
    path = tmp_path / "a.apk"
    align = ((4, "*"), (16384, "*.so"))
    path.write_bytes(create_bytes(tree, store=("*.so", "*.jar")))
    assert run_reader(["zipalign", "-c", "-p", "4", path]).returncode == 1
    for made in (
        create_bytes(tree, store=("*.so", "*.jar"), align=align),
        create_on_pipe(tree, align=align),
    ):
        path.write_bytes(made)
        done = run_reader(["zipalign", "-c", "-v", "-p", "4", path])
        assert done.returncode == 0, done.stdout
        assert "lib/x.so (OK)" in done.stdout
    parazip.merge(path, [path], None, Selection(align=align))
    assert run_reader(["zipalign", "-c", "-p", "4", path]).returncode == 0
