"""A program that uses `ZipFile` while one call after the other fails; see `test_faults`.

Its words are an operation and a folder. It prints how often which call failed.
"""

from __future__ import annotations

import gc
import io
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import parazip
from parazip.dropin import members, targets
from support.failing import CALLS, Held, assert_nothing_is_left, failing
from support.paths import make_noise

MOST = 1_000
LARGE = b"".join(b"line %d\n" % line for line in range(130_000))  # cut into blocks
PIECES = [LARGE[start : start + 300_000] for start in range(0, len(LARGE), 300_000)]
SMALL = {f"{number}.txt": b"text %d " % number * 300 for number in range(4)}
OLD = {"old.txt": b"old " * 100, "old/noise": make_noise(70_000)}
READ = {f"folder/{name}": data for name, data in {**SMALL, "large": LARGE}.items()}
READ |= {f"many/{number}": b"%d" % number * 50 for number in range(8)}


class Done(NamedTuple):
    """What came of an operation.

    Attributes:
        errors: what was raised, in order.
        made: what has to be in the archive that was written; None if nobody knows.
        was_opened: whether the archive was.
    """

    errors: list[BaseException]
    made: dict[str, bytes] | None = None
    was_opened: bool = True


Operation: TypeAlias = Callable[[Any, Path], Done]
"""What is done with a class in a folder."""


