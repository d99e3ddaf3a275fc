"""An upload that fails: nothing is visible or left over, and the error says what it was."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.errors import (
    OutputError,
    ParazipError,
    SettingsError,
    SourceChangedError,
    hide_secrets,
)
from parazip.output import upload
from parazip.output.multipart import Multipart
from support.command import assert_fails, run_create, run_parazip
from support.remote_archives import read_contents
from support.s3_server import CUT, S3, Request, fail_at

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
    pytest.mark.usefixtures("no_pauses"),
]

URL = "s3://bucket/made.zip"
FAST = parazip.Settings(level=1, jobs=1, memory=1 << 20)
PART = "PUT partNumber uploadId"
BEGIN, COMPLETE, ABORT = "POST uploads", "POST uploadId", "DELETE uploadId"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART", 100_000)
    monkeypatch.setattr(upload, "MOST_ON_THE_WAY", 300_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    top.mkdir()
    source = random.Random(1)
    for number in range(40):
        (top / f"{number:02}.bin").write_bytes(source.randbytes(20_000))
    (top / "99.txt").write_bytes(b"%d bottles" * 300_000)  # which is cut into blocks
    return top


def make(tree: Path, url: str = URL, **given: Any) -> parazip.Report:
    return parazip.create(url, [tree], FAST, **given)


def assert_nothing_is_left(s3: S3) -> None:
    s3.fail = lambda request: 0
    s3.system.invalidate_cache()
    assert s3.system.ls("bucket") == ["bucket/old.zip"]
    assert s3.system.cat("bucket/old.zip") == b"old"
    assert s3.list_unfinished() == []
    assert not [each for each in threading.enumerate() if each.name.startswith("parazip")]


@pytest.fixture
def url(s3: S3) -> str:
    """Where another archive stands, which stays."""
    s3.system.pipe("bucket/old.zip", b"old")
    s3.forget()
    return "s3://bucket/old.zip"


@pytest.mark.parametrize("status", [503, pytest.param(500, marks=pytest.mark.slow), CUT])
@pytest.mark.parametrize("what", [BEGIN, PART, COMPLETE])
def test_what_passes_is_tried_again(s3: S3, tree: Path, what: str, status: int) -> None:
    """The whole part comes again, whatever had come of it."""
    s3.fail = fail_at(what, status, 2, part=3 if what == PART else 0)
    make(tree)
    parazip.create(tree.parent / "made.zip", [tree], FAST)
    assert s3.system.cat(URL) == (tree.parent / "made.zip").read_bytes()
    assert s3.list_unfinished() == []


@pytest.mark.parametrize("status", [pytest.param(503, marks=pytest.mark.slow), 403, CUT])
@pytest.mark.parametrize("what", [BEGIN, PART, COMPLETE])
def test_what_stays_is_an_error(s3: S3, url: str, tree: Path, what: str, status: int) -> None:
    s3.fail = fail_at(what, status, part=3 if what == PART else 0)
    with pytest.raises(OutputError, match=f"^cannot write {url}: .+; (try again|see that)") as told:
        make(tree, url)
    assert "left over" not in str(told.value)
    assert_nothing_is_left(s3)


def test_a_small_archive_that_fails(s3: S3, url: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    s3.fail = lambda request: 403
    with pytest.raises(OutputError, match=f"^cannot write {url}: "):
        parazip.create(url, [tmp_path / "a"])
    assert_nothing_is_left(s3)


def test_a_missing_bucket_is_told(s3: S3, tree: Path) -> None:
    with pytest.raises(OutputError, match=r"s3://nowhere/a\.zip: The specified bucket does not"):
        make(tree, "s3://nowhere/a.zip")


def test_more_parts_than_s3_takes_are_told(
    s3: S3, url: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MOST_PARTS", 2)
    monkeypatch.setattr(upload, "LARGEST_PART", 100_000)
    with pytest.raises(OutputError, match=r"the 2 parts that a store takes; make several archives"):
        make(tree)
    assert_nothing_is_left(s3)


def test_a_source_that_changes(s3: S3, url: str, tree: Path) -> None:
    (tree / "98.bin").write_bytes(random.Random(2).randbytes(3 << 20))  # a task of its own
    (tree / "99.bin").write_bytes(b"as it was")

    def change(progress: parazip.Progress) -> None:
        (tree / "99.bin").write_bytes(b"changed")

    with pytest.raises(SourceChangedError):
        parazip.create(url, [tree], parazip.Settings(jobs=1, memory=1 << 20), progress=change)
    assert_nothing_is_left(s3)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, GeneratorExit])
@pytest.mark.parametrize("moment", [1, 4])
def test_who_interrupts_leaves_nothing(
    s3: S3, url: str, tree: Path, kind: type[BaseException], moment: int
) -> None:
    count = 0

    def interrupt(progress: parazip.Progress) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise kind

    with pytest.raises(kind):
        make(tree, url, progress=interrupt)
    assert_nothing_is_left(s3)


def test_who_interrupts_does_not_wait_for_parts(
    s3: S3, url: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is silent holds parts; they are given up, and the upload is aborted."""
    monkeypatch.setattr(upload, "MOST_ON_THE_WAY", 30_000_000)
    is_asked, is_over = threading.Event(), threading.Event()

    def wait(request: Request) -> int:
        if request.what == PART:
            is_asked.set()
            is_over.wait()
        return 0

    def interrupt(progress: parazip.Progress) -> None:
        is_asked.wait()
        raise KeyboardInterrupt

    s3.fail = wait
    try:
        with pytest.raises(KeyboardInterrupt):
            make(tree, url, progress=interrupt)
        assert s3.count(ABORT) == 1
    finally:
        is_over.set()
    assert_nothing_is_left(s3)


