"""The command line is pex's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.pexes import FAST, STOCK, run_pex

pytest.importorskip("pex.common", reason="pex is not installed")

from pex.version import __version__ as pex_version

pytestmark = pytest.mark.once


def test_the_version_is_that_of_pex(tmp_path: Path) -> None:
    done = run_pex(FAST, "--version", root=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{pex_version}\n")


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["--no-pypi", "./no-such-1.0-py3-none-any.whl", "-o", "out.pex"],
        ["--no-pypi", "--layout", "flat", "-o", "out.pex"],
    ],
    ids=" ".join,
)
def test_what_pex_refuses_is_refused_in_its_words(tmp_path: Path, args: list[str]) -> None:
    stock = run_pex(STOCK, *args, root=tmp_path / "root", cwd=tmp_path)
    fast = run_pex(FAST, *args, root=tmp_path / "root", cwd=tmp_path)
    assert fast.returncode == stock.returncode != 0
    words = [done.stderr.splitlines()[-1].rpartition("error: ")[2] for done in (stock, fast)]
    assert words[0] == words[1] != ""
    assert os.listdir(tmp_path) in ([], ["root"])


@pytest.mark.parametrize(
    "args", [["--", "-c", "print(6 * 7)"], ["--no-pypi", "--", "-c", "print(6 * 7)"]], ids=" ".join
)
def test_what_follows_two_dashes_goes_to_the_program(tmp_path: Path, args: list[str]) -> None:
    stock = run_pex(STOCK, *args, root=tmp_path / "root")
    fast = run_pex(FAST, *args, root=tmp_path / "root")
    assert (stock.returncode, stock.stdout) == (0, "42\n")
    assert (fast.returncode, fast.stdout) == (0, "42\n"), fast.stderr
