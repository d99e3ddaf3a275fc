"""Reading, testing and extracting: as the standard library's class does it."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip.dropin import members as members_module
from parazip.dropin import targets
from support.paths import make_noise
from support.zip_file import MIB, info, make_text_lines


def list_with_modes(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
        )
        for path in folder.rglob("*")
    }


NAMES = [
    "a",
    "b/c",
    "b/d/e",
    "/abs",
    "../up",
    "b/../side",
    "x//y",
    "./here",
    "B/C",
    "b",
    "b/d/",
    "é",
    "e\u0301",
]


@given(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=7), helped=st.booleans())
@settings(max_examples=25)
def test_extracting_leaves_what_zipfile_leaves(
    names: list[str], helped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("extracted")
    output = folder / "made.zip"
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in dict.fromkeys(names):
            archive.writestr(name, b"" if name.endswith("/") else make_text_lines(2000, len(name)))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_FEW", 0)
        patch.setattr(members_module, "_WORTH_HELPERS", 1 if helped else sys.maxsize)
        for kind in zipfile.ZipFile, parazip.ZipFile:
            into = folder / kind.__module__
            try:
                with kind(output) as archive:
                    archive.extractall(into)
                error: type[Exception] | None = None
            except OSError as raised:
                error = type(raised)
            seen.append((error, list_with_modes(into)))
    assert seen[0] == seen[1]
    assert not list(folder.glob("*up"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An archive of which reading is shared out."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(300):
            archive.writestr(f"{i % 7}/{i}", make_text_lines(20_000 + i, i))
        archive.writestr("big", make_text_lines(5 * MIB))
        archive.writestr("script", b"#!/bin/sh\n")
    return path


@pytest.mark.parametrize("how", ["helpers", "threads", "memory", "file"])
def test_extracting_and_testing_many(
    large: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "_WORTH_HELPERS", sys.maxsize if how == "threads" else 1)
    file: Any = large
    if how == "memory":
        file = io.BytesIO(large.read_bytes())
    elif how == "file":
        file = large.open("rb")
        file.read(5)
    with zipfile.ZipFile(large) as stock:
        stock.extractall(tmp_path / "stock")
    with parazip.ZipFile(file, jobs=3) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "ours")
        archive.extractall(tmp_path / "some", ["big", archive.getinfo("3/3")])
        assert archive.read("big") == make_text_lines(5 * MIB)
    assert list_with_modes(tmp_path / "ours") == list_with_modes(tmp_path / "stock")
    assert sorted(list_with_modes(tmp_path / "some")) == ["3", "3/3", "big"]
    with parazip.ZipFile(large) as archive, pytest.raises(KeyError, match="missing"):
        archive.extractall(tmp_path / "some", ["script", "missing"])
    assert (tmp_path / "some" / "script").exists()
    if how == "file":
        assert not file.closed
        file.close()


def test_the_folder_is_there_before_many_extract_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that make it at once are an error in Pythons before 3.13."""
    made = tmp_path / "flat.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for i in range(300):
            archive.writestr(str(i), b"contents")
    asked = []

    first_error = members_module.MemberJobs.find_first_failure

    def asking(self: members_module.MemberJobs) -> Any:
        asked.append((tmp_path / "a" / "b").is_dir())
        return first_error(self)

    monkeypatch.setattr(members_module.MemberJobs, "find_first_failure", asking)
    with parazip.ZipFile(made, jobs=2) as archive:
        archive.extractall(tmp_path / "a" / "b")
        monkeypatch.chdir(tmp_path / "a")
        archive.extractall("")
    assert asked == [True, True]
    assert len(list_with_modes(tmp_path / "a" / "b")) == 300
    assert len(list_with_modes(tmp_path / "a")) == 601


@pytest.mark.skipif(os.name != "posix", reason="POSIX links")
@pytest.mark.parametrize("link", ["folder", "symbolic", "dangling", "hard"])
def test_where_links_make_one_of_two_the_last_one_wins(tmp_path: Path, link: str) -> None:
    made = tmp_path / "made.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a/x", make_noise(4 * MIB))
        for i in range(300):
            archive.writestr(f"c/{i}", b"contents")
        archive.writestr("../b/x", b"the last")
    into = tmp_path / "into"
    (into / "a").mkdir(parents=True)
    if link == "folder":
        (into / "b").symlink_to("a")
    else:
        (into / "b").mkdir()
        if link != "dangling":
            (into / "a" / "x").touch()
        if link == "hard":
            (into / "b" / "x").hardlink_to(into / "a" / "x")
        else:
            (into / "b" / "x").symlink_to("../a/x")
    with parazip.ZipFile(made, jobs=2) as archive:
        archive.extractall(into)
    assert (into / "a" / "x").read_bytes() == b"the last"


def spoil_streams(path: Path, *names: str) -> None:
    """Breaks the contents of members, where a deflate stream has its first block."""
    with zipfile.ZipFile(path) as archive:
        offsets = [archive.getinfo(name).header_offset + 30 + len(name) for name in names]
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset + 600)
            file.write(bytes(100))


@pytest.mark.parametrize("helped", [True, False])
def test_the_first_damaged_member_is_told_of(
    large: Path, tmp_path: Path, helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "_WORTH_HELPERS", 1 if helped else sys.maxsize)
    spoil_streams(large, "5/250", "4/60", "big")
    errors = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with kind(large) as archive:
            try:
                found: Any = archive.testzip()
            except zlib.error:
                found = zlib.error
            with pytest.raises((zipfile.BadZipFile, zlib.error)) as caught:
                archive.extractall(tmp_path / kind.__module__)
            errors.append((found, caught.type))
    assert errors[0] == errors[1]
    for i in range(60):
        assert (
            tmp_path / "parazip.dropin.zip_file" / f"{i % 7}/{i}"
        ).read_bytes() == make_text_lines(20_000 + i, i)


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_stream_reads_as_with_zipfile(data: st.DataObject) -> None:
    contents = data.draw(
        st.sampled_from(
            [b"", b"hello", make_text_lines(3000), make_noise(500), make_text_lines(200_000)]
        )
    )
    file = bytearray()
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", data.draw(st.sampled_from([0, 8]))) as archive:
        archive.writestr("a", contents)
    file += output.getvalue()
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(31, len(file) - 1))
        file[at] ^= 1 << data.draw(st.integers(0, 7))
    step = data.draw(st.sampled_from([-1, 1000, 65536]))
    seen: list[Any] = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        try:
            with kind(io.BytesIO(file)) as archive, archive.open("a") as member:
                if step < 0:
                    seen.append(member.read())
                else:
                    seen.append(b"".join(iter(lambda member=member: member.read(step), b"")))  # type: ignore[misc]
        except Exception as error:
            seen.append(type(error))
    assert seen[0] == seen[1]


@given(st.data())
@settings(max_examples=150)
def test_a_member_inflated_at_once_is_tested_as_with_zipfile(data: st.DataObject) -> None:
    """Also where its size is not what the directory says, or something follows the stream."""
    contents = data.draw(
        st.sampled_from(
            [b"", b"hello", make_text_lines(3000), make_noise(500), make_text_lines(200_000)]
        )
    )
    size = data.draw(st.sampled_from([-99_999, -3, -1, 0, 0, 0, 1, 1000])) + len(contents)
    raw = bytearray(zlib.compress(contents, 6, -15))
    raw += data.draw(st.sampled_from([b"", b"", b"more", b"\1\0\0\xff\xff"]))
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    del raw[len(raw) - data.draw(st.sampled_from([0, 0, 0, 1, 2])) :]
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr(info("a", zipfile.ZIP_STORED), bytes(raw))
        stored = archive.getinfo("a")
        stored.compress_type, stored.file_size = zipfile.ZIP_DEFLATED, max(0, size)
        stored.CRC = zlib.crc32(contents[: max(0, size)])
    seen: list[Any] = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with tempfile.TemporaryDirectory() as folder, kind(output) as archive:
            for call in archive.testzip, lambda archive=archive: archive.extractall(folder):
                try:
                    seen.append(call())
                except Exception as error:
                    seen.append(type(error))
            whole = seen[-1] is None
            seen.append(Path(folder, "a").read_bytes() if whole else b"")
    assert seen[:3] == seen[3:]


def test_reading_back_and_forth() -> None:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=6) as archive:
        archive.writestr("a", make_text_lines(3 * MIB))
        with archive.open("a") as member:
            assert member.read(100) == make_text_lines(3 * MIB)[:100]
            member.seek(2 * MIB)
            assert member.read(5) == make_text_lines(3 * MIB)[2 * MIB : 2 * MIB + 5]
            member.seek(7)
            assert member.read() == make_text_lines(3 * MIB)[7:]


def test_modes_of_extracted_files_are_zipfiles(large: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with parazip.ZipFile(large) as archive:
            archive.extractall(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "script").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "out" / "3").stat().st_mode) == 0o750


@pytest.mark.parametrize("method", ["open", "read", "getinfo", "_extract_member"])
def test_a_class_of_ones_own_has_its_say(large: Path, tmp_path: Path, method: str) -> None:
    """Like the wheel package's, which looks at all that is read: here, and in order."""
    seen: list[str] = []

    def looking(self: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(getattr(name, "filename", name))
        return getattr(parazip.ZipFile, method)(self, name, *args, **kwargs)

    kind: Any = type("Looking", (parazip.ZipFile,), {method: looking})
    with kind(large) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
        assert seen == ([] if method == "read" else names)
        assert archive.testzip() is None
    assert (tmp_path / "out" / "big").read_bytes() == make_text_lines(5 * MIB)


def test_a_member_may_be_extracted_in_ones_own_way(large: Path, tmp_path: Path) -> None:
    class Own(parazip.ZipFile):
        def _extract_member(self, member: Any, targetpath: Any, pwd: Any) -> str:
            made = Path(targetpath, self.getinfo(member).filename)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(self.read(member))
            return str(made)

    with Own(large) as archive:
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out" / "big").read_bytes() == make_text_lines(5 * MIB)


# Elsewhere


def test_pyzipfile(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("answer = 42\n")
    path = tmp_path / "modules.zip"
    with parazip.PyZipFile(path, "w", level=6, optimize=1) as archive:
        archive.writepy(str(tmp_path / "module.py"))
        assert isinstance(archive, zipfile.PyZipFile)
    assert zipfile.ZipFile(path).namelist() == ["module.pyc"]
