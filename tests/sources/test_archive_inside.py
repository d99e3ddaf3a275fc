"""An archive inside the tree that is put in is found out, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from parazip import Cache, OutputError, Selection, SourceError, create
from support.sources import make_paths, read_zip


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("archive", "path", "pattern"),
    [
        ("out.zip", ".", "out.zip"),
        ("t/out.zip", "t", "t/out.zip"),
        ("t/d/out.zip", "t", "t/d/out.zip"),
        ("t/d/out.zip", "t/d", "t/d/out.zip"),
        ("t/d/out.zip", ".", "t/d/out.zip"),
    ],
)
def test_an_archive_inside_its_own_tree_is_refused_unless_it_is_excluded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: str,
    path: str,
    pattern: str,
    existing: bool,
) -> None:
    make_paths(tmp_path, "t/d/a")
    monkeypatch.chdir(tmp_path)
    if existing:
        make_paths(tmp_path, archive, data=b"old")
    with pytest.raises(SourceError, match=f"{archive}.*--exclude {pattern}$"):
        create(archive, [path])
    assert os.path.exists(archive) is existing
    for exclude in (pattern, "*.zip"):
        create(archive, [path], selection=Selection(exclude=(exclude,)))
        found = read_zip(Path(archive)).namelist()
        assert "t/d/a" in found
        assert not any(name.endswith((".zip", ".tmp")) for name in found)


def test_an_archive_below_an_excluded_folder_is_fine(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "t/dist/")
    create(
        tmp_path / "t/dist/out.zip",
        ["t"],
        selection=Selection(directory=tmp_path, exclude=("dist",)),
    )
    assert read_zip(tmp_path / "t/dist/out.zip").namelist() == ["t/", "t/a"]


def test_an_archive_beside_its_tree_is_fine(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a")
    create(tmp_path / "t.zip", ["t"], selection=Selection(directory=tmp_path))
    assert read_zip(tmp_path / "t.zip").namelist() == ["t/", "t/a"]


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link", "linked folder"])
def test_an_archive_that_is_its_own_source_is_found_out_whatever_it_is_called(
    tmp_path: Path, way: str
) -> None:
    make_paths(tmp_path, "out.zip", "t/a", data=b"old archive")
    archive = tmp_path / "out.zip"
    path = "t"
    if way == "itself":
        path = "out.zip"
    elif way == "symbolic link":
        (tmp_path / "t/other").symlink_to(archive)
    elif way == "hard link":
        os.link(archive, tmp_path / "t/other")
    else:
        make_paths(tmp_path, "elsewhere/")
        archive = tmp_path / "elsewhere/out.zip"
        archive.write_bytes(b"old archive")
        (tmp_path / "t/other").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="is to be put into itself"):
        create(archive, [path], selection=Selection(directory=tmp_path))
    assert archive.read_bytes() == b"old archive"


def test_an_archive_in_a_linked_folder_is_inside_its_tree(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a")
    (tmp_path / "link").symlink_to("t")
    with pytest.raises(SourceError, match=r"lies inside .*/t, which"):
        create(tmp_path / "link/out.zip", ["t"], selection=Selection(directory=tmp_path))


def test_an_open_file_inside_the_tree_is_found_out_too(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a")
    with (
        open(tmp_path / "t/out.zip", "wb") as archive,
        pytest.raises(SourceError, match=r"out\.zip"),
    ):
        create(archive, ["t"], selection=Selection(directory=tmp_path))


@pytest.mark.parametrize("path", ["d", "d/", "./d", "link"])
def test_a_folder_to_be_put_in_is_neither_the_archive_nor_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_paths(tmp_path, "d/a")
    os.symlink("d", "link")
    with pytest.raises(OutputError, match="cannot write d: it is a folder"):
        create("d", [path])
    with pytest.raises(SourceError, match=r"the cache cannot be .*d: that is a folder") as told:
        create("a.zip", [path], cache=Cache("d"))
    assert "--exclude" not in str(told.value)
