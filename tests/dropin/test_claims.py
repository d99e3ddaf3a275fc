"""What a claim may cost: memory and work grow with an archive's bytes, not with what it says.

No time is asserted: memory is what tracemalloc, or the system for a process of its own, tells of,
and work is counted in lines of our own that were run.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parazip
from parazip import BadArchiveError, ParazipError, Selection
from parazip.cli import create
from parazip.display import format_table
from parazip.dropin import targets
from parazip.engine import cache, part_files
from parazip.errors import MemberNameError
from parazip.format.names import MOST_STEPS
from parazip.pex import info, wheels
from parazip.sources import archives, files, merging, selection

pytestmark = pytest.mark.once

MIB = 1 << 20


def peak(call: Callable[[], object]) -> int:
    """The most bytes that Python had allocated during a call, above what it had before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of parazip's own code a call runs, in this thread."""
    ours = os.path.dirname(parazip.__file__)
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.startswith(ours) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def make_claiming_archive(
    names: Iterable[str], size: int = 5, packed: int = 5, **fields: Any
) -> bytes:
    """An archive of members with 5 bytes each, whose directory says something else."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name in names:
            made = zipfile.ZipInfo(name)
            archive.writestr(made, b"hello")
            made.file_size, made.compress_size = size, packed
            for field, value in fields.items():
                setattr(made, field, value)
    return output.getvalue()


def deep(count: int, steps: int) -> list[str]:
    """Names of so many steps that differ in the first."""
    return [f"{i}/" + "/".join("a" * (steps - 1)) for i in range(count)]


NAMES: dict[str, list[str]] = {
    "one of 32,768 steps": deep(1, 32_768),
    "one of all the steps that are taken": deep(1, MOST_STEPS),
    "many of many steps": deep(50, MOST_STEPS),
    "many that share their steps": ["a/" * 1000 + str(i) for i in range(200)],
    "many, each in a folder of the last one's": ["a/" * i + "f" for i in range(400)],
    "long ones": [f"{i}{'x' * 60_000}" for i in range(20)],
    "long folders": [f"{i}{'x' * 60_000}/f" for i in range(20)],
    "short ones": [str(i) for i in range(4000)],
    "short folders": [f"{i}/" for i in range(4000)],
    "some that get longer by casefolding": [f"{i}/" + "\ufb03/" * 1000 for i in range(50)],
}

# The drop-in


@pytest.mark.parametrize("case", NAMES)
def test_to_look_at_names_takes_their_bytes_a_few_times(case: str) -> None:
    infos = [zipfile.ZipInfo(name) for name in NAMES[case]]
    held = sum(sys.getsizeof(name) for name in NAMES[case])
    assert peak(lambda: targets.list_target_folders(infos)) < 8 * held + MIB


def test_names_that_are_too_deep_for_any_system_are_left_to_zipfile() -> None:
    at_most = [zipfile.ZipInfo(name) for name in deep(1, MOST_STEPS)]
    assert targets.list_target_folders(at_most) is not None
    assert (
        targets.list_target_folders([zipfile.ZipInfo(name) for name in deep(1, 2 * MOST_STEPS)])
        is None
    )


def kinds(name: str) -> list[str]:
    return [kind for step in name.casefold().split("/") if (kind := step.rstrip(" ."))]


def may_meet(names: Sequence[str]) -> bool:
    """Whether one of two is a file and the other is the same or in it: each with each."""
    ways = [(kinds(name), name.endswith("/") or not kinds(name)) for name in names]
    return any(
        not is_folder and other[: len(way)] == way and i != j
        for i, (way, is_folder) in enumerate(ways)
        for j, (other, _) in enumerate(ways)
    )


@given(st.lists(st.text("aAb/. ", max_size=6).map(lambda name: name or "a"), max_size=5))
def test_the_order_counts_where_a_file_meets_another_member(names: list[str]) -> None:
    found = targets.list_target_folders([zipfile.ZipInfo(name) for name in names])
    assert found is None or not may_meet(names)
    if found is None:
        lasts = [name.rpartition("/")[2] for name in names]
        assert may_meet(names) or any(last and not kinds(last) for last in lasts)


ALIKE = [
    ("a", "a"), ("a", "A"), ("a", "a/"), ("a", "a/b"), ("A/b/c", "a/B"), ("a", "a/b/c/"),
    ("a/b", "a\\b"), ("a.", "a"), ("a /b", "a"), ("ß", "SS"), ("a:b", "a?b"), ("a/...", "a/b"),
]  # fmt: skip

APART = [("a", "b"), ("a/", "a/b"), ("ab", "a/b"), ("a/b/", "a/"), ("a/b", "a/c"), ("a-b", "a/b")]


@pytest.mark.parametrize("names", [*ALIKE, *APART], ids=" ".join)
def test_names_that_one_system_or_another_takes_for_one(names: tuple[str, str]) -> None:
    for order in (names, names[::-1]):
        found = targets.list_target_folders([zipfile.ZipInfo(name) for name in order])
        assert (found is None) == (names in ALIKE)


CHILD = """
import importlib, sys
_, module, call, archive, target = sys.argv
kind = importlib.import_module(module).ZipFile
found = None
try:
    with kind(archive) as opened:
        found = opened.extractall(target) if call == "extractall" else opened.testzip()
