"""How members stand in an archive: which are stored, which are aligned, and which comes first."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip import Cache, Selection, Settings, compress, keys, plan
from parazip.archive import Identification
from parazip.cli import commands
from parazip.errors import SettingsError, SourceChangedError
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
from parazip.merging import OnDuplicate, Source
from parazip.model import File, Header, Member
from parazip.output import Output, Pipe
from parazip.testing import SparseOutput
from parazip.writer import ArchiveWriter
from patience import HUNG
from readers import programs
from readers import run as run_reader

DATE = 0x5264_28C4
FILE, FOLDER = 0o100644 << 16, 0o040755 << 16 | 0x10
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(70_000))
NOISE = random.Random(14).randbytes(3 << 20)
SPREADSHEET = b"application/vnd.oasis.opendocument.spreadsheet"

FAST = Settings(level=1, jobs=2)
"""Members of more than 1 MiB are cut at level 1, and of more than 16 MiB at 6."""


class Placed(NamedTuple):
    """A member as it stands in the bytes of an archive."""

    method: int
    flags: int
    begin: int
    extra: dict[int, bytes]


def fields_of(extra: bytes) -> dict[int, bytes]:
    """The fields of an extra field, which they fill to its end."""
    fields: dict[int, bytes] = {}
    while extra:
        tag, size = struct.unpack_from("<2H", extra)
        assert tag not in fields
        assert len(extra) >= 4 + size
        fields[tag] = extra[4 : 4 + size]
        extra = extra[4 + size :]
    return fields


def placed(data: bytes) -> dict[str, Placed]:
    """All members, in order; each is read, and its two headers agree."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            at = info.header_offset
            signature, _, flags, method, _, _, _, _, name, extra = struct.unpack_from(
                "<4s3H4I2H", data, at
            )
            assert (signature, flags, method) == (b"PK\3\4", info.flag_bits, info.compress_type)
            assert ALIGN_TAG not in fields_of(info.extra)
            begin = at + 30 + name + extra
            fields = fields_of(data[begin - extra : begin])
            found[info.filename] = Placed(method, flags, begin, fields)
    return found


