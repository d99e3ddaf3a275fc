"""The way out: pex by its command line alone, other releases of it, and programs that are pex."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parazip.pex import outside
from parazip.pex.info import read_pex, read_pex_info

pytest.importorskip("pex.common", reason="pex is not installed")

from pex.version import __version__ as pex_version

from support.patience import HUNG
from support.pexes import (
    EXACT,
    FAST,
    NAME,
    STOCK,
    UNMARKED,
    assert_same_zip,
    list_files,
    make_deflated_wheel,
    make_sources,
    make_wheel,
    run_pex,
    write_pex_program,
)

pytestmark = pytest.mark.once

RELEASES = {"2.33.0": False, "2.50.0": False, "2.60.2": True, "2.76.0": True}
"""Older releases of pex, and whether parazip fits into their inside."""


def release(version: str) -> Path:
    """The folder of an older release of pex; installed once."""
    folder = Path(sys.prefix) / "older-pex" / version
    if not (folder / "pex").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
        done = subprocess.run(
            [*command, str(folder), f"pex=={version}"],
            capture_output=True,
            text=True,
            timeout=HUNG,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"pex {version} cannot be installed: {done.stderr[-200:]}")
    return folder


class WorkOutside:
    """A folder with sources and a wheel, and PEXes made of them."""

    def __init__(self, folder: Path, release: Path | None = None) -> None:
        self.folder = folder
        self.env = {} if release is None else {"PYTHONPATH": str(release)}
        self.root = folder / "root"
        self.said = ""
        (folder / "wheels").mkdir()
        make_wheel(folder / "wheels")
        make_sources(folder / "sources")
        self.out = folder / "out"
        self.out.mkdir()

    def build(self, command: list[str], name: str, *args: str) -> Path:
        pex = self.out / name
        wheels = ["--no-pypi", "--pre-resolved-dists", str(self.folder / "wheels"), "thing"]
        inputs = [*wheels, "-D", str(self.folder / "sources"), "-e", "app"]
        # Zips of a packed PEX are cached here: who comes second would copy the first's.
        for cached in ("packed_wheels", "bootstrap_zips"):
            shutil.rmtree(self.root / cached, ignore_errors=True)
        done = run_pex(command, *inputs, "-o", pex, *args, root=self.root, env=self.env)
        assert done.returncode == 0, done.stderr
        assert done.stdout in ("", f"{pex}\n")  # old ones do not tell
        self.said = done.stderr
        return pex


@pytest.mark.parametrize(
    ("version", "layout"),
    [
        ("2.33.0", "zipapp"),
        pytest.param("2.50.0", "zipapp", marks=pytest.mark.slow),
        pytest.param("2.60.2", "zipapp", marks=pytest.mark.slow),
        ("2.76.0", "zipapp"),
        pytest.param("2.50.0", "packed", marks=pytest.mark.slow),
        ("2.76.0", "packed"),
    ],
)
def test_older_releases(tmp_path: Path, version: str, layout: str) -> None:
    if sys.version_info >= (3, 13) and version == "2.33.0":
        pytest.skip("pex 2.33 knows no Python 3.13")
    work = WorkOutside(tmp_path, release(version))
    stock = work.build(STOCK, "stock.pex", "--layout", layout)
    fast = work.build(UNMARKED, "fast.pex", "--layout", layout)
    fits = RELEASES[version]
    line = f"parazip: pex {version} does not fit: "
    assert work.said.startswith(line) == (not fits)
    exact = work.build(EXACT, "exact.pex", "--layout", layout)
    alone = "pex alone makes this PEX: it is so old that it compresses even folders"
    assert (alone in work.said) == (version == "2.33.0")
    if layout == "packed":
        assert list_files(exact) == list_files(stock)
        assert list_files(fast).keys() == list_files(stock).keys()
        assert_same_zip(stock / ".bootstrap", fast / ".bootstrap")
    else:
        assert exact.read_bytes() == stock.read_bytes()
        with zipfile.ZipFile(stock) as old, zipfile.ZipFile(fast) as new:
            assert new.namelist() == old.namelist()
            assert new.testzip() is None
            for name in new.namelist():
                assert new.read(name) == old.read(name)
        marked = work.build(FAST, "fast.pex")
        knows_properties = version == "2.76.0"
        mark = read_pex(str(marked)).mark
        assert mark.startswith("parazip " if knows_properties else ".parallel")
    assert sorted(os.listdir(work.out)) == ["exact.pex", "fast.pex", "stock.pex"]
    done = run_pex([sys.executable, str(fast)], root=tmp_path / "boots")
    assert (done.returncode, done.stdout) == (0, "app thing\n"), done.stderr


@pytest.fixture
def program(tmp_path: Path) -> str:
    return write_pex_program(tmp_path / "my pex")


VARIANTS: dict[str, list[str]] = {
    "plain": [],
    "packed": ["--layout", "packed"],
    "sh-boot": ["--sh-boot"],
    "venv": ["--venv", "prepend"],
    "packed sh-boot": ["--layout", "packed", "--sh-boot"],
}


@pytest.mark.parametrize(
    "variant",
    [
        "plain",
        "packed",
        "venv",
        *(pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS if "sh" in v),
    ],
)
def test_a_program_makes_the_same_pex(tmp_path: Path, program: str, variant: str) -> None:
    work = WorkOutside(tmp_path)
    options = VARIANTS[variant]
    stock = work.build(STOCK, "a.pex", *options)
    stock.rename(tmp_path / "stock.pex")
    stock = tmp_path / "stock.pex"
    exact = work.build([*EXACT, "--pex-binary", program], "a.pex", *options)
    if stock.is_dir():
        assert list_files(exact) == list_files(stock)
    else:
        assert exact.read_bytes() == stock.read_bytes()
        assert exact.stat().st_mode == stock.stat().st_mode
    fast = work.build([*UNMARKED, "--pex-binary", program], "a.pex", *options)
    assert "a.pex: " in work.said or "2 zips: " in work.said
    if not stock.is_dir():
        assert_same_zip(stock, fast)
    assert os.listdir(work.out) == ["a.pex"]
    done = run_pex([sys.executable, str(fast)], root=tmp_path / "boots")
    assert (done.returncode, done.stdout) == (0, "app thing\n"), done.stderr


def test_what_a_program_installed_is_copied_from_its_wheel(tmp_path: Path, program: str) -> None:
    make_deflated_wheel(tmp_path)
    args = ["--no-pypi", "--pre-resolved-dists", str(tmp_path), "thing"]
    args += ["-o", str(tmp_path / "a.pex")]
    done = run_pex([*UNMARKED, "--pex-binary", program, "--explain"], *args, root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(NAME))
    assert row.split()[1] == "copied"
    stock = tmp_path / "stock.pex"
    assert run_pex(STOCK, *args, "-o", stock, root=tmp_path / "root").returncode == 0
    assert_same_zip(stock, tmp_path / "a.pex")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--layout=loose"], "a loose PEX is not a zip"),
        (["--no-compress"], "nothing is compressed"),
        (["--seed"], "--seed is done with the finished one"),
    ],
    ids=["loose", "no-compress", "seed"],
)
def test_what_a_program_makes_alone(
    tmp_path: Path, program: str, options: list[str], reason: str
) -> None:
    args = ["--no-pypi", "-o", str(tmp_path / "a.pex"), *options]
    done = run_pex([*FAST, "--pex-binary", program], *args, root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"parazip: pex alone makes this PEX: {reason}\n"
    assert read_pex(str(tmp_path / "a.pex")).mark == "none"
    assert not list(tmp_path.glob(".parazip-*"))


def test_a_program_may_be_run_at_once(tmp_path: Path, program: str) -> None:
    args = ["--no-pypi", "--", "-c", "print(6 * 7)"]
    done = run_pex([*FAST, "--pex-binary", program], *args, root=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_a_program_is_found_by_its_path_from_here(tmp_path: Path, program: str) -> None:
    args = ["--no-pypi", "--", "-c", "print(6 * 7)"]
    command = [*FAST, "--pex-binary", os.path.basename(program)]
    done = run_pex(command, *args, root=tmp_path, cwd=os.path.dirname(program))
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_a_platform_in_the_name_is_filled_in(tmp_path: Path, program: str) -> None:
    work = WorkOutside(tmp_path)
    args = ["--no-pypi", "--pre-resolved-dists", str(tmp_path / "wheels"), "thing"]
    args += ["-o", str(work.out / "a-{platform}.pex")]
    done = run_pex([*FAST, "--pex-binary", program], *args, root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    assert os.listdir(work.out) == ["a-py3-none-any.pex"]
    assert done.stdout == f"{work.out}/a-py3-none-any.pex\n"


@pytest.mark.parametrize("old", ["file", "folder"])
@pytest.mark.parametrize("layout", ["zipapp", "packed"])
def test_what_stood_there_is_replaced(tmp_path: Path, program: str, layout: str, old: str) -> None:
    pex = tmp_path / "a.pex"
    if old == "file":
        pex.write_bytes(b"old")
    else:
        pex.mkdir()
        (pex / "old").touch()
    args = ["--no-pypi", "-o", str(pex), "--layout", layout]
    done = run_pex([*FAST, "--pex-binary", program], *args, root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    assert read_pex_info(str(pex))["build_properties"]["pex_version"] == pex_version
    assert sorted(os.listdir(tmp_path)) == ["a.pex", "my pex", "root"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot run {}: No such file or directory"),
        (
            "#!/bin/sh\necho 1.0 beta\n",
            "{} is not pex: {} --version says '1.0 beta', not a version",
        ),
        ("#!/bin/sh\necho 2.1.100\n", "pex alone makes this PEX: it is too old to know --check"),
        ("#!/bin/sh\necho 2.100.0\n", "pex made nothing instead of one PEX"),
        ('#!/bin/sh\necho 2.100.0\ntest "$1" = --version\n', ""),
    ],
    ids=["missing", "another", "too old", "makes nothing", "fails"],
)
def test_a_program_that_is_of_no_use(tmp_path: Path, text: str | None, said: str) -> None:
    program = tmp_path / "program"
    if text is not None:
        program.write_text(text)
        program.chmod(0o755)
    (tmp_path / "a.pex").write_bytes(b"old")
    args = ["--no-pypi", "-o", str(tmp_path / "a.pex")]
    done = run_pex([*FAST, "--pex-binary", str(program)], *args, root=tmp_path / "root")
    expected = f"parazip: {said.format(program, program)}\n" if said else ""
    assert done.stderr == expected
    assert done.returncode == (0 if "too old" in said else 1)
    assert (tmp_path / "a.pex").read_bytes() == b"old"
    assert not list(tmp_path.glob(".parazip-*"))


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path, program: str) -> None:
    (tmp_path / "file").touch()
    args = ["--no-pypi", "-o", str(tmp_path / "file/a.pex")]
    done = run_pex([*FAST, "--pex-binary", program], *args, root=tmp_path / "root")
    assert done.returncode == 1
    assert done.stderr.startswith(f"parazip: cannot write {tmp_path}/file/a.pex: ")


def test_members_that_are_compressed_in_spite_of_all_are_told(tmp_path: Path, program: str) -> None:
    shim = Path(program)
    without = 'for a do shift; [ "$a" = --no-compress ] || set -- "$@" "$a"; done'
    shim.write_text(shim.read_text().replace("exec", f"{without}\nexec"))
    args = ["--no-pypi", "-o", str(tmp_path / "a.pex")]
    done = run_pex([*FAST, "--pex-binary", program, "--mark=none"], *args, root=tmp_path / "root")
    assert done.returncode == 1
    assert "in spite of --no-compress" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["my pex", "root"]


def test_versions_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def say(*args: Any, **more: Any) -> Any:
        return subprocess.CompletedProcess(args, 0, "2.105.2\n")

    monkeypatch.setattr(subprocess, "run", say)
    assert outside.ask_version(["pex"]) == (2, 105, 2)
