"""What goes in comes out again, and the same input always gives the same bytes."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import os
import random
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parazip
from parazip import Member, Report, Selection, Settings
from parazip.codecs import deflating, levels
from parazip.codecs.sizes import BLOCK, CUT_FAST, CUT_SMALL, WINDOW
from parazip.codecs.table import CODEC_NAMES, CodecName
from parazip.engine import plan
from parazip.format.names import find_fault
from parazip.settings import MIB
from parazip.sources.walk import find_members
from parazip.testing import InlineExecutor
from parazip.workers import starting
from parazip.workers.helpers import Helpers
from support.streams import OneWay

pytestmark = pytest.mark.once

DATE = 33 << 16

FILE = (stat.S_IFREG | 0o644) << 16

KINDS = ("random", "zeros", "text", "half")

AROUND = (32 << 10, 2 * deflating.SAMPLED, plan.BATCH, BLOCK)

SIZES = sorted(
    {0, 1, 2, 5, 100, deflating.SAMPLED, 2 * BLOCK, CUT_FAST + WINDOW}
    | {size + more for size in AROUND for more in (-1, 0, 1)}
)

_WORDS = b"archive member local file header central directory deflate block window flush".split()


@functools.lru_cache(maxsize=64)
def make_contents_of_kind(kind: str, size: int, seed: int = 0) -> bytes:
    """Bytes of a kind; "half" begins like text and goes on at random."""
    source = random.Random(f"{kind} {seed}")
    if kind == "zeros":
        return bytes(size)
    if kind == "random":
        return source.randbytes(size)
    if kind == "half":
        return make_contents_of_kind("text", size // 2, seed) + source.randbytes(size - size // 2)
    pieces = [source.choice(_WORDS) + b" %x\n" % source.getrandbits(24) for _ in range(4000)]
    text = b"".join(pieces)
    rounds = [
        text[(begin := source.randrange(4000)) :] + text[:begin]
        for _ in range(size // len(text) + 1)
    ]
    return b"".join(rounds)[:size]


class Node(NamedTuple):
    """A file, or an empty folder where `kind` is None."""

    kind: str | None
    size: int
    seed: int
    mode: int
    mtime: int


def make_tree(root: Path, tree: Mapping[tuple[str, ...], Node]) -> None:
    for path, node in tree.items():
        place = root.joinpath(*path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.kind is None:
            place.mkdir()
        else:
            place.write_bytes(make_contents_of_kind(node.kind, node.size, node.seed))
            place.chmod(node.mode)
        os.utime(place, (node.mtime, node.mtime))


def expected_names(root: Path) -> list[str]:
    """All that stands below `root`, by a walk of our own."""
    found = []
    for folder, folders, files in os.walk(root):
        base = os.path.relpath(folder, root)
        inside = "" if base == "." else base + "/"
        found += [inside + name + "/" for name in folders] + [inside + name for name in files]
    return sorted(found, key=str.encode)


def assert_same(archive: zipfile.ZipFile, root: Path) -> None:
    """The archive's members are what stands below `root`."""
    assert archive.namelist() == expected_names(root)
    assert archive.testzip() is None
    for info in archive.infolist():
        path = root / info.filename
        found = path.stat()
        assert info.external_attr >> 16 == found.st_mode
        local = time.localtime(found.st_mtime_ns // 10**9)
        assert info.date_time == (*local[:5], local.tm_sec & ~1)
        assert info.is_dir() == path.is_dir()
        if path.is_file():
            assert archive.read(info) == path.read_bytes()
            assert info.compress_size <= info.file_size


NAME_PARTS = st.one_of(
    st.sampled_from(
        ["a", "a-b", "a.b", "A", " ", "a b", " lead", "trail ", "...", ".hidden", "-dash", "~",
         "é", "e\u0301", "日本語", "😀", "\uffee", "new\nline", "tab\t", "back\\slash", "a'b\"c",
         "*", "[x]", "%41", "CC:", "x" * 200]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12
    ).filter(lambda part: not find_fault(part) and len(part.encode()) <= 200),
)  # fmt: skip

NODES = st.builds(
    Node,
    kind=st.sampled_from([*KINDS, None]),
    size=st.one_of(st.sampled_from(SIZES), st.integers(0, 5_000)),
    seed=st.integers(0, 3),
    mode=st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o400, 0o777]),
    mtime=st.integers(400_000_000, 2_000_000_000),
)