def assert_aligned(member: Placed, multiple: int) -> None:
    assert member.method == STORED
    assert member.begin % multiple == 0
    field = member.extra[ALIGN_TAG]
    assert struct.unpack_from("<H", field) == (multiple,)
    assert not any(field[2:])
    assert len(field) - 2 < multiple


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder `t` with what is cut and what is not, what shrinks and what does not."""
    tree = tmp_path / "t"
    (tree / "lib" / "deep").mkdir(parents=True)
    (tree / "a.txt").write_bytes(TEXT[:3000])
    (tree / "empty").write_bytes(b"")
    (tree / "large.txt").write_bytes(TEXT)
    (tree / "lib" / "one.jar").write_bytes(TEXT[:40_000])
    (tree / "lib" / "deep" / "two.jar").write_bytes(TEXT)
    (tree / "lib" / "readme").write_bytes(TEXT[:500])
    (tree / "noise").write_bytes(NOISE)
    (tree / "noise.bin").write_bytes(NOISE[:5000])
    (tree / "padded noise").write_bytes(b"pad " * 60 + NOISE[: 2 << 20])
    return tree


def created(tree: Path, paths: Iterable[str] = (".",), level: int = 1, **selection: Any) -> bytes:
    target = tree.parent / "created.zip"
    chosen = Selection(directory=tree, **selection)
    parazip.create(target, paths, Settings(level=level), chosen)
    return target.read_bytes()


def piped(tree: Path, **selection: Any) -> bytes:
    file = io.BytesIO()
    chosen = Selection(directory=tree, **selection)
    parazip.create(Pipe(file, "-"), ["."], FAST, chosen)
    return file.getvalue()


def stored_in(data: bytes) -> set[str]:
    return {name for name, member in placed(data).items() if member.method == STORED}


# --- What is stored --------------------------------------------------------------------------

ANYWAY = {"lib/", "lib/deep/", "empty", "noise", "noise.bin", "padded noise"}

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


@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize(("globs", "names"), STORES.values(), ids=STORES)
def test_what_matches_is_stored_whatever_the_level(
    tree: Path, globs: tuple[str, ...], names: set[str], level: int
) -> None:
    assert stored_in(created(tree, store=globs, level=level)) == ANYWAY | names


def test_globs_are_compared_without_the_prefix_as_exclude_is(tree: Path) -> None:
    data = created(tree, store=("lib/one.jar",), prefix="p")
    assert stored_in(data) == {f"p/{name}" for name in ANYWAY | {"lib/one.jar"}}


def test_on_a_pipe_what_matches_is_stored_too(tree: Path) -> None:
    data = piped(tree, store=("*.jar", "noise"))
    found = placed(data)
    for name in ("lib/one.jar", "lib/deep/two.jar", "noise"):
        assert found[name] == found[name]._replace(method=STORED, flags=0, extra={})
    assert contents(data) == contents(created(tree))


def test_on_a_pipe_bytes_in_memory_are_stored_too() -> None:
    file = io.BytesIO()
    members = [Member("a", b"a", FILE, DATE), Member("large", TEXT, FILE, DATE, store=True)]
    report = parazip.write(Pipe(file, "-"), members, FAST)
    assert placed(file.getvalue())["large"]._replace(begin=0) == (STORED, 0, 0, {})
    assert contents(file.getvalue())["large"] == TEXT
    assert report.codecs["stored"].bytes_out == len(TEXT) + 1


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
    (tmp_path / "other.zip").write_bytes(created(tree))
    target = tmp_path / "merged.zip"
    sources: list[Source] = [tree, ("other", tmp_path / "other.zip")]
    parazip.merge(target, sources, FAST, Selection(store=("*.jar",)))
    found = placed(target.read_bytes())
    for name in ("lib/one.jar", "lib/deep/two.jar"):
        assert found[name].method == STORED
        assert found[f"other/{name}"].method == DEFLATED


# --- What comes first ------------------------------------------------------------------------


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A spreadsheet that is unpacked; deflate would make its type shorter."""
    sheet = tmp_path / "sheet"
    (sheet / "META-INF").mkdir(parents=True)
    (sheet / "mimetype").write_bytes(SPREADSHEET)
    (sheet / "META-INF" / "manifest.xml").write_bytes(TEXT[:2000])
    (sheet / "META-INF" / "mimetype").write_bytes(TEXT[:500])
    (sheet / "content.xml").write_bytes(TEXT[:5000])
    return sheet


SHEET = ["mimetype", "META-INF/", "META-INF/manifest.xml", "META-INF/mimetype", "content.xml"]


def assert_container(data: bytes, level: int = 1) -> None:
    """The rules of EPUB 3.3, 4.2.3, and OpenDocument 1.2 part 3, 3.3, byte by byte."""
    signature, _, flags, method, _, _, packed, size, name, extra = struct.unpack_from(
        "<4s3H4I2H", data
    )
    assert (signature, flags, method) == (b"PK\3\4", 0, STORED)
    assert (packed, size, name, extra) == (len(SPREADSHEET), len(SPREADSHEET), 8, 0)
    assert data[30:].startswith(b"mimetype" + SPREADSHEET + b"PK")
    found = placed(data)
    assert list(found) == SHEET
    assert (found["META-INF/mimetype"].method == DEFLATED) is (level > 0)


@pytest.mark.parametrize("paths", [["."], ["mimetype", "META-INF", "content.xml"]], ids=" ".join)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_a_container_begins_with_its_type(sheet: Path, paths: list[str], level: int) -> None:
    assert_container(created(sheet, paths, level), level)


