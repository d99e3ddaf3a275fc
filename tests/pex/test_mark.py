"""A PEX that not pex alone has made says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parazip import SourceError
from parazip.pex.info import read_pex
from parazip.pex.mark import SENTINEL, describe_mark, insert_arguments, mark_arguments
from parazip.version import __version__

pytest.importorskip("pex.common", reason="pex is not installed")

from support.patience import HUNG
from support.pexes import EXACT, FAST, make_sources, run_pex

pytestmark = pytest.mark.once

SAID = f"parazip {__version__} has zipped this PEX, not pex alone; PARAZIP_NO_WARNING=1 silences"


def build_marked_pex(folder: Path, name: str, *args: str | Path, command: list[str] = FAST) -> Path:
    sources = folder / "sources"
    if not sources.exists():
        make_sources(sources)
        (sources / "app.py").write_text("print('app')\n")
    pex = folder / name
    arguments = ["--no-pypi", "-D", sources, "-e", "app", "-o", pex, *args]
    done = run_pex(command, *arguments, root=folder / "root")
    assert done.returncode == 0, done.stderr
    return pex


def pex_info(pex: Path) -> dict[str, Any]:
    if pex.is_dir():
        return dict(json.loads((pex / "PEX-INFO").read_bytes()))
    with zipfile.ZipFile(pex) as archive:
        return dict(json.loads(archive.read("PEX-INFO")))


@pytest.mark.parametrize("layout", ["zipapp", "packed"])
def test_the_mark_stands_in_the_build_properties(tmp_path: Path, layout: str) -> None:
    pex = build_marked_pex(
        tmp_path, "a.pex", "--layout", layout, "--zip-level=9", "--build-property", "a=1"
    )
    properties = pex_info(pex)["build_properties"]
    assert properties["parallel_zip"] == {
        "tool": "parazip",
        "version": __version__,
        "mode": "level 9, codec auto",
    }
    assert properties["a"] == 1
    assert read_pex(str(pex)).mark == f"parazip {__version__}, level 9, codec auto"


@pytest.mark.parametrize("layout", ["zipapp", "packed"])
def test_the_mark_may_be_an_empty_file(tmp_path: Path, layout: str) -> None:
    plain = build_marked_pex(tmp_path, "plain.pex", "--layout", layout, "--mark", "none")
    pex = build_marked_pex(tmp_path, "a.pex", "--layout", layout, "--mark", "sentinel")
    assert pex_info(pex)["code_hash"] == pex_info(plain)["code_hash"]
    assert "parallel_zip" not in pex_info(pex)["build_properties"]
    if layout == "packed":
        assert (pex / SENTINEL).read_bytes() == b""
    else:
        with zipfile.ZipFile(plain) as old, zipfile.ZipFile(pex) as new:
            assert {*new.namelist()} == {*old.namelist(), SENTINEL}
            assert new.read(SENTINEL) == b""
    assert read_pex(str(pex)).mark == SENTINEL
    done = run_pex([sys.executable, str(pex)], root=tmp_path / "other root")
    assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr


@pytest.mark.parametrize(
    "options",
    [["--mark=none"], ["--no-compress"], ["--exact"], ["--layout=loose"]],
    ids=" ".join,
)
def test_no_mark_where_it_is_not_wanted_or_nothing_differs(
    tmp_path: Path, options: list[str]
) -> None:
    pex = build_marked_pex(tmp_path, "a.pex", *options)
    assert "parallel_zip" not in pex_info(pex)["build_properties"]
    assert read_pex(str(pex)).mark == "none"


@pytest.mark.parametrize(
    ("layout", "mode"),
    [("zipapp", []), ("packed", []), ("zipapp", ["--venv", "prepend"]), ("packed", ["--sh-boot"])],
)
def test_a_pex_warns_once_when_it_starts_if_that_is_wanted(
    tmp_path: Path, layout: str, mode: list[str]
) -> None:
    if "--venv" in mode and " " in str(tmp_path):
        pytest.skip("pex itself finds no interpreter in a PEX_ROOT with a space")
    preamble = tmp_path / "preamble.py"
    preamble.write_text("from __future__ import print_function\nimport sys; sys.told = 'theirs'")
    args = ["--warn-on-run", "--preamble-file", str(preamble), "--layout", layout, *mode]
    pex = build_marked_pex(tmp_path, "a.pex", *args)
    for _ in range(2):  # the first one installs it
        done = run_pex([sys.executable, str(pex)], root=tmp_path / "runs")
        assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr
        assert done.stderr.count("parazip") == 1
        assert done.stderr.startswith(SAID)
    env = {"PARAZIP_NO_WARNING": "1"}
    quiet = run_pex([sys.executable, str(pex)], root=tmp_path / "runs", env=env)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "app\n", "")


def test_a_pex_does_not_warn_unless_that_is_wanted(tmp_path: Path) -> None:
    pex = build_marked_pex(tmp_path, "a.pex")
    done = run_pex([sys.executable, str(pex)], root=tmp_path / "runs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "app\n", "")


def test_a_preamble_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SourceError, match=r"cannot read .*nothing.py: No such file"),
        mark_arguments("none", "", True, str(tmp_path / "nothing.py")),
    ):
        pass


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8", "3.13"])
def test_the_preamble_is_code_for_all_pythons(version: str) -> None:
    homes = [Path.home() / ".pyenv/versions", Path("/usr/bin"), Path("/usr/local/bin")]
    pythons = [path for home in homes for path in home.glob(f"{version}.*/bin/python")]
    pythons += [path for home in homes for path in home.glob(f"python{version}")]
    if not pythons:
        pytest.skip(f"python{version} is not installed")
    with mark_arguments("none", "", True, "") as (_, path):
        done = subprocess.run(
            [str(pythons[0]), path], capture_output=True, text=True, check=False, timeout=HUNG
        )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(SAID)


def test_what_marks_lie_in_is_gone_afterwards() -> None:
    with mark_arguments("sentinel", "", True, "") as (_, root, _, preamble):
        assert os.listdir(root) == [SENTINEL]
        assert os.path.getsize(preamble) > 100
    assert not os.path.exists(root)
    assert not os.path.exists(preamble)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("x", "y")),
        (["a", "b"], ("a", "b", "x", "y")),
        (["a", "--", "b"], ("a", "x", "y", "--", "b")),
        (["--", "--"], ("x", "y", "--", "--")),
    ],
)
def test_marks_stand_last_but_before_two_dashes(
    arguments: list[str], expected: tuple[str, ...]
) -> None:
    assert insert_arguments(arguments, ["x", "y"]) == expected


@pytest.mark.parametrize(
    ("properties", "has_sentinel", "expected"),
    [
        (None, False, "none"),
        ({}, True, SENTINEL),
        ("text", False, "none"),
        ({"parallel_zip": {"tool": "a", "version": "2", "mode": "m"}}, False, "a 2, m"),
        ({"parallel_zip": {}}, False, "? ?, ?"),
        ({"parallel_zip": "yes"}, False, "yes"),
    ],
)
def test_what_is_told_of_a_mark(properties: object, has_sentinel: bool, expected: str) -> None:
    assert describe_mark({"build_properties": properties}, has_sentinel) == expected


@pytest.mark.parametrize(
    "options",
    [["--mark=sentinel"], ["--warn-on-run"], ["--zip-level=6"], ["--zip-codec", "zlib"]],
    ids=" ".join,
)
def test_exact_bears_nothing_that_changes_bytes(tmp_path: Path, options: list[str]) -> None:
    done = run_pex(EXACT, *options, "-o", "a.pex", root=tmp_path / "root", cwd=tmp_path)
    assert done.returncode == 2
    name = options[0].partition("=")[0]
    assert f"{name} changes the bytes that --exact keeps; leave one out" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mark_without_files_leaves_nothing_behind_even_if_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who removes a folder can be killed before it does so."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for kind in ("build-property", "none"):
        with mark_arguments(kind, "level 6", False, "") as arguments:
            assert os.listdir(tmp_path) == []
        assert len(arguments) == (2 if kind == "build-property" else 0)
    with mark_arguments("sentinel", "level 6", False, ""):
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []
