"""Each question about a member's contents, asked of each kind of them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import get_args

import pytest

from parazip.codecs import checksums
from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.errors import SourceChangedError
from parazip.model import (
    ArchiveMember,
    Contents,
    Feed,
    FeedBlock,
    File,
    FilePiece,
    Member,
    OpenFeed,
    Range,
    Twin,
)
from parazip.sources import contents, files
from parazip.sources.archives import read_entries

DATA = b"".join(b"%d lines of a large member\n" % i for i in range(100_000))

CRC = checksums.crc32(DATA)

KINDS = ("bytes", "File", "FilePiece", "ArchiveMember", "Twin")

READABLE = ("bytes", "File", "FilePiece", "Twin")

FED = {Feed, OpenFeed, FeedBlock}
"""What comes as somebody iterates: tests/streaming has it."""


def describe(path: Path) -> File:
    return files.describe_file(str(path), path.stat())


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contents]:
    """The same data as contents of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m", DATA)
    (folder / "m").write_bytes(DATA)
    (folder / "piece").write_bytes(b"before" + DATA + b"behind")
    archive_file = describe(folder / "archive.zip")
    (entry,) = read_entries(archive_file)
    original = ArchiveMember(archive_file, entry)
    file = describe(folder / "m")
    return {
        "bytes": DATA,
        "File": file,
        "FilePiece": FilePiece(describe(folder / "piece"), 6, len(DATA), CRC),
        "ArchiveMember": original,
        "Twin": Twin(file, original),
    }


def test_no_kind_is_forgotten(kinds: dict[str, Contents]) -> None:
    assert {type(kind) for kind in kinds.values()} | FED == set(get_args(Contents))
    assert [type(kind).__name__ for kind in kinds.values()] == list(kinds) == list(KINDS)


def test_where_contents_are(kinds: dict[str, Contents]) -> None:
    file, original = kinds["File"], kinds["ArchiveMember"]
    assert isinstance(file, File)
    folder = file.path.removesuffix("/m")
    expected = {
        "bytes": (None, None, None, None, "m"),
        "File": (file, None, None, folder, f"{folder}/m"),
        "FilePiece": (None, None, None, f"{folder}/piece", f"m in {folder}/piece"),
        "ArchiveMember": (None, original, original, None, f"m in {folder}/archive.zip"),
        "Twin": (file, None, original, folder, f"{folder}/m"),
    }
    for name, kind in kinds.items():
        found = (
            contents.find_file(kind),
            contents.find_archive_member(kind),
            contents.find_original(kind),
            contents.find_root(kind, "m"),
            contents.describe_origin(Member("m", kind, 1, 2)),
        )
        assert found == expected[name], name


def test_what_is_read_and_held(kinds: dict[str, Contents]) -> None:
    original = kinds["ArchiveMember"]
    assert isinstance(original, ArchiveMember)
    size = original.entry.record.compressed_size
    held = min(size, contents.RANGE)
    for name, kind in kinds.items():
        is_original = name in ("ArchiveMember", "Twin")
        assert contents.count_held_bytes(kind) == (held if is_original else len(DATA)), name
        assert contents.count_read_bytes(kind) == (0 if kind is original else len(DATA)), name
        assert Member("m", kind, 1, 2).size == len(DATA)


@pytest.mark.parametrize("name", KINDS)
def test_contents_are_measured(kinds: dict[str, Contents], name: str) -> None:
    assert contents.measure_contents(kinds[name]) == (CRC, len(DATA))


@pytest.mark.parametrize("name", READABLE)
def test_contents_are_read(kinds: dict[str, Contents], name: str) -> None:
    kind = kinds[name]
    assert contents.read_whole(kind) == DATA
    assert b"".join(map(bytes, contents.read_chunks(kind))) == DATA
    assert contents.looks_compressible(Member("m", kind, 1, 2))
    data, crc = contents.leave_in_place(kind)
    assert crc == CRC
    if isinstance(data, Range):
        with open(data.file.path, "rb") as file:
            data = file.read()[data.offset : data.offset + data.length]
    assert data == DATA


