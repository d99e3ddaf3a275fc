"""Private parts of `zipfile`: one room names them, and parazip works without any of them.

Another `zipfile` stands in front of the standard library's, in which one of them has another name,
as in a Python that is still to come.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

import parazip
from parazip.dropin import inside
from support.places import TESTS

HERE = TESTS / "support"

ROOM = Path(parazip.__file__).parent / "dropin"

WRITING, INFLATING = "compressed by zlib", "inflated by zlib"


def listed_parts() -> Iterator[str]:
    """What the table of `inside` lists, as it stands there."""
    tree = ast.parse((ROOM / "inside.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Shortcut":
            for keyword in node.keywords:
                if keyword.arg in ("watched", "needed"):
                    yield from ast.literal_eval(keyword.value)


PARTS = sorted(set(listed_parts()))


def identifiers(part: str) -> list[str]:
    """What to rename to take a part away: its own name, or its class's, if that is private."""
    found = []
    for place in part.split(" or "):
        owner, _, name = place.partition("(")[0].rpartition(".")
        found.append(owner if owner.startswith("_") else name)
    return found


def break_zipfile(folder: Path, *changes: tuple[str, str]) -> Path:
    """Puts a `zipfile` into a folder in which some patterns are replaced."""
    assert zipfile.__file__
    original = Path(zipfile.__file__)
    if original.name == "__init__.py":
        shutil.copytree(original.parent, folder / "zipfile")
        target = folder / "zipfile" / "__init__.py"
    else:
        folder.mkdir()
        target = folder / "zipfile.py"
    text = original.read_text()
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    target.write_text(text)
    return folder


def without(folder: Path, *names: str) -> Path:
    present = [
        name for name in names if re.search(rf"\b{name}\b", Path(zipfile.__file__).read_text())
    ]
    return break_zipfile(folder, *((rf"\b{name}\b", f"{name}_of_tomorrow") for name in present))


def run(script: str, broken: Path, *arguments: str, cwd: Path) -> str:
    search = os.pathsep.join([str(broken), str(ROOM.parents[1])])
    # A warning tells what a `zipfile` lacks, and is no error here even if all others are.
    own = {"PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        cwd=cwd,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def do_jobs(tmp_path: Path, broken: Path, *options: str) -> str:
    (tmp_path / "work").mkdir()
    *told, last = run(
        "inside_jobs.py", broken, str(tmp_path / "work"), *options, cwd=tmp_path
    ).splitlines()
    assert last == "same"
    return "\n".join(told)


def test_all_fits_this_python(tmp_path: Path) -> None:
    assert inside.find_misfits() == {}
    assert do_jobs(tmp_path, tmp_path) == ""


@pytest.mark.once
@pytest.mark.parametrize(
    "part",
    [
        part if number % 4 == 0 else pytest.param(part, marks=pytest.mark.slow)
        for number, part in enumerate(PARTS)
    ],
)
def test_without_a_part_all_is_as_with_zipfile(part: str, tmp_path: Path) -> None:
    if part.startswith("ABCMeta."):
        told = do_jobs(tmp_path, tmp_path, "--no-cache-clearing")
    else:
        told = do_jobs(tmp_path, without(tmp_path / "broken", *identifiers(part)))
    assert told.count("RuntimeWarning") == 1
    assert f"has no {part}" in told


@pytest.mark.parametrize(
    ("part", "changes", "consequence"),
    [
        (
            "ZipFile._writecheck(zinfo)",
            [(r"_writecheck\(self, zinfo\)", "_writecheck(self, zinfo, more)"),
             (r"self\._writecheck\(zinfo\)", "self._writecheck(zinfo, 0)")],
            WRITING,
        ),
        (
            "ZipExtFile._read2(n)",
            [(r"def _read2\(self, n\)", "def _read2(self, n, *, more)"),
             (r"self\._read2\(([^()]*(\(.*?\))?)\)", r"self._read2(\1, more=0)")],
            INFLATING,
        ),
    ],
)  # fmt: skip
def test_a_method_that_takes_something_else(
    part: str, changes: list[tuple[str, str]], consequence: str, tmp_path: Path
) -> None:
    told = do_jobs(tmp_path, break_zipfile(tmp_path / "broken", *changes))
    assert f"has no {part}, so members are {consequence}" in told


def test_a_method_that_takes_more_of_its_own_accord_fits(tmp_path: Path) -> None:
    changes = r"_writecheck\(self, zinfo\)", "_writecheck(self, zinfo, more=None)"
    assert do_jobs(tmp_path, break_zipfile(tmp_path / "broken", changes)) == ""


def outcomes(how: str, broken: Path, cwd: Path) -> dict[str, str]:
    cwd.mkdir()
    lines = run("cpython_suite.py", broken, how, "test.test_zipfile", cwd=cwd).splitlines()
    words = [line.split(maxsplit=2) for line in lines]
    return {line[1]: line[2] for line in words if line[:1] == ["outcome"]}


ONE_PART = ["INFLATING", "TESTING", "WRITING"]


@pytest.mark.once
@pytest.mark.skipif(
    importlib.util.find_spec("test") is None
    or importlib.util.find_spec("test.test_zipfile") is None,
    reason="this Python comes without its tests",
)
@pytest.mark.parametrize(
    "job",
    ["all", *(pytest.param(job, marks=pytest.mark.slow) for job in ONE_PART)],
)
def test_suite_of_cpython_on_what_is_left(job: str, tmp_path: Path) -> None:
    """Tests that use what is gone fail with the standard library's class, too."""
    names = {
        "INFLATING": ("_orig_compress_start",),
        "TESTING": ("_extract_member",),
        "WRITING": ("_write_end_record",),
        "all": ("_orig_compress_start", "_extract_member", "_write_end_record", "_optimize"),
    }[job]
    broken = without(tmp_path / "broken", *names)
    standard, ours = (outcomes(how, broken, tmp_path / how) for how in ("stock", "patch"))
    assert len(standard) > 200
    different = {test for test in standard if standard[test] != ours.get(test)}
    assert {test.rpartition(".")[2] for test in different} <= {"test_truncated_zipfile"}


def private_names() -> set[str]:
    """Those of `zipfile`, of its classes, and of what their objects have."""
    found = {name for name in vars(zipfile) if name.startswith("_")}
    for kind in (zipfile.ZipFile, zipfile.PyZipFile, zipfile.ZipExtFile, zipfile.ZipInfo):
        found.update(vars(kind))
        for method in vars(kind).values():
            if isinstance(method, FunctionType):
                found.update(method.__code__.co_names)
    return {name for name in found if name.startswith("_") and not name.endswith("__")}


@pytest.mark.parametrize(
    "room",
    [path for path in ROOM.glob("*.py") if path.name != "inside.py"],
    ids=lambda room: room.stem,
)
def test_no_other_room_names_a_private_part(room: Path) -> None:
    named: set[str] = set()
    for node in ast.walk(ast.parse(room.read_text())):
        if isinstance(node, ast.Attribute):
            named.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            named.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.update(node.value.split("."))
    assert not named & private_names()
