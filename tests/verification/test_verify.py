"""verify tells what merge, which stops at the first, refuses; and it refuses nothing more."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip import Settings
from parazip.verification import checking
from parazip.verification import verify as module
from parazip.verification.checking import Batch, Checked, check_here
from parazip.workers.helpers import Helpers
from support.hostile_archives import cases_by_hand
from support.paths import make_noise

MIB = 1 << 20


def find_refusal(data: bytes, folder: Path) -> str | None:
    """The id of what merge refuses where it checks all contents; empty if it refuses nothing.

    None if it refuses to copy what is no fault of the archive.
    """
    path = folder / "m.zip"
    path.write_bytes(data)
    try:
        parazip.merge(io.BytesIO(), [path], check_crc=True)
    except parazip.BadArchiveError as error:
        return error.id
    except parazip.ParazipError:
        return None
    return ""


CASES = {case.name: case for case in cases_by_hand()}


@pytest.mark.once
@pytest.mark.parametrize("name", CASES)
def test_what_merge_refuses_is_an_error(tmp_path: Path, name: str) -> None:
    data = CASES[name].data
    (tmp_path / "a.zip").write_bytes(data)
    report = parazip.verify(tmp_path / "a.zip")
    refused = find_refusal(data, tmp_path)
    errors = [fault.id for fault in report.faults if fault.severity == "error"]
    if refused:
        assert refused in errors
    if refused == "":
        assert errors == []
    assert report.is_sound is (errors == [])


def pack_many(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(600):
            archive.writestr(f"d/{number}", f"text {number} " * number)
        archive.writestr("noise", make_noise(3 * MIB))
        archive.writestr("bzip2", b"text " * 999, zipfile.ZIP_BZIP2)
        archive.writestr("large", bytes(20 * MIB))
    return path


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_a_sound_archive_is_sound(tmp_path: Path, jobs: int) -> None:
    report = parazip.verify(pack_many(tmp_path / "a.zip"), Settings(jobs=jobs))
    assert [(fault.id, fault.severity) for fault in report.faults] == [("method", "note")]
    assert report.is_sound
    assert report.members == 603
    assert report.archive == str(tmp_path / "a.zip")


def damage(path: Path, *names: str) -> None:
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for name in names:
            info = archive.getinfo(name)
            data[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 0x55
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["one", "threads", "helpers"])
def test_all_that_is_damaged_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = pack_many(tmp_path / "a.zip")
    names = ["d/1", "d/300", "d/599", "noise", "bzip2", "large"]
    damage(path, *names)
    answers: list[bytes | None] = []
    if how == "helpers":
        monkeypatch.setattr(module, "_WORTH_FRESH", 0)
        ask = Helpers.ask

        def overheard(self: Helpers, question: bytes) -> bytes | None:
            answers.append(ask(self, question))
            return answers[-1]

        monkeypatch.setattr(Helpers, "ask", overheard)
    report = parazip.verify(path, Settings(jobs=1 if how == "one" else 2))
    errors = [fault for fault in report.faults if fault.severity == "error"]
    assert {fault.member for fault in errors} == {*names}
    assert [fault.offset for fault in errors] == sorted(fault.offset for fault in errors)
    assert (None in answers) is False
    assert bool(answers) is (how == "helpers")


def write_names(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"")
    return path


@pytest.mark.parametrize(
    ("names", "rule", "severity"),
    [
        (["a", "A"], "name-case", "warning"),
        (["A", "a/b"], "name-case", "warning"),
        (["con.txt"], "name-device", "warning"),
        (["f", "f/g"], "name-file-and-folder", "error"),
        (["../out"], "name-leads-out", "error"),
        (["d/."], "name-of-a-folder", "error"),
    ],
)
def test_names_are_judged(tmp_path: Path, names: list[str], rule: str, severity: str) -> None:
    (fault,) = parazip.verify(write_names(tmp_path / "a.zip", *names)).faults
    assert (fault.id, fault.severity) == (rule, severity)
    assert names[0] in fault.found


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_an_error(tmp_path: Path) -> None:
    (fault,) = parazip.verify(write_names(tmp_path / "a.zip", "a", "b", "a")).faults
    assert (fault.id, fault.severity, fault.member) == ("name-twice", "error", "a")


def test_of_folders_that_differ_in_case_always_the_same_is_told(tmp_path: Path) -> None:
    names = ["x", *(f"X/{folder}/{number}" for number, folder in enumerate(["Aa", "aA", "AA"]))]
    (fault,) = parazip.verify(write_names(tmp_path / "a.zip", *names)).faults
    assert (fault.id, fault.members) == ("name-case", ("x", "X/AA/"))


def test_folders_that_differ_in_case_are_one_folder(tmp_path: Path) -> None:
    assert parazip.verify(write_names(tmp_path / "a.zip", "D/f", "d/g")).faults == ()


def test_what_is_about_several_members_has_the_place_of_the_first(tmp_path: Path) -> None:
    (fault,) = parazip.verify(write_names(tmp_path / "a.zip", "plain", "con", "nul")).faults
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert fault.offset == archive.getinfo("con").header_offset > 0
    assert f"names at offset {fault.offset}: " in str(fault)


@pytest.mark.parametrize(
    ("local", "listed", "told"),
    [(0, 0, []), (0, 0x21, []), (0x5A21, 0x5A21, []), (0x5A21, 0x5A22, ["local-date"])],
)
def test_another_date_in_a_local_header_is_told(
    tmp_path: Path, local: int, listed: int, told: list[str]
) -> None:
    """Where there is no such date (0), readers make up one, and it is the same for both headers."""
    path = write_names(tmp_path / "a.zip", "a")
    data = bytearray(path.read_bytes())
    struct.pack_into("<2H", data, 10, 0, local)
    struct.pack_into("<2H", data, data.index(b"PK\1\2") + 12, 0, listed)
    path.write_bytes(data)
    faults = parazip.verify(path).faults
    assert [fault.id for fault in faults] == told
    assert all(fault.offset == 0 for fault in faults)


def test_deep_names_take_no_more_than_their_bytes(tmp_path: Path) -> None:
    """Its ancestors' names would be 60 MB for each."""
    names = [f"{number}{'/d' * 2000}/f" for number in range(200)]
    report = parazip.verify(write_names(tmp_path / "a.zip", *names, "0/d"))
    assert [fault.id for fault in report.faults] == ["name-file-and-folder"]
    tracemalloc.start()
    try:
        parazip.verify(tmp_path / "a.zip", Settings(jobs=1))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_all_members_that_share_a_fault_are_told(tmp_path: Path) -> None:
    names = [f"{number}." for number in range(9)]
    (fault,) = parazip.verify(write_names(tmp_path / "a.zip", *names)).faults
    assert fault.members == tuple(names)
    assert fault.found.endswith("'0.', '1.', '2.' and 6 more")