@pytest.mark.parametrize("has_window", [False, True])
@pytest.mark.parametrize("name", READABLE)
def test_contents_are_read_by_blocks(
    kinds: dict[str, Contents], name: str, has_window: bool
) -> None:
    for start in range(0, len(DATA), BLOCK):
        length = min(BLOCK, len(DATA) - start)
        is_last = start + length == len(DATA)
        view = contents.read_block(kinds[name], start, length, is_last, has_window)
        assert view.data == DATA[start : start + length]
        assert view.window == (DATA[max(0, start - WINDOW) : start] if has_window else b"")
        assert view.is_last == is_last


def test_what_is_copied_is_not_read(kinds: dict[str, Contents]) -> None:
    for read in (contents.read_whole, contents.read_chunks, contents.leave_in_place):
        with pytest.raises(TypeError, match="no file has these contents"):
            read(kinds["ArchiveMember"])


def test_a_file_ends_where_it_ends(kinds: dict[str, Contents]) -> None:
    file = kinds["File"]
    assert isinstance(file, File)
    # Sizes that the system tells and that are wrong show only where changes of size are no matter.
    shorter = file._replace(size=BLOCK, changes="none")
    view = contents.read_block(shorter, 0, BLOCK, is_last=True, has_window=True)
    assert (len(view.data), view.is_last) == (BLOCK, False)
    longer = file._replace(size=9 * BLOCK, changes="none")
    start = len(DATA) // BLOCK * BLOCK
    view = contents.read_block(longer, start, BLOCK, is_last=False, has_window=True)
    assert view.data == DATA[start:]
    assert view.is_last
    assert not view.window  # what stood there before may have been other bytes


def test_a_twin_is_taken_from_where_it_is_the_same(kinds: dict[str, Contents]) -> None:
    twin, file, original = kinds["Twin"], kinds["File"], kinds["ArchiveMember"]
    assert isinstance(twin, Twin)
    assert isinstance(original, ArchiveMember)
    record = original.entry.record
    other = original._replace(entry=original.entry._replace(record=record._replace(crc=1)))
    assert contents.resolve_twin(twin) is twin.original
    assert contents.resolve_twin(twin._replace(original=other)) is twin.file
    for name, kind in kinds.items():
        assert contents.without_original(kind) is (twin.file if name == "Twin" else kind)
        if name != "Twin":
            assert contents.resolve_twin(kind) is kind
    assert contents.pair_with(file, original) == twin
    assert contents.pair_with(kinds["FilePiece"], original) is original
    assert contents.pair_with(kinds["FilePiece"], other) is None
    assert contents.pair_with(DATA, original) is None
    assert contents.pair_with(original, other) is None


def test_what_tells_contents_from_others(kinds: dict[str, Contents]) -> None:
    identified = [
        contents.identify_contents(kind, lambda file: file.path) for kind in kinds.values()
    ]
    assert identified[-1] is None  # only reading it would tell whether it is one
    assert len({repr(facts) for facts in identified}) == len(kinds)
    uncertain = [contents.identify_contents(kind, lambda file: None) for kind in kinds.values()]
    assert uncertain[0] == identified[0]
    assert uncertain[1:] == [None] * 4


def test_a_piece_of_another_place_is_another(kinds: dict[str, Contents]) -> None:
    piece = kinds["FilePiece"]
    assert isinstance(piece, FilePiece)
    pieces = [piece, piece._replace(offset=7), piece._replace(size=1)]
    assert len({contents.identify_contents(each, lambda file: 1) for each in pieces}) == 3


def test_the_error_of_a_change_names_the_file(kinds: dict[str, Contents]) -> None:
    for name in ("File", "FilePiece", "Twin"):
        error = contents.explain_unseen_change(kinds[name])
        assert isinstance(error, SourceChangedError)
        assert error.member == contents._locate_in_file(kinds[name])[0].path
