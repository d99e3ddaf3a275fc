"""Helpers take part in a search: what is found, and what is said of it, is the same."""

from __future__ import annotations

import datetime
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parazip import ParazipError, Selection, Settings, SourceError, ZipFile, create
from parazip.codecs.sizes import BLOCK
from parazip.engine import plan, searching, sections, wire
from parazip.engine.searching import Answer, Searchers, SearchTask, may_help
from parazip.model import Member, Pack
from parazip.sources import contents
from parazip.sources.findings import Findings
from parazip.sources.walk import find_members, find_with_searchers, is_same
from parazip.workers.budget import MEMORY
from parazip.workers.line import Line
from support.sources import POSIX, make_paths

pytestmark = [pytest.mark.once, POSIX]


def answer_here(task: SearchTask) -> Answer:
    """What a helper answers, by way of plain bytes."""
    question = wire.write_question(task)
    return searching.read_found(wire.answer_question(question))


def give_no_answer(task: SearchTask) -> Answer:
    return wire.do_search(task, SimpleNamespace(ask_for=lambda read, question: None))  # type: ignore[arg-type]


class Outcome:
    """What a search has found, and what it says."""

    def __init__(self, find: Callable[[Findings], Any]) -> None:
        findings = Findings()
        self.packed = 0
        self.members: list[Member] = []
        self.error = ""
        try:
            for item in find(findings):
                if isinstance(item, Pack):
                    self.packed += item.members
                    unpacked = contents.unpack_members(item)
                    assert item[1:] == contents.pack_members(unpacked)[1:]
                    self.members += unpacked
                else:
                    self.members.append(item)
        except ParazipError as error:
            self.error = str(error)
        self.said = findings.notes(), findings.skipped


def search_alone(top: str, selection: Selection, archive: str | None = None) -> Outcome:
    def find(findings: Findings) -> Any:
        found = find_members([top], selection, archive, findings=findings)
        return plan.check_names(found, findings, is_one_tree=True, is_same=is_same)

    return Outcome(find)


def search_together(
    top: str,
    selection: Selection,
    archive: str | None = None,
    answer: Callable[[SearchTask], Answer] = answer_here,
) -> Outcome:
    searchers = Searchers(selection, archive)

    def find(findings: Findings) -> Any:
        found = find_with_searchers([top], selection, archive, findings, searchers)
        return plan.check_names(found, findings, is_one_tree=True, is_same=is_same)

    with searchers.working(Line(2, MEMORY), answer, lambda: True, 2):
        return Outcome(find)


def assert_same(
    top: str,
    selection: Selection,
    archive: str | None = None,
    answer: Callable[[SearchTask], Answer] = answer_here,
) -> Outcome:
    alone = search_alone(top, selection, archive)
    together = search_together(top, selection, archive, answer)
    assert together.members == alone.members or alone.error
    assert together.said == alone.said
    assert bool(together.error) == bool(alone.error)
    return together