@pytest.mark.parametrize("glob", ["*", "mimetype"])
def test_the_type_of_a_container_is_not_padded(sheet: Path, glob: str) -> None:
    data = created(sheet, align=((64, glob),))
    assert data[30:].startswith(b"mimetype" + SPREADSHEET + b"PK")


def test_a_container_that_is_made_in_other_ways_begins_with_its_type(
    sheet: Path, tmp_path: Path
) -> None:
    parazip.merge(tmp_path / "merged.ods", [sheet])
    assert_container((tmp_path / "merged.ods").read_bytes())
    parazip.merge(
        tmp_path / "copied.ods", [tmp_path / "merged.ods"], None, Selection(align=((4, "*"),))
    )
    assert (tmp_path / "copied.ods").read_bytes()[38:].startswith(SPREADSHEET + b"PK")
    assert_container(piped(sheet))
    names = [Path(name) for name in SHEET]
    parazip.create(tmp_path / "listed.ods", [], None, Selection(directory=sheet), names=names)
    assert_container((tmp_path / "listed.ods").read_bytes())
    members = [Member("mimetype", SPREADSHEET, FILE, DATE), Member("a", TEXT, FILE, DATE)]
    parazip.write(tmp_path / "told.ods", members)
    assert (tmp_path / "told.ods").read_bytes()[30:].startswith(b"mimetype" + SPREADSHEET + b"PK")


@pytest.mark.parametrize(
    ("paths", "prefix", "name"),
    [
        (["content.xml", "mimetype"], "", "mimetype"),
        (["."], "p", "p/mimetype"),
        (["META-INF"], "", "META-INF/mimetype"),
    ],
)
def test_a_type_that_is_not_first_is_a_file_like_others(
    sheet: Path, paths: list[str], prefix: str, name: str
) -> None:
    assert placed(created(sheet, paths, level=6, prefix=prefix))[name].method == DEFLATED


def test_folders_are_sorted_but_for_the_type_at_the_top(sheet: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(created(sheet))) as archive:
        assert archive.namelist() == SHEET
    with zipfile.ZipFile(io.BytesIO(created(sheet, prefix="p"))) as archive:
        names = archive.namelist()
    assert names == sorted(names)


@pytest.mark.skipif(shutil.which("file") is None, reason="there is no file(1) here")
def test_file_knows_the_container(sheet: Path) -> None:
    path = sheet.parent / "x.ods"
    path.write_bytes(created(sheet))
    told = run_reader(["file", "--brief", "--mime-type", path]).stdout.strip()
    assert told == SPREADSHEET.decode()


@pytest.mark.parametrize("on_duplicate", ["first", "last"])
def test_the_type_stays_first_when_parts_of_a_container_are_replaced(
    sheet: Path, tmp_path: Path, on_duplicate: OnDuplicate
) -> None:
    (tmp_path / "old.ods").write_bytes(created(sheet))
    target = tmp_path / "new.ods"
    parazip.merge(target, [tmp_path / "old.ods", sheet], on_duplicate=on_duplicate)
    data = target.read_bytes()
    assert data[30:].startswith(b"mimetype" + SPREADSHEET + b"PK")
    assert placed(data)["mimetype"] == (STORED, 0, 38, {})


# --- What is aligned -------------------------------------------------------------------------

ALIGNS = {
    "all": ((4, "*"),),
    "a page": ((4096, "*.jar"), (4, "*")),
    "the largest counts": ((64, "*"), (16, "*"), (1024, "noise")),
    "the most": ((MOST_ALIGN, "*"),),
}


def largest(align: tuple[tuple[int, str], ...], name: str) -> int:
    globs = {"*": True, "*.jar": name.endswith(".jar"), "noise": name == "noise"}
    return max((multiple for multiple, glob in align if globs[glob]), default=0)


