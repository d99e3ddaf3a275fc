"""An archive that is there is changed: what goes where, and what has not changed."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip import DuplicateMemberError, Progress, Selection, Settings, SourceChangedError
from parazip.codecs.sizes import BLOCK
from parazip.engine import revision
from support.archives import compressed_bytes_of, contents_of, names_in
from support.updating import (
    IN_TREE,
    MOMENT,
    NOTHING,
    SECONDS,
    TEXT,
    TREE,
    edit_file,
    identify_file,
    plant_dated_files,
    run_change,
    when_written,
)

# What goes where


def test_members_are_replaced_in_their_places_and_new_ones_come_last(work: Path) -> None:
    edit_file(work / "d/b", b"new b")
    edit_file(work / "d/0", b"0")
    edit_file(work / "d/sub/z", TEXT)
    (work / "d/c").unlink()
    report = parazip.update("out.zip", ["d"])
    assert names_in(work / "out.zip") == [*IN_TREE, "d/0", "d/sub/z"]
    assert contents_of(work / "out.zip") == {
        **{name: TREE.get(name, b"") for name in IN_TREE},
        "d/b": b"new b",
        "d/0": b"0",
        "d/sub/z": TEXT,
    }
    # The two folders have new dates, as files came and went.
    assert report.changes == {"added": 2, "changed": 3, "deleted": 0}
    assert report.members == 9
    assert report.bytes_out == os.stat("out.zip").st_size
    assert report.bytes_in == sum(map(len, contents_of(work / "out.zip").values()))


@pytest.mark.skipif(shutil.which("zip") is None, reason="zip is not installed")
@pytest.mark.parametrize("seed", range(6))
def test_zip_puts_in_the_same(work: Path, seed: int) -> None:
    draw = random.Random(seed)
    subprocess.run(["zip", "-qr", "zip.zip", "d"], check=True)
    parazip.create("ours.zip", ["d"])
    for name in draw.sample(list(TREE), k=2):
        edit_file(work / name, draw.randbytes(draw.choice([0, 1, len(TREE[name])])))
    for name in draw.sample(["d/0", "d/new", "d/sub/new", "d/n/e/w"], k=2):
        edit_file(work / name, draw.randbytes(10))
    (work / "d/sub/y").unlink(missing_ok=True)
    given = draw.choice([["d"], ["d/sub", "d/a"], ["d/b"]])
    subprocess.run(["zip", "-qr", "zip.zip", *given], check=True)
    parazip.update("ours.zip", given)
    theirs, ours = contents_of(work / "zip.zip"), contents_of(work / "ours.zip")
    assert theirs == ours
    before = len(IN_TREE)
    assert sorted(list(ours)[:before]) == sorted(list(theirs)[:before])  # each in its old place


TREES = st.dictionaries(
    st.sampled_from(["a", "b", "c/x", "c/y", "e/f/g", "\u00fc"]),
    st.sampled_from([b"", b"1", b"2", TEXT, TEXT[::-1]]),
)


@settings(max_examples=40)
@given(before=TREES, after=TREES)
def test_an_update_makes_what_create_makes_of_both(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("trees")
    selection = Selection(directory=root / "old", timestamp="epoch", modes="normal")
    plant_dated_files(root / "old", {"./": b"", **before})
    parazip.create(root / "out.zip", ["."], selection=selection)
    plant_dated_files(root / "new", {"./": b"", **after})
    selection = Selection(directory=root / "new", timestamp="epoch", modes="normal")
    report = parazip.update(root / "out.zip", ["."], selection=selection)
    plant_dated_files(root / "old", after)
    selection = Selection(directory=root / "old", timestamp="epoch", modes="normal")
    parazip.create(root / "both.zip", ["."], selection=selection)
    assert contents_of(root / "out.zip") == contents_of(root / "both.zip")
    assert report.changes is not None
    changed = sum(1 for name, data in after.items() if before.get(name, data) != data)
    assert report.changes["changed"] == changed
    assert parazip.update(root / "out.zip", ["."], selection=selection).changes == NOTHING


@pytest.mark.parametrize(
    "given", [Settings(jobs=1), Settings(jobs=4), Settings(memory=1 << 20)], ids=repr
)
def test_jobs_and_memory_change_no_byte(work: Path, given: Settings) -> None:
    old = (work / "out.zip").read_bytes()
    edit_file(work / "d/b", TEXT * 40)
    edit_file(work / "d/new", TEXT * 400)
    parazip.update("out.zip", ["d"])
    expected = (work / "out.zip").read_bytes()
    (work / "out.zip").write_bytes(old)
    parazip.update("out.zip", ["d"], given)
    assert (work / "out.zip").read_bytes() == expected


OPTIONS: dict[str, tuple[list[str], bytes, list[str]]] = {
    "a directory": (["out.zip", "-C", "d", "b"], b"", ["b"]),
    "a prefix": (["--prefix", "p/q", "out.zip", "d/b"], b"", ["p/q/d/b"]),
    "left out": (["out.zip", "d", "-x", "sub", "-x", "d/new"], b"", []),
    "a list": (["--files-from", "-", "out.zip"], b"d/new\nd/b\n", ["d/new"]),
    "a list with NUL": (["--files-from", "-", "--null", "out.zip"], b"d/new\0d/b", ["d/new"]),
    "a link followed": (["out.zip", "link"], b"", ["link"]),
    "a link stored": (["out.zip", "--symlinks", "store", "link"], b"", ["link"]),
    "no folder of the name": (["out.zip", "d/sub", "./d/../d/new"], b"", ["d/new"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_options_of_create_choose_what_is_put_in(work: Path, case: str) -> None:
    edit_file(work / "d/b", b"new b")
    edit_file(work / "d/new", b"new")
    (work / "link").symlink_to("d/b")
    args, stdin, added = OPTIONS[case]
    done = run_change("update", *args, cwd=work, stdin=stdin)
    assert done.code == 0, done.err
    assert names_in(work / "out.zip") == [*IN_TREE, *added]
    if "link" in added:
        with zipfile.ZipFile("out.zip") as archive:
            is_link = stat.S_ISLNK(archive.getinfo("link").external_attr >> 16)
            assert (is_link, archive.read("link")) == (
                (True, b"d/b") if "stored" in case else (False, b"new b")
            )


def test_an_archive_that_is_not_there_is_made(work: Path) -> None:
    done = run_change("update", "new.zip", "d", cwd=work)
    assert done.code == 0
    assert "(7 added)" in done.err
    parazip.create("create.zip", ["d"])
    assert (work / "new.zip").read_bytes() == (work / "create.zip").read_bytes()
    os.symlink("far.zip", "link.zip")
    parazip.update("link.zip", ["d"])
    assert (work / "far.zip").read_bytes() == (work / "create.zip").read_bytes()


def test_a_link_to_an_archive_is_followed(work: Path) -> None:
    os.symlink("out.zip", "link.zip")
    edit_file(work / "d/b", b"new")
    parazip.update("link.zip", ["d/b"])
    parazip.delete("link.zip", ["d/a"])
    assert os.path.islink("link.zip")
    assert contents_of(work / "out.zip")["d/b"] == b"new"
    assert "d/a" not in names_in(work / "out.zip")


def test_a_file_takes_the_place_of_an_empty_folder_and_the_other_way_round(work: Path) -> None:
    (work / "d/b").unlink()
    plant_dated_files(work / "d/b", {"inside": b"i"})
    parazip.update("out.zip", ["d"])
    assert names_in(work / "out.zip") == [name if name != "d/b" else "d/b/" for name in IN_TREE] + [
        "d/b/inside"
    ]
    parazip.delete("out.zip", ["inside"])
    (work / "d/b/inside").unlink()
    (work / "d/b").rmdir()
    edit_file(work / "d/b", b"a file again")
    parazip.update("out.zip", ["d"])
    assert names_in(work / "out.zip") == IN_TREE
    assert contents_of(work / "out.zip")["d/b"] == b"a file again"


def test_a_file_in_the_place_of_a_folder_with_something_in_it_is_refused(work: Path) -> None:
    before = identify_file(work / "out.zip")
    (work / "d/sub/x").unlink()
    (work / "d/sub/y").unlink()
    (work / "d/sub").rmdir()
    edit_file(work / "d/sub", b"a file")
    with pytest.raises(DuplicateMemberError, match=r"d/sub.*parazip delete"):
        parazip.update("out.zip", ["d"])
    assert identify_file(work / "out.zip") == before
    parazip.delete("out.zip", ["d/sub"])
    parazip.update("out.zip", ["d"])
    assert names_in(work / "out.zip") == ["d/", "d/a", "d/b", "d/c", "d/sub"]


# What has not changed


def test_what_has_not_changed_is_copied_as_it_is_compressed(work: Path) -> None:
    before = {name: compressed_bytes_of(work / "out.zip", name) for name in IN_TREE}
    edit_file(work / "d/sub/x", TEXT[:5001])
    report = parazip.update("out.zip", ["d"], Settings(level=9))
    after = {name: compressed_bytes_of(work / "out.zip", name) for name in IN_TREE}
    assert [name for name in IN_TREE if before[name] != after[name]] == ["d/sub/x"]
    parazip.create("nine.zip", ["d"], Settings(level=9))
    assert after["d/sub/x"] == compressed_bytes_of(work / "nine.zip", "d/sub/x")
    assert after["d/a"] != compressed_bytes_of(work / "nine.zip", "d/a")
    same = sum(len(data) for name, data in TREE.items() if name != "d/sub/x")
    assert report.codecs["copied"].bytes_in == same


def test_contents_count_and_not_dates(work: Path) -> None:
    info = os.stat("d/b")
    (work / "d/b").write_bytes(b"c" * 100)  # what `zip -u` does not see
    os.utime("d/b", ns=(info.st_mtime_ns, info.st_mtime_ns))
    assert parazip.update("out.zip", ["d"]).changes == {**NOTHING, "changed": 1}
    assert contents_of(work / "out.zip")["d/b"] == b"c" * 100


@pytest.mark.parametrize("what", ["date", "mode"])
def test_a_new_date_or_mode_comes_with_the_old_bytes(work: Path, what: str) -> None:
    before = compressed_bytes_of(work / "out.zip", "d/a")
    if what == "date":
        os.utime("d/a", (SECONDS + 100, SECONDS + 100))
    else:
        os.chmod("d/a", 0o750)
    report = parazip.update("out.zip", ["d"], Settings(level=9))
    assert report.changes == {**NOTHING, "changed": 1}
    assert compressed_bytes_of(work / "out.zip", "d/a") == before
    with zipfile.ZipFile("out.zip") as archive:
        info = archive.getinfo("d/a")
    if what == "date":
        assert time.mktime((*info.date_time, 0, 0, -1)) == SECONDS + 100
    else:
        assert info.external_attr >> 16 == 0o100750


@pytest.mark.parametrize("given", [["d"], ["d/a"], []])
def test_an_archive_is_not_written_if_nothing_changed(work: Path, given: list[str]) -> None:
    before = identify_file(work / "out.zip")
    seen: list[Progress] = []
    report = parazip.update("out.zip", given, progress=seen.append)
    assert identify_file(work / "out.zip") == before
    assert report.changes == NOTHING
    assert (report.members, report.bytes_out) == (7, len(before[2]))
    assert report.bytes_in == sum(map(len, TREE.values()))
    done = run_change("update", "out.zip", "d", cwd=work)
    assert "out.zip: 7 members (nothing changed)" in done.err


def test_dates_and_modes_of_other_members_stay(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chmod("d/a", 0o600)
    parazip.create("out.zip", ["d"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    edit_file(work / "d/b", b"new")
    parazip.update("out.zip", ["d/b"], selection=Selection(modes="normal"))
    parazip.delete("out.zip", ["d/c"])
    with zipfile.ZipFile("out.zip") as archive:
        infos = {info.filename: info for info in archive.infolist()}
    assert infos["d/b"].date_time == (2001, 9, 9, 1, 46, 40)
    assert {info.date_time for name, info in infos.items() if name != "d/b"} == {MOMENT}
    assert infos["d/a"].external_attr >> 16 == 0o100600


def test_large_members_are_copied_or_cut_into_blocks(work: Path) -> None:
    noise = random.Random(0).randbytes(BLOCK // 2)
    large = (TEXT * 40 + noise) * 5  # more than any level compresses whole
    plant_dated_files(work, {"d/changed": large, "d/same": large[::-1]})
    parazip.create("out.zip", ["d"], Settings(level=1))
    before = compressed_bytes_of(work / "out.zip", "d/same")
    edit_file(work / "d/changed", large[:-1] + b"?")
    report = parazip.update("out.zip", ["d"])
    assert contents_of(work / "out.zip")["d/changed"] == large[:-1] + b"?"
    assert compressed_bytes_of(work / "out.zip", "d/same") == before
    parazip.create("fresh.zip", ["d"])
    assert compressed_bytes_of(work / "out.zip", "d/changed") == compressed_bytes_of(
        work / "fresh.zip", "d/changed"
    )
    assert report.changes == {**NOTHING, "changed": 1}


def test_of_many_members_only_what_changed_is_compressed(work: Path) -> None:
    files = {f"many/{i % 100}/{i}": b"member %d" % i for i in range(10_000)}
    plant_dated_files(work, files)
    parazip.create("many.zip", ["many"])
    edit_file(work / "many/7/7", b"the only one that changed")
    report = parazip.update("many.zip", ["many/7/7"])
    assert report.changes == {**NOTHING, "changed": 1}
    assert report.codecs["copied"].bytes_in == sum(map(len, files.values())) - len(b"member 7")
    assert contents_of(work / "many.zip") == {
        **{name: files.get(name, b"") for name in names_in(work / "many.zip")},
        "many/7/7": b"the only one that changed",
    }


def test_the_public_functions_are_those_of_the_room() -> None:
    assert parazip.update is revision.update
    assert parazip.delete is revision.delete


def test_a_first_member_mimetype_stays_stored(tmp_path: Path) -> None:
    """Containers begin with it, and readers look for its text there (EPUB, OpenDocument)."""
    (tmp_path / "mimetype").write_bytes(b"short")
    (tmp_path / "b").write_bytes(b"b")
    parazip.create(tmp_path / "a.zip", ["mimetype", "b"], selection=Selection(directory=tmp_path))
    (tmp_path / "mimetype").write_bytes(b"application/vnd.oasis.opendocument.text " * 9)
    parazip.update(tmp_path / "a.zip", ["mimetype"], selection=Selection(directory=tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        first, second = archive.infolist()
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", 0, b"")
        assert second.filename == "b"
        assert archive.testzip() is None


@pytest.mark.parametrize("changes", ["ctime", "mtime", "size", "none"])
def test_the_archive_is_looked_at_whatever_shows_that_files_changed(
    work: Path, changes: Any
) -> None:
    """But inodes and change times that are unsteady are no matter where that is said of files."""

    def given_another_inode() -> None:
        shutil.copy2("out.zip", "other.zip")
        os.replace("other.zip", "out.zip")

    edit_file(work / "d/b", b"new")
    selection = Selection(changes=changes)
    due: list[Callable[[], object]] = [lambda: os.truncate("out.zip", 10), given_another_inode]
    for change in reversed(due):
        is_seen = changes == "ctime" or change is due[0]
        before = identify_file(work / "out.zip")
        try:
            parazip.update("out.zip", ["d"], None, selection, progress=when_written(change))
        except SourceChangedError:
            assert is_seen
        else:
            assert not is_seen
        if change is due[1]:
            (work / "out.zip").write_bytes(before[2])
    assert (work / "out.zip").stat().st_size == 10
