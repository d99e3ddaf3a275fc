"""A PEX that old Pythons cannot start is told of before it is made, as `--check` says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from parazip import OutputError
from parazip.engine.progress import Progress
from parazip.format.records import LIMIT_16
from parazip.model import File, Member
from parazip.pex import limits
from parazip.pex.limits import Limits

pytestmark = pytest.mark.once

GIB = 1 << 30


def make_small_members(count: int, size: int = 0, store: bool = False) -> list[Member]:
    file = File("x", size, 0, 0)
    return [Member(f"{i:05}", file, 0, 0, store) for i in range(count)]


def far(size: int) -> Progress:
    return Progress(0, 0, 0, 0, size, 0.0, "")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (make_small_members(65_535), ""),
        (make_small_members(65_536), "has over 65,535 members"),
        (make_small_members(70_000), "has over 65,535 members"),
        (make_small_members(4, GIB), ""),
        (make_small_members(4, GIB, store=True), "takes over 4 GiB"),
        (make_small_members(3, GIB, store=True), ""),
    ],
)
@pytest.mark.parametrize("check", ["none", "warn", "error"])
def test_what_is_found_out_is_told_once(
    monkeypatch: pytest.MonkeyPatch, told: list[str], given: list[Member], what: str, check: str
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    watching = Limits(check, "big.pex", told.append)
    if check == "error" and what:
        with pytest.raises(OutputError, match=rf"^big.pex {what}, which needs zip64: "):
            list(watching.watch_members(given))
    else:
        assert list(watching.watch_members(given)) == given
    assert len(told) == (check == "warn" and bool(what))
    for message in told:
        assert message.startswith(f"big.pex {what}, which needs zip64")
        assert "CPython before 3.13 and PyPy" in message
        assert "--layout packed" in message
        assert "--exclude" in message


@pytest.mark.parametrize("check", ["none", "warn", "error"])
def test_the_place_in_the_archive_counts_as_soon_as_it_is_known(
    monkeypatch: pytest.MonkeyPatch, told: list[str], check: str
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    passed: list[Progress] = []
    watching = Limits(check, "big.pex", told.append, passed.append)
    watching(far(4 * GIB - 2))
    assert told == []
    if check == "error":
        with pytest.raises(OutputError, match="without --check error"):
            watching(far(4 * GIB - 1))
    else:
        watching(far(4 * GIB - 1))
        watching(far(5 * GIB))
        assert len(passed) == 3
    assert len(told) == (check == "warn")


def test_what_is_no_error_to_pex_is_none_here(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    """From Python 3.13 on zipimport reads zip64, and pex's own check passes."""
    monkeypatch.setattr(sys, "version_info", limits.FIRST_WITH_ZIP64)
    watching = Limits("error", "big.pex", told.append)
    assert len(list(watching.watch_members(make_small_members(65_536)))) == 65_536
    assert len(told) == 1


WITH_LIMIT = """
import sys
from parazip.pex import limits
limits.LIMIT_16 = int(sys.argv.pop(1))
from parazip.__main__ import main
main()
"""


@pytest.mark.parametrize("limit", [1000, pytest.param(LIMIT_16, marks=pytest.mark.slow)])
def test_a_pex_of_too_many_files_is_stopped_early_and_leaves_nothing(
    limit: int, tmp_path: Path
) -> None:
    """A file system takes most of a minute for as many files as there must not be."""
    pytest.importorskip("pex.common", reason="pex is not installed")
    from support.pexes import run_pex

    sources = tmp_path / "src"
    for folder in range(100):
        (sources / f"{folder}").mkdir(parents=True)
        for name in range(limit // 100 + 1):
            (sources / f"{folder}" / f"{name}").touch()
    command = [sys.executable, "-c", WITH_LIMIT, str(limit), "pex", "--no-pypi"]
    arguments = ["-D", str(sources), "-o", str(tmp_path / "out.pex")]
    done = run_pex(command, *arguments, "--check=error", root=tmp_path / "root")
    if sys.version_info < limits.FIRST_WITH_ZIP64:
        assert done.returncode == 1
        assert f"{tmp_path / 'out.pex'} has over 65,535 members" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "src"]
    else:
        assert done.returncode == 0
        assert "has over 65,535 members" in done.stderr
