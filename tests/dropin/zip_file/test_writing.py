"""`parazip.ZipFile` beside `zipfile.ZipFile`: the same calls make the same archives."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from support.paths import make_noise
from support.streams import OneWay
from support.zip_file import DATE, MIB, info, make_text_lines

Archive = Callable[..., zipfile.ZipFile]

Step = Callable[[zipfile.ZipFile, str], None]

CONTENTS = {
    "nothing": b"",
    "short": b"hello",
    "text": make_text_lines(70_000),
    "noise": make_noise(120_000),
    "long text": make_text_lines(1_100_000),
    "long noise": make_noise(1_100_000),
}


def _put(contents: bytes, method: int, level: int | None, chunk: int, force: bool) -> Step:
    def step(archive: zipfile.ZipFile, name: str) -> None:
        if chunk:
            made = info(name, method)
            made._compresslevel = level  # type: ignore[attr-defined] # as zipfile itself sets it
            with archive.open(made, "w", force_zip64=force) as target:
                for start in range(0, len(contents), chunk):
                    assert target.write(contents[start : start + chunk]) > 0
        else:
            archive.writestr(info(name, method), contents, compresslevel=level)

    return step


def _folder(archive: zipfile.ZipFile, name: str) -> None:
    made = zipfile.ZipInfo(f"{name}/", DATE)
    made.CRC = made.compress_size = 0
    archive.mkdir(made)


def _file(archive: zipfile.ZipFile, name: str) -> None:
    archive.write(__file__, name)


def _again(archive: zipfile.ZipFile, name: str) -> None:
    """One ZipInfo for two members: both entries of the directory tell of the second."""
    made = info(name)
    archive.writestr(made, b"first " * 50)
    made.filename += " again"
    archive.writestr(made, b"second " * 50)


def _look(archive: zipfile.ZipFile, name: str) -> None:
    for made in archive.infolist()[-2:]:
        assert made.header_offset >= 0
        assert made.CRC >= 0


steps = st.lists(
    st.one_of(
        st.builds(
            _put,
            st.sampled_from(sorted(CONTENTS)).map(CONTENTS.__getitem__),
            st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
            st.sampled_from([None, 1, 6, 9]),
            st.sampled_from([0, 0, 0, 900, 7000, 400_000]),
            st.booleans(),
        ),
        st.sampled_from([_folder, _file, _again, _look]),
    ),
    max_size=8,
)


def write_steps(kind: Archive, output: Any, steps: list[Step], **settings: Any) -> None:
    with kind(output, "w", zipfile.ZIP_DEFLATED, **settings) as archive:
        archive.comment = b"a comment"
        for i, step in enumerate(steps):
            step(archive, f"{i}")


@given(steps, st.booleans(), st.sampled_from([1, 2]))
@settings(max_examples=15)
def test_with_zlib_the_same_calls_make_the_same_bytes(
    steps: list[Step], seekable: bool, jobs: int
) -> None:
    for kind, more in (zipfile.ZipFile, {}), (parazip.ZipFile, {"codec": "zlib", "jobs": jobs}):
        output: Any = io.BytesIO() if seekable else OneWay()
        write_steps(kind, output, steps, **more)
        made = output.getvalue() if seekable else bytes(output.data)
        if kind is zipfile.ZipFile:
            stock = made
    assert digest_bytes(made) == digest_bytes(stock)


def digest_bytes(data: bytes) -> str:
    """Bytes that are not worth printing when they differ."""
    return hashlib.sha256(data).hexdigest()


def facts(made: zipfile.ZipInfo) -> tuple[Any, ...]:
    """What is told of a member that does not depend on how its contents are compressed."""
    where = ("header_offset", "compress_size", "_end_offset", "_raw_time")
    names = [name for name in zipfile.ZipInfo.__slots__ if name not in where]
    return tuple(getattr(made, name) for name in names)


@given(steps, st.booleans(), st.integers(1, 9))
@settings(max_examples=15)
def test_with_other_codecs_the_archive_holds_the_same(
    steps: list[Step], seekable: bool, level: int
) -> None:
    archives = []
    for kind, more in (zipfile.ZipFile, {}), (parazip.ZipFile, {"memory": 4 * MIB}):
        output: Any = io.BytesIO() if seekable else OneWay()
        write_steps(kind, output, steps, compresslevel=level, **more)
        archives.append(zipfile.ZipFile(output if seekable else io.BytesIO(output.data)))
    stock, ours = archives
    assert ours.comment == stock.comment
    assert list(map(facts, ours.infolist())) == list(map(facts, stock.infolist()))
    for name in dict.fromkeys(stock.namelist()):
        assert read_or_refuse(ours, name) == read_or_refuse(stock, name), name


def read_or_refuse(archive: zipfile.ZipFile, name: str) -> str | type[Exception]:
    """What a member holds, or how it is refused: newer Pythons refuse one of two same entries."""
    try:
        return digest_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        return type(error)


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
@pytest.mark.parametrize(
    "contents", [make_text_lines(18 * MIB + 5), make_noise(2 * MIB)], ids=["text", "noise"]
)
def test_a_large_member_is_the_same_however_it_comes(level: int, contents: bytes) -> None:
    made = []
    for chunk, jobs, memory in (
        (MIB, 2, 4 * MIB),
        (77_777, 1, 64 * MIB),
        (len(contents), 3, MIB),
        (1000, 2, 8 * MIB),
    ):
        output = io.BytesIO()
        with parazip.ZipFile(output, "w", level=level, jobs=jobs, memory=memory) as archive:
            with archive.open(info("large", archive.compression), "w") as target:
                for start in range(0, len(contents), chunk):
                    target.write(memoryview(contents)[start : start + chunk])
            assert archive.read("large") == contents
        made.append(output.getvalue())
    assert len(set(map(digest_bytes, made))) == 1
    with zipfile.ZipFile(output) as stock:
        assert stock.read("large") == contents


def test_large_members_stay_in_the_budget() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=1, jobs=4, memory=8 * MIB) as archive:
        with archive.open("large", "w") as target:
            target.write(make_text_lines(2 * MIB))
            lane: Any = target._lane  # type: ignore[attr-defined]
            for i in range(30):
                target.write(make_text_lines(MIB, i))
        budget = lane._budget
    assert 3 * MIB < budget.peak <= 8 * MIB
    assert budget.used == 0


def test_modes_x_and_a(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with parazip.ZipFile(path, "x", level=6) as archive:
        archive.writestr("first", make_text_lines(100_000))
    with pytest.raises(FileExistsError):
        parazip.ZipFile(path, "x")
    with parazip.ZipFile(path, "a", level=6) as archive:
        archive.writestr("second", make_text_lines(200_000))
        assert archive.read("first") == make_text_lines(100_000)
        archive.writestr("third", b"3")
    with zipfile.ZipFile(path) as stock:
        assert {name: len(stock.read(name)) for name in stock.namelist()} == {
            "first": 100_000,
            "second": 200_000,
            "third": 1,
        }


def test_what_is_appended_to_stands_before_the_archive() -> None:
    output = io.BytesIO()
    output.write(b"#!/bin/sh\n")
    with parazip.ZipFile(output, "a", level=6) as archive:
        archive.writestr("a", b"contents")
    assert output.getvalue().startswith(b"#!/bin/sh\nPK\3\4")
    with zipfile.ZipFile(output) as stock:
        assert stock.read("a") == b"contents"


def test_a_file_is_read_at_the_call(tmp_path: Path) -> None:
    path = tmp_path / "source"
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        for i in range(5):
            path.write_bytes(make_text_lines(300_000, i))
            archive.write(path, f"{i}")
            path.unlink()
        assert [archive.read(f"{i}") for i in range(5)] == [
            make_text_lines(300_000, i) for i in range(5)
        ]


def test_nothing_is_written_to_an_archive_that_cannot_take_it(tmp_path: Path) -> None:
    archive = parazip.ZipFile(tmp_path / "a.zip", "w")
    with archive.open("a", "w"):
        for call in (
            lambda: archive.open("b", "w"),
            lambda: archive.writestr("b", b""),
            lambda: archive.write(__file__),
            lambda: archive.mkdir("b"),
            archive.close,
        ):
            with pytest.raises(ValueError, match=r"writ"):
                call()
    archive.close()
    for call in (
        lambda: archive.open("b", "w"),
        lambda: archive.writestr("b", b""),
        lambda: archive.write(__file__),
        lambda: archive.mkdir("b"),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    with parazip.ZipFile(tmp_path / "a.zip") as archive:
        for call in (lambda: archive.writestr("b", b""), lambda: archive.mkdir("b")):
            with pytest.raises(ValueError, match="mode"):
                call()


@pytest.mark.parametrize(
    ("name", "date", "expected"),
    [
        ("x" * 70_000, DATE, struct.error),
        ("\udc80", DATE, UnicodeEncodeError),
        ("late", (2200, 1, 1, 0, 0, 0), struct.error),
    ],
)
def test_what_no_header_can_say_is_refused_at_the_call(
    name: str, date: Any, expected: type[Exception]
) -> None:
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with kind(io.BytesIO(), "w") as archive:
            with pytest.raises(expected):
                archive.writestr(zipfile.ZipInfo(name, date), b"contents")
            assert archive.namelist() == []


def test_a_second_member_of_a_name_is_warned_of_and_found() -> None:
    with parazip.ZipFile(io.BytesIO(), "w") as archive:
        archive.writestr("a", b"first")
        with pytest.warns(UserWarning, match="Duplicate name: 'a'"):
            archive.writestr("a", b"second")
        assert archive.read("a") == b"second"
        assert archive.read(archive.infolist()[0]) == b"first"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_too_large_for_its_header_leaves_the_others(
    method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3 * MIB)
    output = io.BytesIO()

    def put(name: str, force_zip64: bool = False) -> None:
        with archive.open(name, "w", force_zip64=force_zip64) as target:
            for _ in range(5):
                target.write(make_noise(MIB))

    with parazip.ZipFile(output, "w", method, compresslevel=1) as archive:
        archive.writestr("before", b"1")
        with pytest.raises(RuntimeError, match="File size too large"):
            put("x")
        archive.writestr("after", b"2")
        put("y", force_zip64=True)
        with pytest.raises(RuntimeError, match="File size too large"):
            put("z")
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["before", "after", "y"]
        assert stock.testzip() is None


def test_without_zip64_all_is_left_to_the_standard_library() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", allowZip64=False) as archive:
        archive.writestr("a", make_text_lines(3 * MIB))
        archive.mkdir("b")
        with pytest.raises(ValueError, match="force_zip64"):
            archive.open("c", "w", force_zip64=True)


@pytest.mark.filterwarnings(
    # zipfile's own handle, which a bad level left half made
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_levels_mean_what_they_mean_in_zipfile() -> None:
    for level in 10, "high", 2.5:
        with parazip.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            with pytest.raises((ValueError, TypeError)):
                archive.writestr("a", b"contents", compresslevel=level)  # type: ignore[arg-type]
            assert archive.namelist() == []
    with parazip.ZipFile(io.BytesIO(), "w", level=0) as archive:
        archive.writestr("a", make_text_lines(1000))
        assert archive.getinfo("a").compress_type == zipfile.ZIP_STORED
    for more in {"level": 6}, {"compression": zipfile.ZIP_DEFLATED}:
        output = io.BytesIO()
        with parazip.ZipFile(output, "w", **more) as archive:  # type: ignore[call-overload]
            archive.writestr(zipfile.ZipInfo("a", DATE), make_text_lines(1000), archive.compression)
            assert archive.getinfo("a").compress_size < 1000
    with pytest.raises(parazip.SettingsError, match="level"):
        parazip.ZipFile(output, "w", level=6, compresslevel=6)
    with pytest.raises(parazip.SettingsError, match="level 10"):
        parazip.ZipFile(output, "w", level=10)
    with pytest.raises(ValueError, match="jobs"):
        parazip.ZipFile(output, "w", jobs=0)
