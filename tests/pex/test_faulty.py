"""`parazip pex` and `seed` while one system call after the other fails, each once.

A run takes a second, and pex itself makes hundreds of calls. So only calls about the folder of the
PEX, or about PEX_ROOT, fail, and of all calls of one kind
number 1, 2, 4, 8, and so on, until a run passes (of `seed` number 1, 4, 16).
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from support.failing import CALLS
from support.pexes import FAST, list_files, make_deflated_wheel, run_pex

pytestmark = [pytest.mark.slow, pytest.mark.once]

PEX_CALLS = [
    "open",
    "create",
    "tmpfile",
    "read",
    "write",
    "rename renameat",
    "link linkat",
    "fsync",
    "unlink unlinkat rmdir",
    "fchmod chmod",
    "ftruncate ftruncate64",
    "copy_file_range",
]

SEED_CALLS = [
    "open",
    "create",
    "read",
    "write",
    "mkdir mkdirat",
    "rename renameat",
    "symlink symlinkat",
    "unlink unlinkat rmdir",
    "fchmod chmod",
]

SEED = [sys.executable, "-m", "parazip", "seed", "-q"]

OLD = b"an old PEX"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, an app that needs it, and a PEX of both."""
    folder = tmp_path_factory.mktemp("pex")
    make_deflated_wheel(folder / "wheels")
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("import thing\nprint('app', thing.NAME)\n")
    done = build(folder, folder / "app.pex", {})
    assert done.returncode == 0, done.stderr
    return folder


def build(
    place: Path, output: Path, variables: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    words: list[str | Path] = ["--no-pypi", "--pre-resolved-dists", place / "wheels", "thing"]
    words += ["-D", place / "src", "-m", "app", "-o", output, *options]
    return run_pex(FAST, *words, root=place / "root", env=variables)


def refuse(library: Path, calls: str, at: int, under: Path, told: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "REFUSED": calls,
        "REFUSED_ERROR": str(CALLS[calls]),
        "REFUSED_AT": str(at),
        "REFUSED_UNDER": str(under),
        "REFUSED_TOLD": str(told),
    }


def assert_runs(pex: Path, root: Path) -> None:
    done = run_pex([sys.executable], pex, root=root)
    assert (done.returncode, done.stdout) == (0, "app thing\n"), done.stderr


@pytest.mark.parametrize("calls", PEX_CALLS)
def test_pex_makes_all_of_it_or_leaves_the_old_one(
    tmp_path: Path, place: Path, library: Path, calls: str
) -> None:
    out, told = tmp_path / "out", tmp_path / "told"
    for at in (2**power for power in itertools.count()):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "app.pex").write_bytes(OLD)
        variables = refuse(library, calls, at, out, told)
        done = build(place, out / "app.pex", variables, "--sync", "--zip-progress", "none")
        has_failed = told.exists()
        told.unlink(missing_ok=True)
        print(calls, at, has_failed, done.returncode, done.stderr[-300:])
        assert "Traceback" not in done.stderr, done.stderr
        is_old = (out / "app.pex").read_bytes() == OLD
        assert is_old or done.returncode == 0 or "loss of power" in done.stderr, done.stderr
        if done.returncode == 0:
            assert not is_old
        else:
            assert str(out) in done.stderr
        if not is_old:
            assert_runs(out / "app.pex", place / "root")
        assert os.listdir(out) == ["app.pex"]
        if not has_failed:
            assert done.returncode == 0
            break


@pytest.fixture(scope="module")
def seeded(place: Path) -> set[str]:
    """The files of a PEX that is laid out."""
    assert run_pex(SEED, place / "app.pex", root=place / "seeded").returncode == 0
    return {*list_files(place / "seeded")}


@pytest.mark.parametrize("calls", SEED_CALLS)
def test_a_pex_starts_from_what_seed_has_left_and_completes_it(
    tmp_path: Path, place: Path, seeded: set[str], library: Path, calls: str
) -> None:
    root, told = tmp_path / "root", tmp_path / "told"
    for at in (4**power for power in itertools.count()):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        variables = refuse(library, calls, at, root, told)
        done = run_pex(SEED, place / "app.pex", root=root, env=variables)
        has_failed = told.exists()
        told.unlink(missing_ok=True)
        print(calls, at, has_failed, done.returncode, done.stderr[-300:])
        if done.returncode and "does not start here" not in done.stderr:  # which Python tells
            assert "Traceback" not in done.stderr, done.stderr
            # pex may have warned before.
            assert done.stderr.splitlines()[-1].startswith("parazip: "), done.stderr
        assert_runs(place / "app.pex", root)
        assert {*list_files(root)} >= seeded
        if not has_failed:
            assert done.returncode == 0
            break
