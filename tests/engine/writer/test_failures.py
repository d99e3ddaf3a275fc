"""Whole archives that fail leave nothing, or the old archive."""

from __future__ import annotations

import errno
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from parazip.engine.progress import Progress
from parazip.errors import OutputError
from parazip.output import stream as output_module
from parazip.output.stream import Pipe
from parazip.testing import OPERATIONS, FailingOutput
from support.archives import contents_of
from support.paths import make_noise
from support.writing import (
    ATTRIBUTES,
    DATE,
    FAST,
    LINES,
    PADDED_NOISE,
    make_member,
    parazip_threads,
)


def plant_tree(tmp_path: Path) -> Path:
    """A folder whose archive at level 1 takes every way through the writer."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a empty").mkdir()
    (folder / "b cut").write_bytes(LINES)
    (folder / "c small").write_bytes(b"small " * 1000)
    (folder / "d taken back").write_bytes(PADDED_NOISE)
    (folder / "e noise").write_bytes(make_noise((1 << 20) + 1))
    (folder / "f last").write_bytes(b"last")
    return folder


def folder_contents(folder: Path) -> dict[str, bytes]:
    return {
        file.name + "/" * file.is_dir(): b"" if file.is_dir() else file.read_bytes()
        for file in folder.iterdir()
    }


FROM_FOLDER = "."


def into(output: output_module.BinaryOutput | Pipe, folder: Path) -> parazip.Report:
    selection = parazip.Selection(directory=folder)
    return parazip.create(output, [FROM_FOLDER], FAST, selection, shebang="python3")


@pytest.mark.parametrize("kind", ["file", "pipe"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_failure_of_any_call_of_the_output_is_told_and_ends_everything(
    tmp_path: Path, operation: str, kind: str
) -> None:
    folder = plant_tree(tmp_path)
    expected = folder_contents(folder)
    for n in range(1, 1000):
        file = io.BytesIO()
        error = OSError(errno.EIO, "the cable is broken")
        failing = FailingOutput(file, n, error, (operation,))
        try:
            into(failing if kind == "file" else Pipe(failing, "-"), folder)
        except OutputError as raised:
            told = raised
        else:
            break
        assert str(told) == "cannot write -: the cable is broken"
        assert (told.errno, told.__cause__) == (errno.EIO, error)
        assert failing.calls == n, "after the error nothing more is tried"
        assert parazip_threads() == []
    assert failing.calls == n - 1
    assert contents_of(file) == expected
    used = {
        "file": {"write", "seek", "tell", "truncate", "flush"},
        "pipe": {"write", "flush"},
    }
    assert (n > 1) == (operation in used[kind])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot write -: the disk is full; make room or write elsewhere",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "cannot write -: whoever reads it has gone"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "cannot write -: Quota exceeded"),
        (OSError("no number"), "cannot write -: no number"),
    ],
)
def test_message_says_what_to_do(tmp_path: Path, error: OSError, message: str) -> None:
    failing = FailingOutput(io.BytesIO(), 3, error, ("write",))
    with pytest.raises(OutputError) as told:
        into(failing, plant_tree(tmp_path))
    assert str(told.value) == message
    assert told.value.errno == error.errno
    assert told.value.__cause__ is error


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_at_any_progress_leaves_nothing_behind(
    tmp_path: Path, error: type[BaseException]
) -> None:
    folder = plant_tree(tmp_path)
    place = tmp_path / "place"
    place.mkdir()
    path = place / "a.zip"
    path.write_bytes(b"old")
    selection = parazip.Selection(directory=folder)
    for n in itertools.count(1):
        calls = 0

        def sink(progress: Progress, n: int = n) -> None:
            nonlocal calls
            calls += 1
            if calls == n:
                raise error("on purpose")

        try:
            parazip.create(path, ["."], FAST, selection, progress=sink)
        except error:
            assert path.read_bytes() == b"old"
            assert list(place.iterdir()) == [path]
            assert parazip_threads() == []
        else:
            break
    assert n > 5
    assert contents_of(path) == folder_contents(folder)


@pytest.mark.parametrize("size", [0, 1 << 10, (1 << 20) + 1])
@pytest.mark.parametrize(
    "change", [Path.unlink, lambda file: file.write_bytes(b"changed")], ids=["deleted", "changed"]
)
def test_source_that_changed_leaves_the_old_archive_alone(
    tmp_path: Path, change: Callable[[Path], object], size: int
) -> None:
    source, path = tmp_path / "source", tmp_path / "a.zip"
    source.write_bytes(bytes(size))
    path.write_bytes(b"old")
    info = source.stat()
    file = parazip.File(str(source), size, info.st_mtime_ns, info.st_ino)
    change(source)
    before = sorted(tmp_path.iterdir())
    members = [make_member("first", b"first"), parazip.Member("changed", file, ATTRIBUTES, DATE)]
    with pytest.raises(parazip.SourceError) as told:
        parazip.write(path, members, FAST)
    assert told.value.member == str(source)
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == before
    assert parazip_threads() == []
