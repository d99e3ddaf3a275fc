"""What is fuzzed, and what must hold, whatever the bytes are.

A target takes bytes and raises an `AssertionError`, or whatever parazip should not have raised. The
standard library's zipfile is the measure: what parazip accepts, it has to read alike. Where it may
not, the reason stands here.
"""

from __future__ import annotations

import errno
import io
import os
import random
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import parazip
from fuzz.front import read_from_front
from parazip import BadArchiveError, ParazipError, Settings
from parazip.codecs import inflating
from parazip.dropin import ahead, member, members, zip_file
from parazip.extraction import contents, crew, large, stretches
from parazip.format.local import find_data_offset
from parazip.format.reader import read_directory
from parazip.format.records import FLAG_ENCRYPTED, FLAG_PATCH, FLAG_UTF8
from parazip.format.refusals import REFUSALS, Judge
from parazip.format.values import DEFLATED, STORED, Entry
from parazip.sources.archives import read_front
from parazip.verification.faults import RULES
from parazip.workers.line import Line
from support.beside_zipfile import (
    Opens,
    compare_inflating,
    compare_reading,
    one_core,
    outcome_of,
    read_as_a_whole,
    read_in_a_way,
    two_cores,
)
from support.damage import Member, join_members

ONE = Settings(jobs=1)

_MOST = 32 << 20
"""Bytes of contents that an archive may claim. All that it says of more takes time, no thought."""

_MOST_STEPS = 500
"""zipfile.Path takes the square of their number; and up to CPython 3.12.5, where a name begins with
two slashes, it takes for ever (CVE-2024-8088)."""


class Target(NamedTuple):
    """Something that reads what strangers made.

    Attributes:
        check: takes bytes; see the head of the module.
        of_streams: whether these are deflate streams; otherwise they are archives.
    """

    check: Callable[[bytes], object]
    of_streams: bool = False


class _File(io.BytesIO):
    """As files do, it refuses to go in front of its beginning; `BytesIO` goes to it then.

    So zipfile looks for a zip64 locator where there is none.
    """

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == os.SEEK_END and offset < -len(self.getbuffer()):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().seek(offset, whence)


