"""When something goes wrong inside of pex."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from parazip import Report, Settings, SourceError
from parazip.engine import assembly
from parazip.pex import inside, zipper
from support.pexes import assert_same_zip, make_sources, plain_way, read_before_the_zip, run_pex

pytest.importorskip("pex.common", reason="pex is not installed")

import pex.common as common

pytestmark = pytest.mark.once


@pytest.fixture
def chroot(tmp_path: Path) -> Any:
    """A pex's chroot with some files, as `PEXBuilder` fills it."""
    chroot = common.Chroot(str(tmp_path / "chroot"))
    chroot.write(b"print(1)\n" * 100, "__main__.py")
    chroot.write(b"data", "pkg/data.txt")
    return chroot


def zip_it(chroot: Any, path: Path, mode: str = "a", **more: Any) -> list[Report]:
    """What `PEXBuilder._build_zipapp` does, inside the seam."""
    way = dataclasses.replace(plain_way(), settings=Settings(jobs=1), reports=[])
    if mode == "a":
        path.write_bytes(b"#!/usr/bin/env python\n")
    with inside.making_zips_fast(way):
        chroot.zip(str(path), mode=mode, deterministic=True, **more)
    return [report for report, _ in way.reports]


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_chroot_is_zipped_as_pex_does(chroot: Any, tmp_path: Path, mode: str) -> None:
    expected = tmp_path / "stock.zip"
    if mode == "a":
        expected.write_bytes(b"#!/usr/bin/env python\n")
    chroot.zip(str(expected), mode=mode, deterministic=True)
    (report,) = zip_it(chroot, tmp_path / "fast.zip", mode)
    assert_same_zip(expected, tmp_path / "fast.zip")
    assert read_before_the_zip(expected) == read_before_the_zip(tmp_path / "fast.zip")
    assert report.members == 3
    assert report.archive == str(tmp_path / "fast.zip")


def test_archives_that_are_read_are_none_of_our_business(chroot: Any, tmp_path: Path) -> None:
    zip_it(chroot, tmp_path / "out.zip")
    way = plain_way()
    with inside.making_zips_fast(way), common.open_zip(str(tmp_path / "out.zip")) as made:
        assert made.namelist() == ["__main__.py", "pkg/", "pkg/data.txt"]
    assert way.reports == []


def test_the_seam_is_closed_afterwards(chroot: Any, tmp_path: Path) -> None:
    before = common.open_zip
    with inside.making_zips_fast(plain_way()):
        assert common.open_zip is not before
    assert common.open_zip is before
    with pytest.raises(KeyboardInterrupt), inside.making_zips_fast(plain_way()):
        raise KeyboardInterrupt
    assert common.open_zip is before


@pytest.mark.parametrize("error", [SourceError("no"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_an_error_while_writing_leaves_no_file_and_an_open_zip_of_pex_s_own(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> Report:
        raise error

    before = common.open_zip
    monkeypatch.setattr(zipper, "assemble", fail)
    with pytest.raises(type(error)):
        zip_it(chroot, tmp_path / "out.pex~")
    assert common.open_zip is before
    assert os.listdir(tmp_path) == ["chroot"]


def test_a_file_that_vanishes_leaves_no_file(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assemble = assembly.assemble

    def late(*args: Any, **more: Any) -> Report:
        os.unlink(os.path.join(chroot.chroot, "pkg/data.txt"))
        return assemble(*args, **more)

    monkeypatch.setattr(zipper, "assemble", late)
    with pytest.raises(SourceError, match=r"cannot read .*pkg/data.txt: No such file"):
        zip_it(chroot, tmp_path / "out.pex~")
    assert os.listdir(tmp_path) == ["chroot"]
    assert threading.active_count() == 1


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_an_error_inside_pex_is_told_clearly_and_leaves_no_pex(
    tmp_path: Path, existing: bool
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    if existing:
        (work / "out.pex").write_bytes(b"old pex")
    sources = make_sources(tmp_path / "sources")
    code = (
        "import sys, parazip.pex.zipper as zipper\n"
        "from parazip import SourceChangedError\n"
        "def fail(*args, **more):\n"
        "    raise SourceChangedError('app.py changed while it was read')\n"
        "zipper.assemble = fail\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "pex"]
    args = ["--no-pypi", "-D", str(sources), "-e", "app", "-o", str(work / "out.pex")]
    done = run_pex(command, *args, root=tmp_path / "root")
    assert done.returncode == 1
    assert "app.py changed while it was read" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(work) == (["out.pex"] if existing else [])
    if existing:
        assert (work / "out.pex").read_bytes() == b"old pex"
