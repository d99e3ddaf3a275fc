"""`push`: the object has the archive's bytes, and no more was sent than had changed."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.display import Display
from parazip.output.multipart import Multipart
from support.command import run_parazip
from support.pushing import (
    SIZE,
    URL,
    make_contents,
    pack_archive,
    pack_deflated,
    read_object,
)
from support.s3_server import S3

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
    pytest.mark.usefixtures("small_runs"),
]

CONTENTS = make_contents()
NAMES = [*CONTENTS]
NOISE = random.Random(3).randbytes(SIZE)
LEAST = 50_000
"""Bytes of each part but the last."""

PART, BEGIN, COMPLETE = "PUT partNumber uploadId", "POST uploads", "POST uploadId"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def change(name: str) -> dict[str, bytes]:
    return {**CONTENTS, name: NOISE}


def pack(contents: Mapping[str, bytes] = CONTENTS, front: bytes = b"", **kind: bool) -> bytes:
    return front + pack_archive(contents, **kind)


CHANGES: dict[str, tuple[bytes, bytes, int]] = {
    "in the middle": (pack(), pack(change(NAMES[20])), LEAST),
    "at the front": (pack(), pack({"000": b"new", **CONTENTS}), LEAST),
    "at the end": (pack(), pack({**CONTENTS, "zz": NOISE}), SIZE),
    "in three places": (
        pack(),
        pack({**CONTENTS, NAMES[5]: NOISE, NAMES[20]: b"", NAMES[38]: NOISE}),
        3 * LEAST,
    ),
    "taken out": (pack(), pack({name: CONTENTS[name] for name in NAMES if name != "20.bin"}), 0),
    "moved": (pack(), pack({name: CONTENTS[name] for name in NAMES[20:] + NAMES[:20]}), 0),
    "nothing": (pack(front=b"#!a\n"), pack(front=b"#!a\n"), 0),
    "behind a prefix": (pack(front=b"#!a\n"), pack(change(NAMES[20]), front=b"#!a\n"), LEAST),
    "another prefix": (pack(front=b"#!a\n"), pack(front=b"#!b\n"), LEAST),
    "a longer prefix": (pack(front=b"#!a\n"), pack(front=b"#!abc\n"), LEAST),
    "descriptors": (pack(is_stream=True), pack(change(NAMES[20]), is_stream=True), LEAST),
    "all": (pack(), pack(make_contents(39, SIZE + 1)), 39 * (SIZE + 200)),
    "much shorter": (pack(), pack({name: CONTENTS[name] for name in NAMES[:9]}), 0),
    "too short to copy": (pack({}), pack(), 40 * (SIZE + 200)),
}


USUAL = ("in the middle", "at the front", "taken out", "behind a prefix", "descriptors")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in USUAL else pytest.mark.slow) for kind in CHANGES],
)
def test_what_has_changed_is_sent(s3: S3, archive: Path, kind: str) -> None:
    old, new, most = CHANGES[kind]
    s3.put_without_crc(URL, old)
    archive.write_bytes(new)
    s3.forget()
    planned = parazip.preview_push(archive, URL)
    assert not [request for request in s3.requests if request.what not in ("HEAD", "GET")]
    s3.forget()
    report = parazip.push(archive, URL)
    sent = sum(request.size for request in s3.requests if request.part)
    assert read_object(s3) == new
    assert report.sent == sent <= most + 60 * 100  # and the directory
    assert report.sent + report.copied == report.size == len(new)
    assert (planned.sent, planned.copied) == (report.sent, report.copied)
    assert report.notes == ()
    assert s3.list_unfinished() == []
    crc = base64.b64encode(zlib.crc32(new).to_bytes(4, "big")).decode()
    described = s3.describe("dir/a b+c.zip")
    assert (described["ChecksumType"], described["ChecksumCRC32"]) == ("FULL_OBJECT", crc)


def test_nothing_is_sent_if_nothing_has_changed(s3: S3, archive: Path) -> None:
    archive.write_bytes(pack())
    first = parazip.push(archive, URL)
    assert (first.sent, first.copied) == (first.size, 0)
    s3.forget()
    report = parazip.push(archive, URL)
    assert (report.sent, report.copied, report.requests, report.is_needless) == (0, 0, 1, True)
    assert [request.what for request in s3.requests] == ["HEAD"]


def test_where_no_crc_is_told_the_directory_is_sent(s3: S3, archive: Path) -> None:
    archive.write_bytes(pack())
    s3.put_without_crc(URL, pack())
    s3.forget()
    report = parazip.push(archive, URL)
    assert 0 < report.sent < 4_000
    assert report.requests == s3.count("HEAD") - 1 + s3.count(BEGIN) + s3.count(PART) + 1
    assert s3.count("GET") == 1


def test_a_small_archive_is_one_request(s3: S3, archive: Path) -> None:
    for contents in ({}, {"a": b"a"}):
        archive.write_bytes(pack(contents))
        s3.forget()
        report = parazip.push(archive, URL)
        assert [request.what for request in s3.requests] == ["HEAD", "PUT"]
        assert read_object(s3) == pack(contents)
        assert report.sent == report.size


def test_what_is_no_archive_is_replaced(s3: S3, archive: Path) -> None:
    archive.write_bytes(pack())
    s3.system.pipe(URL, bytes(200_000))
    report = parazip.push(archive, URL)
    assert report.sent == report.size
    assert report.notes == (f"what stands at {URL} is no archive, so all is sent",)
    assert read_object(s3) == pack()


def test_an_odd_archive_is_pushed_as_it_is(s3: S3, archive: Path) -> None:
    """What two readers may understand in two ways is not for `push` to judge."""
    hidden = pack_archive({"hidden": NOISE})[: SIZE + 40]
    for contents in (CONTENTS, change(NAMES[20])):
        archive.write_bytes(hidden + pack(contents))
        with pytest.raises(parazip.BadArchiveError):
            parazip.list_members(archive)
        report = parazip.push(archive, URL)
        assert read_object(s3) == archive.read_bytes()
    assert report.sent < 2 * LEAST


@pytest.mark.slow
def test_a_wide_archive(s3: S3, archive: Path) -> None:
    """Zip64 fields in local headers make records longer."""
    for contents in (CONTENTS, change(NAMES[20])):
        with zipfile.ZipFile(archive, "w") as made:
            for name, data in contents.items():
                with made.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                    member.write(data)
        report = parazip.push(archive, URL)
        assert read_object(s3) == archive.read_bytes()
    assert report.sent < LEAST + 4_000


@pytest.mark.slow
def test_many_members(s3: S3, archive: Path) -> None:
    """More than fit without zip64 records at the end."""
    contents = {f"{number:05}": b"%05d" % number for number in range(70_000)}
    for number in (b"", b"new"):
        archive.write_bytes(pack({**contents, "35000": number}))
        report = parazip.push(archive, URL)
        assert read_object(s3) == archive.read_bytes()
    assert report.sent < LEAST + 60 * 70_000


# What looks the same and is not


def split_stored(data: bytes, at: int) -> bytes:
    """A deflate stream of two stored blocks (RFC 1951, 3.2.4)."""
    made = b""
    for is_last, piece in ((0, data[:at]), (1, data[at:])):
        length = len(piece)
        made += bytes([is_last]) + length.to_bytes(2, "little")
        made += (length ^ 0xFFFF).to_bytes(2, "little") + piece
    return made


def pack_split(at: int, number: int) -> bytes:
    """An archive in which one member is split elsewhere than all others."""
    return pack_deflated(
        {
            name: (
                split_stored(data, at if name == NAMES[number] else 100),
                zlib.crc32(data),
                len(data),
            )
            for name, data in CONTENTS.items()
        }
    )


def test_what_another_compressor_made_is_found_out(s3: S3, archive: Path) -> None:
    """Names, CRC-32s, sizes and lengths are the same, and the compressed bytes are not."""
    s3.system.pipe(URL, pack_split(100, 20))
    archive.write_bytes(pack_split(101, 20))
    s3.forget()
    report = parazip.push(archive, URL)
    assert read_object(s3) == archive.read_bytes()
    assert report.sent + report.copied == report.size
    assert 100_000 < report.sent < 260_000  # one part
    (note,) = report.notes
    assert note.endswith("bytes looked the same by both directories and were not, and were sent")


FORGED = (0xEDB88320 << 1 | 1).to_bytes(5, "little")
"""What CRC-32 does not see: its polynomial, first bit first."""


def test_a_forged_member_is_found_out(s3: S3, archive: Path) -> None:
    """CRC-32 is linear: other contents with the same one leave that of the archive as it was."""
    data = CONTENTS[NAMES[20]]
    forged = bytes(a ^ b for a, b in zip(data, FORGED, strict=False)) + data[len(FORGED) :]
    assert forged != data
    assert zlib.crc32(forged) == zlib.crc32(data)
    for contents in (CONTENTS, {**CONTENTS, NAMES[20]: forged}):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as stored:
            for name, member in contents.items():
                stored.writestr(zipfile.ZipInfo(name), member)
        archive.write_bytes(made.getvalue())
        report = parazip.push(archive, URL)
        s3.put_without_crc(URL, read_object(s3))
    assert report.notes
    assert read_object(s3) == made.getvalue()


Answer = dict[str, Any]
Edit = Callable[[Answer, bytes], object]


@pytest.fixture
def answering(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[Answer, bytes], object]], None]:
    """Changes what the store answers to copies; what it is called with has the copied bytes."""
    ask = Multipart._ask

    def install(edit: Edit) -> None:
        async def answer(store: Any, method: str, **arguments: Any) -> Any:
            told = await ask(store, method, **arguments)
            if method == "upload_part_copy":
                begin, end = arguments["CopySourceRange"].removeprefix("bytes=").split("-")
                found = await store._system._cat_file(store._path)
                edit(told, found[int(begin) : int(end) + 1])
            return told

        monkeypatch.setattr(Multipart, "_ask", answer)

    return install


def tell_crc(answer: Answer, data: bytes) -> None:
    crc = zlib.crc32(data).to_bytes(4, "big")
    answer["CopyPartResult"]["ChecksumCRC32"] = base64.b64encode(crc).decode()


def encrypt(answer: Answer, data: bytes) -> None:
    answer["ServerSideEncryption"] = "aws:kms"
    answer["CopyPartResult"]["ETag"] = '"d41d8cd98f00b204e9800998ecf8427e"'
    tell_crc(answer, data)


def tell_nothing(answer: Answer, data: bytes) -> None:
    answer["ServerSideEncryption"] = "aws:kms"


@pytest.mark.parametrize(
    ("edit", "copies"),
    [pytest.param(tell_crc, True, marks=pytest.mark.slow), (tell_nothing, False)],
)
def test_what_the_store_tells_counts(
    s3: S3, archive: Path, answering: Callable[[Edit], None], edit: Edit, copies: bool
) -> None:
    """Its CRC-32, and the ETag unless that stands for encrypted bytes; or else all is sent."""
    s3.system.pipe(URL, pack())
    archive.write_bytes(pack(change(NAMES[20])))
    answering(edit)
    report = parazip.push(archive, URL)
    assert read_object(s3) == archive.read_bytes()
    assert bool(report.copied) == copies
    assert len(report.notes) == (not copies)


@pytest.mark.parametrize("split", [100, 101])
def test_encrypted_parts_are_known_by_their_crc(
    s3: S3,
    archive: Path,
    answering: Callable[[Edit], None],
    split: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their ETags are not the MD5 of their bytes."""
    s3.put_without_crc(URL, pack_split(100, 20))
    archive.write_bytes(pack_split(split, 20))
    complete = Multipart._complete

    async def put_back(store: Any, parts: Any, crc: int) -> None:
        """moto compares ETags in the end."""
        listed = await store._ask("list_parts", UploadId=(await store._find_upload())["UploadId"])
        etags = {part["PartNumber"]: part["ETag"] for part in listed["Parts"]}
        await complete(store, [part._replace(etag=etags[part.number]) for part in parts], crc)

    monkeypatch.setattr(Multipart, "_complete", put_back)
    answering(encrypt)
    report = parazip.push(archive, URL)
    assert read_object(s3) == archive.read_bytes()
    assert report.copied > 500_000
    assert bool(report.notes) == (split == 101)