def test_faults_without_end_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_OF_A_RULE", 3)
    path = pack_many(tmp_path / "a.zip")
    damage(path, *[f"d/{number}" for number in range(5, 12)])
    report = parazip.verify(path)
    errors = sum(fault.severity == "error" for fault in report.faults)
    assert errors + report.untold == 7
    assert report.untold > 0
    assert not report.is_sound
    assert report.bytes < 20 * MIB + 3 * MIB + 600 * 600 * 9


def test_what_is_no_archive_is_an_error_and_a_file_that_is_not_there_is_raised(
    tmp_path: Path,
) -> None:
    (tmp_path / "text").write_text("no archive")
    (fault,) = parazip.verify(tmp_path / "text").faults
    assert fault.id == "no-end-record"
    with pytest.raises(parazip.SourceError):
        parazip.verify(tmp_path / "nothing")


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_contents_of_a_bomb_are_not_read(tmp_path: Path, jobs: int) -> None:
    """A kilobyte of bzip2 makes a gigabyte; what is small in all is read."""
    for count, told in (1, []), (9, [f"big {number}" for number in range(9)]):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
            for number in range(count):
                archive.writestr(f"big {number}", bytes(2 * MIB))
            archive.writestr("small", b"text")
        report = parazip.verify(tmp_path / "a.zip", Settings(jobs=jobs))
        faults = [fault for fault in report.faults if fault.id == "contents-unchecked"]
        assert [name for fault in faults for name in fault.members] == told
        assert report.is_sound


def test_a_batch_knows_its_own_bombs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is sent to a helper: all of them with each would take the square of their number."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for number in range(9):
            archive.writestr(f"{number}", bytes(2 * MIB))
    monkeypatch.setattr(module, "_BATCH_MEMBERS", 2)
    told = []

    def check(batch: Batch, helpers: object) -> Checked:
        assert {entry.record.offset for entry in batch.entries} == set(batch.bombs)
        told.append(len(batch.bombs))
        return check_here(batch)

    monkeypatch.setattr(checking, "check", check)
    parazip.verify(tmp_path / "a.zip", Settings(jobs=1))
    assert sum(told) == 9
    assert max(told) <= 2
