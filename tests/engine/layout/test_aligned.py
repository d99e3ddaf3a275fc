"""Contents of stored members begin at multiples, as asked for."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip import Cache, Selection, Settings
from parazip.engine import keys
from parazip.engine.archive import Identification
from parazip.format.records import (
    ALIGN_TAG,
    MOST_ALIGN,
    ZIP64_TAG,
    pack_central_header,
    pack_local_header,
    pad_header,
    shift_offsets,
)
from parazip.format.values import Record
from parazip.model import Member
from parazip.output.stream import Pipe
from parazip.testing import SparseOutput
from support.archives import contents_of
from support.layout import (
    ANYWAY,
    DATE,
    FAST,
    FILE,
    NOISE,
    STORED,
    TEXT,
    Placed,
    assert_aligned,
    create_bytes,
    create_on_pipe,
    fields_of,
    find_members_in,
)
from support.patience import HUNG

ALIGNS = {
    "all": ((4, "*"),),
    "a page": ((4096, "*.jar"), (4, "*")),
    "the largest counts": ((64, "*"), (16, "*"), (1024, "noise")),
    "the most": ((MOST_ALIGN, "*"),),
}


def largest_multiple(align: tuple[tuple[int, str], ...], name: str) -> int:
    globs = {"*": True, "*.jar": name.endswith(".jar"), "noise": name == "noise"}
    return max((multiple for multiple, glob in align if globs[glob]), default=0)


@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("align", ALIGNS.values(), ids=ALIGNS)
def test_contents_of_stored_members_begin_at_multiples(
    tree: Path, align: tuple[tuple[int, str], ...], output: str
) -> None:
    make = create_bytes if output == "file" else create_on_pipe
    data = make(tree, store=("*.jar",), align=align)
    count = 0
    for name, member in find_members_in(data).items():
        if member.method == STORED:
            assert_aligned(member, largest_multiple(align, name))
            count += 1
        else:
            assert not member.extra
    assert count == len(ANYWAY | {"lib/one.jar", "lib/deep/two.jar"}) - (output == "pipe")
    assert contents_of(data) == contents_of(create_bytes(tree))


def test_at_level_0_on_a_pipe_large_members_are_aligned_too(tree: Path) -> None:
    file = io.BytesIO()
    chosen = Selection(directory=tree, align=((64, "*.txt"), (64, "noise")))
    report = parazip.create(Pipe(file, "-"), ["."], Settings(level=0), chosen)
    found = find_members_in(file.getvalue())
    for name in ("a.txt", "large.txt", "noise"):
        assert_aligned(found[name], 64)
        assert found[name].flags == 0
    assert (report.aligned, report.notes) == (3, ())
    assert contents_of(file.getvalue()) == contents_of(create_bytes(tree))


def test_what_does_not_match_has_no_padding(tree: Path) -> None:
    data = create_bytes(tree, level=0, align=((64, "lib/*"),))
    for name, member in find_members_in(data).items():
        assert member.method == STORED
        if name.startswith("lib/") and name != "lib/":
            assert_aligned(member, 64)
        else:
            assert not member.extra


@settings(max_examples=60)
@given(
    members=st.lists(
        st.tuples(st.integers(0, 300), st.booleans(), st.sampled_from([0, 1, 2, 4, 64, 512])),
        max_size=12,
    ),
    before=st.integers(0, 200),
    on_pipe=st.booleans(),
)
def test_any_members_behind_any_bytes(
    members: list[tuple[int, bool, int]], before: int, on_pipe: bool
) -> None:
    told = [
        Member(f"{i}{'n' * (size % 7)}", TEXT[:size], FILE, DATE, store, align)
        for i, (size, store, align) in enumerate(members)
    ]
    file = io.BytesIO(b"" if on_pipe else b"#" * 7)
    file.seek(0, os.SEEK_END)
    target = Pipe(file, "-") if on_pipe else file
    report = parazip.write(target, told, Settings(jobs=1), prepend=b"x" * before)
    found = find_members_in(file.getvalue())
    assert list(found) == [member.name for member in told]
    aligned = 0
    for member in told:
        there = found[member.name]
        if member.align > 1 and there.method == STORED:
            assert_aligned(there, member.align)
            aligned += 1
        else:
            assert not there.extra
        if member.store:
            assert there.method == STORED
    assert report.aligned == aligned
    assert contents_of(file.getvalue()) == {member.name: member.source for member in told}


@pytest.mark.parametrize("start", range(12))
def test_padding_fits_wherever_it_begins(start: int) -> None:
    record = Record(b"name", 0, STORED, DATE, 0, 5, 5, FILE, 0)
    for wide in (False, True):
        header = pack_local_header(record, wide)
        for multiple in (1, 2, 4, 8, MOST_ALIGN):
            for position in (start, MOST_ALIGN - start, (1 << 33) + start):
                made = pad_header(header, multiple, position)
                assert (position + len(made)) % multiple == 0
                assert len(made) <= len(header) + 6 + multiple - 1
                extra = fields_of(made[30 + len(record.name) :])
                assert set(extra) == ({ZIP64_TAG, ALIGN_TAG} if wide else {ALIGN_TAG})
                assert made[:28] == header[:28]


def test_offsets_move_by_all_padding_before_them() -> None:
    records = [Record(b"%d" % i, 0, STORED, DATE, 0, 5, 5, FILE, 40 * i) for i in range(4)]
    directory = b"".join(map(pack_central_header, records))
    base = (1 << 32) - 100
    moved, count = shift_offsets(directory, base, {0: 7, 80: 30})
    offsets = [base, base + 47, base + 87, base + 157]
    assert count == 4
    assert moved == b"".join(
        pack_central_header(record._replace(offset=offset))
        for record, offset in zip(records, offsets, strict=True)
    )
    assert shift_offsets(moved, -base) == (
        b"".join(
            pack_central_header(r._replace(offset=o - base))
            for r, o in zip(records, offsets, strict=True)
        ),
        4,
    )


def test_contents_behind_four_gib_are_aligned() -> None:
    output = SparseOutput()
    output.seek((1 << 32) - 5000)
    members = [
        Member(name, NOISE[:size], FILE, DATE, True, 4096)
        for name, size in (("a", 10), ("large", 2 << 20), ("b", 10))
    ]
    report = parazip.write(output, members, FAST)
    assert report.aligned == 3
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            output.seek(info.header_offset + 26)
            name, extra = struct.unpack("<2H", output.read(4))
            assert (info.header_offset + 30 + name + extra) % 4096 == 0


@pytest.mark.parametrize("helpers", ["0", "1"])
def test_many_short_members_are_aligned_by_whoever_makes_them(tmp_path: Path, helpers: str) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for i in range(1500):
        (tree / f"{i}.txt").write_bytes(TEXT[: i % 100] + b"%d" % i)
    environment = {**os.environ, "PARAZIP_HELPERS": helpers}
    made = []
    for jobs in ("1", "2"):
        command = ["create", "-q", "-j", jobs, "--align", "32:*7*", "--store", "*3*", "t.zip", "t"]
        subprocess.run(
            [sys.executable, "-m", "parazip", *command],
            cwd=tmp_path,
            env=environment,
            check=True,
            timeout=HUNG,
        )
        made.append((tmp_path / "t.zip").read_bytes())
    assert made[0] == made[1]
    for name, member in find_members_in(made[0]).items():
        if "7" in name and member.method == STORED:
            assert_aligned(member, 32)
        else:
            assert not member.extra
        assert member.method == STORED or "3" not in name


SLASHES: dict[str, set[str]] = {
    "lib": {"lib/x", "deep/lib/x", "file/lib"},
    "lib/": {"lib/x"},
    "./lib": {"lib/x"},
    "/lib": {"lib/x"},
    "/lib/": {"lib/x"},
    "*/lib": {"deep/lib/x", "file/lib"},
    "*/lib/": {"deep/lib/x"},
    "file/lib": {"file/lib"},
    "file/lib/": set(),
    "./x": set(),
    "lib/x": {"lib/x"},
}


@pytest.mark.parametrize("prefix", ["", "p/"])
@pytest.mark.parametrize("command", ["create", "update", "merge", "merge an archive"])
@pytest.mark.parametrize("pattern", SLASHES)
def test_slashes_in_patterns_mean_the_same_to_all_options(
    tmp_path: Path, pattern: str, command: str, prefix: str
) -> None:
    tree = tmp_path / "t"
    for name in ("lib/x", "deep/lib/x", "file/lib"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_bytes(b"shrinks " * 50)
    path = tmp_path / "a.zip"

    def made(**fields: Any) -> dict[str, Placed]:
        chosen = Selection(directory=tree, prefix=prefix, **fields)
        if command == "merge":
            parazip.merge(path, [tree], FAST, replace(chosen, directory=None))
        elif command == "merge an archive":
            source = tmp_path / "s.zip"
            parazip.create(source, ["."], Settings(level=0), Selection(directory=tree))
            parazip.merge(path, [source], FAST, replace(chosen, directory=None))
        else:
            path.unlink(missing_ok=True)
            call = parazip.create if command == "create" else parazip.update
            call(path, ["."], FAST, chosen)
        found = find_members_in(path.read_bytes())
        return {n[len(prefix) :]: m for n, m in found.items() if not n.endswith("/")}

    every = {"lib/x", "deep/lib/x", "file/lib"}
    assert {*made(exclude=(pattern,))} == every - SLASHES[pattern]
    aligned = made(store=("x", "lib"), align=((64, pattern),))
    assert {name for name, member in aligned.items() if member.extra} == SLASHES[pattern]
    if command != "merge an archive":
        stored = made(store=(pattern,))
        assert {n for n, m in stored.items() if m.method == STORED} == SLASHES[pattern]
    if SLASHES[pattern] and not prefix:
        parazip.create(path, ["."], FAST, Selection(directory=tree))
        parazip.delete(path, [pattern])
        left = {name for name in find_members_in(path.read_bytes()) if not name.endswith("/")}
        assert left == every - SLASHES[pattern]


# --- The cache -------------------------------------------------------------------------------


@pytest.fixture
def old_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just made may be kept."""
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)


