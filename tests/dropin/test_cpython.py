"""The running Python's own tests, with `zipfile.ZipFile` replaced by ours; see `cpython_suite`."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.places import TESTS

SUITE = TESTS / "support" / "cpython_suite.py"

MANY = "test.test_zipfile64.OtherTests"

LARGE = "test.test_zipfile64.TestsWithSourceFile"

LARGE_NEEDS = 8 << 30
"""CPython itself leaves these out, unless it is told to take its time and the disk's room."""

DIFFERENT = {
    "StoredTestsWithSourceFile.test_truncated_zipfile",
    "DeflateTestsWithSourceFile.test_truncated_zipfile",
}
"""They look at how far the file that they handed in is written before the archive is closed."""


def outcomes(how: str, name: str) -> tuple[dict[str, str], int]:
    """The outcome of each test by its name, and how many archives were opened by our class."""
    command = [sys.executable, *(["-m", "parazip", "run"] if how == "run" else []), str(SUITE)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, how, name],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": folder, "HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    words = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert words[-1][0] == "opened"
    told = {line[1]: line[2] for line in words if line[:1] == ["outcome"]}
    assert told, done.stderr
    return told, int(words[-1][1])


@functools.cache
def expected(name: str) -> dict[str, str]:
    return outcomes("stock", name)[0]


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("patch", "test.test_zipfile"),
        ("patch", "test.test_zipapp"),
        ("patch", "test.test_shutil.TestArchives"),
        # zipimport reads by itself; only the archives come from here.
        pytest.param("patch", "test.test_zipimport", marks=pytest.mark.once),
        ("patch", MANY),
        pytest.param("hand", "test.test_zipfile", marks=pytest.mark.once),
        pytest.param("run", "test.test_zipfile", marks=pytest.mark.once),
        # Archives of 6 GiB; `test_zip64` has smaller ones with the same numbers.
        pytest.param("patch", f"{LARGE}.testStored", marks=pytest.mark.slow),
        pytest.param("patch", f"{LARGE}.testDeflated", marks=pytest.mark.slow),
    ],
)
def test_suite_of_cpython(how: str, name: str, tmp_path: Path) -> None:
    module = ".".join(name.split(".")[:2])
    if importlib.util.find_spec("test") is None or importlib.util.find_spec(module) is None:
        pytest.skip(f"this Python comes without {module}")
    if name.startswith(LARGE) and shutil.disk_usage(tmp_path).free < LARGE_NEEDS:
        pytest.skip("the disk has no room for archives of 6 GiB")
    found, opened = outcomes(how, name)
    assert opened > 0, "the tests did not use parazip.ZipFile"
    if set(found.values()) == {"success"}:
        return
    assert found.keys() == expected(name).keys()
    different = {test for test, outcome in expected(name).items() if found[test] != outcome}
    assert {".".join(test.split(".")[-2:]) for test in different} <= DIFFERENT
