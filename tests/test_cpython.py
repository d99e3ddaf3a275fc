"""The running Python's own tests, with `zipfile.ZipFile` replaced by ours; see `cpython_suite`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("cpython_suite.py")

MANY = "test.test_zipfile64.OtherTests"
LARGE = "test.test_zipfile64.TestsWithSourceFile"
LARGE_NEEDS = 8 << 30
"""CPython itself leaves these out, unless it is told to take its time and the disk's room."""


@pytest.mark.parametrize(
    "name",
    [
        "test.test_zipfile",
        "test.test_zipapp",
        "test.test_shutil.TestArchives",
        "test.test_zipimport",
        MANY,
        pytest.param(f"{LARGE}.testStored", marks=pytest.mark.once),
        pytest.param(f"{LARGE}.testDeflated", marks=pytest.mark.once),
    ],
)
def test_suite_of_cpython(name: str, tmp_path: Path) -> None:
    module = ".".join(name.split(".")[:2])
    if importlib.util.find_spec("test") is None or importlib.util.find_spec(module) is None:
        pytest.skip(f"this Python comes without {module}")
    if name.startswith(LARGE) and shutil.disk_usage(tmp_path).free < LARGE_NEEDS:
        pytest.skip("the disk has no room for archives of 6 GiB")
    done = subprocess.run(
        [sys.executable, str(SUITE), name],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run, skipped, used = map(int, done.stdout.split()[-3:])
    assert run > 0
    assert skipped <= 2
    assert used > 0, "the tests did not use parazip.ZipFile"