@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("align", ALIGNS.values(), ids=ALIGNS)
def test_contents_of_stored_members_begin_at_multiples(
    tree: Path, align: tuple[tuple[int, str], ...], output: str
) -> None:
    make = created if output == "file" else piped
    data = make(tree, store=("*.jar",), align=align)
    count = 0
    for name, member in placed(data).items():
        if member.method == STORED:
            assert_aligned(member, largest(align, name))
            count += 1
        else:
            assert not member.extra
    assert count == len(ANYWAY | {"lib/one.jar", "lib/deep/two.jar"}) - (output == "pipe")
    assert contents(data) == contents(created(tree))


def test_at_level_0_on_a_pipe_large_members_are_aligned_too(tree: Path) -> None:
    file = io.BytesIO()
    chosen = Selection(directory=tree, align=((64, "*.txt"), (64, "noise")))
    report = parazip.create(Pipe(file, "-"), ["."], Settings(level=0), chosen)
    found = placed(file.getvalue())
    for name in ("a.txt", "large.txt", "noise"):
        assert_aligned(found[name], 64)
        assert found[name].flags == 0
    assert (report.aligned, report.notes) == (3, ())
    assert contents(file.getvalue()) == contents(created(tree))


def test_what_does_not_match_has_no_padding(tree: Path) -> None:
    data = created(tree, level=0, align=((64, "lib/*"),))
    for name, member in placed(data).items():
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
    found = placed(file.getvalue())
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
    assert contents(file.getvalue()) == {member.name: member.source for member in told}


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
    for name, member in placed(made[0]).items():
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
        found = placed(path.read_bytes())
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
        left = {name for name in placed(path.read_bytes()) if not name.endswith("/")}
        assert left == every - SLASHES[pattern]


# --- Copied members --------------------------------------------------------------------------