def test_what_cannot_be_aborted_is_told(s3: S3, url: str, tree: Path) -> None:
    s3.fail = lambda request: 403 if request.what in (COMPLETE, ABORT) else 0
    with pytest.raises(OutputError, match="list-multipart-uploads --bucket bucket --prefix old"):
        make(tree, url)
    assert s3.list_unfinished() == ["old.zip"]

    def interrupt(progress: parazip.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        make(tree, url, progress=interrupt)
    assert "an unfinished upload may be left over" in told.value.__notes__[0]


def test_an_answer_that_is_lost_on_its_way_is_no_error(
    s3: S3, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is complete, and the second request finds none."""
    ask = Multipart._ask

    async def ask_twice(store: Any, method: str, **arguments: Any) -> Any:
        answer = await ask(store, method, **arguments)
        if method == "complete_multipart_upload":
            answer = await ask(store, method, **arguments)
        return answer

    monkeypatch.setattr(Multipart, "_ask", ask_twice)
    assert make(tree).bytes_out == len(s3.system.cat(URL))


def test_servers_without_whole_checksums_are_taken(
    s3: S3, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Multipart._ask

    async def refuse(store: Any, method: str, **arguments: Any) -> Any:
        if "ChecksumType" in arguments:
            method = "refused"
        return await ask(store, method, **arguments)

    monkeypatch.setattr(Multipart, "_ask", refuse)
    monkeypatch.setattr("parazip.output.multipart.find_code", lambda error: "NotImplemented")
    assert make(tree).bytes_out == len(s3.system.cat(URL))
    assert "ChecksumType" not in s3.describe("made.zip")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (
            "https://user:secret@host/a.zip?key=secret",
            "archives go to s3://, gs://, memory:// and file:// alone",
        ),
        ("s3://bucket", "it is a folder or a bucket; name an object in it"),
        ("s3://bucket/", "it is a folder or a bucket; name an object in it"),
        ("s3://bucket/folder/", "it is a folder or a bucket; name an object in it"),
        ("simplecache::s3://bucket/a.zip", "make it here, and copy it there"),
        ("ftp://user:secret@host/a.zip", "what is begun elsewhere cannot be taken back"),
        ("nonsense://a/b.zip", "archives go to s3://"),
        ("file:///nowhere/at/all/a.zip", "the folder /nowhere/at/all does not exist"),
    ],
)
def test_what_is_no_place_for_an_archive_is_refused(tmp_path: Path, url: str, what: str) -> None:
    (tmp_path / "a").write_bytes(b"a")
    for make_it in (
        lambda: parazip.create(url, [tmp_path / "a"]),
        lambda: parazip.merge(url, [tmp_path]),
        lambda: parazip.preview([tmp_path / "a"], archive=url),
    ):
        with pytest.raises(ParazipError, match=what) as told:
            make_it()
        assert isinstance(told.value, OutputError)
        assert "secret" not in str(told.value)


def test_what_is_read_back_is_refused(s3: S3, tree: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be verified before it is there"):
        make(tree, inspect=parazip.require_sound)
    assert s3.requests == []


@pytest.mark.parametrize("command", ["update", "delete"])
def test_archives_at_urls_are_not_changed(tmp_path: Path, command: str) -> None:
    (tmp_path / "a").write_bytes(b"a")
    done = run_parazip(command, URL, "a", cwd=tmp_path)
    assert_fails(done, 1, f"cannot change {URL}: it is a URL; change the archive here")


def test_the_command_makes_archives_in_stores(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    done = run_create("--json", "--sync", "-q", URL, "a", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["archive"] == URL
    assert read_contents(s3.system.cat(URL)) == {"a": b"a"}
    s3.forget()
    done = run_create("-n", URL, "a", cwd=tmp_path)
    assert (done.code, s3.requests) == (0, [])
    done = run_create("--verify", URL, "a", cwd=tmp_path)
    assert_fails(done, 2, f"{URL} cannot be verified before it is there")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host/a?key=secret", "https://user:***@host/a?***"),
        ("abfs://box@account.net/a", "abfs://box@account.net/a"),
        ("s3://bucket/a?b@c:d@e", "s3://bucket/a?b@c:d@e"),
    ],
)
def test_secrets_are_hidden(url: str, shown: str) -> None:
    assert hide_secrets(url) == shown
