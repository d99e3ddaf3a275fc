"""Large members, inflated by their stretches: as `zipfile` reads them, whatever they are like."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip.codecs import deflating, inflating
from parazip.codecs.sizes import RESTART
from parazip.dropin import ahead
from parazip.extraction import stretches as stretches_module
from parazip.workers.line import Line
from support.patience import HUNG

MIB = 1 << 20

SIZE = 3 * RESTART + 12_345

MADE = random.Random(1)

LINE = b"".join(b"%x of a line\n" % MADE.getrandbits(60) for _ in range(3000))


def make_lines(size: int = SIZE) -> bytes:
    return b"".join(b"%d: %b" % (i, LINE) for i in range(size // len(LINE) + 1))[:size]


def write_large_member(data: bytes, level: int = 1) -> bytearray:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        with archive.open("large", "w", force_zip64=True) as member:
            for start in range(0, len(data), MIB):
                member.write(data[start : start + MIB])
        archive.writestr("small", b"contents")
    return bytearray(output.getvalue())


def archive_of_stream(raw: bytes, crc: int, size: int) -> bytearray:
    """An archive with one member, whose compressed bytes are `raw`."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("large", raw)
    made = bytearray(output.getvalue())
    sizes = struct.pack("<3I", crc, len(raw), size)
    for at, header in ((0, 14), (made.rindex(b"PK\1\2"), 16)):
        made[at + header : at + header + 12] = sizes
        struct.pack_into("<H", made, at + header - 6, zipfile.ZIP_DEFLATED)
    return made


class Outcome(NamedTuple):
    """What extracting and testing came to; what files there are after an error is left open."""

    files: dict[str, int]
    error: str
    tested: str | None


def outcome(kind: Callable[..., zipfile.ZipFile], made: bytes | bytearray, folder: Path) -> Outcome:
    path = folder.with_suffix(".zip")
    path.write_bytes(made)
    error = ""
    with kind(path) as archive:
        try:
            archive.extractall(folder)
        except Exception as caught:
            error = f"{type(caught).__name__}"
        try:
            tested = archive.testzip()
        except Exception as caught:
            tested = f"{type(caught).__name__}"
    files = {file.name: zlib.crc32(file.read_bytes()) for file in folder.iterdir()}
    return Outcome({} if error else files, error, tested)


@pytest.fixture
def stretches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each stretch that was tried stood for itself."""
    tried: list[bool] = []
    inflate = inflating.inflate_stretch

    def counted(data: list[memoryview]) -> inflating.Stretch | None:
        stretch = inflate(data)
        tried.append(stretch is not None)
        return stretch

    monkeypatch.setattr(inflating, "inflate_stretch", counted)
    return tried


def in_two(*args: object, **more: object) -> zipfile.ZipFile:
    return parazip.ZipFile(*args, jobs=2, **more)  # type: ignore[call-overload, no-any-return]


def compared(made: bytes | bytearray, tmp_path: Path) -> Outcome:
    ours = outcome(in_two, made, tmp_path / "ours")
    assert ours == outcome(zipfile.ZipFile, made, tmp_path / "theirs")
    return ours


@pytest.mark.parametrize("level", [0, 1, 6])
def test_a_large_member_is_inflated_by_its_stretches(
    level: int, stretches: list[bool], tmp_path: Path
) -> None:
    data = make_lines()
    ours = compared(write_large_member(data, level), tmp_path)
    assert ours == ({"large": zlib.crc32(data), "small": zlib.crc32(b"contents")}, "", None)
    assert stretches == 2 * [True, True, True]


def test_create_makes_them_too(stretches: list[bool], tmp_path: Path) -> None:
    data = make_lines()
    (tmp_path / "large").write_bytes(data)
    parazip.create(tmp_path / "made.zip", [tmp_path / "large"])
    with in_two(tmp_path / "made.zip") as archive:
        assert archive.testzip() is None
    assert stretches == [True, True, True]
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert archive.read(archive.filelist[-1]) == data


@pytest.mark.parametrize(
    ("memory", "most"), [(MIB, 1), (2 * stretches_module._STRETCH, 2), (MIB << 10, 3)]
)
def test_no_more_are_in_flight_than_memory_is_given_for(
    memory: int, most: int, stretches: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made.zip"
    path.write_bytes(write_large_member(make_lines()))
    given = stretches_module._StretchSource.__next__
    in_flight = []

    def noted(restarts: stretches_module._StretchSource) -> list[memoryview]:
        stretch = given(restarts)
        in_flight.append(restarts.in_flight)
        return stretch

    monkeypatch.setattr(stretches_module._StretchSource, "__next__", noted)
    with parazip.ZipFile(path, jobs=4, memory=memory) as archive:
        assert archive.testzip() is None
    assert stretches == [True, True, True]
    assert len(in_flight) == 3
    assert max(in_flight) <= most


def test_what_contents_have_of_marks_misleads_nobody(stretches: list[bool], tmp_path: Path) -> None:
    """Stored blocks that hold another archive's restarts, which would even inflate."""
    inner = bytes(write_large_member(random.Random(3).randbytes(MIB) + make_lines(), level=1))
    assert inner.count(deflating.SYNC_MARKER) == 3
    data = (random.Random(4).randbytes(5 * MIB + 3) + inner) * 3
    compared(write_large_member(data, level=0), tmp_path)
    assert False in stretches