def test_copied_members_get_padding_anew(tree: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{n}.zip" for n in (1, 2, 3))
    first.write_bytes(created(tree, store=("*.jar",), align=((16, "*"),)))
    parazip.merge(second, [first], None, Selection(align=((512, "*"),)), prepend=b"#!x\n")
    kept = parazip.merge(third, [second], prepend=b"#!longer\n")
    assert kept.aligned == 0  # as nobody has asked for it
    found = placed(second.read_bytes())
    for name, member in placed(first.read_bytes()).items():
        assert found[name].method == member.method
        if member.method == STORED:
            assert_aligned(found[name], 512)
        else:
            assert not found[name].extra
    for member in placed(third.read_bytes()).values():
        if member.method == STORED:
            assert_aligned(member, 512)
    assert contents(third.read_bytes()) == contents(first.read_bytes())
    parazip.merge(second, [third], None, Selection(align=((1, "*"),)))
    parazip.merge(third, [second])
    assert not any(member.extra for member in placed(third.read_bytes()).values())


@pytest.fixture
def aligned(tree: Path, tmp_path: Path) -> Path:
    """An archive of the tree whose stored members are aligned, jars more than others."""
    path = tmp_path / "a.zip"
    path.write_bytes(created(tree, store=("*.jar",), align=((64, "*"), (4096, "*.jar"))))
    return path


def assert_still_aligned(path: Path, *but: str) -> None:
    stored = 0
    for name, member in placed(path.read_bytes()).items():
        if name not in but and member.method == STORED:
            assert_aligned(member, 4096 if name.endswith(".jar") else 64)
            stored += 1
    assert stored > 5


@pytest.mark.parametrize("change", ["update", "delete", "merge", "checked", "a pipe"])
def test_members_that_stay_stay_aligned(
    tree: Path, tmp_path: Path, aligned: Path, change: str
) -> None:
    (tmp_path / "b.txt").write_bytes(b"what is new is aligned if that is asked for")
    if change == "update":
        selection = Selection(directory=tmp_path)
        report = parazip.update(aligned, ["b.txt"], None, selection, shebang="/bin/sh")
    elif change == "delete":
        report = parazip.delete(aligned, ["a.txt", "noise.bin"])
    elif change == "a pipe":
        file = io.BytesIO()
        report = parazip.merge(Pipe(file, "-"), [aligned], prepend=b"#!/bin/sh\n")
        aligned.write_bytes(file.getvalue())
    else:
        is_checked = change == "checked"
        report = parazip.merge(aligned, [("n", aligned)], check_crc=is_checked, prepend=b"#!\n")
    assert_still_aligned(aligned, "b.txt")
    assert report.notes == ()
    assert report.aligned == 0


def test_a_multiple_that_is_asked_for_counts_more_than_one_that_is_kept(aligned: Path) -> None:
    report = parazip.merge(aligned, [aligned], None, Selection(align=((32, "lib/*"), (8, "a.txt"))))
    found = placed(aligned.read_bytes())
    assert_aligned(found["lib/one.jar"], 32)
    assert_aligned(found["lib/deep/"], 32)
    assert_aligned(found["noise"], 64)
    assert report.aligned == sum(
        name.startswith("lib/") and name != "lib/" and member.method == STORED
        for name, member in found.items()
    )
    assert report.notes == (
        "compressed members are not aligned: 2 of the 5 that were to be; --store keeps files as "
        "they are",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="helpers start sooner where they are forked")
def test_helpers_keep_alignment(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for number in range(1500):
        (tree / str(number)).write_bytes(NOISE[number : number + 50])
    chosen = Selection(directory=tree, align=((16, "*7*"),))
    parazip.create(tmp_path / "a.zip", ["."], None, chosen)
    (tree / "new").write_bytes(b"new")
    made = []
    for jobs in (1, 2):
        (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes())
        command = [sys.executable, "-m", "parazip", "update", "-q", "-j", str(jobs), "b.zip"]
        done = [*command, "--prepend", "t/new", "-C", "t", "."]
        subprocess.run(done, cwd=tmp_path, check=True, timeout=HUNG)
        made.append((tmp_path / "b.zip").read_bytes())
    assert made[0] == made[1]
    for name, member in placed(made[0]).items():
        if "7" in name:
            assert_aligned(member, 16)
        else:
            assert not member.extra


def padded_by_hand(field: bytes, begin: int) -> bytes:
    """An archive of one stored member with an extra field, its contents at a place in the file."""
    info = zipfile.ZipInfo("a", (2021, 3, 4, 5, 6, 8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, b"contents")
    data = file.getvalue()
    front = bytes(begin - 31 - len(field))
    local = data[:28] + struct.pack("<H", len(field)) + data[30:31] + field + data[31:39]
    directory = bytearray(data[39:-22])
    struct.pack_into("<I", directory, 42, len(front))
    end = bytearray(data[-22:])
    struct.pack_into("<I", end, 16, len(front) + len(local))
    return b"#" * len(front) + local + bytes(directory) + bytes(end)


FIELDS = {
    "true": (struct.pack("<3H", ALIGN_TAG, 2, 4), 400, 4),
    "behind another": (struct.pack("<2HI3HH", 0x5455, 4, 0, ALIGN_TAG, 4, 16, 0), 400, 16),
    "not true": (struct.pack("<3H", ALIGN_TAG, 2, 4096), 400, 0),
    "no power of two": (struct.pack("<3H", ALIGN_TAG, 2, 5), 400, 0),
    "none": (struct.pack("<3H", ALIGN_TAG, 2, 0), 400, 0),
    "one": (struct.pack("<3H", ALIGN_TAG, 2, 1), 400, 0),
    "more than we write": (struct.pack("<3H", ALIGN_TAG, 2, 65535), 2 * 65535, 0),
    "without a number": (struct.pack("<2H", ALIGN_TAG, 0), 400, 0),
    "in another field": (struct.pack("<2H3H", 0x5455, 6, ALIGN_TAG, 2, 4), 400, 0),
    "zeros, as zipalign has them": (bytes(3), 400, 0),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_multiple_is_kept_where_it_is_told_and_true(tmp_path: Path, case: str) -> None:
    """What is not would let a few bytes of claims make many of padding."""
    field, begin, multiple = FIELDS[case]
    path = tmp_path / "a.zip"
    path.write_bytes(padded_by_hand(field, begin))
    parazip.merge(tmp_path / "b.zip", [path], prepend=b"odd")
    found = placed((tmp_path / "b.zip").read_bytes())["a"]
    if multiple:
        assert_aligned(found, multiple)
    else:
        assert not found.extra
    assert contents((tmp_path / "b.zip").read_bytes()) == {"a": b"contents"}


def test_a_mimetype_that_was_aligned_loses_its_field(tmp_path: Path) -> None:
    data = padded_by_hand(struct.pack("<3H", ALIGN_TAG, 2, 4), 400)
    (tmp_path / "a.zip").write_bytes(data)
    parazip.delete(tmp_path / "a.zip", ["a"])
    name = tmp_path / "mimetype"
    name.write_bytes(SPREADSHEET)
    made = [Member("x", b"x", FILE, DATE, align=64), Member("mimetype", b"y", FILE, DATE, align=4)]
    parazip.write(tmp_path / "a.zip", made)
    parazip.delete(tmp_path / "a.zip", ["x"])
    found = placed((tmp_path / "a.zip").read_bytes())["mimetype"]
    assert (found.extra, found.begin) == ({}, 38)


@pytest.mark.skipif(shutil.which("zipalign") is None, reason="there is no zipalign here")
def test_zipalign_finds_nothing_to_align_after_a_change(tree: Path, tmp_path: Path) -> None:
    (tree / "lib" / "x.so").write_bytes(NOISE[:70_000])
    path = tmp_path / "a.apk"
    align = ((4, "*"), (16384, "*.so"))
    path.write_bytes(created(tree, store=("*.so", "*.jar"), align=align))
    parazip.delete(path, ["a.txt", "lib/deep/"])
    (tree / "lib" / "new").write_bytes(b"1")
    selection = Selection(directory=tree, align=align)
    parazip.update(path, ["lib/new"], None, selection)
    done = run_reader(["zipalign", "-c", "-v", "-p", "4", path])
    assert done.returncode == 0, done.stdout
    assert placed(path.read_bytes())["lib/x.so"].begin % 16384 == 0


@pytest.mark.parametrize("paths", [["."], ["noise", "lib"]])
def test_an_update_of_what_is_aligned_already_writes_nothing(
    tree: Path, aligned: Path, paths: list[str]
) -> None:
    (tree / "mimetype").write_bytes(SPREADSHEET)
    chosen = Selection(directory=tree, store=("*.jar",), align=((64, "*"), (4096, "*.jar")))
    parazip.create(aligned, ["."], FAST, chosen)
    before = aligned.stat().st_ino, aligned.read_bytes()
    assert parazip.update(aligned, paths, FAST, chosen).changes == {
        "added": 0,
        "changed": 0,
        "deleted": 0,
    }
    assert (aligned.stat().st_ino, aligned.read_bytes()) == before
    more = replace(chosen, align=((128, "noise"), (64, "*"), (4096, "*.jar")))
    report = parazip.update(aligned, paths, FAST, more)
    is_new = placed(before[1])["noise"].begin % 128 != 0
    assert report.changes == {"added": 0, "changed": int(is_new), "deleted": 0}
    assert placed(aligned.read_bytes())["noise"].begin % 128 == 0
    assert parazip.update(aligned, paths, FAST, more).changes == dict.fromkeys(report.changes, 0)


def test_an_update_tells_of_compressed_members_that_are_not_aligned(
    tree: Path, aligned: Path
) -> None:
    (tree / "new.txt").write_bytes(TEXT)
    chosen = Selection(directory=tree, align=((64, "new.txt"),))
    assert "compressed members are not aligned: 1 of the 1" in " ".join(
        parazip.update(aligned, ["new.txt"], FAST, chosen).notes
    )


@pytest.mark.parametrize("check_crc", [False, True])
def test_copying_and_compressing_side_by_side(tree: Path, tmp_path: Path, check_crc: bool) -> None:
    (tmp_path / "a.zip").write_bytes(created(tree, level=0))
    file = io.BytesIO()
    chosen = Selection(align=((64, "noise*"), (8, "lib/*")))
    sources = [("one", tmp_path / "a.zip"), ("two", tree), ("three", tmp_path / "a.zip")]
    parazip.merge(Pipe(file, "-"), sources, FAST, chosen, check_crc=check_crc)
    found = placed(file.getvalue())
    for top in ("one", "two", "three"):
        assert_aligned(found[f"{top}/noise"], 64)
        assert_aligned(found[f"{top}/noise.bin"], 64)
        assert_aligned(found[f"{top}/lib/deep/"], 8)
        assert not found[f"{top}/empty"].extra
    assert found["one/lib/one.jar"].begin % 8 == 0
    assert found["two/lib/one.jar"].method == DEFLATED


def test_what_is_aligned_can_be_merged(tree: Path, tmp_path: Path) -> None:
    """The strict reader takes padding for what it is."""
    path = tmp_path / "a.zip"
    path.write_bytes(created(tree, store=("*.jar",), align=((4096, "*"),)))
    parazip.merge(tmp_path / "b.zip", [path], check_crc=True)
    assert contents((tmp_path / "b.zip").read_bytes()) == contents(path.read_bytes())


@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("name", programs())
def test_readers_read_what_is_aligned(tree: Path, tmp_path: Path, name: str, output: str) -> None:
    make = created if output == "file" else piped
    path = tmp_path / "a.zip"
    path.write_bytes(make(tree, store=("*.jar",), align=((4096, "lib/*"), (4, "*"))))
    out = tmp_path / "out"
    out.mkdir()
    reader = programs()[name].command
    commands: dict[str, list[str | Path]] = {
        "unzip": [reader, "-q", path],
        "7z": [reader, "x", path],
        "bsdtar": [reader, "-xf", path],
        "jar": [reader, "--extract", "--file", path],
    }
    done = run_reader(commands[name], cwd=out)
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower()
    there = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert there == {
        str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()
    }


@pytest.mark.skipif(shutil.which("zipalign") is None, reason="there is no zipalign here")
def test_zipalign_finds_nothing_to_align(tree: Path, tmp_path: Path) -> None:
    (tree / "lib" / "x.so").write_bytes(NOISE[:70_000])
    path = tmp_path / "a.apk"
    align = ((4, "*"), (16384, "*.so"))
    path.write_bytes(created(tree, store=("*.so", "*.jar")))
    assert run_reader(["zipalign", "-c", "-p", "4", path]).returncode == 1
    for made in (created(tree, store=("*.so", "*.jar"), align=align), piped(tree, align=align)):
        path.write_bytes(made)
        done = run_reader(["zipalign", "-c", "-v", "-p", "4", path])
        assert done.returncode == 0, done.stdout
        assert "lib/x.so (OK)" in done.stdout
    parazip.merge(path, [path], None, Selection(align=align))
    assert run_reader(["zipalign", "-c", "-p", "4", path]).returncode == 0


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
    plain = created(tree, level=1)
    assert made()[0] == plain
    everything: dict[str, Any] = {"align": ((64, "*"),), "store": ("*.jar",)}
    few: dict[str, Any] = {"align": ((64, "*.jar"),), "store": ("*.jar",)}
    for selection in (everything, few):
        for prepend in (b"", b"x", b"", b"xyz"):
            data, report = made(prepend, **selection)
            assert data[len(prepend) :].startswith(b"PK\3\4")
            for name, member in placed(data).items():
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


# --- What is told ----------------------------------------------------------------------------


def test_what_is_compressed_and_so_not_aligned_is_told(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    chosen = Selection(directory=tree, align=((64, "*.jar"), (4, "noise")))
    report = parazip.create(target, ["."], None, chosen)
    assert report.aligned == 1
    (note,) = report.notes
    assert note.startswith("compressed members are not aligned: 2 of the 3 that were to be")
    report = parazip.create(target, ["."], None, replace(chosen, store=("*.jar",)))
    assert (report.aligned, report.notes) == (3, ())


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """The command, in this process."""
    from contextlib import nullcontext

    monkeypatch.setattr(commands, "_taking_kill_for_interrupt", nullcontext)
    monkeypatch.chdir(tmp_path)

    def called(*args: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["parazip", *args])
        with pytest.raises(SystemExit) as done:
            commands.main()
        assert isinstance(done.value.code, int)
        return done.value.code, capfd.readouterr().err

    return called


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3", "power of two"),
        ("0", "power of two"),
        ("64K", "power of two"),
        ("65536:*.so", "align *.so to 65536 bytes"),
        ("9" * 10_000, "power of two"),
        ("*.so", "--align *.so is not a number of bytes"),
        ("*.so:4", "write it like 4, 64:*.npy"),
        ("4:", "--align 4: is not a number"),
        ("-4", "--align -4 is not a number"),
        ("4.5", "--align 4.5 is not a number"),
        ("", "--align  is not a number"),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("command", ["create", "merge"])
@pytest.mark.usefixtures("tree")
def test_what_nothing_can_be_aligned_to_is_told(
    call: Callable[..., tuple[int, str]], command: str, text: str, told: str
) -> None:
    code, error = call(command, f"--align={text}", "a.zip", "t")
    assert code == 2
    assert told in error
    assert not Path("a.zip").exists()


@pytest.mark.parametrize("command", ["create", "merge"])
@pytest.mark.usefixtures("tree")
def test_the_options_of_the_command(call: Callable[..., tuple[int, str]], command: str) -> None:
    top = "t/" if command == "create" else ""
    code, error = call(
        command, "--store", "*.jar", "--store=a.txt", "--align", "8", "--align=1k:lib/*:x",
        "--align", "1K:one.jar", "a.zip", "t",
    )  # fmt: skip
    assert code == 0, error
    assert "compressed members are not aligned: 2 of the 1" in error
    found = placed(Path("a.zip").read_bytes())
    assert_aligned(found[f"{top}lib/one.jar"], 1024)
    assert_aligned(found[f"{top}a.txt"], 8)
    assert found[f"{top}large.txt"].method == DEFLATED
    code, error = call(command, "--align", "8", "a.zip", "t")
    assert code == 0
    assert "compressed members are not aligned: " in error
    code, error = call(command, "-q", "--align", "8", "a.zip", "t")
    assert (code, error) == (0, "")


@pytest.mark.parametrize("align", [3, -4, 1 << 16])
def test_members_that_are_told_one_by_one_are_checked_too(align: int) -> None:
    members = [Member("a", b"", FILE, DATE, False, align)]
    with pytest.raises(SettingsError, match=f"align a to {align} bytes"):
        parazip.write(io.BytesIO(), members)


def test_a_single_pattern_is_no_list() -> None:
    with pytest.raises(TypeError, match=r"store is a tuple of patterns, not the single '\*\.so'"):
        Selection(store="*.so")  # type: ignore[arg-type] # the mistake is the point
    for wrong in ((64, "*.npy"), ("64:*.npy",), ((64, 64),)):
        with pytest.raises(TypeError, match="align is a tuple of pairs such as"):
            Selection(align=wrong)  # type: ignore[arg-type] # the mistake is the point


def test_a_header_weighs_what_it_holds() -> None:
    assert len(Header(b"12345", 64)) == 5
