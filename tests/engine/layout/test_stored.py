"""Which members are stored, whatever the level."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from parazip.engine import compress, plan
from parazip.engine.writer import ArchiveWriter
from parazip.errors import SourceChangedError
from parazip.model import File, Member
from parazip.output.stream import Output, Pipe
from parazip.sources.merging import Source
from support.archives import contents_of
from support.layout import (
    ANYWAY,
    DATE,
    DEFLATED,
    FAST,
    FILE,
    STORED,
    TEXT,
    create_bytes,
    create_on_pipe,
    find_members_in,
)


def stored_in(data: bytes) -> set[str]:
    return {name for name, member in find_members_in(data).items() if member.method == STORED}


STORES = {
    "none": ((), set()),
    "a name at any depth": (("*.jar",), {"lib/one.jar", "lib/deep/two.jar"}),
    "a whole name": (("lib/*.jar",), {"lib/one.jar", "lib/deep/two.jar"}),
    "one whole name": (("lib/one.jar",), {"lib/one.jar"}),
    "a folder": (("deep",), {"lib/deep/two.jar"}),
    "a folder by its whole name": (
        ("./lib/",),
        {"lib/one.jar", "lib/deep/two.jar", "lib/readme"},
    ),
    "several": (("a.txt", "large.*"), {"a.txt", "large.txt"}),
    "what is not there": (("*.so",), set()),
}


@pytest.mark.once
@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize(("globs", "names"), STORES.values(), ids=STORES)
def test_what_matches_is_stored_whatever_the_level(
    tree: Path, globs: tuple[str, ...], names: set[str], level: int
) -> None:
    assert stored_in(create_bytes(tree, store=globs, level=level)) == ANYWAY | names


def test_globs_are_compared_without_the_prefix_as_exclude_is(tree: Path) -> None:
    data = create_bytes(tree, store=("lib/one.jar",), prefix="p")
    assert stored_in(data) == {f"p/{name}" for name in ANYWAY | {"lib/one.jar"}}


def test_on_a_pipe_what_matches_is_stored_too(tree: Path) -> None:
    data = create_on_pipe(tree, store=("*.jar", "noise"))
    found = find_members_in(data)
    for name in ("lib/one.jar", "lib/deep/two.jar", "noise"):
        assert found[name] == found[name]._replace(method=STORED, flags=0, extra={})
    assert contents_of(data) == contents_of(create_bytes(tree))


def test_on_a_pipe_bytes_in_memory_are_stored_too() -> None:
    file = io.BytesIO()
    members = [Member("a", b"a", FILE, DATE), Member("large", TEXT, FILE, DATE, store=True)]
    report = parazip.write(Pipe(file, "-"), members, FAST)
    assert find_members_in(file.getvalue())["large"]._replace(begin=0) == (STORED, 0, 0, {})
    assert contents_of(file.getvalue())["large"] == TEXT
    assert report.codecs["stored"].bytes_out == len(TEXT) + 1


@pytest.mark.parametrize("more", [1, 100_000])
def test_a_large_file_that_has_more_bytes_than_the_system_tells_is_stored_whole(
    tmp_path: Path, more: int
) -> None:
    """Some file systems tell any size; a log grows while it is read, and nobody minds."""
    path = tmp_path / "log"
    path.write_bytes(TEXT)
    info = path.stat()
    size = info.st_size - more
    file = File(str(path), size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns, "none")
    output = io.BytesIO()
    members = [Member("log", file, FILE, DATE, store=True), Member("last", b"1", FILE, DATE)]
    report = parazip.write(Pipe(output, "-"), members, FAST)
    assert contents_of(output.getvalue()) == {"log": TEXT, "last": b"1"}
    assert report.bytes_in == len(TEXT) + 1


def test_a_file_that_changes_between_its_crc_and_its_bytes_is_an_error(tree: Path) -> None:
    path = tree / "large.txt"
    info = path.stat()
    file = File(str(path), info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns)
    part = compress.store_untouched(plan.StoredTask(Member("large", file, FILE, DATE, store=True)))
    path.write_bytes(TEXT.replace(b"line", b"LINE"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChangedError, match=r"large\.txt"):
        ArchiveWriter(Output(Pipe(io.BytesIO(), "-"), "-")).write_part(part)


def test_merge_stores_what_folders_give_and_copies_archives_as_they_are(
    tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.zip").write_bytes(create_bytes(tree))
    target = tmp_path / "merged.zip"
    sources: list[Source] = [tree, ("other", tmp_path / "other.zip")]
    parazip.merge(target, sources, FAST, Selection(store=("*.jar",)))
    found = find_members_in(target.read_bytes())
    for name in ("lib/one.jar", "lib/deep/two.jar"):
        assert found[name].method == STORED
        assert found[f"other/{name}"].method == DEFLATED
