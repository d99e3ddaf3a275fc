"""Commands while one call fails, and what has to hold after that; see `test_faults`.

As a program it runs a command, the first of its words, in a folder, the second: again and again,
and each time the next allocation fails. It prints how many did.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import parazip
from parazip.cli import commands
from support.failing import CALLS, SAID_BY_PYTHON, Held, assert_nothing_is_left, failing

MOST = 1_000


class Operation(NamedTuple):
    """A command, and what it makes.

    Attributes:
        command: its words.
        makes: the names of what may be there after it that was not there before.
    """

    command: list[str]
    makes: frozenset[str] = frozenset()


OPERATIONS = {
    "create": Operation(["create", "-q", "a.zip", "src"]),
    "create, cached": Operation(["create", "-q", "--cache", "a.zip", "src"]),
    "create, verified": Operation(["create", "-q", "--verify", "a.zip", "src"]),
    "merge": Operation(["merge", "-q", "a.zip", "b.zip", "src"]),
    "update": Operation(["update", "-q", "a.zip", "src"]),
    "create, synced": Operation(["create", "-q", "--sync", "a.zip", "src"]),
    "update, synced": Operation(["update", "-q", "--sync", "a.zip", "src"]),
    "extract": Operation(["extract", "-q", "b.zip", "-d", "out"], frozenset({"out"})),
    "extract, synced": Operation(
        ["extract", "-q", "--sync", "b.zip", "-d", "out"], frozenset({"out"})
    ),
    "list": Operation(["list", "b.zip"]),
    "verify": Operation(["verify", "-q", "b.zip"]),
}


def fill(folder: Path) -> None:
    """What operations find: sources, an archive that is replaced, and one that is read."""
    source = folder / "src"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.txt").write_bytes(b"text %d " % number * 200)
    (source / "large").write_bytes(b"".join(b"line %d\n" % line for line in range(300_000)))
    (source / "link").symlink_to("large")
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source / "1.txt", f"{name}/1.txt")
            archive.write(source / "large", f"{name}/large")
            link = zipfile.ZipInfo(f"{name}/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "large")


def read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Ended(NamedTuple):
    """How a command has ended: its exit code, and what it wrote to standard error."""

    code: int
    told: str


def assert_all_is_well(folder: Path, start: Path, operation: Operation, done: Ended) -> None:
    """It has done its work or says why not; and what it leaves is old or new, and complete."""
    assert done.code in (0, 1), done
    assert "Traceback" not in done.told, done
    if done.code:
        assert done.told.startswith("parazip: "), done
        assert "standard output" not in done.told, done
    there = {path.name for path in folder.iterdir()}
    assert there - operation.makes - {"cache"} == {path.name for path in start.iterdir()}, done
    assert (folder / "b.zip").read_bytes() == (start / "b.zip").read_bytes()
    is_old = (folder / "a.zip").read_bytes() == (start / "a.zip").read_bytes()
    if not is_old:
        assert parazip.verify(folder / "a.zip").is_sound
        assert len(read_members(folder / "a.zip")) > 5
    if done.code == 0 and "a.zip" in operation.command:
        assert not is_old
    out = folder / "out"
    if out.exists():
        assert done.code == 0 or "a loss of power may" in done.told, done.told
        expected = read_members(start / "b.zip")
        found = {
            name: os.fsencode(os.readlink(out / name))
            if (out / name).is_symlink()
            else (out / name).read_bytes()
            for name in expected
        }
        assert found == expected
    elif operation.makes:
        assert done.code == 1


def run_here(words: list[str]) -> Ended:
    """Runs a command in this process."""
    told = io.StringIO()
    sys.argv = ["parazip", *words]
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            commands.main()
        except SystemExit as end:
            return Ended(int(end.code or 0), told.getvalue().replace(SAID_BY_PYTHON, ""))
    raise AssertionError("it has not ended")


def main() -> None:
    """Each turn is a run of the command in a fresh folder; the last one is undisturbed."""
    operation, place = OPERATIONS[sys.argv[1]], Path(sys.argv[2])
    start, folder = place / "start", place / "work"
    start.mkdir(parents=True)
    fill(start)
    messages = set()
    for at in range(MOST):  # in the first turn nothing fails, and all is imported
        os.chdir(place)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder, symlinks=True)
        os.chdir(folder)
        os.environ["PARAZIP_CACHE_DIR"] = str(folder / "cache")
        held = Held.look()
        with failing("memory", CALLS["memory"], at, folder) as turn:
            done = run_here(operation.command)
        assert_all_is_well(folder, start, operation, done)
        assert_nothing_is_left(held)
        assert turn.has_failed or not done.code, done
        assert "memory" in done.told or not done.code, done
        messages.add(done.told.strip())
        if at and not turn.has_failed:
            assert sys.argv[1] == "list" or any(" at " in message for message in messages)
            print(at - 1, *sorted(messages), sep="\n")
            return
    raise AssertionError(f"more than {MOST} allocations")


if __name__ == "__main__":
    main()
