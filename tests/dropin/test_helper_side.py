"""What a helper is asked for members, answered in this process: it does what the program would."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import parazip
from parazip.dropin import members
from parazip.dropin.members import ExtractJob, Job, MemberJobs
from support.zip_file import make_text_lines

pytestmark = pytest.mark.skipif(not hasattr(os, "preadv"), reason="helpers read by preadv")

CONTENTS = {
    "text": make_text_lines(300_000),
    "d/noise": random.Random(1).randbytes(100_000),
    "short": b"short",
    "empty": b"",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
        archive.writestr("other", CONTENTS["text"], zipfile.ZIP_BZIP2)
    return tmp_path / "a.zip"


@pytest.fixture
def archive(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[parazip.ZipFile]:
    """An archive, whose file is where helpers have it."""
    with parazip.ZipFile(path) as opened:
        assert opened.fp is not None
        monkeypatch.setattr(members, "FIRST_FILE", opened.fp.fileno())
        yield opened


def answer(archive: parazip.ZipFile, job: Job) -> bytes:
    jobs = MemberJobs(archive, archive.infolist(), job, 2, 1 << 20)
    return members.answer(jobs._make_question(range(len(jobs.infos))))


def damage(archive: parazip.ZipFile, path: Path, name: str) -> None:
    with path.open("r+b") as file:
        file.seek(archive.getinfo(name).header_offset + 200)
        file.write(b"damaged" * 10)


def test_all_members_are_extracted_and_the_shared_position_stays(
    archive: parazip.ZipFile, tmp_path: Path
) -> None:
    assert archive.fp is not None
    shared = archive.fp.fileno()
    where = os.lseek(shared, 0, os.SEEK_CUR)
    assert answer(archive, ExtractJob(str(tmp_path / "out"), None)) == b""
    expected = {**CONTENTS, "other": CONTENTS["text"]}
    for name, data in expected.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert os.lseek(shared, 0, os.SEEK_CUR) == where


def test_members_are_read_to_their_ends(archive: parazip.ZipFile) -> None:
    assert answer(archive, members.TestJob()) == b""


@pytest.mark.parametrize("name", ["text", "d/noise", "other"])
def test_a_damaged_member_has_no_answer(archive: parazip.ZipFile, path: Path, name: str) -> None:
    """So the program does it itself, and meets the error."""
    damage(archive, path, name)
    with pytest.raises(Exception, match=r"CRC|decompress|data"):
        answer(archive, members.TestJob())


def test_members_of_another_kind_of_text_are_no_question(archive: parazip.ZipFile) -> None:
    """What cannot be said to a helper gets no answer from it."""

    class Text(str):
        pass

    archive.infolist()[0].filename = Text("text")
    jobs = MemberJobs(archive, archive.infolist(), ExtractJob("out", None), 2, 1 << 20)
    assert jobs._make_question([0]) == b""
