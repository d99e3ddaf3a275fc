"""Where members stand in an archive, and at which multiples."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import parazip
from parazip import Selection, Settings
from parazip.format.records import ALIGN_TAG
from parazip.output.stream import Pipe

DATE = 0x5264_28C4

FILE, FOLDER = 0o100644 << 16, 0o040755 << 16 | 0x10

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(70_000))

NOISE = random.Random(14).randbytes(3 << 20)

SPREADSHEET = b"application/vnd.oasis.opendocument.spreadsheet"

FAST = Settings(level=1, jobs=2)
"""Members of more than 1 MiB are cut at level 1, and of more than 16 MiB at 6."""


class Placed(NamedTuple):
    """A member as it stands in the bytes of an archive."""

    method: int
    flags: int
    begin: int
    extra: dict[int, bytes]


def fields_of(extra: bytes) -> dict[int, bytes]:
    """The fields of an extra field, which they fill to its end."""
    fields: dict[int, bytes] = {}
    while extra:
        tag, size = struct.unpack_from("<2H", extra)
        assert tag not in fields
        assert len(extra) >= 4 + size
        fields[tag] = extra[4 : 4 + size]
        extra = extra[4 + size :]
    return fields


def find_members_in(data: bytes) -> dict[str, Placed]:
    """All members, in order; each is read, and its two headers agree."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            at = info.header_offset
            signature, _, flags, method, _, _, _, _, name, extra = struct.unpack_from(
                "<4s3H4I2H", data, at
            )
            assert (signature, flags, method) == (b"PK\3\4", info.flag_bits, info.compress_type)
            assert ALIGN_TAG not in fields_of(info.extra)
            begin = at + 30 + name + extra
            fields = fields_of(data[begin - extra : begin])
            found[info.filename] = Placed(method, flags, begin, fields)
    return found


def assert_aligned(member: Placed, multiple: int) -> None:
    assert member.method == STORED
    assert member.begin % multiple == 0
    field = member.extra[ALIGN_TAG]
    assert struct.unpack_from("<H", field) == (multiple,)
    assert not any(field[2:])
    assert len(field) - 2 < multiple


def create_bytes(
    tree: Path, paths: Iterable[str] = (".",), level: int = 1, **selection: Any
) -> bytes:
    target = tree.parent / "created.zip"
    chosen = Selection(directory=tree, **selection)
    parazip.create(target, paths, Settings(level=level), chosen)
    return target.read_bytes()


def create_on_pipe(tree: Path, **selection: Any) -> bytes:
    file = io.BytesIO()
    chosen = Selection(directory=tree, **selection)
    parazip.create(Pipe(file, "-"), ["."], FAST, chosen)
    return file.getvalue()


ANYWAY = {"lib/", "lib/deep/", "empty", "noise", "noise.bin", "padded noise"}
