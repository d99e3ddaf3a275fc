"""Keys: whatever determines the bytes, and no file that may still change."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parazip.codecs import libraries
from parazip.codecs.levels import Coder, Recipe
from parazip.engine.keys import identify_by_content, identify_by_stat, make_key
from parazip.errors import SourceError
from parazip.format.values import Entry, Record
from parazip.model import ArchiveMember, File, Member
from parazip.sources import files

OLD = 1_600_000_000_123_456_789
"""Long ago, in nanoseconds since 1970."""

RECIPE = Recipe(Coder("libdeflate", 5), Coder("zlib-ng", 5), 16 << 20)

FILE = File("/tree/a", 1000, OLD, 77, OLD)

MEMBER = Member("a", FILE, 0o100644 << 16, 0x5264_28C4)

RECORD = Record(b"a", 0, 8, 0x5264_28C4, 1234, 500, 1000, 0o100644 << 16, 0)

ARCHIVE = File("/wheel", 5000, OLD, 78, OLD)

PACKED = MEMBER._replace(source=ArchiveMember(ARCHIVE, Entry("a", RECORD, 600)))

LINK = Member("link", b"target", 0o120777 << 16, 0x5264_28C4)

MEMBERS = [MEMBER, LINK, PACKED._replace(name="packed")]

named = partial(make_key, identity=identify_by_stat)


def of_file(**changes: Any) -> list[Member]:
    return [MEMBER._replace(source=FILE._replace(**changes)), *MEMBERS[1:]]


def of_member(**changes: Any) -> list[Member]:
    return [MEMBER._replace(**changes), *MEMBERS[1:]]


def of_link(**changes: Any) -> list[Member]:
    return [MEMBER, LINK._replace(**changes), MEMBERS[2]]


def of_packed(source: ArchiveMember) -> list[Member]:
    return [*MEMBERS[:2], PACKED._replace(name="packed", source=source)]


OTHER_KEYS: dict[str, Callable[[], str]] = {
    "none": lambda: named(MEMBERS, RECIPE),
    "size": lambda: named(of_file(size=1001), RECIPE),
    "modification time": lambda: named(of_file(mtime_ns=OLD + 1), RECIPE),
    "inode": lambda: named(of_file(inode=79), RECIPE),
    "change time": lambda: named(of_file(ctime_ns=OLD + 1), RECIPE),
    "name": lambda: named(of_member(name="b"), RECIPE),
    "mode": lambda: named(of_member(attributes=0o100755 << 16), RECIPE),
    "date": lambda: named(of_member(date=0x5264_28C5), RECIPE),
    "stored": lambda: named(of_member(store=True), RECIPE),
    "bytes for a file": lambda: named(of_member(source=b"contents"), RECIPE),
    "nothing for a file": lambda: named(of_member(source=b""), RECIPE),
    "target of a link": lambda: named(of_link(source=b"other"), RECIPE),
    "archive that is copied from": lambda: named(
        of_packed(ArchiveMember(ARCHIVE._replace(mtime_ns=OLD + 1), Entry("a", RECORD, 600))),
        RECIPE,
    ),
    "record that is copied": lambda: named(
        of_packed(ArchiveMember(ARCHIVE, Entry("a", RECORD._replace(offset=9), 600))), RECIPE
    ),
    "order": lambda: named(MEMBERS[::-1], RECIPE),
    "fewer members": lambda: named(MEMBERS[:2], RECIPE),
    "more members": lambda: named([*MEMBERS, MEMBER._replace(name="b")], RECIPE),
    "coder of whole members": lambda: named(MEMBERS, RECIPE._replace(whole=Coder("libdeflate", 6))),
    "coder of blocks": lambda: named(MEMBERS, RECIPE._replace(block=Coder("zlib", 5))),
    "where members are cut": lambda: named(MEMBERS, RECIPE._replace(cut=1 << 20)),
    "coder of what does not shrink": lambda: named(
        MEMBERS, RECIPE._replace(plain=Coder("zlib", 0))
    ),
    "something more": lambda: named(MEMBERS, RECIPE, "more"),
    "something else more": lambda: named(MEMBERS, RECIPE, "mo", "re"),
    "contents": lambda: make_key(MEMBERS, RECIPE, identity=lambda file: "a"),
    "other contents": lambda: make_key(MEMBERS, RECIPE, identity=lambda file: "b"),
}


def test_whatever_determines_the_bytes_determines_the_key() -> None:
    keys = {what: make() for what, make in OTHER_KEYS.items()}
    assert len(set(keys.values())) == len(keys)
    for made in keys.values():
        assert len(made) == 64
        assert not made.strip("0123456789abcdef")
    assert keys == {what: make() for what, make in OTHER_KEYS.items()}


@pytest.mark.parametrize("what", ["libraries", "layout"])
def test_other_versions_have_other_keys(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = named(MEMBERS, RECIPE)
    if what == "libraries":
        monkeypatch.setattr("parazip.engine.keys._codec_versions", lambda: "isal 99")
    else:
        monkeypatch.setattr("parazip.engine.keys.LAYOUT", "parts-2")
    assert named(MEMBERS, RECIPE) != before


@pytest.mark.parametrize("library", [*libraries.LIBRARIES, "cpu"])
def test_each_library_and_the_cpu_count_as_versions(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    before = libraries.describe_versions()
    assert before == libraries.describe_versions()
    if library == "cpu":
        monkeypatch.setattr(libraries, "_describe_cpu", lambda: "another")
    else:
        another = libraries.LIBRARIES[library]._replace(version="99.99.99")
        monkeypatch.setitem(libraries.LIBRARIES, library, another)
    assert libraries.describe_versions() != before


def test_where_a_file_is_makes_no_other_key() -> None:
    assert named(of_file(path="/elsewhere/x"), RECIPE) == named(MEMBERS, RECIPE)


def test_by_contents_only_the_contents_of_a_file_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parazip.engine.keys._TICK_NS", 0)
    monkeypatch.setattr("parazip.engine.keys._COARSE_TICK_NS", 0)
    keys = []
    for name, contents in (("one", b"same"), ("two", b"same"), ("three", b"Same")):
        path = tmp_path / name
        path.write_bytes(contents)
        file = files.describe_file(str(path), path.stat())
        keys.append(make_key([MEMBER._replace(source=file)], RECIPE, identity=identify_by_content))
    assert keys[0] == keys[1] != keys[2]


def test_names_beyond_ascii_have_keys() -> None:
    names = ["\u00e4", "a\u0308", "\U0001f4e6", "a\nb", "a'b", "a\\b"]
    assert len({named(of_member(name=name), RECIPE) for name in names}) == len(names)


# --- What was just changed may change again --------------------------------------------------

NOW = 1_700_000_000_123_456_789

SECOND = 1_700_000_000_000_000_000

MS = 1_000_000

FRESHNESS: dict[str, tuple[int, int, int, bool]] = {  # now, mtime, ctime, whether it is certain
    "all is old": (NOW, OLD, OLD, True),
    "changed this very moment": (NOW, NOW, NOW, False),
    "changed 99 ms ago": (NOW, OLD, NOW - 99 * MS, False),
    "changed 100 ms ago": (NOW, OLD, NOW - 100 * MS, False),
    "changed 101 ms ago": (NOW, OLD, NOW - 101 * MS, True),
    "written 99 ms ago": (NOW, NOW - 99 * MS, NOW - 99 * MS, False),
    "written 101 ms ago": (NOW, NOW - 101 * MS, NOW - 101 * MS, True),
    "written 99 ms ago, on Windows": (NOW, NOW - 99 * MS, 0, False),
    "written 101 ms ago, on Windows": (NOW, NOW - 101 * MS, 0, True),
    "whole seconds, 1.9 s ago": (SECOND + 1900 * MS, OLD, SECOND, False),
    "whole seconds, 2 s ago": (SECOND + 2000 * MS, OLD, SECOND, False),
    "whole seconds, 2.1 s ago": (SECOND + 2100 * MS, OLD, SECOND, True),
    "whole seconds, on Windows": (SECOND + 1900 * MS, SECOND, 0, False),
    "put back to whole seconds": (SECOND + 1900 * MS, SECOND, SECOND + 1 * MS, True),
    "of the future": (NOW, NOW + 1, OLD, False),
    "of the far future": (NOW, NOW * 2, OLD, False),
}


@pytest.mark.parametrize(("now", "mtime", "ctime", "certain"), FRESHNESS.values(), ids=FRESHNESS)
def test_files_of_just_now_have_no_key(
    monkeypatch: pytest.MonkeyPatch, now: int, mtime: int, ctime: int, certain: bool
) -> None:
    monkeypatch.setattr("parazip.engine.keys.time", SimpleNamespace(time_ns=lambda: now))
    monkeypatch.setattr(files, "hash_file", lambda file: "contents")
    file = File("x", 1, mtime, 1, ctime)
    for source in (file, ArchiveMember(file, Entry("a", RECORD, 600))):
        for identity in (identify_by_stat, identify_by_content):
            members = [LINK, MEMBER._replace(name="x", source=source)]
            assert bool(make_key(members, RECIPE, identity=identity)) is certain


def test_bytes_at_hand_have_a_key_at_once() -> None:
    now = time.time_ns()
    assert named([LINK], RECIPE)
    assert not named([LINK, of_file(mtime_ns=now)[0]], RECIPE)


def test_one_file_of_just_now_is_enough() -> None:
    fresh = of_file(ctime_ns=time.time_ns())[0]
    assert named([*MEMBERS, MEMBER._replace(name="b")], RECIPE)
    assert named([*MEMBERS, fresh._replace(name="b")], RECIPE) == ""
    assert named([fresh._replace(name="b"), *MEMBERS], RECIPE) == ""


def test_a_file_of_just_now_is_not_hashed() -> None:
    with pytest.raises(SourceError):
        make_key(of_file(path="/missing"), RECIPE, identity=identify_by_content)
    fresh = of_file(path="/missing", ctime_ns=time.time_ns())
    assert make_key(fresh, RECIPE, identity=identify_by_content) == ""