@pytest.mark.once
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_damaged_stretch_is_damaged_as_ever(at: int, tmp_path: Path) -> None:
    """What comes before it is extracted, and the error is the same."""
    made = write_large_member(make_lines())
    ends = [0]
    while (found := made.find(deflating.SYNC_MARKER, ends[-1])) >= 0:
        ends.append(found + len(deflating.SYNC_MARKER))
    assert len(ends) == 4
    for i in range(40):
        made[ends[at] + 1000 + i] ^= 0x55
    ours = compared(made, tmp_path)
    assert (ours.error, ours.tested) in (("error", "error"), ("BadZipFile", "large"))
    written = (tmp_path / "ours" / "large").read_bytes()
    assert make_lines().startswith(written[: at * RESTART])
    assert len(written) >= at * RESTART


def test_a_wrong_checksum_is_found(stretches: list[bool], tmp_path: Path) -> None:
    made = write_large_member(make_lines())
    made[made.rindex(b"PK\1\2", 0, made.rindex(b"PK\1\2")) + 16] ^= 1
    ours = compared(made, tmp_path)
    assert (ours.error, ours.tested) == ("BadZipFile", "large")
    assert all(stretches)


@pytest.mark.once
@pytest.mark.parametrize("size", [2 * RESTART + 1, SIZE - 1, SIZE, SIZE + 1, 10 * SIZE])
def test_a_size_is_believed_as_ever(size: int, tmp_path: Path) -> None:
    """The contents end where the directory says so, or where they end."""
    data = make_lines()
    raw = stream(data, RESTART)
    made = archive_of_stream(raw, zlib.crc32(data[:size]), size)
    assert compared(made, tmp_path).error == ""


@pytest.mark.once
@pytest.mark.parametrize("cut", [1000, 100_000, len(deflating.SYNC_MARKER)])
def test_a_stream_that_breaks_off(cut: int, tmp_path: Path) -> None:
    data = make_lines()
    raw = stream(data, RESTART)
    if cut == len(deflating.SYNC_MARKER):
        cut = len(raw) - raw.rindex(deflating.SYNC_MARKER) - cut  # right behind a mark
    ours = compared(archive_of_stream(raw[:-cut], zlib.crc32(data), SIZE), tmp_path)
    assert ours.error == "BadZipFile"


def test_a_stream_without_its_end_reads_as_ever(tmp_path: Path) -> None:
    """zlib gives all that is there, ISA-L less: so zlib has the last word."""
    data = make_lines()
    raw = stream(data, RESTART)[:-1]
    got = zlib.decompressobj(-15).decompress(raw)
    made = archive_of_stream(raw, zlib.crc32(got), len(got) + 1000)
    assert compared(made, tmp_path).error == ""


