"""Other people's readers take what was changed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from support.archives import contents_of
from support.readers import PYTHONS, programs, pythons, run_reader
from support.updating import PROGRAMS, TEXT, plant_dated_files

MODULE = b"VALUE = 'imported from the archive'\n"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An archive of zipfile's that was updated and deleted from, and what it holds."""
    root = tmp_path_factory.mktemp("everything")
    first = {"module_in_zip.py": b"VALUE = 'old'\n", "text": TEXT, "gone": TEXT, "none": b""}
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in first.items():
            archive.writestr(name, data)
        with archive.open("wide", "w", force_zip64=True) as member:
            member.write(TEXT)
    plant_dated_files(
        root / "tree",
        {
            "module_in_zip.py": MODULE,
            "package_in_zip/__init__.py": MODULE,
            "gr\u00fc\u00df": os.urandom(300_000),
        },
    )
    parazip.update(root / "all.zip", ["."], selection=Selection(directory=root / "tree"))
    parazip.delete(root / "all.zip", ["gone"])
    del first["gone"]
    more = {path.relative_to(root / "tree").as_posix(): path for path in root.rglob("tree/**/*")}
    new = {name: path.read_bytes() for name, path in more.items() if path.is_file()}
    return root / "all.zip", {**first, "wide": TEXT, "package_in_zip/": b"", **new}


def test_zipfile_reads_what_was_changed(everything: tuple[Path, dict[str, bytes]]) -> None:
    assert contents_of(everything[0]) == everything[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_test_what_was_changed(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in programs():
        pytest.skip(f"{name} is not installed")
    done = run_reader([programs()[name].command, *PROGRAMS[name], everything[0]])
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower(), done.stdout


READ_ALL = """
import sys, zipfile
assert zipfile.ZipFile(sys.argv[1]).testzip() is None
sys.path.insert(0, sys.argv[1])
import module_in_zip, package_in_zip
assert module_in_zip.VALUE == package_in_zip.VALUE == "imported from the archive"
"""


@pytest.mark.parametrize("name", PYTHONS)
def test_python_reads_and_imports_what_was_changed(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in pythons():
        pytest.skip(f"{name} is not installed")
    done = run_reader([pythons()[name].command, "-c", READ_ALL, everything[0]])
    assert done.returncode == 0, done.stdout