def _read_by_zipfile(data: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(_File(data)) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def _claims_too_much(data: bytes) -> bool:
    """Whether zipfile would read so much of it that nothing else could be fuzzed meanwhile."""
    try:
        with zipfile.ZipFile(_File(data)) as archive:
            return sum(info.file_size for info in archive.infolist()) > _MOST
    except Exception:
        return False


@contextmanager
def _scratch_folder(data: bytes) -> Iterator[Path]:
    """A folder with the archive, named s.zip, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s.zip").write_bytes(data)
        yield folder


def _list_all(folder: Path) -> list[str]:
    return sorted(
        os.path.join(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )


# The strict reader


def check_reader(data: bytes) -> None:
    """It refuses an archive by `BadArchiveError`, or zipfile reads the same members."""
    read = partial(_read_slice, data)
    judge = Judge("fuzzed")
    try:
        entries = read_directory("fuzzed", len(data), read)
        begins = [
            find_data_offset(judge, entry, read_front(read, entry), read) for entry in entries
        ]
    except BadArchiveError:
        return
    with zipfile.ZipFile(_File(data)) as archive:
        infos = archive.infolist()
        assert [_describe_info(info) for info in infos] == [
            _describe_entry(each) for each in entries
        ]
        for entry, begin, info in zip(entries, begins, infos, strict=True):
            if not _is_readable(entry) or entry.record.size > _MOST:
                continue
            packed = data[begin : begin + entry.record.compressed_size]
            with suppress(BadArchiveError):
                assert contents.inflate(judge, entry, packed) == archive.read(info), entry.name


def _read_slice(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def _describe_info(info: zipfile.ZipInfo) -> tuple[object, ...]:
    sizes = info.compress_size, info.file_size, info.header_offset
    return (_spell_name(info), info.flag_bits, info.compress_type, info.CRC, *sizes)


def _spell_name(info: zipfile.ZipInfo) -> bytes:
    """The bytes of a name in the directory."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & FLAG_UTF8 else "cp437")


def _describe_entry(entry: Entry) -> tuple[object, ...]:
    record = entry.record
    sizes = record.compressed_size, record.size, record.offset
    return (record.name, record.flags, record.method, record.crc, *sizes)


def _is_readable(entry: Entry) -> bool:
    record = entry.record
    is_known = record.method in (STORED, DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return is_known and not record.flags & (FLAG_ENCRYPTED | FLAG_PATCH)


# Merging


_ABOUT_CONTENTS = {"stream-damaged", "stream-end", "crc-mismatch"}
"""Rules that only those break whose contents nobody looks at while they are copied."""


def check_merge(data: bytes) -> None:
    """What is made is sound and means the same, and is not there if it was refused."""
    if _claims_too_much(data):
        return
    with _scratch_folder(data) as folder:
        source, output = folder / "s.zip", folder / "made.zip"
        for check_crc in (False, True):
            try:
                parazip.merge(output, [source], ONE, check_crc=check_crc)
            except ParazipError:
                assert os.listdir(folder) == ["s.zip"]
                continue
            assert sorted(os.listdir(folder)) == ["made.zip", "s.zip"]
            report = parazip.verify(output, ONE)
            errors = {fault.id for fault in report.faults if fault.severity == "error"}
            assert errors <= (set() if check_crc else _ABOUT_CONTENTS), errors
            found = {fault.id for fault in report.faults if fault.severity == "warning"}
            had = {fault.id for fault in parazip.verify(source, ONE).faults}
            assert found <= had, found - had
            if check_crc:
                made = _read_by_zipfile(output.read_bytes())
                _assert_alike({(info.filename.rstrip("/"), each) for info, each in made}, data)
            output.unlink()


def _assert_alike(found: set[tuple[str, bytes]], data: bytes) -> None:
    """Members have the names and contents that zipfile reads; folders are those without contents.

    Names that are not ASCII, and those beside a Unicode path, are others to zipfile by its version.
    """
    told = {(_plain_name(info), each) for info, each in _read_by_zipfile(data)}
    assert {member for member in told if member[0]} <= found
    assert {each for _, each in found} | {b""} == {each for _, each in told} | {b""}


def _plain_name(info: zipfile.ZipInfo) -> str:
    is_plain = info.filename.isascii() and b"up" not in info.extra
    return _join_steps(info.filename) if is_plain else ""


def _join_steps(name: str) -> str:
    return "/".join(step for step in name.split("/") if step not in ("", "."))


# Verifying


def check_verify(data: bytes) -> None:
    """It raises nothing of what it finds, and what it calls sound zipfile reads to its end."""
    if _claims_too_much(data):
        return
    with _scratch_folder(data) as folder:
        report = parazip.verify(folder / "s.zip", ONE)
    assert {fault.id for fault in report.faults} <= {*RULES, *REFUSALS}
    if not report.is_sound:
        return
    unread = [fault for fault in report.faults if fault.id == "contents-unchecked"]
    if not unread:
        found = _read_by_zipfile(data)
        assert report.bytes == sum(len(each) for _, each in found)
        assert report.members == len(found)
        _check_from_front(data, found)


def _check_from_front(data: bytes, found: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
    """A reader that knows no directory sees the same members."""
    found = sorted(found, key=lambda one: one[0].header_offset)
    seen = read_from_front(data, found[0][0].header_offset) if found else []
    if seen is not None:
        assert seen == [(_spell_name(info), each) for info, each in found]


# Extracting


def check_extract(data: bytes) -> None:
    """Nothing appears beside the folder; what is in it is what zipfile reads, or nothing is."""
    if _claims_too_much(data):
        return
    with _scratch_folder(data) as folder:
        (folder / "in").mkdir()
        target = folder / "in" / "made"
        before = _list_all(folder)
        try:
            parazip.extract(folder / "s.zip", target, settings=ONE)
        except ParazipError:
            assert _list_all(folder) == before
            return
        made = [path for path in _list_all(folder) if path not in before]
        assert all(path == str(target) or path.startswith(f"{target}/") for path in made)
        _assert_alike({_read_made(target, path) for path in made}, data)


def _read_made(target: Path, path: str) -> tuple[str, bytes]:
    name = os.path.relpath(path, target)
    if os.path.islink(path):
        return name, os.fsencode(os.readlink(path))
    return name, b"" if os.path.isdir(path) else Path(path).read_bytes()


# In the place of zipfile


def check_zipfile(data: bytes) -> None:
    """Each call tells what zipfile's tells: bytes, names, or an error of the same words."""
    if _claims_too_much(data):
        return
    seed = zlib.crc32(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of names that come twice
        compare_reading(read_in_a_way, one_core, data, seed)
        if data.count(b"/") < _MOST_STEPS and b"//" not in data:
            kind = two_cores if seed % 8 == 0 else one_core
            compare_reading(read_as_a_whole, kind, data, seed)


def check_inflating(data: bytes) -> None:
    """zlib-ng does at each call what zlib does; what libdeflate makes of it all is the same."""
    compare_inflating(data, random.Random(zlib.crc32(data)))
    told = _inflate_by_zlib(data)
    for size in (len(told.contents), len(told.contents) + 1):
        whole = inflating.inflate_whole(data, size)
        if whole is not None and told.is_complete:
            assert whole == told.contents


class _Told(NamedTuple):
    """What zlib makes of a stream.

    Attributes:
        contents: as far as they go, or to `_MOST`.
        is_complete: whether it has an end.
        is_damaged: whether zlib finds that it is none.
    """

    contents: bytes
    is_complete: bool
    is_damaged: bool


def _inflate_by_zlib(data: bytes) -> _Told:
    inflater = zlib.decompressobj(-15)
    pieces = []
    left = _MOST
    try:
        while left > 0 and data and not inflater.eof:
            pieces.append(inflater.decompress(data[:64], left))
            data = inflater.unconsumed_tail + data[64:]
            left -= len(pieces[-1])
    except zlib.error:
        return _Told(b"".join(pieces), False, True)
    return _Told(b"".join(pieces), inflater.eof, False)


# Marks of restarts


SHORT = 4096
"""Bytes between two restarts while they are fuzzed, instead of 8 MiB."""


@contextmanager
def restarting_often() -> Iterator[None]:
    """In this block stretches are short, and members of few bytes are large."""
    longest = SHORT + (SHORT >> 6)
    sizes: list[tuple[Any, str, int]] = [
        *((module, "RESTART", SHORT) for module in (inflating, stretches, large, ahead)),
        *((stretches, "_LONGEST", longest), (stretches, "_STRETCH", longest + SHORT)),
        *((stretches, "_READ_SIZE", 1000), (inflating, "_PIECE", 700), (crew, "_LARGE", SHORT)),
        *((module, "WHOLE", SHORT) for module in (ahead, member, members, zip_file)),
        *((members, "STEP", SHORT), (inflating, "_MOST_AT_ONCE", SHORT)),
    ]
    with ExitStack() as patched:
        for module, name, value in sizes:
            patched.enter_context(mock.patch.object(module, name, value))
        yield


def check_restarts(data: bytes) -> None:
    """What stretches give is what zlib gives of the whole; so are files, and errors."""
    with restarting_often():
        told = _inflate_by_zlib(data)
        _check_stretches(data, told)
        crc = zlib.crc32(told.contents)
        for size, crc_told in (
            (len(told.contents), crc),
            (len(told.contents), crc ^ 1),
            (len(told.contents) + 1, crc),
            (max(len(told.contents) - 1, 0), zlib.crc32(told.contents[:-1])),
        ):
            archive = join_members([Member("m", DEFLATED, data, crc_told, size)])
            _check_files(archive)


def _check_stretches(data: bytes, told: _Told) -> None:
    at = given = 0
    line = Line(2, 1 << 20)
    for length, stretch in stretches.inflate_stretches(
        io.BytesIO(data), len(data), len(told.contents), line
    ):
        piece = b"".join(stretch.pieces)
        assert len(piece) == SHORT
        assert piece == told.contents[given : given + SHORT]
        assert stretch.crc == zlib.crc32(piece)
        at, given = at + length, given + SHORT
        # The stream is at a block's beginning there: one that ends it at once fits.
        ended = zlib.decompressobj(-15)
        assert len(ended.decompress(data[:at] + b"\3\0")) == given
        assert ended.eof


def _check_files(archive: bytes) -> None:
    """Both classes extract and test alike, and `extract` gives what zipfile gives."""
    seen = []
    with _scratch_folder(archive) as folder:
        kinds: tuple[Opens, ...] = (zipfile.ZipFile, two_cores)
        for number, kind in enumerate(kinds):
            with kind(folder / "s.zip") as opened:
                extracted = outcome_of(partial(opened.extractall, folder / f"{number}"))
                tested = outcome_of(opened.testzip)
            path = folder / f"{number}" / "m"
            seen.append((extracted, tested, None if extracted.error else path.read_bytes()))
        assert seen[0] == seen[1]
        target = folder / "made"
        try:
            parazip.extract(folder / "s.zip", target, settings=Settings(jobs=2))
        except ParazipError:
            assert not target.exists()
        else:
            assert (target / "m").read_bytes() == seen[0][2]


TARGETS = {
    "reader": Target(check_reader),
    "merge": Target(check_merge),
    "verify": Target(check_verify),
    "extract": Target(check_extract),
    "zipfile": Target(check_zipfile),
    "inflating": Target(check_inflating, of_streams=True),
    "restarts": Target(check_restarts, of_streams=True),
}
"""By names."""
