"""Archives that go to S3 while they are made: the bytes of the file, in few requests."""

from __future__ import annotations

import base64
import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parazip
from parazip.engine import cache as caching
from parazip.output import upload
from parazip.output.multipart import LARGEST_PART, Multipart
from parazip.output.upload import Upload
from support.pushing import read_object
from support.remote_archives import make_large_archive, read_contents
from support.s3_server import S3
from support.shelf import Shelf
from support.writing import PADDED_NOISE

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
]

URL = "s3://bucket/dir/made.zip"
FAST = parazip.Settings(level=1, jobs=2)
TEXT = b"".join(b"%d bottles on the wall\n" % number for number in range(80_000))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Small members, two that are cut into blocks, and one that is taken back."""
    top = tmp_path / "tree"
    top.mkdir()
    source = random.Random(1)
    for number in range(40):
        (top / f"{number:02}.bin").write_bytes(source.randbytes(20_000))
    (top / "05.txt").write_bytes(TEXT)
    (top / "10.noise").write_bytes(PADDED_NOISE)
    (top / "15.txt").write_bytes(TEXT[::-1])
    return top


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written a moment ago is old enough for the cache."""
    monkeypatch.setattr("parazip.engine.keys._TICK_NS", 0)
    monkeypatch.setattr("parazip.engine.keys._COARSE_TICK_NS", 0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART", 100_000)
    monkeypatch.setattr(upload, "MOST_ON_THE_WAY", 300_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)


JOBS: dict[str, Callable[[Any, Path], parazip.Report]] = {
    "create": lambda made, tree: parazip.create(made, [tree], FAST),
    "stored": lambda made, tree: parazip.create(made, [tree], parazip.Settings(level=0)),
    "shebang": lambda made, tree: parazip.create(made, [tree], FAST, shebang="/bin/sh"),
    "prefix": lambda made, tree: parazip.create(made, [tree], FAST, prepend=bytes(250_000)),
    "aligned": lambda made, tree: parazip.create(
        made, [tree], FAST, parazip.Selection(store=("*.bin", "*.txt"), align=((4096, "*"),))
    ),
    "merge": lambda made, tree: parazip.merge(made, [tree, tree.parent / "other.zip"], FAST),
    "write": lambda made, tree: parazip.write(
        made,
        [
            parazip.make_member("told", iter([b"one", TEXT, b"two"])),
            parazip.make_member("noise", tree / "10.noise"),
        ],
        FAST,
    ),
}

RARE = ("stored", "shebang", "prefix")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "job", [pytest.param(job, marks=pytest.mark.slow if job in RARE else ()) for job in JOBS]
)
def test_the_bytes_are_those_of_the_file(s3: S3, tree: Path, job: str) -> None:
    (tree.parent / "other.zip").write_bytes(make_large_archive(20))
    expected = JOBS[job](tree.parent / "made.zip", tree)
    report = JOBS[job](URL, tree)
    data = (tree.parent / "made.zip").read_bytes()
    assert read_object(s3, URL) == data
    assert (report.archive, report.members, report.bytes_out) == (URL, expected.members, len(data))
    assert s3.list_unfinished() == []
    assert s3.count("PUT partNumber uploadId") >= len(data) // 100_000
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    described = s3.describe("dir/made.zip")
    assert (described["ChecksumType"], described["ChecksumCRC32"]) == ("FULL_OBJECT", crc)


def test_a_small_archive_is_one_request(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 50)
    parazip.create(URL, ["a"], selection=parazip.Selection(directory=tmp_path))
    assert [request.what for request in s3.requests] == ["PUT"]
    assert read_contents(read_object(s3, URL)) == {"a": b"a" * 50}


def test_parts_have_8_mib(s3: S3, tmp_path: Path) -> None:
    """Nothing is sent twice, as no member is taken back."""
    (tmp_path / "a").write_bytes(random.Random(1).randbytes(20 << 20))
    report = parazip.create(URL, [tmp_path / "a"])
    parts = sorted(request for request in s3.requests if request.part)
    assert [part.size for part in parts[:-1]] == [8 << 20, 8 << 20]
    assert sum(part.size for part in parts) == report.bytes_out
    assert len(s3.requests) == len(parts) + 2


