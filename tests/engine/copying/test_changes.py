"""Archives that change before or while they are copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import parazip
from parazip import SourceChangedError
from parazip.sources.contents import RANGE
from support.copying import LINES, NOISE, assert_nothing_written, write_by_zipfile
from support.paths import empty_file, shrink_file

SMALL_AND_LARGE = {f"{i}": LINES[i : i + 100] for i in range(600)} | {
    "large": NOISE[: RANGE + 1],
    "last": b"2",
}


def rewritten(path: Path) -> None:
    path.write_bytes(write_by_zipfile({"another": b"one", **SMALL_AND_LARGE}))


def rewritten_in_place(path: Path) -> None:
    """The same size and time; only the system's own time of change tells."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        with open(path, "r+b") as file:
            file.write(bytes(100))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def data_rewritten_in_place(path: Path) -> None:
    """As above, and all headers stay as they are."""
    before = path.stat()
    begin = path.read_bytes().index(NOISE[:100])
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        with open(path, "r+b") as file:
            file.seek(begin)
            file.write(bytes(100))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grown(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    """By a file of the same bytes and time."""
    other = path.with_suffix(".new")
    shutil.copy2(path, other)
    other.rename(path)


def touched(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


CHANGES = (
    rewritten, rewritten_in_place, data_rewritten_in_place, truncated, shrink_file, empty_file,
    grown, replaced, touched,
)  # fmt: skip


@pytest.mark.parametrize("check_crc", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_changes_before_it_is_copied_is_an_error(
    tmp_path: Path, change: Callable[[Path], None], check_crc: bool
) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(write_by_zipfile(SMALL_AND_LARGE))

    def sources() -> Iterator[Path]:
        yield path
        change(path)  # by now it has been looked at

    with (
        assert_nothing_written(tmp_path / "o.zip"),
        pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read") as error,
    ):
        parazip.merge(tmp_path / "o.zip", sources(), check_crc=check_crc)
    assert error.value.member == str(path)


@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_changes_while_it_is_copied_is_an_error(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(write_by_zipfile(SMALL_AND_LARGE))
    told: list[parazip.Progress] = []

    def sink(progress: parazip.Progress) -> None:
        if not told:
            change(path)
        told.append(progress)

    with (
        assert_nothing_written(tmp_path / "o.zip"),
        pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read"),
    ):
        parazip.merge(tmp_path / "o.zip", [path], progress=sink)
    assert told[0].members < told[0].members_total


def test_an_archive_that_is_removed_before_it_is_copied_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(write_by_zipfile(SMALL_AND_LARGE))

    def sources() -> Iterator[Path]:
        yield path
        path.unlink()

    with pytest.raises(parazip.SourceError, match=r"cannot read .*s\.zip: No such file"):
        parazip.merge(tmp_path / "o.zip", sources())
    assert list(tmp_path.iterdir()) == []
