"""What is built to be installed: a wheel and an sdist, which make the same wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import parazip
from support.places import ROOT

pytestmark = pytest.mark.once


def run_build(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1600000000"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout.decode()


def build_distribution(target: Path, *what: str, cwd: Path) -> Path:
    run_build(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *what, cwd=cwd)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and an sdist of the working tree."""
    folder = tmp_path_factory.mktemp("built")
    return build_distribution(folder / "w", "--wheel", cwd=ROOT), build_distribution(
        folder / "s", "--sdist", cwd=ROOT
    )


@pytest.mark.slow
def test_sdist_makes_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not before 3.11.4
        archive.extractall(tmp_path)
    (source,) = tmp_path.iterdir()
    again = build_distribution(tmp_path / "again", "--wheel", cwd=source)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_wheel_has_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    package = {name for name in names if name.startswith("parazip/")}
    there = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/parazip").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert package == there
    assert {name.split("/")[0] for name in names - package} == {
        f"parazip-{parazip.__version__}.dist-info"
    }


def test_wheel_works_in_a_fresh_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    run_build(sys.executable, "-m", "venv", "fresh", cwd=tmp_path)
    programs = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    run_build(programs / "python", "-m", "pip", "install", "-q", built[0], cwd=tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a line\n" * 1000)
    run_build(programs / "parazip", "create", "-q", "a.zip", "in", cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["in/", "in/a.txt"]
    assert parazip.__version__ in run_build(programs / "parazip", "--version", cwd=tmp_path)
