"""A push that fails: the object is what it was, or what somebody else has made it, and all else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.errors import OutputError, SourceChangedError
from parazip.output.multipart import Multipart
from support.pushing import URL, make_contents, pack_archive, read_object
from support.s3_server import CUT, S3, Request, fail_at

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
    pytest.mark.usefixtures("small_runs", "no_pauses"),
]

OLD = pack_archive(make_contents())
NEW = pack_archive({**make_contents(), "20.bin": b"new"})
OTHER = pack_archive({"other": b"other"})
LOOK, BEGIN, COMPLETE, ABORT = "HEAD", "POST uploads", "POST uploadId", "DELETE uploadId"
PART = "PUT partNumber uploadId"
COPIED, SENT = 1, 3
"""Numbers of parts: of one that is copied, and of one that is sent."""

STEPS = [
    (PART, COPIED),
    (COMPLETE, 0),
    *(
        pytest.param(*step, marks=pytest.mark.slow)
        for step in ((LOOK, 0), (BEGIN, 0), (PART, SENT))
    ),
]


@pytest.fixture
def archive(s3: S3, tmp_path: Path) -> Path:
    """One that differs a little from the object that is there."""
    path = tmp_path / "a.zip"
    path.write_bytes(NEW)
    s3.system.pipe(URL, OLD)
    s3.forget()
    return path


def assert_stands(s3: S3, data: bytes) -> None:
    s3.fail = lambda request: 0
    assert read_object(s3) == data
    assert s3.list_unfinished() == []
    assert not [each for each in threading.enumerate() if each.name.startswith("parazip")]


@pytest.mark.parametrize("status", [503, pytest.param(CUT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("what", "part"), STEPS)
def test_what_passes_is_tried_again(
    s3: S3, archive: Path, what: str, part: int, status: int
) -> None:
    s3.fail = fail_at(what, status, 2, part)
    report = parazip.push(archive, URL)
    assert report.copied > 500_000
    assert_stands(s3, NEW)


@pytest.mark.parametrize("status", [403, pytest.param(503, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("what", "part"), STEPS)
def test_what_stays_is_an_error(s3: S3, archive: Path, what: str, part: int, status: int) -> None:
    s3.fail = fail_at(what, status, part=part)
    with pytest.raises(OutputError, match=r"^cannot write s3://bucket/dir/a b\+c.zip: ") as told:
        parazip.push(archive, URL)
    assert "left over" not in str(told.value)
    assert_stands(s3, OLD)


def test_a_directory_that_cannot_be_read_is_an_error(s3: S3, archive: Path) -> None:
    s3.fail = fail_at("GET", 403)
    with pytest.raises(parazip.SourceError, match=r"^cannot read s3://bucket/dir/a b\+c.zip: "):
        parazip.push(archive, URL)
    assert_stands(s3, OLD)


@pytest.mark.parametrize(
    "code",
    ["NotImplemented", pytest.param("InvalidRequest", marks=pytest.mark.slow)],
)
def test_a_server_that_does_not_copy_is_sent_all(
    s3: S3, archive: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    s3.fail = lambda request: 400 if request.part and not request.size else 0
    monkeypatch.setattr("parazip.output.multipart.find_code", lambda error: code)
    report = parazip.push(archive, URL)
    assert (report.sent, report.copied) == (report.size, 0)
    (note,) = report.notes
    assert note.startswith(f"the store of {URL} copies no ranges, or does not tell what ")
    assert_stands(s3, NEW)


@pytest.mark.parametrize("new", [pytest.param(NEW, marks=pytest.mark.slow), OTHER])
def test_a_server_without_conditions_is_taken(
    s3: S3, archive: Path, monkeypatch: pytest.MonkeyPatch, new: bytes
) -> None:
    """The body of a request that is made again is all of it."""
    archive.write_bytes(new)
    ask = Multipart._ask

    async def refuse(store: Any, method: str, **arguments: Any) -> Any:
        if "IfMatch" in arguments:
            if "Body" in arguments:
                arguments["Body"].read()
            return await ask(store, "refused")
        return await ask(store, method, **arguments)

    monkeypatch.setattr(Multipart, "_ask", refuse)
    monkeypatch.setattr("parazip.output.multipart.find_code", lambda error: "NotImplemented")
    parazip.push(archive, URL)
    assert_stands(s3, new)


# Somebody else


def replace_at(s3: S3, what: str, part: int = 0, data: bytes = OTHER) -> Callable[[Request], int]:
    """Lets another object stand there when a request comes, before it is answered."""
    left = [None]

    def replace(request: Request) -> int:
        if request.what == what and part in (0, request.part) and left:
            left.pop()
            thread = threading.Thread(target=s3.system.pipe, args=(URL, data))
            thread.start()
            thread.join()
        return 0

    return replace


CHANGED = r"^s3://bucket/dir/a b\+c.zip was changed by somebody else meanwhile, and stays so; try"


@pytest.mark.parametrize(("what", "part"), [(PART, COPIED), (COMPLETE, 0)])
def test_an_object_that_changes_stays(s3: S3, archive: Path, what: str, part: int) -> None:
    s3.fail = replace_at(s3, what, part)
    with pytest.raises(SourceChangedError, match=CHANGED):
        parazip.push(archive, URL)
    assert_stands(s3, OTHER)


@pytest.mark.slow
def test_an_object_that_changes_while_its_directory_is_read(s3: S3, archive: Path) -> None:
    s3.fail = replace_at(s3, "GET", data=OLD + OTHER)
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        parazip.push(archive, URL)
    assert_stands(s3, OLD + OTHER)


SHORT = pack_archive({"short": b""})


@pytest.mark.parametrize(("data", "what"), [(NEW, COMPLETE), (SHORT, "PUT")])
def test_an_object_that_appears_stays(s3: S3, archive: Path, data: bytes, what: str) -> None:
    archive.write_bytes(data)
    s3.system.rm(URL)
    s3.forget()
    s3.fail = replace_at(s3, what)
    with pytest.raises(SourceChangedError, match=CHANGED):
        parazip.push(archive, URL)
    assert_stands(s3, OTHER)


def test_an_archive_that_changes_is_an_error(s3: S3, archive: Path) -> None:
    def change(progress: parazip.Progress) -> None:
        archive.write_bytes(OLD)

    with pytest.raises(SourceChangedError, match="changed while it was read"):
        parazip.push(archive, URL, progress=change)
    assert_stands(s3, OLD)


# Interrupts


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, OSError, pytest.param(MemoryError, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("moment", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_who_interrupts_leaves_nothing(
    s3: S3, archive: Path, kind: type[BaseException], moment: int
) -> None:
    """An error of the one who hears of the progress is that one's."""
    count = 0

    def interrupt(progress: parazip.Progress) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise kind

    with pytest.raises(kind) as raised:
        parazip.push(archive, URL, progress=interrupt)
    assert type(raised.value) is kind
    assert_stands(s3, OLD)


def test_what_cannot_be_aborted_is_told(s3: S3, archive: Path) -> None:
    s3.fail = lambda request: 403 if request.what in (COMPLETE, ABORT) else 0
    with pytest.raises(OutputError, match="list-multipart-uploads --bucket bucket --prefix dir/a"):
        parazip.push(archive, URL)
    s3.fail = lambda request: 0
    assert s3.list_unfinished() == ["dir/a b+c.zip"]


def test_progress_is_told(s3: S3, archive: Path) -> None:
    heard: list[parazip.Progress] = []
    report = parazip.push(archive, URL, progress=heard.append)
    sizes = {request.part: request.size for request in s3.requests if request.part}
    assert sizes[COPIED] == 0 < sizes[SENT]
    last = heard[-1]
    assert (last.members, last.members_total) == (40, 40)
    assert (last.bytes, last.bytes_total, last.bytes_out) == (len(NEW), len(NEW), report.sent)
    assert [each.bytes for each in heard] == sorted(each.bytes for each in heard)
