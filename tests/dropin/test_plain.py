"""Plain members become files without zipfile, and all others by it: the files are the same."""

from __future__ import annotations

import marshal
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import parazip
from parazip.dropin import members, plain, zip_file
from parazip.extraction import unpacking
from parazip.workers.helpers import Helpers
from support.paths import make_noise, plant_files

MANY = 400
LARGE = 3 << 20

pytestmark = pytest.mark.skipif(os.sep != "/", reason="there zipfile extracts all members")


def pack_many(path: Path, comes_first: Callable[[zipfile.ZipFile], object] | None = None) -> Path:
    """So many members that they are shared out; what is odd stands before them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if comes_first is not None:
            comes_first(archive)
        archive.mkdir("folder")
        for number in range(MANY):
            archive.writestr(f"d{number % 7}/é{number}", f"text {number} " * number)
        archive.writestr("stored", b"as it is", zipfile.ZIP_STORED)
        archive.writestr("large", make_noise(LARGE) + bytes(LARGE))
    return path


Tree: TypeAlias = dict[str, tuple[int, bytes]]


def list_tree(folder: Path) -> Tree:
    """What is below a folder, links followed: modes and contents."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


class Seen:
    """Hears what is made without zipfile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = self.left = 0
        self.were_helpers = False
        make_files = plain.PlainMembers.make_files

        def overheard(
            self_: plain.PlainMembers, indexes: Sequence[int], helpers: Helpers | None = None
        ) -> Sequence[int]:
            left = make_files(self_, indexes, helpers)
            self.made += len(indexes) - len(left)
            self.left += len(left)
            self.were_helpers |= bool(helpers and helpers.are_started)
            return left

        monkeypatch.setattr(plain.PlainMembers, "make_files", overheard)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def extract_by_both(path: Path, folder: Path, jobs: int = 2, there: Any = None) -> Tree:
    """The tree that ours makes, which is zipfile's."""
    kinds: dict[str, Callable[[Path], zipfile.ZipFile]] = {
        "theirs": zipfile.ZipFile,
        "ours": partial(parazip.ZipFile, jobs=jobs),
    }
    trees = []
    for whose, kind in kinds.items():
        target = folder / whose
        if there:
            there(target)
        with kind(path) as archive:
            archive.extractall(target)
        trees.append(list_tree(target))
    assert trees[0] == trees[1]
    return trees[1]


@pytest.mark.parametrize("how", ["one", "threads", "helpers"])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_plain_members_are_made_without_zipfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen, how: str, umask: int
) -> None:
    if how == "helpers":
        monkeypatch.setattr(members, "_WORTH_HELPERS", 0)
    path = pack_many(tmp_path / "a.zip")
    before = os.umask(umask)
    try:
        tree = extract_by_both(path, tmp_path, 1 if how == "one" else 2)
    finally:
        os.umask(before)
    assert len(tree) == MANY + 2 + 8
    # On the main thread an error may be a time limit, so nothing is tried there.
    assert (seen.made, seen.left) == (0 if how == "one" else MANY + 2, 0)
    assert seen.were_helpers is (how == "helpers")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_left_to_zipfile(tmp_path: Path, seen: Seen, method: int) -> None:
    path = pack_many(tmp_path / "a.zip", lambda it: it.writestr("other", b"text " * 999, method))
    assert extract_by_both(path, tmp_path)["other"][1] == b"text " * 999
    assert seen.made >= MANY
    assert seen.left == 1