@pytest.mark.parametrize("every", [MIB, 5 * RESTART])
def test_marks_that_stand_elsewhere(every: int, tmp_path: Path) -> None:
    """Streams that others made: stretches may be short, or too large to be inflated at once."""
    data = bytes(SIZE * 2)
    raw = stream(data, every)
    assert compared(archive_of_stream(raw, zlib.crc32(data), len(data)), tmp_path).error == ""


def test_marks_in_a_stream_that_does_not_restart(stretches: list[bool], tmp_path: Path) -> None:
    data = make_lines()
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    raw = b""
    for start in range(0, SIZE, MIB):
        raw += compressor.compress(data[start : start + MIB])
        raw += compressor.flush(zlib.Z_SYNC_FLUSH)
        raw += b"" if (start + MIB) % RESTART else deflating.SYNC_MARKER[4:]
    raw += compressor.flush()
    compared(archive_of_stream(raw, zlib.crc32(data), SIZE), tmp_path)
    assert stretches.count(True) == 2  # the first, which nothing stands before; twice
    assert stretches.count(False) >= 2


def read_by_stretches(made: bytes, every: int) -> bytes | str:
    """The one member of an archive, or why there is none."""
    with (
        mock.patch.object(ahead, "RESTART", every),
        mock.patch.object(stretches_module, "RESTART", every),
        mock.patch.object(inflating, "RESTART", every),
        parazip.ZipFile(io.BytesIO(made)) as archive,
        ahead.opening_with(
            lambda file: ahead.StretchReader(file, Line(2, 4 * stretches_module._STRETCH))
        ),
        archive.open("large") as file,
    ):
        try:
            return read_all(file)
        except ahead.DoubtError:
            return read_in_one(made)


def read_in_one(made: bytes) -> bytes | str:
    with parazip.ZipFile(io.BytesIO(made)) as archive, archive.open("large") as file:
        return read_all(file)


def read_all(file: IO[bytes]) -> bytes | str:
    try:
        return b"".join(iter(lambda: file.read(MIB), b""))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return type(error).__name__


