"""Archives in S3 whose parts an executor's workers send: the bytes of the file."""

from __future__ import annotations

import io
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import parazip
from parazip.engine import shards
from parazip.errors import ExecutorError, OutputError, SourceError
from parazip.model import File, SentPart, Ticket, Uploaded
from parazip.output import upload
from parazip.output.multipart import Multipart
from parazip.output.upload import Upload
from parazip.settings import MIB
from parazip.testing import InlineExecutor
from support.executors import Counted
from support.s3_server import S3, Request
from support.shelf import Shelf

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
]

URL = "s3://bucket/dir/made.zip"
FAST = parazip.Settings(level=1)
TEXT = b"".join(b"%d bottles on the wall\n" % number for number in range(80_000))
PART = "PUT partNumber uploadId"


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART", 100_000)
    monkeypatch.setattr(upload, "SHARED", 200_000)
    monkeypatch.setattr(upload, "SMALLEST_PART", 50_000)
    monkeypatch.setattr(shards, "_ANSWER", 60_000)
    monkeypatch.setattr(shards, "HEAD", 1 * MIB)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **_: 0.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small members, some of which shrink, and large ones that are cut into blocks."""
    top = tmp_path_factory.mktemp("shared") / "tree"
    top.mkdir()
    source = random.Random(1)
    for number in range(60):
        (top / f"{number:02}.bin").write_bytes(source.randbytes(20_000))
        (top / f"{number:02}.txt").write_bytes(TEXT[number * 1000 : number * 1200])
    (top / "17.text").write_bytes(TEXT)
    (top / "30.noise").write_bytes(source.randbytes(5 * MIB))
    (top / "45.text").write_bytes(TEXT * 4)
    return top


class Moved:
    """What goes through this process on its way to a store.

    Attributes:
        here: bytes that are written here.
        elsewhere: parts that others have sent.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = 0
        self.elsewhere: list[SentPart] = []
        write, accept = Upload.write, Upload.accept

        def count_here(output: Upload, data: Any) -> None:
            self.here += len(data)
            write(output, data)

        def count_elsewhere(output: Upload, piece: Uploaded) -> None:
            if piece.part is not None:
                self.elsewhere.append(piece.part)
            accept(output, piece)

        monkeypatch.setattr(Upload, "write", count_here)
        monkeypatch.setattr(Upload, "accept", count_elsewhere)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(monkeypatch)


