"""Files, folders and links of other users are left as they are."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

import parazip
from parazip.errors import OutputError
from parazip.output import naming
from support.naming import (
    IS_ROOT,
    NOBODY,
    POSIX,
    is_right,
    kept_file_of,
    list_others,
    make_archive_at,
    refuse_call,
)
from support.refusals import OLD


def test_moved_file_is_written_over_where_renaming_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, path = tmp_path / "new", tmp_path / "a.zip"
    for old in (None, OLD):
        new.write_bytes(b"finished")
        if old is not None:
            path.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            refuse_call(patch, "replace", errno.EBUSY)
            naming.move_finished(str(new), str(path), "a.zip")
        assert path.read_bytes() == b"finished"
        assert list_others(tmp_path) == []


def test_moved_folder_stays_and_is_told_where_renaming_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    with pytest.raises(OutputError, match=re.escape(os.strerror(errno.EBUSY))) as told:
        naming.move_finished(str(tmp_path / "new"), str(tmp_path / "there"), "there")
    assert kept_file_of(told.value) == str(tmp_path / "new")
    assert naming.leaves_file_behind(told.value)


# --- Links that others have put there --------------------------------------------------------


@pytest.fixture
def planted(open_folder: Path) -> tuple[Path, Path]:
    """A link of another user's in a folder like /tmp, and where it leads."""
    if not IS_ROOT:
        pytest.skip("only root makes links of others")
    shared = open_folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link, aim = shared / "a.zip", open_folder / "aim"
    link.symlink_to(aim)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    return link, aim


@POSIX
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("steps", [0, 1])
def test_another_users_link_in_a_shared_folder_is_not_followed(
    planted: tuple[Path, Path], tmp_path: Path, is_there: bool, steps: int
) -> None:
    link, aim = planted
    if is_there:
        aim.write_bytes(OLD)
    path = link
    for step in range(steps):
        path = tmp_path / f"step{step}"
        path.symlink_to(link)
    with pytest.raises(OutputError, match=re.escape(f"{link} is another user's link")):
        make_archive_at(path)
    with pytest.raises(OutputError, match="another user's link"):
        parazip.preview([__file__], archive=path)
    assert aim.exists() == is_there
    assert not is_there or aim.read_bytes() == OLD
    finished = tmp_path / "finished"
    finished.write_bytes(b"new")
    with pytest.MonkeyPatch.context() as patch:
        refuse_call(patch, "replace", errno.EPERM)
        with pytest.raises(OutputError, match="another user's link") as error:
            naming.move_finished(str(finished), str(path), "a.zip")
    assert kept_file_of(error.value) == str(finished)
    assert aim.exists() == is_there


@POSIX
def test_other_links_are_followed_as_ever(planted: tuple[Path, Path]) -> None:
    link, aim = planted
    shared = link.parent
    make_archive_at(shared / ".." / "shared" / ".." / "b.zip")
    assert is_right(aim.parent / "b.zip")
    (shared / "ours").symlink_to(aim)
    make_archive_at(shared / "ours")
    assert is_right(aim)
    aim.unlink()
    os.chown(shared, NOBODY, NOBODY)  # the link is its owner's now
    make_archive_at(link)
    assert is_right(aim)
    assert link.is_symlink()
    aim.unlink()
    os.chown(shared, 0, 0)
    shared.chmod(0o755)
    make_archive_at(link)
    assert is_right(aim)
    (shared / "within").symlink_to(aim.parent)
    os.chown(shared / "within", NOBODY, NOBODY, follow_symlinks=False)
    shared.chmod(0o1777)
    make_archive_at(
        shared / "within" / "c.zip"
    )  # what is no last step, Linux does not ask for either
    assert is_right(aim.parent / "c.zip")


@POSIX
def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.zip").symlink_to("b.zip")
    (tmp_path / "b.zip").symlink_to("a.zip")
    with pytest.raises(OutputError, match=r"cannot write .*a\.zip: Too many levels"):
        make_archive_at(tmp_path / "a.zip")
