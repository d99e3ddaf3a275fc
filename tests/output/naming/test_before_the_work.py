"""What cannot be written is told before the work."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.errors import OutputError
from parazip.output import rights
from parazip.output.stream import open_replacement
from support.naming import (
    IS_ROOT,
    NOBODY,
    POSIX,
    ROOT,
    is_right,
    kept_file_of,
    list_others,
    make_archive_at,
    try_to_make_archive,
    without_rights_of_root,
)
from support.refusals import OLD


def begin(path: Path) -> OutputError:
    """The error of an output that cannot be opened."""
    with pytest.raises(OutputError) as told, open_replacement(str(path)):
        raise AssertionError("it was said only after the work")
    assert told.value.kept == ""
    return told.value


def closed_folder(open_folder: Path) -> Path:
    """A folder that takes no new file of ours, and the user that we are then."""
    folder = open_folder / "closed"
    folder.mkdir(0o755)
    return folder


@POSIX
def test_folder_that_takes_no_file_is_told_before_the_work(open_folder: Path) -> None:
    folder = closed_folder(open_folder)
    folder.chmod(0o555)
    with without_rights_of_root():
        error = begin(folder / "a.zip")
    told = f"cannot write {folder}/a.zip: Permission denied; {folder} takes no new file; "
    assert str(error) == f"{told}write elsewhere"
    assert os.listdir(folder) == []


@POSIX
@pytest.mark.parametrize("old", [OLD, b""])
def test_file_in_a_folder_that_takes_none_is_written_over(open_folder: Path, old: bytes) -> None:
    folder = closed_folder(open_folder)
    path = folder / "a.zip"
    path.write_bytes(old)
    path.chmod(0o666)
    folder.chmod(0o555)
    before = set(os.listdir(tempfile.gettempdir()))
    with without_rights_of_root():
        make_archive_at(path, shebang="python3")
    assert is_right(path)
    assert path.stat().st_mode & 0o777 == (0o666 if IS_ROOT else 0o777)
    assert os.listdir(folder) == ["a.zip"]
    assert [n for n in {*os.listdir(tempfile.gettempdir())} - before if n[:9] == ".parazip-"] == []


@POSIX
def test_no_folder_for_temporary_files_is_told_before_the_work(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed_folder(open_folder)
    path = folder / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    folder.chmod(0o555)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with without_rights_of_root():
        error = begin(path)
    assert "takes no new file, nor does a folder for temporary files, such as TMPDIR" in str(error)
    assert path.read_bytes() == OLD


@ROOT
def test_others_file_in_a_sticky_folder(open_folder: Path) -> None:
    """It may be written, or not; to replace it is not allowed."""
    folder = open_folder / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    with without_rights_of_root():
        make_archive_at(path)
    assert is_right(path)
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o666)
    assert list_others(folder) == []
    path.chmod(0o644)
    with without_rights_of_root():
        error = begin(path)
    assert "Permission denied" in str(error)
    assert f"{path} cannot be replaced either; write elsewhere" in str(error)
    assert list_others(folder) == []


@POSIX
def test_read_only_file_in_our_own_folder_is_replaced(open_folder: Path) -> None:
    if IS_ROOT:
        os.chown(open_folder, NOBODY, NOBODY)
    path = open_folder / "a.zip"
    with without_rights_of_root():
        path.write_bytes(OLD)
        path.chmod(0o444)
        make_archive_at(path)
    assert is_right(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list_others(open_folder) == []


@contextmanager
def mount_upon(source: Path, target: Path, *options: str) -> Iterator[None]:
    """A file that is mounted upon another, as containers do it."""
    if not IS_ROOT or sys.platform != "linux":
        pytest.skip("only root may mount, and only Linux mounts files")
    done = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
    try:
        if options:
            subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.parametrize("name", ["a.zip", "with blank\tand\\.zip"])
def test_file_that_is_a_mount_point_is_written_over(tmp_path: Path, name: str) -> None:
    """As with `docker run -v $PWD/out.zip:/out.zip`."""
    real, path = tmp_path / "real.zip", tmp_path / "inside" / name
    path.parent.mkdir()
    real.write_bytes(OLD)
    path.touch()
    with mount_upon(real, path):
        make_archive_at(path)
        assert rights._is_mount_point(str(path))
    assert not rights._is_mount_point(str(path))
    assert is_right(real)
    assert os.listdir(path.parent) == [name]


def test_read_only_mount_point_is_told_before_the_work(tmp_path: Path) -> None:
    real, path = tmp_path / "real.zip", tmp_path / "inside" / "a.zip"
    path.parent.mkdir()
    real.write_bytes(OLD)
    path.touch()
    with mount_upon(real, path, "ro"):
        error = begin(path)
    assert "Read-only file system" in str(error)
    assert real.read_bytes() == OLD
    assert os.listdir(path.parent) == ["a.zip"]


@contextmanager
def attribute(path: Path, letter: str) -> Iterator[None]:
    """A file with an attribute of chattr(1)."""
    try:
        done = subprocess.run(["chattr", f"+{letter}", path], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no chattr")
    if done.returncode:
        pytest.skip(f"no file can get the attribute here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", path], check=True)


def test_immutable_file_is_told_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    with attribute(path, "i"):
        error = begin(path)
    assert "Operation not permitted" in str(error)
    assert path.read_bytes() == OLD
    assert list_others(tmp_path) == []


def test_what_cannot_replace_an_append_only_file_is_kept(tmp_path: Path) -> None:
    """access(2) says that it may be written, and to open it would wake up who watches it."""
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    with attribute(path, "a"):
        _, error = try_to_make_archive(path)
    assert error is not None
    kept = kept_file_of(error)
    assert is_right(kept)
    assert path.read_bytes() == OLD
    assert list_others(tmp_path) == [os.path.basename(kept)]


@POSIX
@pytest.mark.parametrize("goes_through", ["create", "preview"])
def test_what_is_in_vain_is_refused_before_the_work(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, goes_through: str
) -> None:
    """What a dry run and a real one refuse is the same, and nothing has been looked at by then."""

    def refused(archive: str, **front: Any) -> Exception:
        done: Callable[..., object] = partial(parazip.create, archive, ["source"])
        if goes_through == "preview":
            done = partial(parazip.preview, ["source"], archive=archive)
        with pytest.raises(parazip.ParazipError) as error:
            done(**front)
        return error.value

    monkeypatch.chdir(open_folder)
    Path("source").write_bytes(b"data")
    Path("source").chmod(0o644)
    Path("folder").mkdir()
    Path("folder").chmod(0o755)
    with monkeypatch.context() as patch:  # no source is opened
        patch.setattr("parazip.sources.files.read_file", lambda file: pytest.fail("it was read"))
        assert "does not exist; make it first" in str(refused("missing/a.zip"))
        assert "it is a folder; name a file in it" in str(refused("folder"))
        assert "is not a path" in str(refused(""))
        assert "cannot write source/a.zip" in str(refused("source/a.zip"))
        assert "the shebang '' is not" in str(refused("a.zip", shebang=""))
        assert "cannot read gone: No such file" in str(refused("a.zip", prepend="gone"))
        assert "cannot read folder: Is a directory" in str(refused("a.zip", prepend="folder"))
        assert "cannot read '': No such file" in str(refused("a.zip", prepend=""))
        Path("secret").write_bytes(b"#!")
        Path("secret").chmod(0)
        Path("fixed.zip").write_bytes(OLD)
        open_folder.chmod(0o777)
        if IS_ROOT:
            with without_rights_of_root():
                assert "Permission denied" in str(refused("a.zip", prepend="secret"))
                assert "folder takes no new file" in str(refused("folder/a.zip"))
        assert Path("fixed.zip").read_bytes() == OLD
    assert sorted(os.listdir()) == ["fixed.zip", "folder", "secret", "source"]
    assert os.listdir("folder") == []


@POSIX
def test_a_dry_run_lets_pass_what_a_real_one_does(open_folder: Path) -> None:
    source = open_folder / "source"
    source.write_bytes(b"data")
    source.chmod(0o644)
    folder = open_folder / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "ours.zip").write_bytes(OLD)
    (folder / "ours.zip").chmod(0o666)
    os.mkfifo(folder / "pipe")
    (folder / "pipe").chmod(0o666)
    with without_rights_of_root():
        for name in ("ours.zip", "pipe"):
            assert parazip.preview([source], archive=folder / name).members
        assert parazip.preview([source], archive=os.devnull, prepend=folder / "pipe").members
    assert (folder / "ours.zip").read_bytes() == OLD
