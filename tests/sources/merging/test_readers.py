"""Other people's readers take what was merged."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path

import pytest

import parazip
from parazip import Settings
from parazip.sources.contents import RANGE
from support.archives import contents_of
from support.merging import DEFLATED, STORED, TEXT, write_archive
from support.paths import list_below, plant_files
from support.readers import PYTHONS, programs, pythons, run_reader
from support.streams import OneWayBytes

MODULE = b"VALUE = 'imported from the archive'\n"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An archive of all kinds of sources, and what it holds."""
    root = tmp_path_factory.mktemp("everything")
    noise = os.urandom(RANGE + 1)
    plain = {"module_in_zip.py": MODULE, "stored/": b"", "stored/\u4e2d\U0001f600": TEXT}
    write_archive(root / "stored.zip", {**plain, "noise": noise}, STORED)
    write_archive(
        root / "deflated.zip", {"folder/text": TEXT * 100, "folder/noise": noise, "none": b""}
    )
    with zipfile.ZipFile(root / "zip64.zip", "w", DEFLATED) as archive:
        with archive.open("wide", "w", force_zip64=True) as member:
            member.write(TEXT)
        archive.comment = b"a comment"
    streamed = OneWayBytes()
    with zipfile.ZipFile(streamed, "w", DEFLATED) as archive:
        archive.writestr("streamed", TEXT)
        archive.writestr("streamed noise", noise)
    (root / "pipe.zip").write_bytes(streamed.getvalue())
    plant_files(
        root / "tree", {"package_in_zip/__init__.py": MODULE, "large": TEXT * 30, "e/": b""}
    )
    parazip.merge(
        root / "all.zip",
        [
            root / "stored.zip", ("deflated", root / "deflated.zip"), root / "zip64.zip",
            root / "tree", ("gr\u00fc\u00df", root / "pipe.zip"),
        ],
        Settings(level=1),
    )  # fmt: skip
    return root / "all.zip", {
        **plain, "noise": noise, "deflated/folder/text": TEXT * 100, "deflated/folder/noise": noise,
        "deflated/none": b"", "wide": TEXT, "package_in_zip/__init__.py": MODULE,
        "package_in_zip/": b"", "large": TEXT * 30, "e/": b"", "gr\u00fc\u00df/streamed": TEXT,
        "gr\u00fc\u00df/streamed noise": noise,
    }  # fmt: skip


def test_zipfile_reads_what_was_merged(everything: tuple[Path, dict[str, bytes]]) -> None:
    assert contents_of(everything[0]) == everything[1]


PROGRAMS = {
    "unzip": (["-t"], []),
    "7z": (["t"], ["Everything is Ok"]),
    "bsdtar": (["-tvf"], []),
    "jar": (["tf"], []),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_test_and_take_out_what_was_merged(
    tmp_path: Path, everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in programs():
        pytest.skip(f"{name} is not installed")
    program = programs()[name].command
    path, members = everything
    options, told = PROGRAMS[name]
    done = run_reader([program, *options, path])
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower(), done.stdout
    assert all(text in done.stdout for text in told), done.stdout
    take_out = {"unzip": "-q", "7z": "x", "bsdtar": "-xf", "jar": "xf"}[name]
    done = run_reader([program, take_out, path], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    files = {name: data for name, data in list_below(tmp_path).items() if data is not None}
    assert files == {name: data for name, data in members.items() if not name.endswith("/")}


READ_ALL = """
import sys, zipfile, zlib
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
sys.path.insert(0, sys.argv[1])
import module_in_zip, package_in_zip
assert type(module_in_zip.__loader__).__name__ == "zipimporter", module_in_zip.__loader__
print(sorted(zlib.crc32(archive.read(name)) & 0xFFFFFFFF for name in archive.namelist()))
"""


@pytest.mark.parametrize("name", PYTHONS)
def test_python_reads_and_imports_what_was_merged(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in pythons():
        pytest.skip(f"{name} is not installed")
    path, members = everything
    done = run_reader([pythons()[name].command, "-c", READ_ALL, path])
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.replace("L", "")) == sorted(map(zlib.crc32, members.values()))