def test_what_is_there_is_replaced(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    s3.system.pipe(URL, b"old")
    parazip.create(URL, ["a"], selection=parazip.Selection(directory=tmp_path))
    parazip.merge(URL, [URL, ("b", URL)])
    assert read_contents(read_object(s3, URL)) == {"a": b"a", "b/a": b"a"}


@pytest.mark.usefixtures("small_parts", "settled")
def test_the_cache_keeps_and_recalls(s3: S3, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what is longer than a section that is held in memory."""
    monkeypatch.setattr(upload, "MOST_COPIED", 2_000_000)
    expected = parazip.create(tree.parent / "made.zip", [tree], FAST)
    data = (tree.parent / "made.zip").read_bytes()
    recalled = []
    for _ in range(2):
        report = parazip.create(URL, [tree], FAST, cache=caching.Cache())
        assert read_object(s3, URL) == data
        recalled.append(report.recalled)
    assert recalled[0] == 0 < recalled[1] < expected.members  # all but what comes with the noise
    cache = caching.Cache()
    for path in Path(cache.folder).rglob("*"):
        if len(path.name) == 62:
            damaged = bytearray(path.read_bytes())
            damaged[-1] ^= 1
            path.write_bytes(damaged)
    report = parazip.create(URL, [tree], FAST, cache=cache)
    assert read_object(s3, URL) == data
    assert (report.recalled, len(cache.notes)) == (0, 1)


@pytest.mark.usefixtures("settled")
def test_what_a_file_kept_is_recalled_into_a_store(s3: S3, tree: Path) -> None:
    parazip.create(tree.parent / "made.zip", [tree], FAST, cache=caching.Cache())
    report = parazip.create(URL, [tree], FAST, cache=caching.Cache())
    assert report.recalled == report.members
    assert read_object(s3, URL) == (tree.parent / "made.zip").read_bytes()


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_other_stores_take_archives(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a").write_bytes(TEXT)
    url = f"{scheme}://{tmp_path}/made.zip"
    other = parazip.create(tmp_path / "other.zip", [tmp_path / "a"], FAST)
    report = parazip.create(url, [tmp_path / "a"], FAST)
    assert report.archive == url
    assert (report.bytes_out == other.bytes_out) == (scheme == "file")  # or a descriptor more
    assert [member.size for member in parazip.list_members(url)] == [len(TEXT)]
    assert parazip.verify(url).is_sound
    (tmp_path / "b").write_bytes(b"b")

    def interrupt(progress: parazip.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parazip.create(url, [tmp_path / "b"], progress=interrupt)
    assert [member.size for member in parazip.list_members(url)] == [len(TEXT)]


@given(
    st.integers(1, 60),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 70), st.integers(0, 400), st.booleans())
    ),
)
def test_an_upload_is_written_like_a_file(
    part: int, members: list[tuple[int, int, int, bool]]
) -> None:
    """Members have something in front, a header that is filled in, contents, and may go again."""
    shelf, file, source = Shelf(), io.BytesIO(), random.Random(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload, "PART", part)
        made = Upload(cast("Multipart", shelf), "made")
        for before, header, contents, is_taken_back in members:
            made.start_copy()
            start = file.tell()
            for size in (before, header, contents):
                if size == header:
                    made.hold(header)
                    begin = made.position
                data = source.randbytes(size)
                made.write(data)
                file.write(data)
            if is_taken_back:
                made.rewind(begin)
                file.truncate(begin)
                file.seek(begin)
            else:
                data = source.randbytes(header)
                made.patch(begin, data)
                file.seek(begin)
                file.write(data)
                file.seek(0, io.SEEK_END)
            made.let_go()
            assert made.take_copy() == file.getvalue()[start:]
            assert made.position == file.tell()
        made.write(b"end")
        made.complete()
    assert shelf.data == file.getvalue() + b"end"


@pytest.mark.parametrize(
    ("parts", "smallest"), [(10_000, upload.PART), (upload.MOST_PROMISED, upload.SHARED)]
)
def test_10000_parts_are_enough_for_5_tib(parts: int, smallest: int) -> None:
    position = 0
    for number in range(parts):
        size = upload._choose_size(position, smallest, parts - number)
        assert 5 << 20 <= size <= 5 << 30
        position += size
    assert position > 5 << 40
    assert upload._choose_size(10 << 30, smallest, parts - 1300) == smallest


@pytest.mark.parametrize("left", [1, 100, 1000, 5000])
def test_the_numbers_that_are_left_last_as_long_as_parts_may_grow(left: int) -> None:
    position = begin = 30_000_000_000
    for number in range(left):
        position += upload._choose_size(position, upload.SHARED, left - number)
    assert position > min(upload.ENOUGH * 0.99, begin + left * LARGEST_PART / 4)
