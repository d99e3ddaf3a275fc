"""The rights of an archive: those of the one before, and no more."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import parazip
from parazip.output import rights
from parazip.output.stream import open_replacement
from support.naming import (
    NOBODY,
    POSIX,
    ROOT,
    make_archive_at,
    refuse_call,
    without_rights_of_root,
)
from support.refusals import OLD


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    try:
        yield os.umask
    finally:
        os.umask(before)


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (0o644, 0o644),
        (0o600, 0o600),
        (0o664, 0o664),
        (0o666, 0o666),
        (0o444, 0o444),
        (0o755, 0o755),
        (0o060, 0o060),
        (0o4755, 0o755),
        (0o2755, 0o755),
        (0o6755, 0o755),
        (0o1644, 0o644),
        (0o7777, 0o777),
    ],
    ids="{:04o}".format,
)
def test_rights_are_handed_on_and_set_id_bits_are_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    old: int,
    new: int,
    is_named: bool,
) -> None:
    umask(0o077)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(old)
    make_archive_at(path)
    assert stat.S_IMODE(path.stat().st_mode) == new


@POSIX
def test_mode_that_is_right_is_not_set_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int]
) -> None:
    umask(0o027)
    calls: list[object] = []
    monkeypatch.setattr(os, "fchmod", lambda *given: calls.append(given))
    for _ in range(2):
        make_archive_at(tmp_path / "a.zip")
    assert calls == []
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o640


@ROOT
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("mask", "user", "group", "old", "new"),
    [
        (0o022, NOBODY, NOBODY, 0o4755, (0, NOBODY, 0o755)),
        (0o022, NOBODY, NOBODY, 0o6777, (0, NOBODY, 0o755)),
        (0o022, NOBODY, NOBODY, 0o666, (0, NOBODY, 0o644)),
        (0o022, NOBODY, NOBODY, 0o600, (0, NOBODY, 0o600)),
        (0o022, NOBODY, NOBODY, 0o444, (0, NOBODY, 0o444)),
        (0o002, NOBODY, 0, 0o664, (0, 0, 0o664)),
        (0o077, NOBODY, 0, 0o664, (0, 0, 0o600)),
        (0o022, 0, NOBODY, 0o660, (0, NOBODY, 0o660)),
        (0o022, 0, NOBODY, 0o2770, (0, NOBODY, 0o770)),
    ],
)
def test_rights_of_another_owners_file_add_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    is_named: bool,
    mask: int,
    user: int,
    group: int,
    old: int,
    new: tuple[int, int, int],
) -> None:
    """They may take away from what the umask leaves. The group comes along."""
    umask(mask)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    os.chown(path, user, group)
    path.chmod(old)
    make_archive_at(path)
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == new


@ROOT
@pytest.mark.parametrize(("old", "new"), [(0o660, 0o600), (0o664, 0o644), (0o675, 0o655)])
def test_group_that_cannot_be_kept_leaves_no_rights_to_another(
    open_folder: Path, umask: Callable[[int], int], old: int, new: int
) -> None:
    umask(0)
    os.chown(open_folder, NOBODY, NOBODY)
    path = open_folder / "a.zip"
    path.write_bytes(OLD)
    os.chown(path, NOBODY, NOBODY + 1)
    path.chmod(old)
    with without_rights_of_root():
        make_archive_at(path)
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (NOBODY, NOBODY, new)


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
def test_nobody_may_read_it_meanwhile_who_may_not_read_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int], is_named: bool
) -> None:
    umask(0)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o600)
    with open_replacement(str(path)) as output:
        assert output.descriptor is not None
        assert stat.S_IMODE(os.fstat(output.descriptor).st_mode) == 0o600


@POSIX
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("old", [None, 0o600, 0o640, 0o664, 0o666])
@pytest.mark.parametrize("is_named", [False, True])
def test_nobody_else_may_write_to_it_meanwhile(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    is_named: bool,
    old: int | None,
    mask: int,
) -> None:
    """One without a name nobody else can open. In the end it has the rights it always had."""
    umask(mask)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    if old is not None:
        path.write_bytes(OLD)
        path.chmod(old)
    with open_replacement(str(path)) as output:
        output.write(b"new")
        assert output.descriptor is not None
        info = os.fstat(output.descriptor)
        assert info.st_nlink == (is_named or not hasattr(os, "O_TMPFILE"))
        if info.st_nlink:
            assert stat.S_IMODE(info.st_mode) == (0o666 if old is None else old) & ~mask & ~0o022
    assert stat.S_IMODE(path.stat().st_mode) == (0o666 & ~mask if old is None else old)
    assert os.listdir(tmp_path) == ["a.zip"]


@ROOT
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("is_named", [False, True])
def test_one_that_is_made_in_another_folder_is_its_users_alone(
    open_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    is_named: bool,
    mask: int,
) -> None:
    umask(mask)
    path = open_folder / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    with without_rights_of_root():
        if is_named:
            refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
        with open_replacement(str(path)) as output:
            output.write(b"new")
            assert output.descriptor is not None
            assert stat.S_IMODE(os.fstat(output.descriptor).st_mode) == 0o600
            assert os.listdir(open_folder) == ["a.zip"]
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
def test_nobody_else_may_write_to_it_where_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int], is_named: bool
) -> None:
    umask(0)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse_call(monkeypatch, "unlink", errno.EPERM)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    with open_replacement(str(path)) as output:
        output.write(b"new")
        assert output.descriptor is not None
        info = os.fstat(output.descriptor)
        assert info.st_nlink == 1
        assert stat.S_IMODE(info.st_mode) == 0o644
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    left = [name for name in os.listdir(tmp_path) if name != "a.zip"]
    notes = [f"{tmp_path / name} is left over: the system refuses to remove it" for name in left]
    assert output.notes == notes
    assert all((tmp_path / name).stat().st_size == 0 for name in left)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs Linux's access control lists")
def test_rights_of_an_access_control_list_are_no_groups(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    """With a list the mode's middle is the most that any user or group of it may do (acl(5))."""
    umask(0)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 0, -1), (16, 6, -1), (32, 0, -1)]
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, who & 0xFFFFFFFF) for tag, rights, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", value)
    except OSError as error:
        pytest.skip(f"the file system has no access control lists: {error}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    make_archive_at(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not rights.has_acl(str(path))


@ROOT
def test_a_folder_that_may_not_be_read_is_refused_with_sync_before_the_work(
    open_folder: Path,
) -> None:
    source, box = open_folder / "read.zip", open_folder / "box"
    make_archive_at(source)
    source.chmod(0o644)  # the umask may be any
    box.mkdir()
    box.chmod(0o733)
    with without_rights_of_root():
        with pytest.raises(parazip.OutputError, match="must be readable for --sync"):
            parazip.create(box / "new.zip", [source], sync=True)
        with pytest.raises(parazip.OutputError, match="must be readable for --sync"):
            parazip.extract(source, box / "new" / "out", parazip.Extraction(sync=True))
    assert os.listdir(box) == []
