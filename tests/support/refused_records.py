"""Archives refused for their end records and for where records stand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

from parazip.sources.contents import RANGE
from support.archive_parts import (
    BEGIN,
    EMPTY,
    EXECUTABLE,
    LAST,
    LATE,
    LIKE_A_SIGNATURE,
    PACKED,
    PLAIN,
    RECORD,
    TEXT,
    A,
    B,
    make_lying_record,
    make_stored,
    make_streamed,
    make_with_empty,
    make_with_first,
    make_with_last,
    signing_block,
)
from support.odd_archives import (
    DEFLATED,
    DESCRIPTOR,
    ENCRYPTED,
    LIMIT16,
    LIMIT32,
    MASKED,
    PATCH,
    STORED,
    UTF8,
    Item,
    deflate,
    descriptor,
    descriptor64,
    extra64,
    zipped,
)


def make_newer(record: bytes) -> bytes:
    """The record as of a version that this format does not have yet (APPNOTE 4.4.3)."""
    return record[:4] + b"\x40" + record[5:]


def with_zip64_field(record: bytes) -> bytes:
    """The record with its sizes in a zip64 field (APPNOTE 4.5.3)."""
    sizes = struct.unpack_from("<2I", record, 18)
    name = struct.unpack_from("<H", record, 26)[0]
    field = struct.pack("<2H2Q", 1, 16, sizes[1], sizes[0])
    head = record[:18] + b"\xff" * 8 + struct.pack("<2H", name, len(field))
    return head + record[30 : 30 + name] + field + record[30 + name :]


SIGNED = TEXT + b"PK\7\x08" + bytes(99)


def make_with_local_flag(bit: int) -> bytes:
    """A stored member whose local header alone has a flag."""
    return zipped(A, B._replace(local={"flags": 1 << bit}), LAST)


def two_records() -> bytes:
    """What stands in front is not counted; without it an offset leads into the data of `a`."""
    inside = bytes(150) + LAST.headers(0)[0] + LAST.data() + bytes(15)
    return bytes(50) + zipped(Item(b"a", inside, STORED), LAST)


REFUSED_RECORDS: dict[str, dict[str, Callable[[], bytes]]] = {
    # The records
    "record-outside": {
        "compressed size": lambda: make_with_last(both={"packed": 999, "size": 999}),
        "offset": lambda: make_with_last(central={"offset": BEGIN}),
        "offset of zip64": lambda: make_with_last(
            central={"offset": LIMIT32}, central_extra=extra64(1 << 63)
        ),
    },
    "records-overlap": {
        "one for two": lambda: zipped(A, B._replace(central={"offset": 0})),
        "by a byte": lambda: zipped(A, B._replace(central={"offset": len(RECORD) - 1})),
        "an extra field over the next record": lambda: make_with_first(local={"extra": 1}),
        "of nothing, over the next record": lambda: make_with_empty(local={"extra": 34}),
        "an extra field over the directory": lambda: make_with_last(local={"extra": LIMIT16}),
    },
    "two-records": {
        "with and without what is in front": lambda: two_records(),
    },
    "unlisted-record": {
        "at the start": lambda: zipped(A, front=RECORD),
        "a signature at the start": lambda: b"PK\3\4" + PLAIN,
        "whose sizes go on behind the first": lambda: zipped(
            A, B, front=b"#!/bin/sh\n" + make_lying_record(packed=200, size=200)
        ),
        "that takes the first for its contents": lambda: zipped(
            A,
            B,
            front=EXECUTABLE
            + make_lying_record(contents=b"", packed=len(RECORD), size=len(RECORD)),
        ),
        "that goes on behind all": lambda: zipped(
            A, front=b"#!/bin/sh\n" + make_lying_record(packed=1 << 30, size=1 << 30)
        ),
        "of another method": lambda: zipped(
            A, front=b"#!/bin/sh\n" + make_lying_record(method=200)
        ),
        "of no method": lambda: zipped(A, front=EXECUTABLE + make_lying_record(method=0xFFFF)),
        "of odd flags": lambda: zipped(A, front=EXECUTABLE + make_lying_record(flags=0xFFF6)),
        "without a date": lambda: zipped(A, front=EXECUTABLE + make_lying_record(date=0, time=0)),
        "whose name ends in NUL": lambda: zipped(
            A, front=EXECUTABLE + make_lying_record(b"evil.py\0\0")
        ),
        "whose name has a control character": lambda: zipped(
            A, front=EXECUTABLE + make_lying_record(b"\1evil.py")
        ),
        "without a name behind a shebang line": lambda: zipped(
            A, front=b"#!/bin/sh\n" + make_lying_record(b"")
        ),
        "whose signature is cut in two by a piece": lambda: zipped(
            A, front=b"#" * ((1 << 20) - 2) + make_lying_record(packed=1 << 30)
        ),
        "whose name is cut in two by a piece": lambda: zipped(
            A, front=b"#" * ((1 << 20) - 33) + make_lying_record(packed=1 << 30)
        ),
        "any behind the mark of a split archive": lambda: zipped(
            A, front=b"PK00" + bytes(9) + b"PK\3\4"
        ),
        "behind that mark, of a version to come, and no end": lambda: zipped(
            A, front=b"PK00" + make_newer(RECORD) + zipped()
        ),
        "more signatures than programs have": lambda: zipped(A, front=b"#" + b"PK\3\4" * 20_000),
        "half a record at the start": lambda: Item(b"x").headers(0)[0][:-1] + PLAIN,
        "behind a shebang line": lambda: zipped(A, front=b"#!/bin/sh\n" + RECORD),
        "behind a program": lambda: zipped(A, front=EXECUTABLE + RECORD),
        "of a version to come": lambda: zipped(A, front=b"#!/bin/sh\n" + make_newer(RECORD)),
        "with its sizes in zip64's field": lambda: zipped(
            A, front=b"#!/bin/sh\n" + with_zip64_field(RECORD)
        ),
        "an archive in front": lambda: zipped(B) + PLAIN,
        "an archive in front, counted": lambda: zipped(A, front=zipped(B)),
        "without a name at the start": lambda: zipped(
            A, front=EMPTY._replace(name=b"").headers(0)[0]
        ),
        "in front of nothing": lambda: zipped(front=RECORD),
        "between": lambda: make_with_first(after=RECORD),
        "between, of no bytes": lambda: make_with_first(after=EMPTY.headers(0)[0]),
        "between, streamed": lambda: make_with_first(
            after=Item(b"x", TEXT, both={"flags": DESCRIPTOR}, local=LATE).headers(0)[0] + PACKED
        ),
        "behind a descriptor": lambda: make_streamed(descriptor(TEXT, PACKED) + RECORD),
        "behind nothing": lambda: make_with_empty(after=RECORD),
        "behind some bytes": lambda: make_with_first(after=b"some bytes" + RECORD),
        "behind all": lambda: make_with_last(after=RECORD),
        "of a version to come, in a signing block": lambda: make_with_last(
            after=signing_block(struct.pack("<Q", len(RECORD)) + make_newer(RECORD))
        ),
        "with zip64's field, in a signing block": lambda: make_with_last(
            after=signing_block(
                struct.pack("<Q", len(with_zip64_field(RECORD))) + with_zip64_field(RECORD)
            )
        ),
        "in a signing block": lambda: make_with_last(
            after=signing_block(struct.pack("<Q", len(RECORD)) + RECORD)
        ),
        "behind a large member": lambda: zipped(
            Item(b"large", bytes(RANGE + 1), STORED, after=RECORD), LAST
        ),
    },
    "bytes-between-records": {
        "a byte": lambda: make_with_first(after=b"-"),
        "zeros": lambda: make_with_first(after=bytes(8)),
        "a page of zeros": lambda: make_with_first(after=bytes(4096)),
        "a signature": lambda: make_with_first(after=b"PK\3\4"),
        "a descriptor that is not announced": lambda: make_with_first(
            after=descriptor(TEXT, PACKED)
        ),
        "zeros behind a descriptor": lambda: make_streamed(descriptor(TEXT, PACKED) + bytes(4)),
        "behind nothing": lambda: make_with_empty(after=b"-"),
        "behind all": lambda: make_with_last(after=b"-"),
        "behind zeros": lambda: make_with_last(after=bytes(99) + b"-"),
        "a signing block between": lambda: make_with_first(after=signing_block()),
        "a signature in a signing block": lambda: make_with_last(
            after=signing_block(struct.pack("<Q", 4) + b"PK\3\4")
        ),
        "with NUL in its name, in a signing block": lambda: make_with_last(
            after=signing_block(struct.pack("<Q", 50) + make_lying_record(b"a\0b").ljust(50))
        ),
        "a signing block that lies": lambda: make_with_last(after=b"-" + signing_block()[1:]),
        "pairs that run out": lambda: make_with_last(after=signing_block(struct.pack("<Q", 99))),
        "a directory": lambda: make_with_last(after=A.headers(0)[1]),
        "behind a large member": lambda: zipped(
            Item(b"large", bytes(RANGE + 1), STORED, after=bytes(100_000)), LAST
        ),
    },
    "local-header-missing": {
        "another signature": lambda: make_with_first(local={"signature": b"PK\3\5"}),
        "zeros": lambda: zipped(EMPTY._replace(before=bytes(99), central={"offset": 3})),
        "of nothing, another signature": lambda: make_with_empty(local={"signature": b"PK\1\2"}),
    },
    "local-header-mismatch": {
        "name": lambda: make_with_first(other_name=b"b.py"),
        "name of nothing": lambda: make_with_empty(other_name=b"full!"),
        "name of a folder": lambda: zipped(Item(b"d/", b"", STORED, other_name=b"e/")),
        "method": lambda: make_with_first(local={"method": STORED}),
        "method of nothing": lambda: make_with_empty(local={"method": DEFLATED}),
        "encryption": lambda: make_with_first(local={"flags": ENCRYPTED}),
        "encryption of nothing": lambda: make_with_empty(local={"flags": ENCRYPTED}),
        "UTF-8": lambda: make_with_first(name="\u00fc".encode(), local={"flags": UTF8}),
        "UTF-8 in the directory": lambda: make_with_first(
            name="\u00fc".encode(), central={"flags": UTF8}
        ),
        "a descriptor in the directory alone": lambda: make_with_first(
            central={"flags": DESCRIPTOR}
        ),
        "a patch": lambda: make_with_first(local={"flags": PATCH}),
        "masked": lambda: make_with_first(local={"flags": MASKED}),
        "masked in the directory": lambda: make_with_first(central={"flags": MASKED}),
        "deflated in another way": lambda: make_with_first(local={"flags": 1 << 4}),
        **{
            f"bit {bit} of what is stored": partial(make_with_local_flag, bit)
            for bit in (1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14)
        },
    },
    "local-sizes-mismatch": {
        "CRC": lambda: make_with_first(local={"crc": 5}),
        "size": lambda: make_with_first(local={"size": 5}),
        "compressed size": lambda: make_with_first(local={"packed": 5}),
        "none": lambda: make_with_first(local=LATE),
        "contents of nothing": lambda: zipped(
            EMPTY._replace(local={"size": len(TEXT), "packed": len(TEXT), "crc": 5}), LAST
        ),
        "CRC of nothing": lambda: make_with_empty(local={"crc": 5}),
        "contents of a folder": lambda: make_with_empty(name=b"d/", local={"size": 5, "packed": 5}),
        "saturated": lambda: make_with_first(local={"size": LIMIT32, "packed": LIMIT32}),
        "zip64": lambda: make_with_first(
            local={"size": LIMIT32, "packed": LIMIT32}, local_extra=extra64(len(TEXT), 5)
        ),
        "beside a descriptor": lambda: make_streamed(
            descriptor(TEXT, PACKED), local={"crc": 0, "packed": 0, "size": 5}
        ),
    },
    "descriptor-missing": {
        "none": lambda: make_streamed(b""),
        "none, though all is known": lambda: make_with_first(both={"flags": DESCRIPTOR}),
        "none of nothing": lambda: make_with_empty(both={"flags": DESCRIPTOR}),
        "none behind all": lambda: make_with_last(both={"flags": DESCRIPTOR}),
        "announced in the local header": lambda: make_with_first(local={"flags": DESCRIPTOR}),
        "something else": lambda: make_streamed(b"some bytes"),
        "a record": lambda: make_streamed(RECORD),
    },
    "descriptor-mismatch": {
        "CRC": lambda: make_streamed(descriptor(TEXT, PACKED, crc=5)),
        "size": lambda: make_streamed(descriptor(TEXT, PACKED, size=5)),
        "compressed size": lambda: make_streamed(descriptor(TEXT, PACKED, packed=5)),
        "64 bits": lambda: make_streamed(descriptor64(TEXT, PACKED, size=1 << 32)),
        "without signature": lambda: make_streamed(descriptor(TEXT, PACKED, crc=5)[4:]),
        "of nothing": lambda: make_with_empty(
            both={"flags": DESCRIPTOR}, after=descriptor(b"", b"", packed=5)
        ),
        "cut off": lambda: make_streamed(descriptor(TEXT, PACKED)[:-1]),
        "64 bits that no zip64 field announces": lambda: make_streamed(descriptor64(TEXT, PACKED)),
        "64 bits without signature": lambda: make_streamed(descriptor64(TEXT, PACKED)[4:]),
        "64 bits that the directory announces": lambda: make_streamed(
            descriptor64(TEXT, PACKED),
            central={"packed": LIMIT32, "size": LIMIT32},
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        "64 bits behind all": lambda: make_with_last(
            both={"flags": DESCRIPTOR}, after=descriptor64(b"1", b"1")
        ),
        "32 bits where 64 are announced": lambda: make_streamed(
            descriptor(TEXT, PACKED), local_extra=extra64(0, 0)
        ),
        "no signature, and a CRC like it": lambda: zipped(
            Item(
                b"n",
                LIKE_A_SIGNATURE,
                both={"flags": DESCRIPTOR},
                after=descriptor(LIKE_A_SIGNATURE, deflate(LIKE_A_SIGNATURE))[4:],
            ),
            LAST,
        ),
        "no signature behind what is stored": lambda: make_stored(TEXT, descriptor(TEXT, TEXT)[4:]),
        "no signature behind nothing": lambda: make_stored(b"", descriptor(b"", b"")[4:]),
        "in the local header alone": lambda: make_with_first(
            local={"flags": DESCRIPTOR, **LATE}, after=descriptor(TEXT, PACKED, crc=5)
        ),
    },
    "two-descriptors": {
        "in the contents": lambda: make_stored(TEXT + descriptor(TEXT, TEXT) + b"and so on"),
        "and a record": lambda: make_stored(TEXT + descriptor(TEXT, TEXT) + RECORD),
        "and a directory": lambda: make_stored(TEXT + descriptor(TEXT, TEXT) + b"PK\1\2"),
        "at the end": lambda: make_stored(TEXT + descriptor(TEXT, TEXT)),
        "at the start": lambda: make_stored(descriptor(b"", b"") + RECORD),
        "of 64 bits": lambda: make_stored(TEXT + descriptor64(TEXT, TEXT) + RECORD),
        "behind others": lambda: make_stored(SIGNED + descriptor(SIGNED, SIGNED) + RECORD),
        "though the sizes are known": lambda: make_stored(
            TEXT + descriptor(TEXT, TEXT) + RECORD, local={}
        ),
        "of a large member": lambda: make_stored(
            bytes(RANGE + 9) + descriptor(bytes(RANGE + 9), bytes(RANGE + 9)) + RECORD
        ),
        "cut in two by a piece": lambda: make_stored(
            bytes((1 << 20) - 2) + descriptor(bytes((1 << 20) - 2), b"")
        ),
        "of other sizes": lambda: make_stored(TEXT + descriptor(TEXT, b"", size=0) + RECORD),
        "of signatures in a second piece": lambda: make_stored(
            SIGNED * 4000 + descriptor(SIGNED * 4000, b"")
        ),
        "cut in two by the end": lambda: make_stored(
            LIKE_A_SIGNATURE + b"PK\7\x08",
        ),
    },
    # The contents: of no bytes always, of others with --check-crc
    "stream-end": {
        "contents of nothing": lambda: make_with_empty(method=DEFLATED, packed=PACKED),
        "a folder with contents": lambda: make_with_empty(
            name=b"d/", method=DEFLATED, packed=PACKED
        ),
        "two empty streams": lambda: make_with_empty(method=DEFLATED, packed=b"\3\0\3\0"),
        "bytes behind an empty stream": lambda: make_with_empty(method=DEFLATED, packed=b"\3\0-"),
        "a stream that does not end": lambda: make_with_empty(
            method=DEFLATED, packed=b"\0\0\0\xff\xff"
        ),
        "large contents of nothing": lambda: make_with_empty(
            method=DEFLATED, packed=zlib.compress(bytes(RANGE + 99), 0, -15)
        ),
    },
    "stream-damaged": {
        "no stream": lambda: make_with_empty(method=DEFLATED, packed=b"\7\0"),
    },
}
"""What is refused for where records stand, and for streams that do not fit them."""
