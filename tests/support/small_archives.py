"""Small archives for the strict reader."""

from __future__ import annotations

import contextlib
import fnmatch
import io
import itertools
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping

import pytest

from parazip.errors import BadArchiveError
from parazip.format.local import find_data_offset
from parazip.format.reader import read_directory
from parazip.format.records import pack_central_header, pack_dos_date, pack_end_records
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Entry, Record
from parazip.testing import SparseOutput
from support.archives import join_records
from support.streams import OneWayBytes

PATH = "some.zip"

DATE = 0x5264_28C4

LIMIT = 0xFFFFFFFF

UNIX, DARWIN, DOS = 3, 19, 0

DESCRIPTOR, UTF8 = 1 << 3, 1 << 11

FILE, FOLDER = 0o100644 << 16, 0o040755 << 16 | 0x10

TEXT = b"to be deflated " * 30

MEMBERS = {"a": b"hello", "text": TEXT, "empty": b"", "d/": b"", "d/e": bytes(range(256))}


def entries_in(data: bytes | SparseOutput) -> list[Entry]:
    """The members; reads stay in the file, below 64 MiB, and below three times its size in all."""
    size = len(data) if isinstance(data, bytes) else data.size
    taken = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal taken
        taken += length
        assert offset >= 0
        assert 0 <= length <= min(size - offset, 64 << 20)
        assert taken <= 3 * size
        return read_piece(data, offset, length)

    return read_directory(PATH, size, read)


def read_piece(data: bytes | SparseOutput, offset: int, length: int) -> bytes:
    if isinstance(data, bytes):
        return data[offset : offset + length]
    data.seek(offset)
    return data.read(length)


def inflate_entry(data: bytes | SparseOutput, entry: Entry) -> bytes:
    """What a member holds, found as `data_offset` tells."""
    record = entry.record
    packed = read_piece(data, data_offset_in(data, entry), record.compressed_size)
    return packed if record.method == STORED else zlib.decompress(packed, -15)


def data_offset_in(data: bytes | SparseOutput, entry: Entry) -> int:
    """Where the data of a member begin."""
    offset = entry.record.offset
    front = read_piece(data, offset, min(entry.end - offset, 30 + 2 * 0xFFFF))
    return find_data_offset(
        Judge(PATH), entry, front, lambda at, length: read_piece(data, at, length)
    )


def read_as_zipfile_does(data: bytes | SparseOutput) -> dict[str, Entry]:
    """The members by name, after zipfile was found to say the same."""
    found = entries_in(data)
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    begins = sorted([*(info.header_offset for info in infos), directory])
    ends = dict(itertools.pairwise(begins))
    for (name, record, end), info in zip(found, infos, strict=True):
        told = (info.flag_bits, info.compress_type, pack_dos_date(*info.date_time), info.CRC)
        kind = stat.S_IFDIR if info.is_dir() else stat.S_IFREG
        assert (name, record.name.decode()) == (info.filename, info.filename)
        assert record[1:5] == told
        assert (record.compressed_size, record.size) == (info.compress_size, info.file_size)
        assert (record.offset, end) == (info.header_offset, ends[info.header_offset])
        assert record.attributes >> 16 == stat.S_IMODE(info.external_attr >> 16) | kind
    return {entry.name: entry for entry in found}


def write_by_zipfile(
    members: Mapping[str, bytes] = MEMBERS,
    method: int = zipfile.ZIP_DEFLATED,
    file: io.BytesIO | None = None,
    comment: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """An archive by zipfile; the comment is on the archive and on each file."""
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w" if isinstance(file, OneWayBytes) else "a") as archive:
        archive.comment = comment
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2021, 3, 4, 5, 6, 8))
            info.compress_type, info.comment = method, comment
            if info.is_dir():
                archive.mkdir(name)
            else:
                with archive.open(info, "w", force_zip64=zip64) as member:
                    member.write(data)
    return file.getvalue()


def close_archive(body: bytes, headers: Iterable[bytes]) -> bytes:
    """Records, a central directory of `headers`, and the EOCD."""
    headers = list(headers)
    directory = b"".join(headers)
    return body + directory + pack_end_records(len(headers), len(directory), len(body))


A = Record(b"a", 0, STORED, DATE, zlib.crc32(b"hello"), 5, 5, FILE, 0)

B = Record(b"b.txt", 0, DEFLATED, DATE, zlib.crc32(b"world"), 10, 5, FILE, 36)

GOOD: bytes = join_records((A, b"hello"), (B, b"\1\5\0\xfa\xffworld"))

D = 36 + 30 + 5 + 10
"""Where the central directory of `GOOD` begins; then its second header, and the EOCD."""

D2 = D + 47

E = D2 + 51

L = E - D

TWIN = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 45, 0, 0, 2, 2, L, D)

NEXT = struct.pack("<4sIQI", b"PK\6\7", 0, E, 1)

LAST = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, LIMIT, LIMIT, 0)

WIDE: bytes = GOOD[:E] + TWIN + NEXT + LAST


def overwrite(at: int, form: str, *values: int, data: bytes = GOOD) -> bytes:
    changed = bytearray(data)
    struct.pack_into(f"<{form}", changed, at, *values)
    return bytes(changed)


def list_under_directory(*headers: Record | bytes) -> bytes:
    """The two records of `GOOD` under another central directory."""
    packed = [pack_central_header(one) if isinstance(one, Record) else one for one in headers]
    return close_archive(GOOD[:D], packed)


def header_made_by(system: int, record: Record) -> bytes:
    """A central header that another system made."""
    return overwrite(5, "B", system, data=pack_central_header(record))


@contextlib.contextmanager
def expect_refusal(record: str, offset: int, expected: str, found: str) -> Iterator[None]:
    """The block is refused with a message that says all this; `*` and `?` stand for others."""
    told = f"{PATH} *: {record} at offset {offset}: expected {expected}, found {found}; *"
    with pytest.raises(BadArchiveError, match="^" + fnmatch.translate(told)) as refusal:
        yield
    assert refusal.value.member in (PATH, "a")