@pytest.fixture(params=[1, 3, 1024])
def share(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size: int = request.param
    limit_share(monkeypatch, size)
    return size


def limit_share(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(searching, "SHARE", size)
    monkeypatch.setattr(searching, "_MOST", 2 * size)
    monkeypatch.setattr(searching, "_PACKED", max(1, size // 2))


@pytest.fixture
def tree(tmp_path: Path) -> str:
    """Folders of all kinds, links among them, and a file that is cut."""
    make_paths(
        tmp_path / "t",
        *(f"a/{folder}/file{number}" for folder in "xyz" for number in range(7)),
        *("/".join("deeper"[:depth]) + "/here" for depth in range(1, 7)),
        "b.txt", "b/c.txt", "b.d/e", "n\u00e4me/\u65e5\u672c", "z",
    )  # fmt: skip
    (tmp_path / "t/a/large").write_bytes(bytes((1 << 20) + 1))
    (tmp_path / "t/empty").mkdir()
    (tmp_path / "t/link").symlink_to("a/x")
    (tmp_path / "t/b/link").symlink_to("../z")
    return str(tmp_path / "t")


SELECTIONS = {
    "all": Selection(),
    "links stay": Selection(symlinks="store"),
    "exclude": Selection(exclude=("file3", "*/y/", "*/d/e/*"), exclude_vcs=True),
    "names and modes": Selection(prefix="x/y", modes="normal", changes="size"),
    "one date": Selection(timestamp=datetime.datetime(2001, 2, 3, 4, 5, 6)),
    "epoch": Selection(timestamp="epoch"),
    "clamp": Selection(timestamp="clamp"),
}


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize("kind", SELECTIONS)
def test_the_same_members_in_the_same_order(tree: str, kind: str) -> None:
    assert assert_same(tree, SELECTIONS[kind]).packed


@pytest.mark.usefixtures("share")
def test_the_top_need_not_have_a_name(tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert assert_same(".", Selection()).packed


@pytest.mark.usefixtures("share")
def test_who_gets_no_answer_searches_alone(tree: str) -> None:
    assert not assert_same(tree, Selection(), answer=give_no_answer).packed


ODD: dict[str, Callable[[Path], object]] = {
    "alike files": lambda top: make_paths(top, "a/Name", "a/b", "a/nAME"),
    "alike folders": lambda top: make_paths(top, "a/Name/x", "a/name/X", "a/name/x", "a/z"),
    "alike at the top": lambda top: make_paths(top, "A/x", "a/x"),
    "alike by form": lambda top: make_paths(top, "d/e\u0301", "d/\u00e9"),
    "a device": lambda top: make_paths(top, "d/aux.c", "d/aux.d/x"),
    "a backslash": lambda top: make_paths(top, "d/a\\b"),
    "a way out": lambda top: make_paths(top, "d/..\\b"),
    "not UTF-8": lambda top: make_paths(top, "d/" + os.fsdecode(b"\xff")),
    "a date of long ago": lambda top: os.utime(top / "e/f/g", (0, 0)),
    "a pipe": lambda top: os.mkfifo(top / "e/f/pipe"),
    "a link to nowhere": lambda top: os.symlink("no", top / "e/f/link"),
    "a circle": lambda top: os.symlink("..", top / "e/f/link"),
}


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize("skip", [(), ("special", "dangling")], ids=["refuse", "skip"])
@pytest.mark.parametrize("kind", ODD)
def test_all_that_is_to_be_said_is_said_here(tmp_path: Path, kind: str, skip: Any) -> None:
    make_paths(tmp_path / "t", "a/first", "e/f/g", "last")
    ODD[kind](tmp_path / "t")
    assert_same(str(tmp_path / "t"), Selection(skip=skip))


def test_what_is_odd_holds_nothing_else_back(tmp_path: Path) -> None:
    make_paths(tmp_path / "t", *(f"d{number}/x" for number in range(50)), "d7/aux.c")
    found = assert_same(str(tmp_path / "t"), Selection())
    assert len(found.members) - found.packed == len(["t/", "t/d7/", "t/d7/aux.c", "t/d7/x"])


@pytest.mark.usefixtures("share")
def test_the_archive_itself_is_found(tree: str, tmp_path: Path) -> None:
    archive = str(tmp_path / "out.zip")
    os.link(os.path.join(tree, "a/y/file2"), archive)
    assert "into itself" in search_together(tree, Selection(), archive).error
    assert search_alone(tree, Selection(), archive).error


NAMES = st.sampled_from(["a", "B", "b", "c.txt", "\u00e9", "e\u0301", "aux", "n ", "mimetype"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=25)


@given(PATHS, st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_any_tree(tmp_path_factory: pytest.TempPathFactory, paths: list[str], size: int) -> None:
    top = tmp_path_factory.mktemp("any") / "t"
    for path in paths:
        if not any((top / path).parents[depth].is_file() for depth in range(path.count("/"))):
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            if not (top / path).exists():
                (top / path).write_bytes(path.encode())
    with pytest.MonkeyPatch.context() as monkeypatch:
        limit_share(monkeypatch, size)
        assert_same(str(top), Selection())


@pytest.mark.parametrize(
    ("selection", "paths", "names"),
    [
        (Selection(ignore=True), ["t"], ()),
        (Selection(store=("*.png",)), ["t"], ()),
        (Selection(align=((4, "*"),)), ["t"], ()),
        (Selection(), ["t", "u"], ()),
        (Selection(), ["t"], ["x"]),
        (Selection(), iter(["t"]), ()),
        (Selection(), ["https://example.com/t"], ()),
    ],
    ids=["ignore", "store", "align", "two paths", "names", "an iterator", "a URL"],
)
def test_what_depends_on_more_is_searched_here(selection: Any, paths: Any, names: Any) -> None:
    assert may_help(Selection(), ["t"], ())
    assert not may_help(selection, paths, names)


def test_who_replaces_the_system_is_asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scan(path))
    assert not may_help(Selection(), ["t"], ())


def test_a_helper_for_which_times_mean_something_else_does_not_answer(
    tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = SearchTask((), Searchers(Selection(), None)._how)
    question = wire.write_question(task)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    with pytest.raises(ValueError, match="not"):
        wire.answer_question(question)


# With real helpers.


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with so many short files that helpers are asked, which they are at once."""
    monkeypatch.setattr(sections, "_MANY_TASKS", 0)
    numbers = random.Random(5)
    for folder in range(40):
        (tmp_path / f"many/{folder}").mkdir(parents=True)
        for number in range(70):
            text = b"%d " % numbers.randrange(9) * numbers.randrange(400)
            (tmp_path / f"many/{folder}/{number}").write_bytes(text)
    return tmp_path / "many"


def make_archive(folder: Path, jobs: int, level: int = 6) -> bytes:
    file = io.BytesIO()
    create(file, [folder], Settings(level=level, jobs=jobs), Selection(directory=folder.parent))
    return file.getvalue()


def test_helpers_take_part(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    note_answer = searching._Queue.note_answer

    def count(self: Any, task: SearchTask, answer: Answer) -> None:
        found.extend(item.members for item in answer if isinstance(item, Pack))
        note_answer(self, task, answer)

    expected = make_archive(many, 1)
    monkeypatch.setattr(searching._Queue, "note_answer", count)
    monkeypatch.setattr(sections, "usable_cpus", lambda: 2)
    assert make_archive(many, 2) == expected
    assert sum(found) > 1000


def test_a_file_that_is_larger_than_the_system_tells_is_put_in(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in a pack, as it is said to be empty, and is cut into blocks after all."""
    symbols = Path("/proc/kallsyms")
    try:
        size = len(symbols.read_bytes())
    except OSError:
        size = 0
    if size < 2 * BLOCK:
        pytest.skip("needs a long file in /proc")
    (many / "39/large").symlink_to(symbols)
    expected = make_archive(many, 1, level=1)
    monkeypatch.setattr(sections, "usable_cpus", lambda: 2)
    assert make_archive(many, 2, level=1) == expected
    sizes = {info.filename: info.file_size for info in ZipFile(io.BytesIO(expected)).infolist()}
    assert [sizes[name] for name in sizes if name.endswith("/39/large")] == [size]


def test_all_problems_are_told_in_order(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_paths(many, "8/a\\..\\b", "99/c\\..\\d")
    os.mkfifo(many / "9/pipe")
    (many / "39/link").symlink_to("nowhere")
    told = []
    monkeypatch.setattr(sections, "usable_cpus", lambda: 2)
    for jobs in (1, 2):
        with pytest.raises(SourceError) as caught:
            make_archive(many, jobs)
        told.append([str(caught.value), *map(str, caught.value.others)])
    assert told[0] == told[1]
    assert len(told[0]) == 4
