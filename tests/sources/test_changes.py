"""What changes between the moment it is found and the moment it is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from parazip import Progress, Selection, Settings, SourceChangedError, SourceError, create, write
from parazip.codecs.sizes import BLOCK
from support.paths import delete_file, grow_file, shrink_file
from support.sources import make_paths, scan_paths


def set_other_time(path: Path) -> None:
    """Other contents of the same size, at another time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000))


def replace_by_zeros(path: Path) -> None:
    """Another file of the same size and time under the same name."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES = [
    (delete_file, SourceError, "cannot read .*victim: No such file"),
    (
        grow_file,
        SourceChangedError,
        r"victim changed while it was read: it had \d+ bytes and has \d+",
    ),
    (
        shrink_file,
        SourceChangedError,
        r"victim changed while it was read: it had \d+ bytes and has \d+",
    ),
    (
        set_other_time,
        SourceChangedError,
        "victim changed while it was read: its modification time and ",
    ),
    (
        replace_by_zeros,
        SourceChangedError,
        "victim changed while it was read: its inode and change time ",
    ),
]

SIZES = {"short": 100, "middling": 300_000, "at the cut": BLOCK, "cut": 3 * BLOCK + 5}


@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(
    ("change", "error", "message"), CHANGES, ids=[c[0].__name__ for c in CHANGES]
)
def test_a_file_that_changes_before_it_is_read_is_an_error_and_the_old_archive_stays(
    tmp_path: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    message: str,
    size: int,
    level: int,
) -> None:
    make_paths(
        tmp_path,
        "t/before",
        "t/victim",
        "t/zuletzt",
        data=b"some words " * (size // 11) + b"x" * (size % 11),
    )
    members = scan_paths(["t"], Selection(directory=tmp_path))
    change(tmp_path / "t/victim")
    (tmp_path / "out").mkdir()
    archive = tmp_path / "out/out.zip"
    archive.write_bytes(b"old archive")
    with pytest.raises(error, match=message) as caught:
        write(archive, members, Settings(level=level, jobs=2))
    assert type(caught.value) is error
    assert archive.read_bytes() == b"old archive"
    assert os.listdir(tmp_path / "out") == ["out.zip"]
    assert threading.active_count() == 1


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(
    ("change", "error", "message"), CHANGES, ids=[c[0].__name__ for c in CHANGES]
)
def test_a_file_that_changes_between_its_blocks_is_an_error(
    tmp_path: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    message: str,
    level: int,
) -> None:
    make_paths(tmp_path, "t/victim", data=b"some words " * 300_000)
    seen: list[Progress] = []

    def after_the_first_block(progress: Progress) -> None:
        if not seen:
            change(tmp_path / "t/victim")
        seen.append(progress)

    with pytest.raises(error, match=message):
        create(
            tmp_path / "out.zip",
            ["t/victim"],
            # A budget below one block's: the next block is read when this one has been told of.
            Settings(level=level, jobs=1, memory=1 << 20),
            Selection(directory=tmp_path),
            progress=after_the_first_block,
        )
    assert len(seen) == 1
    assert (seen[0].bytes, seen[0].members) == (BLOCK, 0)
    assert os.listdir(tmp_path) == ["t"]


def test_the_first_file_in_archive_order_is_the_one_that_is_told_of(tmp_path: Path) -> None:
    make_paths(tmp_path, *(f"t/{i:04}" for i in range(600)))
    members = scan_paths(["t"], Selection(directory=tmp_path))
    for name in ("t/0599", "t/0300", "t/0150"):
        (tmp_path / name).unlink()
    for jobs in (1, 3):
        with pytest.raises(SourceError, match="t/0150"):
            write(tmp_path / "out.zip", members, Settings(jobs=jobs))
    assert os.listdir(tmp_path) == ["t"]


def test_a_progress_callback_that_fails_ends_the_archive(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", data=b"z" * (4 * BLOCK))

    def fail(progress: Progress) -> None:
        raise LookupError(progress.current)

    with pytest.raises(LookupError, match="t/a"):
        create(
            tmp_path / "out.zip",
            ["t/a"],
            Settings(level=1, jobs=2),
            Selection(directory=tmp_path),
            progress=fail,
        )
    assert os.listdir(tmp_path) == ["t"]
    assert threading.active_count() == 1
