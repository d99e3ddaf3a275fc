"""Members that are copied: fresh headers, the same compressed bytes, and nothing that is stale."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import shutil
import struct
import subprocess
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import BadArchiveError, Settings, SourceChangedError, archives, copying, files
from parazip import output as output_module
from parazip.codecs import checksums, levels
from parazip.codecs.sizes import BLOCK
from parazip.contents import RANGE
from parazip.format.records import pack_central_header, pack_end_records, pack_local_header
from parazip.format.values import DEFLATED, STORED, Record
from parazip.model import ArchiveMember, File, Member, Range
from parazip.output import Pipe
from parazip.plan import CopyBatch
from parazip.settings import MIB
from parazip.testing import ShortOutput, SparseOutput
from readers import ENVIRONMENT, programs

MOMENT = (2021, 3, 4, 5, 6, 8)
DATE = 0x5264_28C4
FILE, FOLDER, LINK = 0o100644 << 16, 0o040755 << 16 | 0x10, 0o120777 << 16
DESCRIPTOR, UTF8 = 1 << 3, 1 << 11
LIMIT = 0xFFFFFFFF
NOISE = random.Random(1).randbytes(3 * MIB)
"""Bytes that do not shrink."""
LINES = b"".join(b"line %d of a text that shrinks\n" % i for i in range(90_000))


def packing_to(size: int) -> bytes:
    """Contents of which zipfile makes `size` deflated bytes."""
    for shrinking in range(3000, 3100):
        length = size
        for _ in range(8):
            data = LINES[:shrinking] + NOISE[:length]
            missing = size - len(zlib.compress(data, 6, -15))
            if not missing:
                return data
            length += missing
    raise AssertionError(f"nothing packs to {size} bytes")


AROUND = (RANGE - 1, RANGE, RANGE + 1)
"""Compressed sizes; from the last on a member goes from file to file."""
STORED_MEMBERS = {
    "empty": b"",
    "one byte": b"1",
    "text.txt": LINES[:5000],
    "folder/": b"",
    "folder/in it": b"inside",
    "gr\u00fc\u00df/\u4e2d\U0001f600": b"named",
    **{f"stored {size}": NOISE[:size] for size in AROUND},
    "last": NOISE[:3000],
}
DEFLATED_MEMBERS = {
    "empty": b"",
    "one byte": b"1",
    "text.txt": LINES,
    "folder/": b"",
    "gr\u00fc\u00df/\u4e2d\U0001f600": LINES[:99],
    **{f"deflated {size}": packing_to(size) for size in AROUND},
    "last": LINES[:3000],
}


class OneWay(io.RawIOBase):
    """A file that cannot seek, like a pipe: zipfile writes data descriptors to it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def zipped(
    members: Mapping[str, bytes],
    method: int = DEFLATED,
    *,
    zip64: bool = False,
    one_way: bool = False,
    extra: bytes = b"",
    comment: bytes = b"",
    front: bytes = b"",
) -> bytes:
    """An archive by zipfile, with all that a copy is to leave behind."""
    file: Any = OneWay() if one_way else io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = comment
        for name, data in members.items():
            info = zipfile.ZipInfo(name, MOMENT)
            info.external_attr = FOLDER if info.is_dir() else FILE
            info.compress_type = STORED if info.is_dir() else method
            info.extra, info.comment = extra, comment
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return front + (bytes(file.data) if one_way else file.getvalue())


class Raw(NamedTuple):
    """One member as it stands in an archive, both headers taken apart here.

    Attributes:
        local: the local header's fixed fields but signature and lengths.
        local_extra: its extra field.
        data: the compressed bytes.
        end: where they end.
    """

    info: zipfile.ZipInfo
    local: tuple[int, ...]
    local_name: bytes
    local_extra: bytes
    data: bytes
    end: int


def raw(archive: bytes) -> list[Raw]:
    found = []
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.testzip() is None
        infos = read.infolist()
    for info in infos:
        at = info.header_offset
        signature, *local, name, extra = struct.unpack_from("<4s5H3I2H", archive, at)
        assert signature == b"PK\3\4"
        begin = at + 30 + name + extra
        data = archive[begin : begin + info.compress_size]
        names = archive[at + 30 : at + 30 + name], archive[at + 30 + name : begin]
        found.append(Raw(info, tuple(local), *names, data, begin + info.compress_size))
    return found