@pytest.mark.usefixtures("old_clock")
@pytest.mark.parametrize("identity", ["stat", "content"])
def test_the_cache_changes_no_byte_of_what_is_aligned(
    tree: Path, tmp_path: Path, identity: Identification
) -> None:
    cache = Cache(tmp_path / "cache")

    def made(prepend: bytes = b"", **selection: Any) -> tuple[bytes, parazip.Report]:
        chosen = Selection(directory=tree, **selection)
        target = tmp_path / "a.zip"
        report = parazip.create(
            target, ["."], FAST, chosen, prepend=prepend, cache=cache, identity=identity
        )
        return target.read_bytes(), report

    for i in range(600):
        (tree / f"{i}.txt").write_bytes(TEXT[: 200 + i])
    plain = create_bytes(tree, level=1)
    assert made()[0] == plain
    everything: dict[str, Any] = {"align": ((64, "*"),), "store": ("*.jar",)}
    few: dict[str, Any] = {"align": ((64, "*.jar"),), "store": ("*.jar",)}
    for selection in (everything, few):
        for prepend in (b"", b"x", b"", b"xyz"):
            data, report = made(prepend, **selection)
            assert data[len(prepend) :].startswith(b"PK\3\4")
            for name, member in find_members_in(data).items():
                if name.endswith(".jar"):
                    assert_aligned(member, 64)
        whole = parazip.create(
            tmp_path / "b.zip", ["."], FAST, Selection(directory=tree, **selection), prepend=b"xyz"
        )
        assert data == (tmp_path / "b.zip").read_bytes()
        assert replace(report, seconds=0, recalled=0, archive="") == replace(
            whole, seconds=0, archive=""
        )
    assert report.recalled > 300
    data, report = made()
    assert data == plain
    assert report.recalled == report.members