ODD_NAMES = ["../out", "a//b", "./a", "a/../b", "/root", "c:/d", "back\\slash"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_left_to_zipfile(tmp_path: Path, seen: Seen, name: str) -> None:
    path = pack_many(tmp_path / "a.zip", lambda archive: archive.writestr(name, b"odd"))
    tree = extract_by_both(path, tmp_path)
    assert b"odd" in [data for _, data in tree.values()]
    assert seen.left == 1
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "ours", "theirs"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_stands_there_is_replaced_as_zipfile_does(
    tmp_path: Path, seen: Seen, jobs: int
) -> None:
    """It is written over, not made anew: its permissions stay, and so does a link's other name."""

    def there(target: Path) -> None:
        plant_files(target, {"d3/é3": b"longer than what comes " * 99, "mine": b"stays"})
        os.chmod(target / "d3/é3", 0o600)

    tree = extract_by_both(pack_many(tmp_path / "a.zip"), tmp_path, jobs, there)
    assert tree["d3/é3"] == (0o600, b"text 3 " * 3)
    assert tree["mine"][1] == b"stays"
    assert (seen.left > 0) is (jobs > 1)


def test_a_link_in_the_target_is_followed_as_zipfile_does(tmp_path: Path, seen: Seen) -> None:
    def there(target: Path) -> None:
        elsewhere = Path(f"{target} elsewhere")
        elsewhere.mkdir()
        target.mkdir()
        (target / "d3").symlink_to(elsewhere)

    tree = extract_by_both(pack_many(tmp_path / "a.zip"), tmp_path, 2, there)
    assert tree["d5/é5"][1] == b"text 5 " * 5
    for elsewhere in "theirs elsewhere", "ours elsewhere":
        assert (tmp_path / elsewhere / "é3").read_bytes() == b"text 3 " * 3
    assert seen.left > 0


def test_a_gap_between_records_is_left_to_zipfile(tmp_path: Path, seen: Seen) -> None:
    """zipfile does not care what stands between two members; what is read strictly does."""

    def leave_gap(archive: zipfile.ZipFile) -> None:
        archive.writestr("before", b"the gap")
        assert archive.fp is not None
        archive.fp.seek(archive.start_dir)
        archive.fp.write(b"gap")
        archive.start_dir += 3

    path = pack_many(tmp_path / "a.zip", leave_gap)
    assert extract_by_both(path, tmp_path)["before"][1] == b"the gap"
    assert seen.left > 0


def test_fields_that_somebody_changed_are_left_to_zipfile(tmp_path: Path, seen: Seen) -> None:
    path = pack_many(tmp_path / "a.zip")
    with parazip.ZipFile(path, jobs=2) as archive:
        archive.getinfo("d3/é3").filename = "renamed"
        del archive.getinfo("d4/é4").CRC
        archive.extractall(tmp_path / "out", archive.infolist())
    assert (tmp_path / "out/renamed").read_bytes() == b"text 3 " * 3
    assert (tmp_path / "out/d4/é4").read_bytes() == b"text 4 " * 4
    assert seen.left > 0


def test_what_a_killed_helper_has_begun_zipfile_makes_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setattr(members, "_WORTH_HELPERS", 0)
    asked = []

    def ask(self: Helpers, question: bytes) -> None:
        target, *items = marshal.loads(question)
        if len(items) == 1:  # of plain members
            asked.append(target)
            for path, *_ in items[0][::3]:
                Path(target, path).write_bytes(b"half")

    monkeypatch.setattr(Helpers, "ask", ask)
    extract_by_both(pack_many(tmp_path / "a.zip"), tmp_path)
    assert asked
    assert seen.made == 0


def test_an_error_of_the_system_is_that_of_zipfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full fails in zipfile's own call, with what that raises."""
    path = pack_many(tmp_path / "a.zip")

    def fail(*args: object, **options: object) -> int:
        raise OSError(28, "No space left on device")

    class Os:
        def __getattr__(self, name: str) -> Any:
            return fail if name == "write" else getattr(os, name)

    monkeypatch.setattr(unpacking, "os", Os())
    tree = extract_by_both(path, tmp_path)
    assert len(tree) == MANY + 2 + 8


class TimeLimitError(Exception):
    """What the handler of a program raises."""


@pytest.mark.parametrize("error", [TimeLimitError, TimeoutError])
@pytest.mark.parametrize("where", ["_seems_plain", "list_target_folders"])
def test_what_a_signal_handler_raises_is_not_taken_for_something_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], where: str
) -> None:
    """It may come at any moment on the main thread, here in two calls that are made there."""

    def raise_it(*_: object) -> None:
        raise error("time limit")

    monkeypatch.setattr(plain if where == "_seems_plain" else zip_file, where, raise_it)
    with (
        parazip.ZipFile(pack_many(tmp_path / "a.zip"), jobs=2) as archive,
        pytest.raises(error, match="time limit"),
    ):
        archive.extractall(tmp_path / "out")


def test_who_watches_what_is_opened_sees_whole_paths(tmp_path: Path) -> None:
    """In a program of its own: an audit hook stays as long as the process does."""
    path = pack_many(tmp_path / "a.zip")
    program = f"""
import sys, parazip
seen = set()
sys.addaudithook(lambda event, args: event == "open" and seen.add(args[0]))
with parazip.ZipFile({str(path)!r}, jobs=2) as archive:
    archive.extractall({str(tmp_path / "out")!r})
    expected = {{{str(tmp_path / "out")!r} + "/" + name for name in archive.namelist()[1:]}}
assert expected <= seen, expected - seen
"""
    subprocess.run([sys.executable, "-c", program], check=True)


class Empty:
    """A path that is false, as it says that it has no length."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)

    def __len__(self) -> int:
        return 0


def test_only_none_means_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack_many(tmp_path / "a.zip")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with parazip.ZipFile(path, jobs=2) as archive:
        archive.extractall(Empty(tmp_path / "wanted"))
        with pytest.raises(TypeError):
            archive.extractall(False)  # type: ignore[arg-type]
    assert os.listdir(tmp_path / "here") == []
    assert len(list_tree(tmp_path / "wanted")) == MANY + 2 + 8


def test_what_was_written_to_the_archives_file_counts(tmp_path: Path) -> None:
    path = pack_many(tmp_path / "a.zip", lambda it: it.writestr("first", b"text", 0))
    with open(path, "r+b") as file, parazip.ZipFile(file, jobs=2) as archive:
        file.seek(30 + len("first"))
        file.write(b"TEXT")
        with pytest.raises(zipfile.BadZipFile, match="first"):
            archive.extractall(tmp_path / "out")