def assert_fresh(archive: bytes, begin: int = 0) -> None:
    """Records lie side by side, and say what is true of their members and nothing else."""
    for member in raw(archive):
        info = member.info
        assert info.header_offset == begin
        begin = member.end
        time, date = struct.pack("<I", DATE)[:2], struct.pack("<I", DATE)[2:]
        flags = 0 if info.filename.isascii() else UTF8
        assert member.local == (
            20, flags, info.compress_type, int.from_bytes(time, "little"),
            int.from_bytes(date, "little"), info.CRC, info.compress_size, info.file_size,
        )  # fmt: skip
        assert (member.local_name, member.local_extra) == (info.filename.encode(), b"")
        assert (info.extract_version, info.create_version, info.create_system) == (20, 20, 3)
        assert (info.flag_bits, info.extra, info.comment) == (flags, b"", b"")
        assert (info.volume, info.internal_attr, info.date_time) == (0, 0, MOMENT)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert (read.start_dir, read.comment) == (begin, b"")
        names = sum(len(info.filename.encode()) for info in read.infolist())
        count = len(read.infolist())
    assert len(archive) == begin + 46 * count + names + 22


def merged(sources: Iterable[Any], settings: Settings | None = None, **more: Any) -> bytes:
    output = io.BytesIO()
    parazip.merge(output, sources, settings, **more)
    return output.getvalue()


# Headers and bytes

SOURCES: dict[str, tuple[Mapping[str, bytes], dict[str, Any]]] = {
    "stored": (STORED_MEMBERS, {}),
    "deflated": (DEFLATED_MEMBERS, {}),
    "zip64": (DEFLATED_MEMBERS, {"zip64": True}),
    "zip64, stored": (STORED_MEMBERS, {"zip64": True}),
    "zip64 in the directory": (DEFLATED_MEMBERS, {"extra": struct.pack("<2H", 1, 0)}),
    "descriptors": (DEFLATED_MEMBERS, {"one_way": True}),
    "descriptors, stored": (STORED_MEMBERS, {"one_way": True}),
    "descriptors, zip64": (DEFLATED_MEMBERS, {"one_way": True, "zip64": True}),
    "descriptors, zip64, stored": (STORED_MEMBERS, {"one_way": True, "zip64": True}),
    "extra fields": (DEFLATED_MEMBERS, {"extra": struct.pack("<2HI", 0x5455, 4, 7)}),
    "long extra fields": (STORED_MEMBERS, {"extra": bytes(60_000)}),
    "comments": (DEFLATED_MEMBERS, {"comment": b"PK\1\2 of a comment"}),
    "in front": (STORED_MEMBERS, {"front": b"#!/bin/sh\nexit\n"}),
}


def source_archive(name: str) -> bytes:
    members, options = SOURCES[name]
    return zipped(members, STORED if members is STORED_MEMBERS else DEFLATED, **options)


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.zip"
    path.write_bytes(source_archive(request.param))
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_has_what_a_copy_must_not_have(name: str) -> None:
    """Archives that are like ours would show little."""
    options = SOURCES[name][1]
    data = source_archive(name)
    files = [member for member in raw(data) if not member.info.is_dir()]
    assert {member.info.compress_size for member in files}.issuperset(AROUND)
    is_one_way = options.get("one_way", False)
    for _, local, _, extra, _, _ in files:
        assert bool(local[1] & DESCRIPTOR) == is_one_way
        assert local[5] == 0 or not is_one_way
        assert extra.startswith(b"\1\0\x10\0") == options.get("zip64", False)
        assert extra.endswith(options.get("extra", b""))
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert all(info.comment == options.get("comment", b"") for info in read.infolist())
        assert (read.infolist()[0].header_offset > 0) == ("front" in options)


@pytest.mark.parametrize("check_crc", [False, True])
def test_headers_are_fresh_and_compressed_bytes_the_same(source: Path, check_crc: bool) -> None:
    made = merged([source], check_crc=check_crc)
    assert_fresh(made)
    before, after = raw(source.read_bytes()), raw(made)
    for old, new in zip(before, after, strict=True):
        assert old.info.filename == new.info.filename
        assert old.info.compress_type == new.info.compress_type
        assert (old.info.CRC, old.info.file_size) == (new.info.CRC, new.info.file_size)
        assert old.info.external_attr == new.info.external_attr
        assert old.data == new.data


