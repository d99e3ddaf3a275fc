"""The instrument that runs other programs' suites tells the outcomes as pytest gave them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT

if not (ROOT / "neighbours").is_dir():
    pytest.skip("no part of the source archive", allow_module_level=True)

from neighbours import (
    explained,  # if it is there
    outcomes,  # if it is there
    packages,  # if it is there
    report,  # if it is there
    suites,  # if it is there
)
from neighbours.outcomes import (
    END,  # if it is there
    MISSING,  # if it is there
    Difference,  # if it is there
    Run,  # if it is there
)

SUITE = """
import unittest
import zipfile

import pytest

def test_passes(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"a")
    assert zipfile.is_zipfile(tmp_path / "a.zip")

def test_fails(): raise ValueError("wrong")

@pytest.mark.skip
def test_skips(): pass

@pytest.mark.xfail
def test_fails_as_known(): raise ValueError

@pytest.mark.xfail
def test_passes_by_surprise(): pass

@pytest.fixture
def broken(): raise OSError("no such place")

def test_is_not_set_up(broken): pass

@pytest.fixture
def leaving():
    yield
    raise OSError("cannot leave")

def test_is_not_torn_down(leaving): pass

@pytest.mark.parametrize("what", ["a b", "[]"])
def test_cases(what): pass

class Cases(unittest.TestCase):
    def test_case(self): pass
"""

OUTCOMES = {
    "test_suite.py::test_passes": "passed",
    "test_suite.py::test_fails": "failed",
    "test_suite.py::test_skips": "skipped",
    "test_suite.py::test_fails_as_known": "xfailed",
    "test_suite.py::test_passes_by_surprise": "xpassed",
    "test_suite.py::test_is_not_set_up": "error",
    "test_suite.py::test_is_not_torn_down": "error",
    "test_suite.py::test_cases[a b]": "passed",
    "test_suite.py::test_cases[[]]": "passed",
    "test_suite.py::Cases::test_case": "passed",
}


def run_suite(text: str, folder: Path, *options: str, runner: tuple[str, ...] = ()) -> Run:
    """What the plugins tell of a suite in one file."""
    (folder / "test_suite.py").write_text(text)
    written = folder / "outcomes.jsonl"
    command = [sys.executable, "-m", *(runner or ("pytest",)), "-p", "parazip_outcomes"]
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "neighbours" / "plugins"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # none is needed, and they take long
    }
    done = subprocess.run(
        [*command, "--outcomes", str(written), "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=variables,
        capture_output=True,
        check=False,
    )
    with open(written, encoding="utf-8") as lines:
        return outcomes.read(lines, f"exit code {done.returncode}")


def test_each_outcome(tmp_path: Path) -> None:
    run = run_suite(SUITE, tmp_path, "--count-archives")
    assert run.tests == OUTCOMES
    assert run.messages["test_suite.py::test_fails"] == "ValueError: wrong"
    assert run.messages["test_suite.py::test_is_not_set_up"] == "OSError: no such place"
    assert (run.kind, run.archives, run.end) == (suites.STOCK.kind, 1, "exit code 1")


@pytest.mark.parametrize(
    ("way", "runner", "options"),
    [
        (suites.RUN, ("parazip", "run", "-m", "pytest"), ()),
        (suites.PATCH, ("pytest",), ("-p", "parazip_patched")),
    ],
    ids=str,
)
def test_ways(
    way: suites.Way, runner: tuple[str, ...], options: tuple[str, ...], tmp_path: Path
) -> None:
    run = run_suite(SUITE, tmp_path, *options, runner=runner)
    assert run.tests == OUTCOMES
    assert run.kind == way.kind


def test_what_cannot_be_imported_is_told(tmp_path: Path) -> None:
    run = run_suite("import no_such_module", tmp_path)
    assert run.tests == {"test_suite.py": "error"}
    assert "no_such_module" in run.messages["test_suite.py"]
    assert run.end == "exit code 2"


def test_the_process_that_dies_in_a_test_is_told(tmp_path: Path) -> None:
    text = "import os\ndef test_a(): pass\ndef test_b(): os._exit(9)\ndef test_c(): pass\n"
    run = run_suite(text, tmp_path)
    assert run.tests == {"test_suite.py::test_a": "passed", "test_suite.py::test_b": "unfinished"}
    assert (run.kind, run.end) == ("", "exit code 9")


def test_a_line_that_is_cut_off_ends_what_is_read() -> None:
    lines = ['{"test": "a", "outcome": "unfinished"}\n', '{"test": "a", "outcome": "pas']
    assert outcomes.read(lines, "killed").tests == {"a": "unfinished"}


def test_differences() -> None:
    stock = Run({"a": "passed", "b": "failed", "gone": "passed", "same": "failed"}, end="1")
    ours = Run({"a": "failed", "b": "passed", "new": "passed", "same": "failed"}, end="-9")
    ours.messages["a"] = "wrong"
    assert outcomes.differences(stock, ours, {"b"}) == [
        Difference("a", "passed", "failed", "wrong"),
        Difference("gone", "passed", MISSING, ""),
        Difference(END, "1", "-9", ""),
        Difference("new", MISSING, "passed", ""),
    ]


def test_flaky() -> None:
    first = Run({"a": "passed", "b": "failed"}, end="0")
    assert outcomes.flaky(first, Run({"a": "failed", "b": "failed"}, end="0")) == {"a"}
    assert outcomes.flaky(first, first) == set()


def test_what_is_explained_counts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    known = explained.Explanation("zipp", "tests/test_path.py::test_a[", "because")
    monkeypatch.setattr(explained, "EXPLANATIONS", (known,))
    found = [
        Difference("tests/test_path.py::test_a[x]", "passed", "failed", ""),
        Difference("tests/test_path.py::test_ab", "passed", "failed", "wrong"),
    ]
    zipp = packages.NEIGHBOURS[0]
    row = report.Row(zipp, Run({"a": "passed"}, archives=7), {"f"}, found, found[:1])
    assert row.unexplained == found[1:]
    cells = report.table([row]).splitlines()[-1].replace(" ", "").strip("|").split("|")
    assert cells == ["zipp", zipp.version, "7", "1", "1", "0", "0", "1", "2", "1"]
    told = report.details([row]).splitlines()
    assert [line.rpartition(": ")[2] for line in told] == ["because", "wrong", "flaky"]


def test_each_package_is_there_once() -> None:
    names = [neighbour.name for neighbour in packages.NEIGHBOURS]
    assert len(names) == len(set(names)) >= 15
    assert {each.package for each in explained.EXPLANATIONS} <= set(names)