# The command


def test_the_command(s3: S3, archive: Path) -> None:
    """Its limits are the real ones, so it sends a small archive at once."""
    archive.write_bytes(pack())
    done = run_parazip("push", "--json", "a.zip", URL, cwd=archive.parent)
    told = json.loads(done.out)
    assert (done.code, told["archive"], told["sent"], told["dry_run"]) == (
        0,
        "a.zip",
        803942,
        False,
    )
    assert read_object(s3) == pack()


@pytest.mark.slow
def test_a_dry_run_writes_nothing(s3: S3, archive: Path) -> None:
    archive.write_bytes(pack())
    done = run_parazip("push", "-n", "a.zip", URL, cwd=archive.parent)
    assert (done.code, done.err) == (0, "")
    assert done.out.decode() == (
        f"would push a.zip to {URL}: 804 kB sent, 0 B copied there (804 kB)\n"
    )
    assert not s3.system.exists(URL)


@pytest.mark.slow
def test_the_command_pushes_what_comes_through_a_pipe(s3: S3, tmp_path: Path) -> None:
    done = run_parazip("push", "-", URL, cwd=tmp_path, stdin=pack({"a": b""}))
    assert done.err.startswith(f"pushed - to {URL}: 102 B sent, 0 B copied there (102 B) in ")
    assert read_object(s3) == pack({"a": b""})


