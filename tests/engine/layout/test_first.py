"""A container's type comes first, as its readers need it."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from parazip.model import Member
from parazip.sources.merging import OnDuplicate
from support.layout import (
    DATE,
    DEFLATED,
    FILE,
    SPREADSHEET,
    STORED,
    TEXT,
    create_bytes,
    create_on_pipe,
    find_members_in,
)
from support.readers import run_reader


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
    found = find_members_in(data)
    assert list(found) == SHEET
    assert (found["META-INF/mimetype"].method == DEFLATED) is (level > 0)


@pytest.mark.parametrize("paths", [["."], ["mimetype", "META-INF", "content.xml"]], ids=" ".join)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_a_container_begins_with_its_type(sheet: Path, paths: list[str], level: int) -> None:
    assert_container(create_bytes(sheet, paths, level), level)


@pytest.mark.parametrize("glob", ["*", "mimetype"])
def test_the_type_of_a_container_is_not_padded(sheet: Path, glob: str) -> None:
    data = create_bytes(sheet, align=((64, glob),))
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
    assert_container(create_on_pipe(sheet))
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
    assert (
        find_members_in(create_bytes(sheet, paths, level=6, prefix=prefix))[name].method == DEFLATED
    )


def test_folders_are_sorted_but_for_the_type_at_the_top(sheet: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(create_bytes(sheet))) as archive:
        assert archive.namelist() == SHEET
    with zipfile.ZipFile(io.BytesIO(create_bytes(sheet, prefix="p"))) as archive:
        names = archive.namelist()
    assert names == sorted(names)


@pytest.mark.skipif(shutil.which("file") is None, reason="there is no file(1) here")
def test_file_knows_the_container(sheet: Path) -> None:
    path = sheet.parent / "x.ods"
    path.write_bytes(create_bytes(sheet))
    told = run_reader(["file", "--brief", "--mime-type", path]).stdout.strip()
    assert told == SPREADSHEET.decode()


@pytest.mark.parametrize("on_duplicate", ["first", "last"])
def test_the_type_stays_first_when_parts_of_a_container_are_replaced(
    sheet: Path, tmp_path: Path, on_duplicate: OnDuplicate
) -> None:
    (tmp_path / "old.ods").write_bytes(create_bytes(sheet))
    target = tmp_path / "new.ods"
    parazip.merge(target, [tmp_path / "old.ods", sheet], on_duplicate=on_duplicate)
    data = target.read_bytes()
    assert data[30:].startswith(b"mimetype" + SPREADSHEET + b"PK")
    assert find_members_in(data)["mimetype"] == (STORED, 0, 38, {})