EDITS = st.tuples(
    st.sampled_from(["flip", "cut out", "mark", "restart", "again"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 3000),
)


@given(
    every=st.integers(500, 20_000),
    edits=st.lists(EDITS, max_size=3),
    size=st.one_of(st.just(1.0), st.floats(0, 1.5)),
)
@settings(max_examples=100)
def test_whatever_happened_to_a_stream_it_reads_as_one(
    every: int, edits: list[tuple[str, float, int]], size: float
) -> None:
    data = make_lines(60_000)
    raw = bytearray(stream(data, every))
    for kind, where, length in edits:
        at = int(where * len(raw))
        if kind == "flip":
            raw[at] ^= 1 << length % 8
        elif kind == "cut out":
            del raw[at : at + length]
        elif kind == "mark":
            raw[at:at] = deflating.SYNC_MARKER
        elif kind == "restart":
            raw[at:at] = stream(data[:length], length // 2 + 1) + deflating.SYNC_MARKER
        else:
            raw[at:at] = raw[at : at + length]
    made = bytes(archive_of_stream(bytes(raw), zlib.crc32(data), int(size * len(data))))
    assert read_by_stretches(made, every) == read_in_one(made)


def test_a_stream_of_nothing_but_marks_takes_no_time(stretches: list[bool], tmp_path: Path) -> None:
    data = bytes(SIZE)
    raw = (b"\0\0\0\xff\xff" + deflating.SYNC_MARKER[4:]) * 2000 + zlib.compress(data, 1, -15)
    assert compared(archive_of_stream(raw, zlib.crc32(data), SIZE), tmp_path).error == ""
    assert 2 <= len(stretches) <= 2 * (2 + 2)
    assert not any(stretches)


STARTS = {
    "in a thread that is left": "threading.Thread(target=extract, args=[main.join]).start()",
    "at exit": "atexit.register(extract, bool)",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_extracting_while_python_ends(tmp_path: Path, start: str) -> None:
    (tmp_path / "made.zip").write_bytes(write_large_member(make_lines()))
    program = f"""
import atexit, threading
from parazip import ZipFile
main = threading.main_thread()
def extract(wait):
    wait()
    with ZipFile("made.zip", jobs=2) as archive:
        archive.extractall("into")
        print(archive.testzip())
{start}
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )
    assert done.stdout == "None\n", done.stderr
    assert (tmp_path / "into" / "large").read_bytes() == make_lines()


def stream(data: bytes, every: int) -> bytes:
    """A raw deflate stream that begins afresh so often."""
    pieces = []
    for start in range(0, len(data), every):
        last = start + every >= len(data)
        compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
        pieces.append(compressor.compress(data[start : start + every]))
        pieces.append(compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH))
        pieces.append(b"" if last else deflating.SYNC_MARKER[4:])
    return b"".join(pieces)


def test_marks_are_found_wherever_they_stand() -> None:
    """Also where they are not all in what is read at once, or in what is read last."""
    made = random.Random(5)
    for _ in range(300):
        stretches = [made.randbytes(made.choice((0, 1, 7, 30, 99))) for _ in range(5)]
        joined = deflating.SYNC_MARKER.join(stretches)
        source = Slow(joined, made)
        found = [
            b"".join(stretch)
            for stretch in stretches_module.split_into_stretches(source, len(joined))
        ]
        assert found == [stretch + deflating.SYNC_MARKER for stretch in stretches[:-1]]


class Slow(io.BytesIO):
    """Gives less than it is asked for."""

    def __init__(self, data: bytes, made: random.Random) -> None:
        super().__init__(data)
        self._made = made

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, self._made.randint(1, 40)))


@pytest.mark.parametrize("kind", ["others", "encrypted", "stored", "small"])
def test_members_without_restarts_are_not_taken_for_such(kind: str) -> None:
    data = make_lines()
    method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
    output = io.BytesIO()
    made = parazip.ZipFile if kind == "encrypted" else zipfile.ZipFile
    with made(output, "w", method, compresslevel=1) as archive:
        archive.writestr("large", data[:1000] if kind == "small" else data)
    with parazip.ZipFile(output) as archive:
        info = archive.getinfo("large")
        if kind == "encrypted":
            assert ahead.has_restarts(archive, info)
            info.flag_bits |= 1
            archive.setpassword(b"x")
        assert not ahead.has_restarts(archive, info)


def test_a_name_that_stands_for_two_members_is_tested_as_ever(tmp_path: Path) -> None:
    """zipfile tests the last of them twice: which is stored, and holds a stream of stretches."""
    data = make_lines()
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1) as archive:
        archive.writestr("large", data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("large", stream(data, RESTART), zipfile.ZIP_STORED)
    made = tmp_path / "made.zip"
    made.write_bytes(output.getvalue())
    for kind in zipfile.ZipFile, in_two:
        with kind(made) as archive:
            assert archive.testzip() is None


def test_a_zipinfo_without_checksum_is_extracted_as_ever(tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    made.write_bytes(write_large_member(make_lines()))
    for kind in zipfile.ZipFile, in_two:
        with kind(made) as archive:
            info = archive.getinfo("large")
            told = zipfile.ZipInfo("large", info.date_time)
            for name in "compress_size", "compress_type", "file_size", "header_offset":
                setattr(told, name, getattr(info, name))
            archive.extractall(tmp_path / kind.__name__, [told])
            assert (tmp_path / kind.__name__ / "large").read_bytes() == make_lines()


def test_a_member_that_is_its_share_is_left_to_one_core(
    stretches: list[bool], tmp_path: Path
) -> None:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1) as archive:
        for name in "abc":
            archive.writestr(name, make_lines())
    assert compared(output.getvalue(), tmp_path).error == ""
    assert stretches == []
