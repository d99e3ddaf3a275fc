"""`parazip info`: what is told of PEXes of all layouts, and of what is none."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip import ParazipError, SourceError
from parazip.pex.info import PexSummary, read_pex
from support.pexes import FAST, make_sources, make_wheel, run_pex

pytest.importorskip("pex.common", reason="pex is not installed")

pytestmark = pytest.mark.once

WHEEL = "thing-1.0-py3-none-any.whl"

LAYOUTS = {
    "zipapp": [],
    "packed": ["--layout", "packed"],
    "loose": ["--layout", "loose"],
    "whole wheels": ["--no-pre-install-wheels"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("info")
    (folder / "wheels").mkdir()
    make_wheel(folder / "wheels")
    make_sources(folder / "sources")

    def build(layout: str) -> Path:
        target = folder / f"{layout}.pex"
        if not target.exists():
            resolved = ["thing", "--no-pypi", "--pre-resolved-dists", "wheels"]
            args = [*resolved, "-D", "sources", "-e", "app", *LAYOUTS[layout], "-o", str(target)]
            constraint = "--interpreter-constraint=CPython>=3.8"
            python = f"--python={sys.executable}"
            done = run_pex(FAST, *args, constraint, python, root=folder / "root", cwd=folder)
            assert done.returncode == 0, done.stderr
        return target

    return build


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_pex_is_made_of(built: Callable[[str], Path], layout: str) -> None:
    found = read_pex(str(built(layout)))
    assert found.layout == ("zipapp" if layout == "whole wheels" else layout)
    assert found.constraints == "CPython>=3.8"
    assert found.pex_info["entry_point"] == "app"
    assert found.zipimport == "any Python"
    assert set(found.groups) >= {WHEEL, ".bootstrap", "the PEX itself"}
    assert sum(sum(group.methods.values()) for group in found.groups.values()) == sum(
        group.members for group in found.groups.values()
    )
    own = found.groups["the PEX itself"]
    assert own.bytes_in > 1_000_000
    assert found.size >= own.bytes_out
    assert found.largest == sorted(found.largest, key=lambda large: -large.bytes_out)
    names = [large.name for large in found.largest]
    assert "pkg/large.txt" in names
    methods = {method for group in found.groups.values() for method in group.methods}
    assert ("deflated" in methods) == (layout != "loose")


def test_sizes_are_those_of_the_zip(built: Callable[[str], Path]) -> None:
    path = built("zipapp")
    found = read_pex(str(path))
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    groups = found.groups.values()
    assert sum(group.members for group in groups) == len(infos)
    assert sum(group.bytes_in for group in groups) == sum(info.file_size for info in infos)
    assert sum(group.bytes_out for group in groups) == sum(info.compress_size for info in infos)
    assert found.size == path.stat().st_size


def test_people_get_tables(built: Callable[[str], Path], tmp_path: Path) -> None:
    done = run_pex([sys.executable, "-m", "parazip", "info"], built("zipapp"), root=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    facts = dict(line.split(None, 1) for line in done.stdout.splitlines()[:7] if line)
    assert facts["layout"] == "zipapp"
    assert facts["interpreters"] == "CPython>=3.8"
    assert facts["mark"].startswith("parazip ")
    assert facts["zipimport"] == "any Python"
    assert WHEEL in done.stdout
    assert "pkg/large.txt" in done.stdout


def test_programs_get_json(built: Callable[[str], Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parazip", "info", "--json"]
    done = run_pex(command, built("packed"), root=tmp_path)
    told = json.loads(done.stdout)
    assert told["layout"] == "packed"
    assert told["groups"][WHEEL]["members"] > 3
    assert told["constraints"] == "CPython>=3.8"
    assert set(told["largest"][0]) == {"name", "bytes_in", "bytes_out"}


def write_pex(
    path: Path, count: int = 0, method: int = zipfile.ZIP_STORED, **info: Any
) -> PexSummary:
    """A PEX in as far as it matters here."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("PEX-INFO", json.dumps(info), zipfile.ZIP_STORED)
        for i in range(count):
            archive.writestr(str(i), b"")
    return read_pex(str(path))


@pytest.mark.parametrize(("count", "any_python"), [(65_534, True), (65_535, False)])
def test_many_members_need_a_new_zipimport(tmp_path: Path, count: int, any_python: bool) -> None:
    found = write_pex(tmp_path / "many.pex", count)
    assert (found.zipimport == "any Python") == any_python
    assert any_python or found.zipimport.startswith("Python 3.13 and newer")


def test_other_methods_need_another_importer(tmp_path: Path) -> None:
    found = write_pex(tmp_path / "bzip2.pex", 1, zipfile.ZIP_BZIP2)
    assert found.zipimport.startswith("none: ")
    assert found.groups["the PEX itself"].methods == {"stored": 1, "method 12": 1}


@pytest.mark.parametrize(
    ("properties", "mark"),
    [({}, "none"), (None, "none"), ({"parallel_zip": "parazip 1.0"}, "parazip 1.0")],
)
def test_the_mark(tmp_path: Path, properties: Any, mark: str) -> None:
    assert write_pex(tmp_path / "a.pex", build_properties=properties).mark == mark


NO_PEX: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "cannot read .*: No such file or directory"),
    "no zip": (lambda path: path.write_bytes(b"#!/bin/sh\n" * 9), "is not a zip archive"),
    "empty": (lambda path: path.write_bytes(b""), "is not a zip archive"),
    "an empty folder": (lambda path: path.mkdir(), "is not a PEX: it has no PEX-INFO"),
    "a zip": (lambda path: zip_of(path, other=b"{}"), "is not a PEX: it has no PEX-INFO"),
    "no JSON": (lambda path: zip_of(path, **{"PEX-INFO": b"{"}), "its PEX-INFO is not JSON"),
    "a list": (lambda path: zip_of(path, **{"PEX-INFO": b"[]"}), "its PEX-INFO is not an object"),
}


def zip_of(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("case", NO_PEX)
def test_what_is_no_pex_is_told_so(tmp_path: Path, case: str) -> None:
    make, told = NO_PEX[case]
    make(tmp_path / "x")
    with pytest.raises(ParazipError, match=told):
        read_pex(str(tmp_path / "x"))


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PEX-INFO").write_text("{}")

    def fail(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", fail)
    with pytest.raises(SourceError, match="Permission denied"):
        read_pex(str(tmp_path))