def fill(folder: Path) -> None:
    source = folder / "src"
    source.mkdir(parents=True)
    for name, data in {**SMALL, "large": LARGE}.items():
        (source / name).write_bytes(data)
    with zipfile.ZipFile(folder / "old.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in OLD.items():
            archive.writestr(name, data)
    with parazip.ZipFile(folder / "read.zip", "w", level=6) as archive:
        for name, data in READ.items():
            archive.writestr(name, data)


def put_in(mode: str, **settings: Any) -> Operation:
    """Calls that put in a member each, or raise. After an error the others go on."""

    def do(kind: Any, folder: Path) -> Done:
        path, source = folder / "old.zip", folder / "src"
        errors: list[BaseException] = []
        try:
            archive = kind(path, mode, zipfile.ZIP_DEFLATED, **settings)
        except Exception as error:
            return Done([error], was_opened=False)
        # Where an archive that is there cannot be opened, zipfile makes a new one.
        made = {**OLD} if archive.namelist() else {}

        def put_in_pieces(name: str) -> None:
            with archive.open(name, "w", force_zip64=True) as member:
                for piece in PIECES:
                    member.write(piece)

        def put_in_file(name: str) -> None:
            archive.write(source / name, name)

        def put_in_bytes(name: str) -> None:
            archive.writestr(name, LARGE)

        steps = [(name, put_in_file) for name in (*SMALL, "large")]
        steps += [("pieces", put_in_pieces), ("bytes", put_in_bytes), ("0.txt", put_in_file)]
        try:
            with archive:
                for name, step in steps:
                    try:
                        step(name)
                        made[name] = SMALL.get(name, LARGE)
                    except Exception as error:
                        errors.append(error)
        except Exception as error:
            errors.append(error)
            if kind is parazip.ZipFile:
                archive.close()  # nothing more is to be closed
            return Done(errors)
        assert archive.fp is None
        return Done(errors, made)

    return do


def read(**settings: Any) -> Operation:
    """Each member by itself, in two ways, and all of them."""

    def do(kind: Any, folder: Path) -> Done:
        errors: list[BaseException] = []
        try:
            with kind(folder / "read.zip", **settings) as archive:
                for name, data in READ.items():
                    try:
                        assert archive.read(name) == data
                        with archive.open(name) as member:
                            while piece := member.read(300_000):
                                assert piece in data
                    except Exception as error:
                        errors.append(error)
                try:
                    assert archive.testzip() is None
                except Exception as error:
                    errors.append(error)
                assert archive.read("folder/0.txt") == SMALL["0.txt"]
        except Exception as error:
            errors.append(error)
        return Done(errors)

    return do


def extract(**settings: Any) -> Operation:
    """All of them to a folder that is not there."""

    def do(kind: Any, folder: Path) -> Done:
        errors: list[BaseException] = []
        try:
            with kind(folder / "read.zip", **settings) as archive:
                archive.extractall(folder / "out")
        except Exception as error:
            errors.append(error)
        return Done(errors)

    return do


def read_folder(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def as_if_many(operation: Operation, worth_helpers: int) -> Operation:
    """So few members are not worth several threads, nor helpers; here they are."""

    def do(kind: Any, folder: Path) -> Done:
        with (
            mock.patch.object(targets, "_FEW", 0),
            mock.patch.object(targets, "_SMALL", 0),
            mock.patch.object(members, "_WORTH_HELPERS", worth_helpers),
        ):
            return operation(kind, folder)

    return do


OPERATIONS: dict[str, Operation] = {
    "write": put_in("w"),
    "write, own threads": put_in("w", jobs=3, level=9),
    "write, one job": put_in("w", jobs=1),
    "write, zlib": put_in("w", codec="zlib"),
    "append": put_in("a"),
    "append, own threads": put_in("a", jobs=3, level=1),
    "read": read(),
    "extract": extract(),
    "read, threads": as_if_many(read(), 1 << 40),
    "extract, threads": as_if_many(extract(jobs=3, memory=1 << 20), 1 << 40),
    "read, helpers": as_if_many(read(jobs=2), 0),
    "extract, helpers": as_if_many(extract(jobs=2), 0),
}

AS_ZIPFILE = {"write": put_in("w"), "append": put_in("a"), "read": read(), "extract": extract()}
"""The same by the standard library's class."""


def describe(error: BaseException, folder: Path) -> tuple[str, int | None, str | None]:
    """What callers can tell an error by."""
    path = getattr(error, "filename", None)
    is_below = path is not None and str(path).startswith(str(folder / "out"))
    name = "out" if is_below else path and os.path.relpath(path, folder)
    return type(error).__name__, getattr(error, "errno", None), name


def prepare(start: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)


def find_standard_errors(name: str, calls: str, start: Path, folder: Path) -> set[Any]:
    """What zipfile raises when such calls fail: at the first ones, and at some later ones."""
    found = set()
    at = 1
    while True:
        prepare(start, folder)
        sys.unraisablehook = lambda what: None  # it cannot always close what has failed
        with failing(calls, CALLS[calls], at, folder) as turn:
            done = AS_ZIPFILE[name.partition(",")[0]](zipfile.ZipFile, folder)
        found |= {describe(one, folder) for one in done.errors if type(one) is not AssertionError}
        del done
        gc.collect()
        if not turn.has_failed:
            return found
        at = at + 1 if at < 12 else at * 3 // 2


def try_all(name: str, calls: str, start: Path, folder: Path) -> int:
    """Fails one call after the other; gives how many that were."""
    allowed = find_standard_errors(name, calls, start, folder)
    unheard: list[Any] = []
    sys.unraisablehook = threading.excepthook = unheard.append
    for at in range(1, MOST):
        where = f"{name}; {calls}, {at}"
        prepare(start, folder)
        held = Held.look()
        with failing(calls, CALLS[calls], at, folder) as turn:
            done = OPERATIONS[name](parazip.ZipFile, folder)
        assert turn.has_failed or not done.errors, (where, done.errors)
        found = {describe(error, folder) for error in done.errors}
        assert len(done.errors) < 2, (where, done.errors)
        assert not unheard, (where, unheard)
        assert found <= allowed, (where, done.errors, allowed)
        try:
            check_files(name, start, folder, done)
        except AssertionError as error:
            raise AssertionError(where, done.errors) from error
        del done
        assert_nothing_is_left(held)
        go_on()
        if not turn.has_failed:
            return at - 1
    raise AssertionError(f"more than {MOST} calls")


def check_files(name: str, start: Path, folder: Path, done: Done) -> None:
    """What was read is as it was, what was made is complete, and nothing is left over."""
    operation = name.partition(",")[0]
    left = {path.name for path in folder.iterdir()}
    if name.startswith("extract"):
        assert done.errors or read_folder(folder / "out") == READ
        left.discard("out")
    assert left == {path.name for path in start.iterdir()}
    has_begun = operation == "append" and done.was_opened
    for path in ("read.zip", "old.zip"):
        is_same = (folder / path).read_bytes() == (start / path).read_bytes()
        assert is_same or (path == "old.zip" and (operation == "write" or has_begun))
    if done.made is not None:
        with zipfile.ZipFile(folder / "old.zip") as archive:
            found = {one: archive.read(one) for one in archive.namelist()}
            assert found.keys() == done.made.keys()
            assert found == done.made


def go_on() -> None:
    """Another archive is made and read as if nothing had been."""
    file = io.BytesIO()
    with parazip.ZipFile(file, "w", level=1) as archive:
        archive.writestr("small", b"small")
        archive.writestr("large", LARGE)
    with parazip.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.read("large") == LARGE


def main() -> None:
    name, place = sys.argv[1], Path(sys.argv[2])
    start, folder = place / "start", place / "work"
    fill(start)
    prepare(start, folder)
    OPERATIONS[name](parazip.ZipFile, folder)  # what is imported, is imported now
    for calls in sys.argv[3:] or CALLS:
        print(f"{calls}: {try_all(name, calls, start, folder)}", flush=True)


if __name__ == "__main__":
    main()
