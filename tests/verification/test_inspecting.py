"""An archive is read back before it appears under its name."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from support.archive_parts import TEXT, A, make_with_first
from support.command import run_parazip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_bytes(TEXT * 999)
    return path


def create(target: Path, source: Path, inspect: Callable[[str], object]) -> None:
    parazip.create(target, [source], inspect=inspect)


def merge(target: Path, source: Path, inspect: Callable[[str], object]) -> None:
    parazip.merge(target, [("below", source.parent / "folder")], inspect=inspect)


@pytest.mark.parametrize("has_name", [False, True])
@pytest.mark.parametrize("make", [create, merge])
def test_it_is_complete_and_not_there_yet(
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path, Path, Callable[[str], object]], None],
    has_name: bool,
) -> None:
    if has_name:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(TEXT)
    target = tmp_path / "a.zip"
    seen = []

    def inspect(path: str) -> None:
        assert not target.exists()
        assert parazip.verify(path).is_sound
        seen.append(zipfile.ZipFile(path).namelist())

    make(target, source, inspect)
    assert seen == [zipfile.ZipFile(target).namelist()]


def test_what_is_raised_keeps_the_old_one(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(b"old")

    def refuse(path: str) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        parazip.create(target, [source], inspect=refuse)
    assert target.read_bytes() == b"old"
    assert {*os.listdir(tmp_path)} == {"a.zip", "source.txt"}


def test_what_cannot_be_read_back_is_refused_before_the_work(source: Path) -> None:
    output = io.BytesIO()
    for target in (output, "/dev/null"):
        with pytest.raises(parazip.SettingsError, match="read back"):
            parazip.create(target, [source], inspect=parazip.require_sound)
    assert output.getvalue() == b""


def test_require_sound_tells_the_first_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make_with_first(both={"crc": 1}, local={"method": 0}))
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.require_sound(path)
    assert caught.value.id == "crc-mismatch"
    assert str(caught.value).startswith(f"{path} is damaged: the data of a.py: expected CRC ")
    assert "the first of 2 errors" in str(caught.value)
    (tmp_path / "good.zip").write_bytes(make_with_first())
    parazip.require_sound(tmp_path / "good.zip")


def test_the_command_verifies_what_it_made(tmp_path: Path, source: Path) -> None:
    done = run_parazip("create", "--verify", "a.zip", source.name, cwd=tmp_path)
    assert (done.code, zipfile.ZipFile(tmp_path / "a.zip").testzip()) == (0, None)
    damaged = make_with_first(packed=A.data()[:-9] + b"?" * 9)
    (tmp_path / "damaged.zip").write_bytes(damaged)
    assert run_parazip("merge", "b.zip", "damaged.zip", cwd=tmp_path).code == 0
    done = run_parazip("merge", "--verify", "a.zip", "damaged.zip", cwd=tmp_path)
    assert done.code == 1
    assert done.err.startswith("parazip: the new a.zip is damaged: the data of a.py: expected ")
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == [source.name]
    done = run_parazip("create", "--verify", "-", source.name, cwd=tmp_path)
    assert (done.code, done.out) == (2, b"")