def test_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, Any] = {"archive": "a.pex", "url": "s3://b/a\x1b.pex", "size": 626_000_000}
    done = parazip.PushReport(
        **facts, sent=3_100_000, copied=622_900_000, requests=30, seconds=2.0, notes=("Odd.",)
    )
    same = parazip.PushReport(**facts, sent=0, copied=0, requests=1, seconds=0.1)
    with Display("plain") as display:
        for report in (done, same):
            display.show_pushed(report)
            display.show_push_preview(report)
    told = capsys.readouterr()
    needless = "nothing to send: s3://b/a\ufffd.pex has all of a.pex already (626 MB)"
    pushed = "a.pex to s3://b/a\ufffd.pex: 3.1 MB sent, 623 MB copied there (626 MB)"
    assert told.out.splitlines() == [f"would push {pushed}", needless]
    assert told.err.splitlines() == [
        f"pushed {pushed} in 2.0 s",
        "parazip: Odd.",
        "parazip: Odd.",
        needless,
    ]
    with Display("json") as display:
        display.show_pushed(same)
    assert json.loads(capsys.readouterr().err)["event"] == "done"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.zip", "https://user:secret@host/a"], "cannot push to https://user:***@host/a: it has"),
        (["a.zip", "gs://bucket/a"], "cannot push to gs://bucket/a: it has to be s3://bucket/name"),
        (["a.zip", "b.zip"], "cannot push to b.zip: it has to be s3://bucket/name, as only S3"),
        (["a.zip", "s3://bucket"], "cannot write s3://bucket: it is a folder or a bucket"),
        ([URL, URL], "is a URL; name an archive on this system"),
        (["missing.zip", URL], "cannot read missing.zip: No such file"),
        (["noise.zip", URL], "noise.zip is not a zip archive or was cut off"),
    ],
)
def test_what_cannot_be_pushed_is_told(
    s3: S3, archive: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_bytes(pack({}))
    (archive.parent / "noise.zip").write_bytes(NOISE)
    monkeypatch.chdir(archive.parent)
    for act in (parazip.push, parazip.preview_push):
        with pytest.raises(parazip.ParazipError, match=re.escape(told)) as error:
            act(*words)
        assert "secret" not in str(error.value)