@pytest.fixture(params=["inline", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "inline":
        yield InlineExecutor()
    elif request.param == "threads":
        with ThreadPoolExecutor(3) as threads:
            yield threads
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            yield pool


JOBS: dict[str, Callable[[Any, Path, Executor | None], parazip.Report]] = {
    "create": lambda made, tree, executor: parazip.create(made, [tree], FAST, executor=executor),
    "prefix": lambda made, tree, executor: parazip.create(
        made, [tree], FAST, shebang="/bin/sh", executor=executor
    ),
    "level 6": lambda made, tree, executor: parazip.create(
        made, [tree], parazip.Settings(level=6, codec="zlib"), executor=executor
    ),
    "aligned": lambda made, tree, executor: parazip.create(
        made,
        [tree],
        FAST,
        parazip.Selection(store=("1*.bin",), align=((4096, "1*.bin"),)),
        executor=executor,
    ),
    "merge": lambda made, tree, executor: parazip.merge(
        made,
        [tree.parent / "aligned.zip", ("more", tree)],
        FAST,
        executor=executor,
        check_crc=True,
    ),
    "write": lambda made, tree, executor: parazip.write(
        made,
        [
            parazip.make_member(name, source)._replace(date=33 << 16)
            for number in range(400)
            for name, source in (
                (f"{number}.bin", tree / f"{number % 60:02}.bin"),
                (f"{number}.txt", TEXT[: number * 10]),
            )
        ],
        FAST,
        executor=executor,
    ),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.usefixtures("small_shards")
def test_the_bytes_are_those_of_a_file(
    tree: Path, s3: S3, job: str, moved: Moved, tmp_path: Path
) -> None:
    JOBS["aligned"](tree.parent / "aligned.zip", tree, None)
    made = tmp_path / "made.zip"
    plain = JOBS[job](made, tree, None)
    report = JOBS[job](URL, tree, InlineExecutor())
    assert s3.system.cat(URL) == made.read_bytes()
    assert (report.codecs, report.members) == (plain.codecs, plain.members)
    assert len(moved.elsewhere) > 2
    assert s3.list_unfinished("bucket") == []


@pytest.mark.usefixtures("small_shards")
def test_the_bytes_do_not_depend_on_who_sends(
    tree: Path, s3: S3, executor: Executor, moved: Moved
) -> None:
    expected = io.BytesIO()
    parazip.create(expected, [tree], FAST)
    asked = Counted(executor)
    heard: list[parazip.Progress] = []
    parazip.create(URL, [tree], FAST, executor=asked, progress=heard.append)
    assert s3.system.cat(URL) == expected.getvalue()
    assert heard[-1].members == heard[-1].members_total > 120
    assert heard[-1].bytes == heard[-1].bytes_total
    # Heads of the large members, the directory, and little shards come here.
    sent = sum(part.size for part in moved.elsewhere)
    assert moved.here + sent == len(expected.getvalue())
    assert sent > 4 * MIB


@pytest.mark.usefixtures("small_shards")
def test_nothing_is_moved_here_but_the_directory(s3: S3, tmp_path: Path, moved: Moved) -> None:
    source = random.Random(1)
    for number in range(300):
        (tmp_path / f"{number}").write_bytes(source.randbytes(10_000))
    parazip.create(URL, [tmp_path], FAST, executor=InlineExecutor())
    assert len(moved.elsewhere) == 15
    assert s3.count(PART) == 16
    assert moved.here < 300 * 120


@pytest.mark.usefixtures("small_shards")
def test_nothing_is_made_twice_behind_a_first_line(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are too few bytes in front of the first part, so it comes back, and the next follow."""
    source = random.Random(1)
    for number in range(60):
        (tmp_path / f"{number}").write_bytes(source.randbytes(10_000))
    given_back: list[Ticket] = []
    give_back = Upload.give_back

    def note(output: Upload, ticket: Ticket) -> None:
        given_back.append(ticket)
        give_back(output, ticket)

    monkeypatch.setattr(Upload, "give_back", note)
    parazip.create(URL, [tmp_path], FAST, shebang="/bin/sh", executor=InlineExecutor())
    assert given_back == []
    assert s3.count(PART) == 5  # two of what came back, two of workers, the directory
    assert s3.system.cat(URL).startswith(b"#!/bin/sh\n")


@pytest.mark.usefixtures("small_shards")
def test_where_contents_shrink_much_shards_get_larger(s3: S3, tmp_path: Path, moved: Moved) -> None:
    for number in range(400):
        (tmp_path / f"{number}").write_bytes(b"%d" % number * 8_000)
    asked = Counted(InlineExecutor())
    parazip.create(URL, [tmp_path], FAST, executor=asked)
    assert parazip.verify(URL).is_sound
    assert len(asked.questions) < 8_000_000 / 200_000 / 2


@pytest.mark.usefixtures("small_shards")
def test_what_cannot_follow_is_made_here(s3: S3, tmp_path: Path, moved: Moved) -> None:
    """What comes as somebody iterates is too short for a part of its own."""
    source = random.Random(1)
    noise = [source.randbytes(300_000) for _ in range(6)]

    def members() -> Iterator[parazip.Member]:
        for number, data in enumerate(noise):
            file = tmp_path / f"{number}"
            file.write_bytes(data)
            yield parazip.make_member(f"short{number}", iter([b"few"]))._replace(date=33 << 16)
            yield parazip.make_member(f"file{number}", file)

    expected = io.BytesIO()
    parazip.write(expected, members(), FAST)
    parazip.write(URL, members(), FAST, executor=InlineExecutor())
    assert s3.system.cat(URL) == expected.getvalue()
    assert moved.here > 200_000


@pytest.mark.usefixtures("small_shards")
def test_a_file_that_has_grown_takes_no_place_of_others(s3: S3, tmp_path: Path) -> None:
    """Where changes do not count, more is written than there is a number for."""
    source = random.Random(1)
    members = []
    for number in range(30):
        path = tmp_path / f"{number:02}"
        path.write_bytes(source.randbytes(4 * MIB if number == 3 else 50_000))
        member = parazip.make_member(path.name, path)
        assert isinstance(member.source, File)
        members.append(member._replace(source=member.source._replace(changes="none")))
    with (tmp_path / "03").open("ab") as grown:
        grown.write(source.randbytes(2 * MIB))
    expected = io.BytesIO()
    parazip.write(expected, members, parazip.Settings(level=0))
    parazip.write(URL, members, parazip.Settings(level=0), executor=InlineExecutor())
    assert s3.system.cat(URL) == expected.getvalue()


# What goes wrong


def assert_nothing_is_left(s3: S3) -> None:
    s3.fail = lambda request: 0
    s3.system.invalidate_cache()
    assert s3.system.ls("bucket") == []
    assert s3.list_unfinished() == []


@pytest.mark.usefixtures("small_shards")
def test_a_part_that_is_not_taken_is_an_error(tree: Path, s3: S3, executor: Executor) -> None:
    def refuse(request: Request) -> int:
        return 403 if request.what == PART and request.part > 3 else 0

    s3.fail = refuse
    with pytest.raises(OutputError, match=r"^cannot write s3://bucket/dir/made\.zip: "):
        parazip.create(URL, [tree], FAST, executor=executor)
    assert_nothing_is_left(s3)


@pytest.mark.usefixtures("small_shards")
def test_what_passes_is_tried_again(tree: Path, s3: S3) -> None:
    times = iter(range(3))

    def refuse(request: Request) -> int:
        return 503 if request.what == PART and next(times, None) is not None else 0

    s3.fail = refuse
    parazip.create(URL, [tree], FAST, executor=InlineExecutor())
    assert parazip.verify(URL).is_sound


@pytest.mark.usefixtures("small_shards")
def test_a_file_that_changes_is_the_same_error(tmp_path: Path, s3: S3) -> None:
    members = []
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(random.Random(number).randbytes(20_000))
        members.append(parazip.make_member(f"{number}", tmp_path / f"{number}"))
    with (tmp_path / "20").open("ab") as changed:
        changed.write(b"more")
    with pytest.raises(SourceError) as plain:
        parazip.write(io.BytesIO(), members)
    with pytest.raises(type(plain.value)) as caught:
        parazip.write(URL, members, executor=InlineExecutor())
    assert str(caught.value) == str(plain.value)
    assert_nothing_is_left(s3)


@pytest.mark.usefixtures("small_shards")
def test_an_executor_that_fails_leaves_nothing(tree: Path, s3: S3) -> None:
    with ThreadPoolExecutor(1) as threads:
        asked = Counted(threads)

        def shut_down(progress: parazip.Progress) -> None:
            threads.shutdown(wait=False, cancel_futures=True)

        with pytest.raises(ExecutorError):
            parazip.create(
                URL,
                [tree],
                parazip.Settings(level=1, jobs=1),
                executor=asked,
                progress=shut_down,
            )
    assert_nothing_is_left(s3)


# The numbers of parts


KINDS = ["here", "untold", "sent", "given back", "member", "taken back", "long", "long, taken back"]


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 300)), max_size=30),
)
@example(10, [("sent", 50), ("untold", 25), ("sent", 50)])
@example(10, [("sent", 50), ("untold", 200), ("sent", 50), ("sent", 50), ("untold", 5)])
@example(10, [("sent", 50), ("here", 93), ("sent", 50)])
def test_parts_of_ours_and_of_others_are_in_order(
    smallest: int, steps: list[tuple[str, int]]
) -> None:
    """Tickets are given out before anything is written, as work is planned ahead.

    A file that has grown is written without anybody having told of that.
    """
    shelf, file, source = Shelf(), io.BytesIO(), random.Random(smallest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload, "PART", 2 * smallest)
        patch.setattr(upload, "SHARED", 3 * smallest)
        patch.setattr(upload, "SMALLEST_PART", smallest)
        made = Upload(cast("Multipart", shelf), "made")
        sharing = made.share()
        tickets: list[Ticket | None] = []
        for kind, size in steps:
            has_room = kind not in ("sent", "given back", "untold")
            if has_room:
                sharing.leave_room(size)
            is_sent = kind in ("sent", "given back") or kind.startswith("long")
            tickets.append(sharing.give_ticket(size) if is_sent else None)

        def write(data: bytes) -> None:
            made.write(data)
            file.write(data)

        def send(data: bytes, ticket: Ticket, kind: str) -> None:
            if kind == "given back" or len(data) < smallest or not sharing.has_place(ticket):
                sharing.give_back(ticket)
                write(data)
                return
            part = shelf.send(ticket.number, data).result()
            begin = len(data) // 2
            made.accept(Uploaded(begin, part))
            made.accept(Uploaded(len(data) - begin, None))
            file.write(data)

        for (kind, size), ticket in zip(steps, tickets, strict=True):
            data = source.randbytes(size)
            begin = file.tell()
            is_member = "member" in kind or "taken back" in kind or kind == "long"
            if is_member:
                made.hold(3)
                write(b"???")
            if is_member or kind in ("here", "untold"):
                write(data)
            if ticket is not None:
                send(data, ticket, kind)
            if "taken back" in kind:
                made.rewind(begin)
                file.truncate(begin)
                file.seek(begin)
            elif is_member:
                made.patch(begin, b"!!!")
                file.seek(begin)
                file.write(b"!!!")
                file.seek(0, io.SEEK_END)
            made.let_go()
            assert made.position == file.tell()
        write(b"end")
        made.complete()
    assert shelf.data == file.getvalue()
    assert all(size >= smallest for size in shelf.sizes[:-1])