def test_a_copy_of_a_copy_is_the_same(source: Path, tmp_path: Path) -> None:
    parazip.merge(tmp_path / "first.zip", [source])
    parazip.merge(tmp_path / "second.zip", [tmp_path / "first.zip"])
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_the_report_counts_what_was_copied(tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(zipped(DEFLATED_MEMBERS))
    report = parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"])
    infos = [member.info for member in raw((tmp_path / "o.zip").read_bytes())]
    size = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    assert (report.members, report.bytes_in) == (len(infos), size)
    assert report.codecs == {"copied": parazip.Tally(len(infos), size, packed)}
    assert report.bytes_out == (tmp_path / "o.zip").stat().st_size


def by_hand(*members: tuple[Record, bytes], system: int = 3) -> bytes:
    """An archive of records that say what they like; only their offsets are set right."""
    headers, body = b"", bytearray()
    for record, data in members:
        header = pack_central_header(record._replace(offset=len(body)))
        headers += header[:5] + bytes([system]) + header[6:]
        body += pack_local_header(record, False) + data
    return bytes(body) + headers + pack_end_records(len(members), len(headers), len(body))


def record(name: bytes, data: bytes, attributes: int = FILE, flags: int = 0) -> Record:
    crc, size = zlib.crc32(data), len(data)
    return Record(name, flags, STORED, DATE, crc, size, size, attributes, 0)


UNIX, DARWIN, DOS = 3, 19, 0

# Name, flags, system, external attributes; and what they become: name and attributes.
ATTRIBUTES: dict[str, tuple[bytes, int, int, int, str, int]] = {
    "file": (b"a", 0, UNIX, FILE, "a", FILE),
    "executable": (b"a", 0, UNIX, 0o100755 << 16, "a", 0o100755 << 16),
    "setuid": (b"a", 0, UNIX, 0o104711 << 16, "a", 0o104711 << 16),
    "no kind": (b"a", 0, UNIX, 0o600 << 16, "a", 0o100600 << 16),
    "no mode": (b"a", 0, UNIX, 0, "a", FILE),
    "macOS": (b"a", 0, DARWIN, 0o100711 << 16, "a", 0o100711 << 16),
    "DOS": (b"a", 0, DOS, 0x21, "a", FILE),
    "DOS with a mode": (b"a", 0, DOS, 0o100600 << 16, "a", FILE),
    "folder": (b"d/", 0, UNIX, FOLDER, "d/", FOLDER),
    "folder, no bit of DOS": (b"d/", 0, UNIX, 0o040700 << 16, "d/", 0o040700 << 16 | 0x10),
    "folder of DOS": (b"d/", 0, DOS, 0x10, "d/", FOLDER),
    "link": (b"l", 0, UNIX, LINK, "l", LINK),
    "UTF-8": ("\u4e2d".encode(), UTF8, UNIX, FILE, "\u4e2d", FILE),
    "UTF-8 without the flag": ("\u4e2d".encode(), 0, UNIX, FILE, "\u4e2d", FILE),
    "code page 437": (b"gr\x81n", 0, DOS, 0x20, "gr\u00fcn", FILE),
    "ASCII with the flag": (b"a", UTF8, UNIX, FILE, "a", FILE),
}


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_names_and_attributes(tmp_path: Path, case: str) -> None:
    name, flags, system, attributes, new_name, new_attributes = ATTRIBUTES[case]
    data = b"" if name.endswith(b"/") else b"a target"
    path = tmp_path / "s.zip"
    path.write_bytes(by_hand((record(name, data, attributes, flags), data), system=system))
    made = merged([path])
    assert_fresh(made)
    (member,) = raw(made)
    assert (member.info.filename, member.data) == (new_name, data)
    assert member.info.external_attr == new_attributes
    (member,) = raw(merged([("p/\u00fc", path)]))
    assert member.info.filename == "p/\u00fc/" + new_name
    assert member.info.flag_bits == UTF8


def test_a_link_is_a_link_when_it_is_taken_out(tmp_path: Path) -> None:
    if "unzip" not in programs():
        pytest.skip("unzip is not installed")
    link = zipfile.ZipInfo("link", MOMENT)
    link.create_system, link.external_attr = 3, LINK
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(link, "target")
    parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"])
    subprocess.run([programs()["unzip"].command, "-q", "o.zip"], cwd=tmp_path, check=True)
    assert os.readlink(tmp_path / "link") == "target"


def tree(root: Path) -> Mapping[str, bytes]:
    members = {"a.txt": LINES[:200_000], "d/b": NOISE[:1000], "d/empty": b"", "\u4e2d": b"named"}
    for name, data in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return members


WRITERS: dict[str, list[str]] = {
    "zip": ["zip", "-qr", "../s.zip", "."],
    "zip to a pipe": ["sh", "-c", "zip -qr - . | cat > ../s.zip"],
    "zip, zip64": ["zip", "-qr", "-fz", "../s.zip", "."],
    "7z": ["7z", "a", "-tzip", "-bso0", "../s.zip", "."],
    "bsdtar": ["bsdtar", "-cf", "../s.zip", "--format=zip", "a.txt", "d", "\u4e2d"],
    "jar": ["jar", "cf", "../s.zip", "a.txt", "d", "\u4e2d"],
}


@pytest.mark.parametrize("writer", WRITERS)
def test_archives_by_other_people_are_copied(tmp_path: Path, writer: str) -> None:
    if shutil.which(writer.partition(" ")[0].strip(",")) is None:
        pytest.skip(f"{writer} is not installed")
    members = tree(tmp_path / "tree")
    subprocess.run(WRITERS[writer], cwd=tmp_path / "tree", env=ENVIRONMENT, check=True)
    parazip.merge(tmp_path / "o.zip", [tmp_path / "s.zip"], check_crc=True)
    old, new = (raw((tmp_path / name).read_bytes()) for name in ("s.zip", "o.zip"))
    assert [member.data for member in old] == [member.data for member in new]
    for member in new:
        assert (member.local_extra, member.info.extra, member.info.comment) == (b"", b"", b"")
        assert not member.info.flag_bits & DESCRIPTOR
    with zipfile.ZipFile(tmp_path / "o.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert {name: found[name] for name in members} == members


# Where it goes, and how

LARGE = {"large": NOISE, "text": LINES, **{str(size): NOISE[:size] for size in AROUND}}
RANGES = [data for data in LARGE.values() if len(data) > RANGE]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of members that go from file to file, and some that do not."""
    path = tmp_path_factory.mktemp("large") / "large.zip"
    path.write_bytes(zipped({"first": b"1", **LARGE, "last": b"2"}, STORED))
    return path


class Moves:
    """A `copy_file_range` that tells what it was asked for.

    Args:
        move: moves at most so many bytes from one descriptor and place to another descriptor.
        most: what one call moves at most.
        fail_at: which call fails, counted from 1.
    """

    def __init__(
        self,
        move: Callable[[int, int, int, int], int],
        most: int = 1 << 30,
        fail_at: int | None = None,
    ) -> None:
        self._move, self._most, self._fail_at = move, most, fail_at
        self.calls = self.moved = 0

    def __call__(self, source: int, target: int, count: int, offset: int) -> int:
        self.calls += 1
        if self.calls == self._fail_at:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        count = self._move(source, target, min(count, self._most), offset)
        self.moved += count
        return count


def by_hand_move(source: int, target: int, count: int, offset: int) -> int:
    """Does what the system does, also where it cannot."""
    return os.write(target, os.pread(source, count, offset))


SIZE_OF_RANGES = sum(map(len, RANGES))
# What moves bytes, and how many of them.
MOVES: dict[str, tuple[Callable[[], Moves | None], int | None]] = {
    "off": (lambda: None, None),
    "the system": (lambda: Moves(os.copy_file_range), SIZE_OF_RANGES),
    "a substitute": (lambda: Moves(by_hand_move), SIZE_OF_RANGES),
    "short counts": (lambda: Moves(by_hand_move, most=70_001), SIZE_OF_RANGES),
    "nothing": (lambda: Moves(lambda *_: 0), 0),
    "fails at once": (lambda: Moves(by_hand_move, fail_at=1), SIZE_OF_RANGES - len(RANGES[0])),
    "fails after some bytes": (
        lambda: Moves(by_hand_move, most=100_000, fail_at=3),
        SIZE_OF_RANGES - len(RANGES[0]) + 200_000,
    ),
    "fails before the last bytes": (
        lambda: Moves(by_hand_move, most=len(RANGES[0]) - 1, fail_at=2),
        SIZE_OF_RANGES - 1,
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_the_system_moves_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: Path, case: str
) -> None:
    make, moved = MOVES[case]
    if case == "the system" and not hasattr(os, "copy_file_range"):
        pytest.skip("the system has no copy_file_range")
    expected = merged([large])
    moves = make()
    monkeypatch.setattr(output_module, "_copy_file_range", moves)
    monkeypatch.setattr(os, "major", lambda device: 0)
    report = parazip.merge(tmp_path / "o.zip", [shutil.copy(large, tmp_path / "s.zip")])
    assert (tmp_path / "o.zip").read_bytes() == expected
    assert report.bytes_out == len(expected)
    if moves is not None:
        assert moves.calls >= len(RANGES)
        assert moves.moved == moved


@pytest.mark.parametrize("case", ["a disk", "an open file"])
def test_the_system_is_not_asked_where_it_is_slower_or_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: Path, case: str
) -> None:
    moves = Moves(by_hand_move)
    monkeypatch.setattr(output_module, "_copy_file_range", moves)
    monkeypatch.setattr(os, "major", lambda device: 8 * (case == "a disk"))
    expected = merged([large])
    if case == "a disk":
        parazip.merge(tmp_path / "o.zip", [shutil.copy(large, tmp_path / "s.zip")])
    else:
        with open(tmp_path / "o.zip", "wb") as file:
            parazip.merge(file, [shutil.copy(large, tmp_path / "s.zip")])
    assert (tmp_path / "o.zip").read_bytes() == expected
    assert moves.calls == 0


def to_bytes_io(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(output)
    return output.getvalue()


def to_one_way(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = OneWay()
    merge(output)
    return bytes(output.data)


def to_short(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(ShortOutput(output, 99_991))
    return output.getvalue()


def to_pipe_object(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(Pipe(output, "-"))
    return output.getvalue()


def to_pipe(path: Path, merge: Callable[[Any], object]) -> bytes:
    read, write = os.pipe()
    found = []

    def drain() -> None:
        with open(read, "rb") as file:
            found.append(file.read())

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        with open(write, "wb") as file:
            merge(file)
    finally:
        reader.join()
    return found[0]


def to_path(path: Path, merge: Callable[[Any], object]) -> bytes:
    merge(path)
    return path.read_bytes()


def to_file(path: Path, merge: Callable[[Any], object]) -> bytes:
    with open(path, "w+b") as file:
        merge(file)
    return path.read_bytes()


def to_raw_file(path: Path, merge: Callable[[Any], object]) -> bytes:
    with open(path, "wb", buffering=0) as file:
        merge(file)
    return path.read_bytes()


OUTPUTS = (to_one_way, to_short, to_pipe_object, to_pipe, to_path, to_file, to_raw_file)


@pytest.mark.parametrize("to", OUTPUTS)
def test_each_output_gets_the_same_bytes(
    tmp_path: Path, large: Path, to: Callable[[Path, Callable[[Any], object]], bytes]
) -> None:
    """No descriptors on a pipe either: of what is copied all is known before."""
    expected = to_bytes_io(tmp_path, lambda output: parazip.merge(output, [large]))
    assert_fresh(expected)
    assert to(tmp_path / "o.zip", lambda output: parazip.merge(output, [large])) == expected


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, large: Path) -> list[Any]:
    """Sources of many small members, of large ones, and a folder in between."""
    root = tmp_path_factory.mktemp("mixed")
    source = random.Random(3)
    small: dict[str, bytes] = {}
    for i in range(700):
        begin = source.randrange(len(LINES) - 9000)
        small[f"{i:03}/"] = b""
        small[f"{i:03}/{i}.txt"] = LINES[begin : begin + source.randrange(9000)]
    (root / "small.zip").write_bytes(zipped(small))
    (root / "stored.zip").write_bytes(zipped(small, STORED, one_way=True))
    (root / "tree" / "empty").mkdir(parents=True)
    (root / "tree" / "text").write_bytes(LINES)
    (root / "tree" / "noise").write_bytes(NOISE)
    for i in range(300):
        (root / "tree" / f"{i}").write_bytes(LINES[i : i + 1000])
    (root / "none.zip").write_bytes(zipped({}))
    names = ("small.zip", "none.zip", "tree", "stored.zip")
    return [(name.partition(".")[0], root / name) for name in names] + [large]


@pytest.mark.parametrize("check_crc", [False, True])
def test_jobs_and_memory_never_change_a_byte(mixed: list[Any], check_crc: bool) -> None:
    expected = merged(mixed, Settings(jobs=1))
    for jobs, memory in itertools.product((1, 2, 8), (MIB, 8 * MIB, Settings().memory)):
        settings = Settings(jobs=jobs, memory=memory)
        assert merged(mixed, settings, check_crc=check_crc) == expected, settings
    with zipfile.ZipFile(io.BytesIO(expected)) as archive:
        assert archive.testzip() is None
        assert len(archive.infolist()) == 2 * 1400 + 303 + len(LARGE) + 2


# Archives that change

SMALL_AND_LARGE = {f"{i}": LINES[i : i + 100] for i in range(600)} | {
    "large": NOISE[: RANGE + 1],
    "last": b"2",
}


def rewritten(path: Path) -> None:
    path.write_bytes(zipped({"another": b"one", **SMALL_AND_LARGE}))


def rewritten_in_place(path: Path) -> None:
    """The same size and time; only the system's own time of change tells."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        with open(path, "r+b") as file:
            file.write(bytes(100))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def data_rewritten_in_place(path: Path) -> None:
    """As above, and all headers stay as they are."""
    before = path.stat()
    begin = path.read_bytes().index(NOISE[:100])
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        with open(path, "r+b") as file:
            file.seek(begin)
            file.write(bytes(100))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_at_its_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def grown(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    """By a file of the same bytes and time."""
    other = path.with_suffix(".new")
    shutil.copy2(path, other)
    other.rename(path)


def touched(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


CHANGES = (
    rewritten, rewritten_in_place, data_rewritten_in_place, truncated, cut_at_its_end, emptied,
    grown, replaced, touched,
)  # fmt: skip


@contextmanager
def nothing_written(path: Path) -> Iterator[None]:
    """In the block what stands at `path` stays as it is, and nothing comes beside it."""
    path.write_bytes(b"what stood there before")
    before = sorted(path.parent.iterdir())
    yield
    assert path.read_bytes() == b"what stood there before"
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("check_crc", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_changes_before_it_is_copied_is_an_error(
    tmp_path: Path, change: Callable[[Path], None], check_crc: bool
) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped(SMALL_AND_LARGE))

    def sources() -> Iterator[Path]:
        yield path
        change(path)  # by now it has been looked at

    with (
        nothing_written(tmp_path / "o.zip"),
        pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read") as error,
    ):
        parazip.merge(tmp_path / "o.zip", sources(), check_crc=check_crc)
    assert error.value.member == str(path)


@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_changes_while_it_is_copied_is_an_error(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped(SMALL_AND_LARGE))
    told: list[parazip.Progress] = []

    def sink(progress: parazip.Progress) -> None:
        if not told:
            change(path)
        told.append(progress)

    with (
        nothing_written(tmp_path / "o.zip"),
        pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read"),
    ):
        parazip.merge(tmp_path / "o.zip", [path], progress=sink)
    assert told[0].members < told[0].members_total


def test_an_archive_that_is_removed_before_it_is_copied_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped(SMALL_AND_LARGE))

    def sources() -> Iterator[Path]:
        yield path
        path.unlink()

    with pytest.raises(parazip.SourceError, match=r"cannot read .*s\.zip: No such file"):
        parazip.merge(tmp_path / "o.zip", sources())
    assert list(tmp_path.iterdir()) == []


# Contents that are checked

VICTIMS: dict[str, tuple[int, bytes]] = {
    "stored, small": (STORED, LINES[:5000]),
    "stored, just in memory": (STORED, NOISE[:RANGE]),
    "stored, large": (STORED, NOISE[: RANGE + 1]),
    "stored, in chunks": (STORED, NOISE[: 2 * MIB + 1]),
    "deflated, small": (DEFLATED, LINES[:5000]),
    "deflated, just in memory": (DEFLATED, packing_to(RANGE)),
    "deflated, large": (DEFLATED, packing_to(RANGE + 1)),
    "deflated, in chunks": (DEFLATED, LINES[:20_000] + NOISE[: 2 * MIB + 1]),
}


def placed(archive: bytes, name: str) -> tuple[int, int]:
    """Where the compressed bytes of a member begin and end."""
    (member,) = (member for member in raw(archive) if member.info.filename == name)
    return member.end - len(member.data), member.end


def flipped(archive: bytes, at: int) -> bytes:
    return archive[:at] + bytes([archive[at] ^ 4]) + archive[at + 1 :]


@pytest.mark.parametrize("place", ["begin", "middle", "end"])
@pytest.mark.parametrize("case", VICTIMS)
def test_a_flipped_bit_is_found_when_it_is_looked_for(
    tmp_path: Path, case: str, place: str
) -> None:
    method, data = VICTIMS[case]
    path = tmp_path / "s.zip"
    good = zipped({"before": b"1", "vic/tim": data, "after": b"2"}, method)
    begin, end = placed(good, "vic/tim")
    at = {"begin": begin, "middle": (begin + end) // 2, "end": end - 1}[place]
    path.write_bytes(flipped(good, at))
    offset = begin - len("vic/tim") - 30
    with (
        nothing_written(tmp_path / "o.zip"),
        pytest.raises(BadArchiveError, match=f"data of vic/tim at offset {offset}: ") as error,
    ):
        parazip.merge(tmp_path / "o.zip", [path], check_crc=True)
    assert error.value.member == "vic/tim"
    # Without being asked nobody looks, and what is copied is what stood there.
    assert merged([path])[begin:end] == path.read_bytes()[begin:end]


def claimed(packed: bytes, data: bytes, size: int | None = None) -> bytes:
    """An archive of one deflated member, whatever its bytes are."""
    length = len(data) if size is None else size
    made = Record(b"m", 0, DEFLATED, DATE, zlib.crc32(data), len(packed), length, FILE, 0)
    return by_hand((made, packed), (record(b"n", b"1"), b"1"))


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 6, -15)


def zeros(count: int) -> bytes:
    """A deflate stream of `count` MiB of zeros, made without making them."""
    stream = zlib.compressobj(6, DEFLATED, -15)
    first = stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return first * count + stream.flush()


TO_CHUNK = packing_to(MIB)
SMALL_TEXT = LINES[:9000]
GOES_ON, NO_END = ".* goes on where it should end", ".* does not end"
# The compressed bytes, the contents that are claimed, and what is told.
LIES: dict[str, tuple[bytes, bytes, str]] = {
    "ends early": (deflated(SMALL_TEXT)[:-1], SMALL_TEXT, NO_END),
    "ends early, large": (deflated(NOISE[:300_000])[:-1], NOISE[:300_000], NO_END),
    "ends at a chunk": (deflated(NOISE)[:MIB], NOISE, NO_END),
    "goes on": (deflated(SMALL_TEXT) + b"\0", SMALL_TEXT, GOES_ON),
    "goes on, large": (deflated(NOISE[:300_000]) + b"\0", NOISE[:300_000], GOES_ON),
    "goes on in the next chunk": (deflated(TO_CHUNK) + b"\0", TO_CHUNK, GOES_ON),
    "two streams": (deflated(SMALL_TEXT) * 2, SMALL_TEXT, GOES_ON),
    "two streams, one in a chunk": (deflated(TO_CHUNK) * 2, TO_CHUNK, GOES_ON),
    "a byte more": (deflated(SMALL_TEXT + b"x"), SMALL_TEXT, GOES_ON),
    "a byte less": (deflated(SMALL_TEXT[:-1]), SMALL_TEXT, "expected CRC .* of 9000 bytes, found"),
    "1 GiB more": (zeros(1024), b"\0", GOES_ON),
}


@pytest.mark.parametrize("case", LIES)
def test_a_deflate_stream_that_is_not_what_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    packed, data, told = LIES[case]
    path = tmp_path / "s.zip"
    path.write_bytes(claimed(packed, data))
    inflated, crc32 = [], checksums.crc32

    def counted(data: Any, crc: int = 0) -> int:
        inflated.append(len(data))
        return crc32(data, crc)

    monkeypatch.setattr(checksums, "crc32", counted)
    with (
        nothing_written(tmp_path / "o.zip"),
        pytest.raises(BadArchiveError, match=f"data of m at offset 0: {told}") as error,
    ):
        parazip.merge(tmp_path / "o.zip", [path], check_crc=True)
    assert error.value.member == "m"
    assert sum(inflated) <= len(data) + BLOCK + 1
    monkeypatch.undo()
    copied = merged([path])
    assert copied[31 : 31 + len(packed)] == packed


@pytest.mark.parametrize("kind", ["zeros", "pattern", "repeats"])
@pytest.mark.parametrize("more", [-1, 0, 1, 99, 258, 1000, 10_000])
def test_what_inflates_to_blocks_and_some_bytes_more_is_right(
    tmp_path: Path, kind: str, more: int
) -> None:
    pattern = {"zeros": bytes(9), "pattern": b"abc", "repeats": LINES[:200]}[kind]
    contents = (pattern * (3 * MIB // len(pattern)))[: 2 * BLOCK + more]
    assert len(contents) == 2 * BLOCK + more
    (tmp_path / "s.zip").write_bytes(zipped({"m": contents}))
    assert_fresh(merged([tmp_path / "s.zip"], check_crc=True))


# 4 GiB


@pytest.mark.parametrize("offset", [LIMIT - 1, LIMIT, 1 << 32, 1 << 40])
def test_a_copied_member_behind_4_gib(tmp_path: Path, offset: int) -> None:
    (tmp_path / "s.zip").write_bytes(zipped(DEFLATED_MEMBERS, zip64=True))
    output = SparseOutput()
    output.seek(offset)
    parazip.merge(output, [tmp_path / "s.zip"])
    with zipfile.ZipFile(output) as archive:
        infos = archive.infolist()
        assert {info.filename: archive.read(info) for info in infos} == DEFLATED_MEMBERS
    assert infos[0].header_offset == offset
    for info in infos:
        output.seek(info.header_offset + 28)
        assert output.read(2) == b"\0\0"
        assert info.extract_version == (45 if info.header_offset >= LIMIT else 20)


def sparse(path: Path, method: int, size: int, compressed_size: int) -> File:
    """An archive of a huge member that is a hole in the file, and of a small one."""
    huge = Record(b"huge", 0, method, DATE, 7, compressed_size, size, FILE, 0)
    with open(path, "wb") as file:
        file.write(pack_local_header(huge, max(size, compressed_size) >= LIMIT))
        begin = file.seek(compressed_size, os.SEEK_CUR)
        small = record(b"small", b"1")._replace(offset=begin)
        file.write(pack_local_header(small, False) + b"1")
        directory = pack_central_header(huge) + pack_central_header(small)
        place = file.tell()
        file.write(directory + pack_end_records(2, len(directory), place))
    return files.describe_file(str(path), path.stat())


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 5 << 30])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_copied_member_of_4_gib(tmp_path: Path, method: int, size: int) -> None:
    """Looked at as the part that is to be written: the bytes themselves are no affair of it."""
    packed = size if method == STORED else size // 1000
    archive = sparse(tmp_path / "s.zip", method, size, packed)
    entries = archives.read_entries(archive)
    members = [Member("p/" + e.name, ArchiveMember(archive, e), FILE, DATE) for e in entries]
    part = copying.copy_batch(
        CopyBatch(members, levels.choose_recipe(6, "auto"), False, size + 1, 1)
    )
    assert part is not None
    header, data, rest = part.data
    is_wide = size >= LIMIT
    local = Record(b"p/huge", 0, method, DATE, 7, packed, size, FILE, 0)
    assert header == pack_local_header(local, is_wide)
    assert len(header) == 30 + 6 + 20 * is_wide
    assert data == Range(archive, 30 + 4 + 20 * is_wide, packed)
    begin = len(header) + packed
    small = record(b"p/small", b"1")._replace(offset=begin)
    assert rest == pack_local_header(small, False) + b"1"
    assert part.directory == pack_central_header(local) + pack_central_header(small)
    assert part.tallies == {"copied": parazip.Tally(2, size + 1, packed + 1)}


def test_a_copied_member_that_inflates_to_more_than_4_gib(tmp_path: Path) -> None:
    archive = sparse(tmp_path / "s.zip", DEFLATED, LIMIT + 1, 5_000_000)
    output = SparseOutput()
    parazip.merge(output, [archive.path])
    with zipfile.ZipFile(output) as read:
        huge, small = read.infolist()
        assert (huge.file_size, huge.compress_size, huge.CRC) == (LIMIT + 1, 5_000_000, 7)
        assert read.read(small) == b"1"
    assert huge.extra == struct.pack("<2HQ", 1, 8, LIMIT + 1)
    output.seek(0)
    assert output.read(54)[30:] == b"huge" + struct.pack("<2H2Q", 1, 16, LIMIT + 1, 5_000_000)


@pytest.mark.parametrize("seed", range(5))
def test_records_in_any_order_are_copied(tmp_path: Path, seed: int) -> None:
    """Their order in the file and in the directory, and their lengths, are not related."""
    chance = random.Random(seed)
    wanted = {f"{i}": NOISE[: chance.choice((0, 9, 4_000, 4_100, 70_000))] for i in range(300)}
    shuffled = tmp_path / "shuffled.zip"
    with zipfile.ZipFile(shuffled, "w") as archive:
        for name, data in wanted.items():
            archive.writestr(name, data)
        chance.shuffle(archive.filelist)
        order = archive.namelist()
    merged = tmp_path / "merged.zip"
    parazip.merge(merged, [shuffled])
    with zipfile.ZipFile(merged) as archive:
        assert archive.namelist() == order
        assert {name: archive.read(name) for name in order} == wanted
