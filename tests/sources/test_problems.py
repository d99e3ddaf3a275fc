"""Problems of the search are told together, or skipped."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parazip import MemberNameError, Selection, Settings, SettingsError, SourceError, create, merge
from parazip.display import format_summary
from parazip.sources.selection import SKIPS
from parazip.sources.walk import find_members
from support.patience import HUNG
from support.sources import make_paths, read_zip, refuse_listing, scan_names


def make_odd(folder: Path) -> None:
    """A folder of things that cannot be put in, and two that can."""
    make_paths(folder, "good", "sub/")
    (folder / "dead").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    (folder / "sub" / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")


def test_all_problems_are_told_in_one_run(tmp_path: Path) -> None:
    make_odd(tmp_path / "t")
    make_paths(tmp_path, "a")
    archive = tmp_path / "out.zip"
    with pytest.raises(SourceError) as caught:
        create(archive, ["gone", "t", "", "a"], selection=Selection(directory=tmp_path))
    told = caught.value.messages()
    assert [text.partition(":")[0].rpartition("/")[2] for text in told[:5]] == [
        "gone", "dead", "pipe", "self", "up",
    ]  # fmt: skip
    assert told[5:] == ["'' is not a path"]
    assert str(caught.value) == "\n".join(told)
    assert isinstance(caught.value.others[-1], MemberNameError)
    assert not archive.exists()


def test_nothing_is_put_in_after_the_first_problem(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "t/c")
    (tmp_path / "t" / "b").symlink_to("nowhere")
    given = find_members(["t"], Selection(directory=tmp_path))
    assert [next(given).name, next(given).name] == ["t/", "t/a"]
    with pytest.raises(SourceError, match="t/b"):
        next(given)


def test_many_problems_are_counted_and_each_kind_is_told(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/")
    for i in range(50):
        (tmp_path / "t" / f"{i:02}").symlink_to("nowhere")
    os.mkfifo(tmp_path / "t" / "pipe")
    with pytest.raises(SourceError) as caught:
        create(io.BytesIO(), ["t", "./t", "gone"], selection=Selection(directory=tmp_path))
    *told, more = caught.value.messages()
    assert len(told) == 22
    assert any("t/pipe: it is a named pipe" in text for text in told)
    assert any("gone: No such file" in text for text in told)
    assert more == "and 30 more problems"


def test_after_a_file_that_does_not_open_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, *(f"t/{i:04}" for i in range(3000)))
    (tmp_path / "t" / "zzz").symlink_to("nowhere")
    listing = os.scandir

    class Losing:
        def __init__(self, path: str) -> None:
            with listing(path) as entries:
                self._entries = list(entries)
            for entry in self._entries:
                if not entry.is_symlink():
                    entry.stat()
            (tmp_path / "t" / "0000").unlink(missing_ok=True)  # the workers find it gone

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Losing)
    with pytest.raises(SourceError) as caught:
        create(io.BytesIO(), ["t"], Settings(jobs=1), Selection(directory=tmp_path))
    told = caught.value.messages()
    assert any("t/zzz: it is a link to nowhere" in text for text in told)


def test_what_is_to_be_skipped_is_left_out_and_counted(tmp_path: Path) -> None:
    make_odd(tmp_path / "t")
    archive = tmp_path / "out.zip"
    selection = Selection(directory=tmp_path, skip=("special", "dangling"))
    report = create(archive, ["t", "./t", "t/pipe"], selection=selection)
    assert read_zip(archive).namelist() == ["t/", "t/good", "t/sub/"]
    assert report.skipped == {"dangling": 3, "special": 1}
    assert (
        format_summary(report)
        .partition(":")[2]
        .startswith(" 3 members (skipped 3 dangling, 1 special), ")
    )
    assert merge(io.BytesIO(), ["t"], selection=selection).skipped == report.skipped
    with pytest.raises(SourceError, match="t/pipe") as caught:
        create(archive, ["t"], selection=Selection(directory=tmp_path, skip=("dangling",)))
    assert caught.value.others == ()
    with pytest.raises(SourceError, match="gone"):
        create(archive, ["t", "gone"], selection=selection)


@pytest.mark.parametrize("skip", ["special", ("files",)], ids=str)
def test_kinds_to_skip_that_there_are_not_are_refused(skip: Any) -> None:
    with pytest.raises((TypeError, SettingsError)):
        Selection(skip=skip)


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o644], ids=oct)
def test_what_may_not_be_read_is_found_in_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    # Injected, because modes mean nothing to root.
    make_paths(tmp_path, "t/a", "t/locked", "t/z")
    (tmp_path / "t" / "locked").chmod(mode)
    opening = os.open

    def is_locked(path: object) -> bool:
        return str(path).endswith("locked")

    def open_or_not(path: Any, *args: Any, **kwargs: Any) -> int:
        if is_locked(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opening(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_or_not)
    monkeypatch.setattr(os, "access", lambda path, *_, **__: not is_locked(path))
    archive = tmp_path / "out.zip"
    with pytest.raises(SourceError, match="t/locked: Permission denied") as caught:
        create(archive, ["t"], selection=Selection(directory=tmp_path))
    assert not archive.exists()
    if mode != 0o644:  # what everybody may read is not asked for, and fails when it is opened
        assert "--skip unreadable" in str(caught.value)
        with pytest.raises(SourceError) as caught:
            create(archive, ["t", "gone"], selection=Selection(directory=tmp_path))
        assert len(caught.value.messages()) == 2
    selection = Selection(directory=tmp_path, skip=("unreadable",))
    report = create(archive, ["t"], selection=selection)
    assert read_zip(archive).namelist() == ["t/", "t/a", "t/z"]
    assert report.skipped == {"unreadable": 1}


def test_a_folder_that_may_not_be_read_is_skipped_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, "t/locked/x", "t/z")
    refuse_listing(monkeypatch, "locked")
    assert scan_names(tmp_path, "t", skip=("unreadable",)) == ["t/", "t/z"]


FAILURES = [
    getattr(errno, name)
    for name in (
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EIO",
        "ESTALE",
        "ETIMEDOUT",
        "ENAMETOOLONG",
        "EINTR",
    )
]


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "stat", "lstat", "scandir"])
def test_what_the_system_fails_to_read_is_never_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """That something may not be read is known; why it fails is not, and it may be all there is."""
    make_paths(tmp_path, "t/a", "t/b/c")
    path = str(tmp_path / "t" / ("b" if call == "scandir" else "a"))
    original = getattr(os, call)

    def failing(asked: Any, *args: Any, **kwargs: Any) -> Any:
        if asked == path:
            raise OSError(number, os.strerror(number), asked)
        return original(asked, *args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    given = ["t"] if call in ("open", "scandir") else ["t/a"]
    for skip in ((), SKIPS):
        with pytest.raises(SourceError) as caught:
            scan_names(
                tmp_path,
                *given,
                skip=skip or ("unreadable",),
                symlinks="store" if call == "lstat" else "follow",
            )
        assert str(caught.value) == f"cannot read {path}: {os.strerror(number)}"
        assert caught.value.errno == number


def test_without_open_files_left_there_is_no_archive(tmp_path: Path) -> None:
    """A limit that is too low makes no archive that lacks what could not be opened."""
    make_paths(tmp_path, *[f"t/{i}" for i in range(50)])
    program = (
        "import os, resource, sys\n"
        "import parazip\n"
        "parazip.create('warm.zip', ['t'], parazip.Settings(jobs=1))\n"
        "limit = len(os.listdir('/dev/fd')) + int(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
        "try:\n"
        "    report = parazip.create('out.zip', ['t'], parazip.Settings(jobs=1),\n"
        "        parazip.Selection(skip=('special', 'dangling', 'unreadable')))\n"
        "    assert report.members == 51 and not report.skipped, report\n"
        "except parazip.ParazipError as error:\n"
        "    print(error)\n"
    )
    outputs = []
    for spare in range(6):
        done = subprocess.run(
            [sys.executable, "-c", program, str(spare)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=HUNG,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert any("Too many open files" in output for output in outputs)


def test_deep_nesting_needs_no_recursion(tmp_path: Path) -> None:
    levels = 500
    path = str(tmp_path)
    for _ in range(levels):
        path += "/d"
        os.mkdir(path)
    with open(path + "/file", "wb"):
        pass
    found = scan_names(tmp_path, "d")
    assert len(found) == levels + 1
    assert found[-1] == "d/" * levels + "file"
    create(tmp_path / "out.zip", ["d"], selection=Selection(directory=tmp_path))
    assert read_zip(tmp_path / "out.zip").namelist() == found
