"""One rule for members' names: what create, merge and write refuse, and what they tell of."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip import (
    BadArchiveError,
    DuplicateMemberError,
    Member,
    MemberNameError,
    NotCopiedError,
    ParazipError,
    Selection,
    create,
    merge,
    write,
)
from parazip.format.names import MOST_STEPS, ReaderJudge, find_file_within
from parazip.sources.findings import Findings
from support.patience import HUNG

FILE = (stat.S_IFREG | 0o644) << 16

DATE = 33 << 16


def notes_of_write(*names: str) -> tuple[str, ...]:
    """What `write` tells of members of these names."""
    return write(io.BytesIO(), [Member(name, b"x", FILE, DATE) for name in names]).notes


def notes_of_merge(*names: str) -> tuple[str, ...]:
    """What `merge` tells of an archive of these names."""
    path = Path("merged.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return merge(io.BytesIO(), [path]).notes


def notes_of_create(*names: str) -> tuple[str, ...]:
    """What `create` tells of files of these names, in a folder of their own."""
    for name in names:
        path = Path("tree") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return create(io.BytesIO(), ["."], selection=Selection(directory="tree")).notes


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LEADING_OUT = ["..\\x", "a\\..\\..\\x", "\\abs", "C:x", "c:", "C:\\x", "d/..\\x"]


@pytest.mark.parametrize("name", [*LEADING_OUT, "../x", "/abs", "d/../x", "d/.."])
def test_what_leads_out_is_refused_by_all(name: str) -> None:
    with pytest.raises(MemberNameError, match="leads out of the archive"):
        notes_of_write("fine", name)
    with pytest.raises(NotCopiedError, match="leads out of the archive"):
        notes_of_merge("fine", name)
    if name in LEADING_OUT:  # a path cannot have the others
        if os.sep == "\\":
            pytest.skip("Windows has no such files")
        with pytest.raises(MemberNameError, match=r"leads out of the archive.* --exclude"):
            notes_of_create("fine", name)


@pytest.mark.parametrize("name", ["a\0b", ".", "d/.", "d/" * (MOST_STEPS + 1) + "x"], ids=len)
def test_what_merge_refuses_write_refuses(name: str) -> None:
    with pytest.raises(MemberNameError, match="cannot be stored"):
        notes_of_write("fine", name)


ODD = {
    "backslash": (["d/a\\b", "a\\"], "a backslash, which zipfile, 7-Zip"),
    "version": (["a.py;1", "d/b;", ";12"], "version as VMS has it (;1), which unzip drops"),
    "control": (["a\tb", "d\n/x", "\x1f", "\x7f"], "control characters, which PyPI refuses"),
    "Windows": (["d/a:b", "file:stream", "a*", "q?", 'a"', "<x>", "a|b"], "Windows does not have"),
    "device": (
        ["con", "d/NUL", "aux.c", "com1.tar.gz", "lpt\u00b2", "Prn/x", "conin$", "nul .x"],
        "Windows has for devices",
    ),
    "dot": (["a.", "d./x", "blank ", "d /x", "..."], "a dot or blank at the end of a step"),
}


@pytest.mark.parametrize("names", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize(
    "tell", [notes_of_write, notes_of_merge, notes_of_create], ids=["write", "merge", "create"]
)
@pytest.mark.skipif(os.sep == "\\", reason="Windows has no such files")
def test_what_some_reader_misreads_is_told_with_the_reader(
    names: tuple[list[str], str], tell: Callable[..., tuple[str, ...]]
) -> None:
    odd, told = names
    for name in odd:
        (note,) = tell("fine", f"deep/{name}" if tell is notes_of_create else name)
        assert told in note
        assert note.endswith("'")
        assert tell is notes_of_create or "fine" not in note
        if tell is notes_of_create:
            subprocess.run(["rm", "-r", "tree"], check=True)


PLAIN = [
    "a", ".hidden", "..a", "a..b", "a b", "d/.x/y", "console", "xcon", "nul_", "com", "com10",
    "lpt", "d/comm/x", "\u00e9", "\u65e5\u672c", "-", "d/-/x", "a'b", "[x]", "{arch}", "=update",
]  # fmt: skip


@pytest.mark.parametrize(
    "tell", [notes_of_write, notes_of_merge, notes_of_create], ids=["write", "merge", "create"]
)
def test_plain_names_are_not_told_of(tell: Callable[..., tuple[str, ...]]) -> None:
    assert tell(*PLAIN) == ()


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("readme", "README", "differ only in case"),
        ("d/a", "D/a", "differ only in case"),
        ("\u00c9a", "\u00e9A", "differ only in case"),
        ("e\u0301", "\u00e9", "differ only in their Unicode form"),
        ("d\u00f6/x", "do\u0308/x", "differ only in their Unicode form"),
    ],
)
@pytest.mark.parametrize("tell", [notes_of_write, notes_of_merge], ids=["write", "merge"])
def test_names_that_are_one_elsewhere_are_told_together(
    one: str, other: str, told: str, tell: Callable[..., tuple[str, ...]]
) -> None:
    if tell is notes_of_merge and "form" in told:  # in one archive that is a second reading
        with pytest.raises(BadArchiveError, match="name-in-two-forms"):
            tell("x", one, other)
        return
    (note,) = tell("x", one, other)
    assert told in note
    assert note.endswith(f"'{one}' and '{other}'")
    assert tell(one, "x") == ()


def test_what_is_told_is_bounded() -> None:
    (note,) = notes_of_write(*(f"ab:{i}" for i in range(5000)), "x" * 2000 + ":")
    assert note.endswith("'ab:0', 'ab:1', 'ab:2' and 4,998 more")
    (note,) = notes_of_write("x" * 2000 + ":")
    assert len(note) < 400


def test_control_characters_of_a_name_are_told_as_python_spells_them() -> None:
    (note,) = notes_of_write("a\x1b[31mb")
    assert note.endswith(r"'a\x1b[31mb'")


@pytest.mark.parametrize("names", [["a", "a/b"], ["x", "y", "a/b/c", "a"], ["d/a", "d/a/b/c"]])
def test_a_file_where_another_member_needs_a_folder_is_refused(names: list[str]) -> None:
    file = next(name for name in names if any(other.startswith(f"{name}/") for other in names))
    with pytest.raises(DuplicateMemberError, match=f"the name {file}: .*needs a folder"):
        notes_of_write(*names)
    with pytest.raises(DuplicateMemberError, match=f"the name {file}: .*needs a folder"):
        notes_of_merge(*names)


def test_a_file_and_a_folder_from_two_places_are_refused(tmp_path: Path) -> None:
    for name in ("a", "up/a/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for paths in (["../a", "a/b"], ["a/b", "../a"]):
        with pytest.raises(DuplicateMemberError, match=r"the name a: .*needs a folder"):
            create(io.BytesIO(), paths, selection=Selection(directory="up"))


def test_a_member_object_that_comes_twice_is_two_of_one_name() -> None:
    member = Member("a", b"x", FILE, DATE)
    with pytest.raises(DuplicateMemberError, match="the name a:"):
        write(io.BytesIO(), [member, member])


@given(st.lists(st.text("abcn.: /\\-\0\tul", min_size=1, max_size=9), max_size=6))
def test_many_names_are_judged_as_each_would_be(names: list[str]) -> None:
    together, alone = Findings(), Findings()
    ReaderJudge(together, "").judge(names)
    for name in names:
        ReaderJudge(alone, "").judge([name])
    assert sorted(together.notes()) == sorted(alone.notes())
    assert [*map(str, together.problems)] == [*map(str, alone.problems)]


def run_with_variables(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parazip", *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )


@pytest.mark.skipif(os.sep == "\\", reason="Windows has no such files")
def test_the_command_tells_on_standard_error_and_not_with_quiet() -> None:
    Path("d").mkdir()
    Path("d/a:b").write_bytes(b"x")
    done = run_with_variables("create", "out.zip", "d")
    assert done.returncode == 0
    assert done.stdout == ""
    assert "parazip: names with one of" in done.stderr
    assert "'d/a:b'" in done.stderr
    assert run_with_variables("merge", "again.zip", "out.zip").stderr.count("'d/a:b'") == 1
    assert run_with_variables("create", "-q", "out.zip", "d").stderr == ""


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", "nowhere"])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always UTF-8")
def test_names_are_utf_8_whatever_the_locale_says(locale: str) -> None:
    Path("d").mkdir()
    Path("d/gr\u00fc\u00df.txt").write_bytes(b"x")
    Path("d/\u65e5\u672c.log").write_bytes(b"x")
    odd = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": locale}
    for args in (["create", "out.zip", "d"], ["merge", "out.zip", "\u00fc/=d"]):
        done = run_with_variables(*args, "-x", "\u65e5*", **odd)
        assert done.returncode == 0, done.stderr
        assert "UTF-8" not in done.stderr
    done = run_with_variables("create", "-n", "other.zip", "d", **odd)
    assert done.returncode == 0, done.stderr
    assert "would have 3 members" in done.stdout
    assert zipfile.ZipFile("out.zip").namelist() == ["\u00fc/gr\u00fc\u00df.txt"]


def test_all_odd_names_are_told_in_one_run() -> None:
    with pytest.raises(ParazipError) as caught:
        notes_of_write("a", "../b", "c\0", "\udcff", "a/b")
    assert len(caught.value.messages()) == 4


def test_files_that_others_need_as_folders_are_found_in_little_memory() -> None:
    """The names of all folders above would be 800 MB."""
    names = dict.fromkeys([f"{number}{'/d' * 2000}/f" for number in range(200)], False)
    tracemalloc.start()
    try:
        assert find_file_within(names, names.__getitem__) == ""
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    names["7/d"] = True
    assert find_file_within(names, names.__getitem__) == ""
    names["7/d"] = False
    assert find_file_within(names, names.__getitem__) == "7/d"
