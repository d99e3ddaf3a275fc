"""More than a user allows, or than there is room for, is refused before anything is written."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

import parazip
from parazip import Extraction
from parazip.extraction import run
from parazip.extraction.extract import write_contents
from parazip.extraction.model import NEVER_A_BOMB
from support.other_os import OtherOs
from support.paths import list_below, plant_files

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    plant_files(tmp_path / "t", {f"some/{i}": bytes(i << 18) for i in range(9)})
    return tmp_path / "t"


def pack(tree: Path, path: Path) -> Path:
    parazip.create(path, ["."], selection=parazip.Selection(directory=tree))
    return path


def test_more_than_was_allowed_is_refused(tree: Path, tmp_path: Path) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    with pytest.raises(parazip.OutputError, match="--max-size"):
        parazip.extract(archive, tmp_path / "out", Extraction(max_size=MIB))
    assert not (tmp_path / "out").exists()
    parazip.extract(archive, tmp_path / "out", Extraction(max_size=100 * MIB))


def test_what_claims_more_than_the_disk_has_is_refused(tmp_path: Path) -> None:
    """An archive of a megabyte can claim a gigabyte; what has no room is refused at once."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(MIB))
    with pytest.MonkeyPatch.context() as patch:
        few = OtherOs(statvfs=lambda path: Few())
        patch.setattr(run, "os", few)
        with pytest.raises(parazip.OutputError, match="there is room for 4,096; make room"):
            parazip.extract(tmp_path / "a.zip", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(max_size=2 * MIB))
    assert (tmp_path / "out/zeros").stat().st_size == MIB


def test_more_files_than_the_disk_has_room_for_are_refused(tree: Path, tmp_path: Path) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    few = OtherOs(statvfs=lambda path: Few(free=1 << 40, free_files=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "os", few)
        with pytest.raises(parazip.OutputError, match="files, and there is room for 3; make room"):
            parazip.extract(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        parazip.extract(archive, tmp_path / "out", Extraction(max_members=100))
    assert list_below(tmp_path / "out") == list_below(tree)


def test_a_file_system_that_counts_no_files_has_room_for_all(tree: Path, tmp_path: Path) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    with pytest.MonkeyPatch.context() as patch:
        uncounted = Few(free=1 << 40, files=0, free_files=0)
        patch.setattr(run, "os", OtherOs(statvfs=lambda path: uncounted))
        parazip.extract(archive, tmp_path / "out")
    assert list_below(tmp_path / "out") == list_below(tree)


class Few(NamedTuple):
    """What statvfs tells of a disk that is nearly full."""

    free: int = 1
    free_files: int = 1 << 20
    files: int = 1 << 20
    f_frsize: int = 4096

    @property
    def f_bavail(self) -> int:
        return self.free

    @property
    def f_favail(self) -> int:
        return self.free_files

    @property
    def f_files(self) -> int:
        return self.files


def test_more_members_than_were_allowed_are_refused(tmp_path: Path) -> None:
    """What is made counts: folders that no member stands for, too, and links."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/b/file", "")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "a")
    match = (
        r"it makes 4 files, folders and links, and 3 were allowed; allow more with --max-members"
    )
    with pytest.raises(parazip.OutputError, match=match):
        parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(max_members=3))
    assert not (tmp_path / "out").exists()
    parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(max_members=4))
    assert (tmp_path / "out/link").is_symlink()
    only = Extraction(members=("link",), max_members=1)
    parazip.extract(tmp_path / "a.zip", tmp_path / "one", only)
    assert (tmp_path / "one/link").is_symlink()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused(tmp_path: Path, method: int) -> None:
    """A kilobyte of bzip2 makes a gigabyte: nobody would expect that."""
    size = NEVER_A_BOMB + 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("bomb", bytes(size))
        archive.writestr("small", bytes(99))
    with pytest.raises(parazip.OutputError, match=r"1,032 times as many .* with --max-ratio"):
        parazip.extract(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(parazip.OutputError, match="--max-ratio"):
        write_contents(tmp_path / "a.zip", io.BytesIO(), Extraction())
    assert not (tmp_path / "out").exists()
    parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(max_ratio=10**6))
    assert (tmp_path / "out/bomb").stat().st_size == size
    parazip.extract(tmp_path / "a.zip", tmp_path / "one", Extraction(members=("small",)))
    assert list_below(tmp_path / "one") == {"small": bytes(99)}


def test_what_deflate_makes_is_no_bomb(tmp_path: Path) -> None:
    """Nothing is denser than zeros, and people have files of zeros."""
    size = 4 * NEVER_A_BOMB
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros", bytes(size))
    parazip.extract(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/zeros").stat().st_size == size
    with pytest.raises(parazip.OutputError, match=r"67,108,864 bytes of .*, and 100 times as many"):
        parazip.extract(tmp_path / "a.zip", tmp_path / "two", Extraction(max_ratio=100))


def test_a_small_file_is_no_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("zeros", bytes(NEVER_A_BOMB))
    parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(max_ratio=1))
    assert (tmp_path / "out/zeros").stat().st_size == NEVER_A_BOMB


def test_folders_that_have_to_be_made_count_in_a_folder_that_is_there(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(9):
            archive.writestr(f"{number}/", "")
    (tmp_path / "out" / "0").mkdir(parents=True)
    few = OtherOs(statvfs=lambda path: Few(free=1 << 40, free_files=7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "os", few)
        with pytest.raises(parazip.OutputError, match="holds 8 files, and there is room for 7"):
            parazip.extract(tmp_path / "a.zip", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["0"]


@pytest.mark.parametrize("value", [float("nan"), 2.5, "1M"])
def test_a_limit_is_a_whole_number(value: object) -> None:
    with pytest.raises(TypeError, match="max_ratio must be a whole number"):
        Extraction(max_ratio=cast("Any", value))


@pytest.mark.parametrize("name", ["max_size", "max_members", "max_ratio", "strip_components"])
def test_no_limit_is_less_than_nothing(name: str) -> None:
    with pytest.raises(parazip.SettingsError, match=f"{name} must be 0 or more, not -1"):
        Extraction(**cast("Any", {name: -1}))


# Archives of other programs