except Exception as error:
    found = type(error).__name__
told = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(told[0], found)
"""

ARCHIVES: dict[str, Callable[[], bytes]] = {
    "one name of 32,768 steps": lambda: make_claiming_archive(
        NAMES["one of 32,768 steps"], 5 * MIB
    ),
    "many names of 1,500 steps": lambda: make_claiming_archive(deep(50, 1500), 5 * MIB),
    "16 MiB each": lambda: make_claiming_archive(
        map(str, range(1000)), 16 * MIB, 5, compress_type=8
    ),
    "16 MiB each, compressed, too": lambda: make_claiming_archive(
        map(str, range(300)), 16 * MIB, 16 * MIB
    ),
    "4 GB each": lambda: make_claiming_archive(
        map(str, range(300)), 4_000_000_000, 5, compress_type=8
    ),
    "2 ** 62 bytes": lambda: make_claiming_archive("a", 1 << 62, 1 << 62),
    "a name of 60,000 bytes each": lambda: make_claiming_archive(NAMES["long ones"], 5 * MIB),
}


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="Linux alone tells it by process"
)
@pytest.mark.parametrize("call", ["extractall", "testzip"])
@pytest.mark.parametrize("case", ARCHIVES)
def test_a_claim_takes_no_more_memory_than_in_zipfile(case: str, call: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(ARCHIVES[case]())
    told = []
    for module in ("zipfile", "parazip"):
        command = [sys.executable, "-c", CHILD, module, call, tmp_path / "a.zip", tmp_path / module]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told.append(done.stdout.split())
    (stock, error), (ours, same) = told
    assert same == error
    assert int(ours) < int(stock) + (48 << 10)


# Merging

MERGED: dict[str, Callable[[], bytes]] = {
    "names of many steps": lambda: make_claiming_archive(deep(100, MOST_STEPS)),
    "names that share their steps": lambda: make_claiming_archive(
        NAMES["many that share their steps"]
    ),
    "long names": lambda: make_claiming_archive(NAMES["long ones"]),
    "short names": lambda: make_claiming_archive(NAMES["short ones"]),
    "extra fields": lambda: make_claiming_archive(
        map(str, range(50)), extra=b"\xfe\xca\0\0" * 16_000
    ),
    "comments": lambda: make_claiming_archive(map(str, range(50)), comment=b"c" * 65_000),
}


def gather_excluding(path: Path, *exclude: str) -> object:
    return merging.gather_members([path], Selection(exclude=exclude))


@pytest.mark.parametrize("exclude", [(), ("x", "*/x/y")], ids=["all", "excluding"])
@pytest.mark.parametrize("case", MERGED)
def test_to_merge_takes_an_archives_bytes_a_few_times(
    case: str, exclude: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(MERGED[case]())
    gather_excluding(path)  # what is imported and compiled counts once
    assert peak(lambda: gather_excluding(path, *exclude)) < 12 * path.stat().st_size + 2 * MIB


@pytest.mark.parametrize("exclude", [(), ("x", "*/x/y")], ids=["all", "excluding"])
def test_steps_of_names_add_no_work(exclude: tuple[str, ...], tmp_path: Path) -> None:
    done = []
    for steps in (2, MOST_STEPS):
        path = tmp_path / f"{steps}.zip"
        path.write_bytes(make_claiming_archive(deep(50, steps)))
        gather_excluding(path, *exclude)
        done.append(lines_run(lambda path=path: gather_excluding(path, *exclude)))  # type: ignore[misc]
    assert done[0] == pytest.approx(done[1], rel=0.1)


def test_what_is_left_out_is_asked_once_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def patterns(*args: object) -> tuple[selection.Match, selection.Match, selection.Match]:
        def ask(text: str) -> None:
            asked.append(text)

        return ask, ask, ask

    monkeypatch.setattr(selection, "compile_patterns", patterns)
    name = deep(1, MOST_STEPS)[0]
    assert not selection.make_exclusion(("x", "y/z"))(name)
    assert sum(map(len, asked)) < 3 * len(name)


def test_a_name_of_more_steps_is_refused_with_the_number(tmp_path: Path) -> None:
    path = tmp_path / "deep.zip"
    path.write_bytes(make_claiming_archive(deep(1, MOST_STEPS + 1)))
    assert len(list(archives.read_entries(files.describe_file(str(path), path.stat())))) == 1
    path.write_bytes(make_claiming_archive(deep(1, MOST_STEPS + 2)))
    with pytest.raises(BadArchiveError) as error:
        parazip.merge(tmp_path / "out.zip", [path])
    for told in (str(path), "a name of at most 2048 steps", "found 2049"):
        assert told in str(error.value)


# `parazip info`


def pex_of(path: Path, pex_info: bytes, method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("PEX-INFO", pex_info)
    return str(path)


def of_size(size: int) -> bytes:
    return b'{"a": "' + bytes(size - 9).replace(b"\0", b" ") + b'"}'


def test_no_more_of_a_pex_info_is_inflated_than_it_may_have(tmp_path: Path) -> None:
    assert (
        info.read_pex(pex_of(tmp_path / "a.pex", of_size(4 * MIB))).largest[0].bytes_in == 4 * MIB
    )
    bomb = pex_of(tmp_path / "b.pex", of_size(64 * MIB))

    def refused() -> None:
        with pytest.raises(BadArchiveError, match=r"b.pex is not a PEX: .*at most 4194304 bytes"):
            info.read_pex(bomb)

    assert peak(refused) < 32 * MIB


def test_a_pex_info_that_inflates_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    bomb = bytearray(Path(pex_of(tmp_path / "a.pex", of_size(64 * MIB))).read_bytes())
    for header, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = bomb.index(header) + at
        bomb[place : place + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.pex").write_bytes(bomb)

    def refused() -> None:
        with pytest.raises(BadArchiveError, match=r"cannot read PEX-INFO of .*a.pex: Bad CRC-32"):
            info.read_pex(str(tmp_path / "a.pex"))

    assert peak(refused) < 32 * MIB


def test_a_pex_info_in_a_folder_is_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "PEX-INFO").write_bytes(of_size(4 * MIB + 1))
    with pytest.raises(BadArchiveError, match="at most 4194304 bytes"):
        info.read_pex(str(tmp_path))


PEX_INFOS: dict[str, tuple[bytes, int, str]] = {
    "nested lists": (b"[" * 200_000, zipfile.ZIP_DEFLATED, "is not JSON"),
    "nested objects": (b'{"a":' * 200_000, zipfile.ZIP_DEFLATED, "is not JSON"),
    "a number of 5,000 digits": (b'{"a": %s}' % (b"1" * 5000), zipfile.ZIP_DEFLATED, "is not JSON"),
    "properties that are none": (
        b'{"build_properties": [1]}',
        8,
        "build_properties .* is not a dict",
    ),
    "constraints that are none": (
        b'{"interpreter_constraints": 5}',
        8,
        "constraints .* is not a list",
    ),
    "distributions that are none": (b'{"distributions": "a"}', 8, "distributions .* is not a dict"),
    "bzip2": (b"{}", zipfile.ZIP_BZIP2, "stored or deflated, found the compression method 12"),
    "LZMA": (b"{}", zipfile.ZIP_LZMA, "stored or deflated, found the compression method 14"),
}


@pytest.mark.parametrize("case", PEX_INFOS)
def test_a_pex_info_that_is_none_is_told_of(case: str, tmp_path: Path) -> None:
    pex_info, method, told = PEX_INFOS[case]
    with pytest.raises(ParazipError, match=told):
        info.read_pex(pex_of(tmp_path / "a.pex", pex_info, method))


def test_a_damaged_pex_info_is_told_of(tmp_path: Path) -> None:
    damaged = bytearray(Path(pex_of(tmp_path / "a.pex", b"{}" * 2000)).read_bytes())
    damaged[38:42] = b"\xff" * 4
    (tmp_path / "a.pex").write_bytes(damaged)
    with pytest.raises(BadArchiveError, match=r"cannot read PEX-INFO of .*a.pex: Error -3"):
        info.read_pex(str(tmp_path / "a.pex"))


def test_one_long_cell_does_not_widen_all_rows() -> None:
    rows = [("x" * 60_000, "1"), *((str(i), "2") for i in range(2000))]
    assert peak(lambda: format_table(("name", "n"), rows)) < 4 * MIB
    assert format_table(("name", "n"), rows).splitlines()[1] == "x" * 252 + "...  1"


def test_a_repository_is_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i}-1-py3-none-any.whl" for i in range(100)]
    path = tmp_path / "repository.pex"
    path.write_bytes(
        make_claiming_archive(f".deps/{name}/{i}.py" for name in names for i in range(3))
    )
    asked: list[str] = []
    label = wheels.label_member
    monkeypatch.setattr(wheels, "label_member", lambda name: asked.append(name) or label(name))  # type: ignore[func-returns-value] # the usual idiom
    archive = files.describe_file(str(path), path.stat())
    for name in names:
        assert sorted(wheels.Wheel(archive, f".deps/{name}/").read_entries()) == [
            "0.py",
            "1.py",
            "2.py",
        ]
    assert len(asked) == 300


# What else is read


@pytest.mark.parametrize("lengths", [(100, 1 << 30), (1 << 30, 100)])
def test_a_part_is_not_believed_to_have_gigabytes_in_front(
    lengths: tuple[int, int], tmp_path: Path
) -> None:
    kept = cache.Cache(tmp_path)
    key = "ab" * 32
    path = Path(kept._path(key))
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(part_files._HEAD.pack(part_files._MAGIC, *lengths, 0, 0))
        file.truncate(part_files._HEAD.size + sum(lengths) + part_files._CRC.size)
    assert peak(lambda: kept.find(key)) < MIB
    assert "its description is too long" in kept.notes[0]
    assert not path.exists()


def test_what_would_not_be_believed_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_files, "MOST_HEADERS", 100)
    kept = cache.Cache(tmp_path)
    kept.keep("ab" * 32, {}, b"h" * 100, 1, [b"d"])
    kept.keep("cd" * 32, {}, b"h" * 101, 1, [b"d"])
    assert (kept.find("ab" * 32) is not None, kept.find("cd" * 32)) == (True, None)
    assert kept.notes == ["a part with 101 bytes of headers is not kept"]


def read_list(path: Path, null: bool = False) -> Iterator[str]:
    return create._read_list(str(path), null)


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_a_list_of_names_is_never_in_memory_as_a_whole(tmp_path: Path, end: str) -> None:
    (tmp_path / "list").write_text("".join(f"a/name/{i}{end}" for i in range(200_000)))
    (tmp_path / "empty").write_text(end * 5_000_000)
    names = [sum(1 for _ in read_list(tmp_path / "list", end == "\0"))]
    assert names == [200_000]
    for name in ("list", "empty"):
        found = read_list(tmp_path / name, end == "\0")
        assert peak(lambda found=found: sum(1 for _ in found)) < 2 * MIB  # type: ignore[misc]


def test_names_are_whole_wherever_a_piece_ends(tmp_path: Path) -> None:
    names = [("n" * length) + str(length) for length in range(1, 600)]
    (tmp_path / "list").write_text("\n".join(names))
    assert list(read_list(tmp_path / "list")) == names


def test_a_name_without_end_is_refused_with_the_number(tmp_path: Path) -> None:
    endless = tmp_path / "list"
    endless.write_text("n" * 1_000_000)
    with pytest.raises(MemberNameError, match=r"list: one has more than 65535 bytes.*--null"):
        list(create._read_list(str(endless), null=False))


def test_json_of_the_largest_pex_info_takes_what_is_said_of_it() -> None:
    worst = b"[" + b"{}," * (info._MOST_BYTES // 3 - 2) + b"{}]"
    assert peak(lambda: json.loads(worst)) < 30 * info._MOST_BYTES