def _no_file_is_a_folder(tree: dict[tuple[str, ...], Node]) -> bool:
    return not any(path[:i] in tree for path in tree for i in range(1, len(path)))


TREES = st.dictionaries(
    st.lists(NAME_PARTS, min_size=1, max_size=4).map(tuple), NODES, max_size=8
).filter(_no_file_is_a_folder)

CONFIGURATIONS = st.builds(
    Settings,
    level=st.integers(0, 9),
    codec=st.sampled_from(CODEC_NAMES),
    jobs=st.integers(1, 3),
    memory=st.sampled_from([MIB, 8 * MIB, 9 * MIB + 1, 256 * MIB]),
)


@given(TREES, CONFIGURATIONS, st.booleans())
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_tree_comes_back_as_it_was(
    tree: dict[tuple[str, ...], Node], configuration: Settings, is_pipe: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir()
        make_tree(root, tree)
        selection = Selection(directory=root, timestamp="keep")
        output = OneWay() if is_pipe else io.BytesIO()
        report = parazip.create(output, ["."], configuration, selection)
        packed = bytes(output.data) if isinstance(output, OneWay) else output.getvalue()
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert_same_with_deflate_overhead(archive, root) if is_pipe else assert_same(
                archive, root
            )
            assert_report(report, archive, len(packed))


def assert_same_with_deflate_overhead(archive: zipfile.ZipFile, root: Path) -> None:
    """As `assert_same`; but what a pipe has taken cannot be taken back when it did not shrink."""
    assert archive.namelist() == expected_names(root)
    assert archive.testzip() is None
    for info in archive.infolist():
        path = root / info.filename
        assert info.external_attr >> 16 == path.stat().st_mode
        if path.is_file():
            assert archive.read(info) == path.read_bytes()
            assert info.compress_size <= info.file_size + info.file_size // 256 + 64


def assert_report(report: Report, archive: zipfile.ZipFile, size: int) -> None:
    infos = archive.infolist()
    assert report.members == len(infos)
    assert report.bytes_in == sum(info.file_size for info in infos)
    assert report.bytes_out == size
    assert sum(tally.members for tally in report.codecs.values()) == len(infos)
    assert sum(tally.bytes_in for tally in report.codecs.values()) == report.bytes_in
    assert sum(tally.bytes_out for tally in report.codecs.values()) == sum(
        info.compress_size for info in infos
    )


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(SIZES)), max_size=6),
    CONFIGURATIONS,
    st.binary(max_size=100),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_members_made_of_bytes_come_back_behind_any_prefix(
    shapes: list[tuple[str, int]], configuration: Settings, before: bytes
) -> None:
    members = [
        Member(f"{i}", make_contents_of_kind(kind, size, i), FILE, DATE)
        for i, (kind, size) in enumerate(shapes)
    ]
    output = io.BytesIO()
    output.write(before)
    parazip.write(output, members, configuration, shebang="/usr/bin/env python3")
    assert output.getvalue().startswith(before + b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        assert [(info.filename, archive.read(info)) for info in archive.infolist()] == [
            (member.name, member.source) for member in members
        ]


# Each boundary by name, so that none depends on luck.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 1, 6])
def test_sizes_around_every_boundary(level: int, size: int) -> None:
    members = [
        Member(f"{kind}/{i}", make_contents_of_kind(kind, size, i), FILE, DATE)
        for i in range(2)
        for kind in KINDS
    ]
    for output in (io.BytesIO(), OneWay()):
        parazip.write(output, members, Settings(level=level, jobs=2))
        packed = output.getvalue() if isinstance(output, io.BytesIO) else bytes(output.data)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert archive.namelist() == [member.name for member in members]
            assert all(archive.read(member.name) == member.source for member in members)


@pytest.mark.parametrize("codec", CODEC_NAMES)
@pytest.mark.parametrize("level", range(10))
def test_every_level_of_every_codec(level: int, codec: CodecName) -> None:
    shapes = [
        ("text", 3000),
        ("half", plan.BATCH + 1),
        ("text", BLOCK + 100_000),
        ("random", 99),
    ]
    members = [
        Member(f"{i}", make_contents_of_kind(kind, size), FILE, DATE)
        for i, (kind, size) in enumerate(shapes)
    ]
    output = io.BytesIO()
    parazip.write(output, members, Settings(level=level, codec=codec, jobs=2))
    with zipfile.ZipFile(output) as archive:
        assert all(archive.read(member.name) == member.source for member in members)
        methods = [info.compress_type for info in archive.infolist()]
    deflated = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    assert methods == [deflated, deflated, deflated, zipfile.ZIP_STORED]


@pytest.mark.parametrize("kind", ["zeros", "half"])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("level", [3, 6])
def test_sizes_around_the_small_cut(level: int, more: int, kind: str) -> None:
    data = make_contents_of_kind(kind, CUT_SMALL + more)
    output = io.BytesIO()
    report = parazip.write(
        output,
        [Member("before", b"1", FILE, DATE), Member("m", data, FILE, DATE)],
        Settings(level=level, jobs=2),
    )
    with zipfile.ZipFile(output) as archive:
        assert archive.read("before") == b"1"
        assert archive.read("m") == data
    recipe = levels.choose_recipe(level, "auto")
    coder = recipe.block if more > 0 else recipe.whole
    assert report.codecs[str(coder)].bytes_in == len(data)


def test_a_member_that_only_seems_to_shrink_is_stored_after_all() -> None:
    # The first sample shrinks, all the rest does not: the member is taken back and stored.
    data = make_contents_of_kind("text", 4_000) + make_contents_of_kind("random", 3 * BLOCK)
    members = [Member("m", data, FILE, DATE), Member("after", b"2", FILE, DATE)]
    output = io.BytesIO()
    parazip.write(output, members, Settings(level=1, jobs=2))
    with zipfile.ZipFile(output) as archive:
        info = archive.getinfo("m")
        assert info.compress_size <= info.file_size
        assert archive.read("m") == data
        assert archive.read("after") == b"2"
    assert len(output.getvalue()) < len(data) + 1000


def test_an_archive_without_members_is_an_archive() -> None:
    output = io.BytesIO()
    report = parazip.write(output, [])
    assert zipfile.ZipFile(output).namelist() == []
    assert (report.members, report.bytes_in, report.bytes_out) == (0, 0, 22)


def test_an_archive_can_begin_behind_other_bytes_of_an_open_file(tmp_path: Path) -> None:
    data = make_contents_of_kind("text", 2 * BLOCK)
    with open(tmp_path / "out", "w+b") as output:
        output.write(b"something else\n")
        parazip.write(output, [Member("m", data, FILE, DATE)], Settings(level=1))
    with zipfile.ZipFile(tmp_path / "out") as archive:
        assert archive.infolist()[0].header_offset == len(b"something else\n")
        assert archive.read("m") == data


# Determinism

SHORT_MEMBERS = 3_200


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many short members and some large ones."""
    root = tmp_path_factory.mktemp("tree")
    source = random.Random(1)
    text = make_contents_of_kind("text", 200_000)
    for i in range(SHORT_MEMBERS):
        if i % 100 == 0:
            (root / f"{i // 100:03}").mkdir()
        begin = source.randrange(150_000)
        data = text[begin : begin + source.randrange(1_500)]
        (root / f"{i // 100:03}" / f"{i % 100}.txt").write_bytes(data)
    large = [
        ("010/middling", "half", 300_000),
        ("010/middling-random", "random", 300_000),
        ("011/at-the-cut", "text", CUT_FAST),
        ("011/cut", "text", CUT_FAST + 1),
        ("012/blocks", "half", 4 * BLOCK + 77),
        ("013/random", "random", 2 * BLOCK + 1),
        ("020/zeros", "zeros", CUT_SMALL + BLOCK),
    ]
    for name, kind, size in large:
        (root / name).write_bytes(make_contents_of_kind(kind, size, 7))
    return root


@pytest.fixture(scope="module")
def members(tree: Path) -> list[Member]:
    return list(find_members(["."], Selection(directory=tree, timestamp="epoch")))


def digest_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


VARIANTS = [
    *(Settings(jobs=jobs) for jobs in (2, 3, 8)),
    *(Settings(jobs=2, memory=size * MIB) for size in (1, 8, 9, 32, 64)),
    Settings(jobs=8, memory=8 * MIB),
]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether helper processes answered, question by question."""
    heard: list[bool] = []
    ask_for = Helpers.ask_for

    def overheard(self: Helpers, *question: Any) -> object:
        answer = ask_for(self, *question)
        heard.append(answer is not None)
        return answer

    monkeypatch.setattr(Helpers, "ask_for", overheard)
    return heard


@pytest.mark.parametrize(
    "level", [0, 1, *(pytest.param(level, marks=pytest.mark.slow) for level in (6, 9))]
)
def test_jobs_memory_helpers_and_executor_never_change_a_byte(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list[Member],
    answers: list[bool],
    level: int,
) -> None:
    assert plan.are_mostly_short(members)
    archive = tmp_path / "out.zip"
    parazip.write(archive, members, Settings(level=level, jobs=1))
    expected = digest_file(archive)
    assert answers == [] or not any(answers)  # a single thread has no need of helpers
    with zipfile.ZipFile(archive) as made:
        assert made.testzip() is None
        assert made.namelist() == [member.name for member in members]

    monkeypatch.setattr(starting, "_is_single_threaded", lambda: True)
    monkeypatch.setattr("warnings.warn", lambda *args, **kwargs: None)
    for variant, forks in itertools.product(VARIANTS, (False, True)):
        monkeypatch.setattr(starting, "may_fork", forks)
        changed = Settings(level=level, jobs=variant.jobs, memory=variant.memory)
        parazip.write(archive, members, changed)
        assert digest_file(archive) == expected, f"{variant} changed bytes at level {level}"
    # What is only stored, no helper is asked for.
    assert any(answers) == (sys.platform == "linux" and level > 0)
    del answers[:]
    monkeypatch.setenv("PARAZIP_HELPERS", "0")
    parazip.write(archive, members, Settings(level=level, jobs=2))
    assert digest_file(archive) == expected, "helpers changed bytes"
    assert not any(answers)
    parazip.write(archive, members, Settings(level=level), executor=InlineExecutor())
    assert digest_file(archive) == expected, "the executor changed bytes"


def test_two_runs_of_the_command_give_the_same_bytes(tmp_path: Path, tree: Path) -> None:
    made = []
    for jobs in ("1", "2"):
        archive = tmp_path / f"{jobs}.zip"
        command = ["create", "-q", "-1", "-j", jobs, "--timestamp", "epoch", "-C", str(tree)]
        done = subprocess.run(
            [sys.executable, "-m", "parazip", *command, str(archive), "."],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        made.append(digest_file(archive))
    assert made[0] == made[1]


def test_a_pipe_takes_the_same_members_as_a_file(members: list[Member]) -> None:
    file, pipe, other = io.BytesIO(), OneWay(), OneWay()
    parazip.write(file, members, Settings(level=1, jobs=2))
    parazip.write(pipe, members, Settings(level=1, jobs=2))
    parazip.write(other, members, Settings(level=1, jobs=1, memory=MIB))
    assert pipe.data == other.data
    with zipfile.ZipFile(file) as first, zipfile.ZipFile(io.BytesIO(pipe.data)) as second:
        assert second.testzip() is None
        assert [(info.filename, info.CRC, info.file_size) for info in first.infolist()] == [
            (info.filename, info.CRC, info.file_size) for info in second.infolist()
        ]
