"""What is missing, and what cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parazip import File, Member, Selection, Settings, SourceError, create, write
from parazip.codecs.sizes import BLOCK
from parazip.sources.selection import Symlinks
from support.sources import DATE, FILE, make_paths, refuse_listing, scan_names


@pytest.mark.parametrize("path", ["missing", "t/missing", "missing/deeper"])
def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path, path: str) -> None:
    make_paths(tmp_path, "t/")
    with pytest.raises(SourceError, match=f"cannot read .*/{path}: No such file") as caught:
        scan_names(tmp_path, path)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.member == str(tmp_path / path)


def test_a_path_below_a_file_is_an_error(tmp_path: Path) -> None:
    # The one way of "cannot be looked at" that holds for root, too: it passes all permissions.
    make_paths(tmp_path, "file")
    with pytest.raises(SourceError, match="file/below: Not a directory") as caught:
        scan_names(tmp_path, "file/below")
    assert caught.value.errno == errno.ENOTDIR


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, "t/locked/x", "t/a")
    refuse_listing(monkeypatch, "locked")
    with pytest.raises(SourceError, match="t/locked: Permission denied") as caught:
        scan_names(tmp_path, "t")
    assert caught.value.errno == errno.EACCES
    assert scan_names(tmp_path, "t", exclude=("locked",)) == ["t/", "t/a"]


@pytest.mark.parametrize("size", [1, 200_000, 3 * BLOCK], ids=["short", "middling", "cut"])
def test_a_file_that_cannot_be_opened_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    # Injected, because modes mean nothing to root. A path below a file does for both ways of
    # opening: `File` says that it was there.
    make_paths(tmp_path, "file")
    source = File(str(tmp_path / "file" / "below"), size, 0, 0)
    with pytest.raises(SourceError, match=r"cannot read .*file/below: Not a directory"):
        write(tmp_path / "out.zip", [Member("m", source, FILE, DATE)], Settings(level=1))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="modes mean nothing to root")
def test_a_file_without_the_right_to_read_is_an_error(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a")
    (tmp_path / "t/a").chmod(0)
    with pytest.raises(SourceError, match="t/a: Permission denied"):
        create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path))
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
@pytest.mark.parametrize("symlinks", ["follow", "store"])
def test_what_vanishes_while_folders_are_read_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, symlinks: Symlinks
) -> None:
    make_paths(tmp_path, "t/b/" if kind == "folder" else "t/a")
    lost = tmp_path / "t" / "b"
    if kind == "link":
        lost.symlink_to("a")
    elif kind == "file":
        lost.write_bytes(b"x")
    listing = os.scandir

    class Vanishing:
        def __init__(self, path: str) -> None:
            with listing(path) as entries:
                self._entries = list(entries)
            if path.endswith("t"):
                lost.rmdir() if kind == "folder" else lost.unlink()

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Vanishing)
    with pytest.raises(SourceError, match="t/b"):
        scan_names(tmp_path, "t", symlinks=symlinks)
