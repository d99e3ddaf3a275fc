"""Never half a PEX: killed anywhere, with a full disk, or with files that change meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from support import surroundings
from support.patience import HUNG
from support.pexes import (
    EXACT,
    FAST,
    STOCK,
    list_files,
    make_pex_environment,
    make_sources,
    make_wheel,
    run_pex,
    write_pex_program,
)

pytestmark = pytest.mark.once

KILLS = int(os.environ.get(surroundings.KILLS, "1"))
"""How often each kind of build is killed in each way; `make proofs` does it more often."""

WATCHED = """
import os, signal, sys
number, at = int(sys.argv.pop(1)), int(sys.argv.pop(1))
from parazip.__main__ import main
import parazip.pex.outside as outside
from pex.pex_builder import PEXBuilder

events = 0

def watch(frame, event, argument):
    global events
    events += 1
    if events == at:
        os.kill(os.getpid(), number)

def watched(function):
    def call(*args, **more):
        sys.setprofile(watch)
        try:
            return function(*args, **more)
        finally:
            sys.setprofile(None)
            if not at:
                print(events, file=sys.stderr)
    return call

PEXBuilder.build = watched(PEXBuilder.build)
outside._remake_pex = watched(outside._remake_pex)
main()
"""
"""parazip with a signal at one of the calls and returns that happen while a PEX is written."""

KINDS = {
    "zipapp": [],
    "packed": ["--layout", "packed"],
    "exact": ["--exact"],
    "outside": ["--pex-binary"],
}


class WorkUnderKills:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        (folder / "wheels").mkdir()
        make_wheel(folder / "wheels")
        self.sources = make_sources(folder / "sources")
        self.out = folder / "out"
        self.out.mkdir()
        self.program = write_pex_program(folder / "pex")

    def args(self, kind: str, *more: str) -> list[str]:
        options = KINDS[kind]
        if "--pex-binary" in options:
            options = [*options, self.program]
        wheels = ["--no-pypi", "--pre-resolved-dists", str(self.folder / "wheels"), "thing"]
        inputs = [*wheels, "-D", str(self.sources), "-e", "app", "-o", str(self.out / "a.pex")]
        return [*options, *inputs, *more]

    def code(self, code: str, *args: str, first: tuple[str, ...] = ()) -> tuple[int, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *first, "pex", *args],
            env=make_pex_environment(self.root),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, err = process.communicate(timeout=HUNG)
        return process.returncode, err


@pytest.fixture
def work(tmp_path: Path) -> WorkUnderKills:
    return WorkUnderKills(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_anywhere_leaves_the_old_pex_or_the_new_one(
    work: WorkUnderKills, kind: str, number: signal.Signals
) -> None:
    code, err = work.code(WATCHED, *work.args(kind), first=("0", "0"))
    assert code == 0, err
    events = max(int(line) for line in err.splitlines() if line.isdigit())
    assert events > 1_000
    new = list_files(work.out) if kind == "packed" else (work.out / "a.pex").read_bytes()
    chance = random.Random(f"{kind} {number}")
    for _ in range(KILLS):
        for path in (*work.out.rglob("*"), work.out):
            if path.is_file() or path.is_symlink():
                path.unlink()
        run_pex(["rm", "-rf", str(work.out)], root=work.root)
        work.out.mkdir()
        (work.out / "a.pex").write_bytes(b"old")
        at = chance.randint(1, events)
        code, err = work.code(WATCHED, *work.args(kind), first=(str(number.value), str(at)))
        told = f"at {at} of {events}: {code} {err}"
        left = sorted(os.listdir(work.out))
        if left and "a.pex" in left and not (work.out / "a.pex").is_dir():
            found: object = (work.out / "a.pex").read_bytes()
        else:
            found = list_files(work.out)
        if code == 0:
            assert found == new, told
        else:
            assert found in (b"old", new) or number == signal.SIGKILL, told
        if number == signal.SIGKILL:
            # What a killed process was at is no PEX by its name, and pex throws it away later on.
            rest = [name for name in left if name != "a.pex"]
            assert all(name == "a.pex~" or name.startswith(".parazip-") for name in rest), told
            assert found in (b"old", new) or "a.pex~" in left, told
        else:
            assert left == ["a.pex"], told
            assert code != 0 or found == new, told
    code, err = work.code(WATCHED, *work.args(kind), first=("0", "0"))
    assert code == 0, err


FULL = """
import errno, sys
from parazip.__main__ import main
from parazip.output.stream import Output
room = int(sys.argv.pop(1))
write_some = Output._write_some

def write(self, data):
    global room
    room -= len(data)
    if room < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    return write_some(self, data)

Output._write_some = write
main()
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [0, 100_000])
def test_a_full_disk_leaves_the_old_pex(work: WorkUnderKills, kind: str, room: int) -> None:
    (work.out / "a.pex").write_bytes(b"old")
    code, err = work.code(FULL, *work.args(kind), first=(str(room),))
    assert code == 1
    assert "the disk is full" in err
    assert "Traceback" not in err
    assert os.listdir(work.out) == ["a.pex"]
    assert (work.out / "a.pex").read_bytes() == b"old"


CHANGING = """
import glob, os, sys
from parazip.__main__ import main
from parazip.pex import zipper
assemble = zipper.assemble

def change(*args, **more):
    pattern = os.environ["PEX_ROOT"] + "/installed_wheels/*/*/thing*/thing/__init__.py"
    for path in glob.glob(pattern):
        with open(path, "a") as file:
            file.write("# changed")
    return assemble(*args, **more)

zipper.assemble = change
main()
"""


@pytest.mark.parametrize("kind", ["zipapp", "packed", "exact"])
def test_a_file_of_pex_root_that_changes_meanwhile_leaves_the_old_pex(
    work: WorkUnderKills, kind: str
) -> None:
    (work.out / "a.pex").write_bytes(b"old")
    code, err = work.code(CHANGING, *work.args(kind))
    assert code == 1
    assert "thing/__init__.py changed while it was read" in err
    assert "Traceback" not in err
    assert os.listdir(work.out) == ["a.pex"]
    assert (work.out / "a.pex").read_bytes() == b"old"


@pytest.mark.parametrize("kind", KINDS)
def test_pex_root_gets_what_pex_itself_puts_there(work: WorkUnderKills, kind: str) -> None:
    def stand(root: Path) -> dict[str, str]:
        """What is in there, without names that are new each time."""
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob("*")
            if path.is_file() and ".tmp" not in str(path) and path.stat().st_size
        }

    args = work.args(kind)
    stock = [arg for arg in args if arg not in ("--exact", "--pex-binary", work.program)]
    assert run_pex(STOCK, *stock, root=work.folder / "stock root").returncode == 0
    done = run_pex(EXACT if kind == "exact" else FAST, *args, root=work.root)
    assert done.returncode == 0, done.stderr
    expected, found = stand(work.folder / "stock root"), stand(work.root)
    if kind == "packed":
        assert not [name for name in found if name.startswith(("packed_wheels", "bootstrap_zips"))]
    assert found.keys() <= expected.keys()
    for name in found:
        if name.startswith(("installed_wheels", "packed_wheels")):
            assert found[name] == expected[name], name
    assert len([name for name in found if name.startswith("installed_wheels")]) > 5


def test_the_pex_of_these_tests_has_all_kinds_of_members(work: WorkUnderKills) -> None:
    assert run_pex(FAST, *work.args("zipapp"), root=work.root).returncode == 0
    with zipfile.ZipFile(work.out / "a.pex") as archive:
        methods = {info.compress_type for info in archive.infolist()}
    assert methods == {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
