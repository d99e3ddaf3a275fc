"""Archives made by hand that are unusual and yet clear."""

from __future__ import annotations

from collections.abc import Mapping

from support.hostile_cases import (
    BEGIN,
    PACKED,
    PLAIN,
    TEXT,
    A,
    B,
    make_with_first_item,
    make_with_records64,
)
from support.hostile_wheels import TIMES
from support.odd_archives import (
    DESCRIPTOR,
    ENCRYPTED,
    LIMIT16,
    LIMIT32,
    MASKED,
    PATCH,
    STORED,
    STRONG,
    UTF8,
    Item,
    descriptor,
    extra,
    extra64,
    zipped,
)

AB = {"a.txt": TEXT, "d/b.bin": b"stored"}

LINK = {"attributes": 0o120777 << 16}

TIMED = Item(b"timed", TEXT, local_extra=TIMES, central_extra=extra(0x5455, TIMES[4:9]))

# What is unusual and yet clear: merged, with just these members.
MERGED: dict[str, tuple[bytes, Mapping[str, bytes]]] = {
    "nothing odd": (PLAIN, AB),
    "no members": (zipped(), {}),
    "no members, comment": (zipped(comment=b"none"), {}),
    "bytes in front": (b"#!/bin/sh\n" + PLAIN, AB),
    "bytes in front, counted": (zipped(A, B, front=b"#!/bin/sh\n"), AB),
    "an archive inside": (
        zipped(Item(b"inner.zip", PLAIN, STORED), A),
        {"inner.zip": PLAIN, "a.txt": TEXT},
    ),
    "a directory inside": (
        zipped(Item(b"x", PLAIN[BEGIN:], STORED), A),
        {"x": PLAIN[BEGIN:], "a.txt": TEXT},
    ),
    "a record in a comment": (zipped(A._replace(comment=b"PK\3\4" + bytes(30)), B), AB),
    "comment": (zipped(A, B, comment=b"PK\1\2 and so on"), AB),
    "longest comment": (zipped(A, B, comment=bytes(LIMIT16)), AB),
    "zip64's end records": (make_with_records64(), AB),
    "zip64's end records, not needed": (make_with_records64({}), AB),
    "zip64's sizes": (
        make_with_first_item(
            both={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED)),
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        AB,
    ),
    "zip64's offset": (
        make_with_first_item(central={"offset": LIMIT32}, central_extra=extra64(0)),
        AB,
    ),
    "extra fields": (zipped(TIMED, A), {"timed": TEXT, "a.txt": TEXT}),
    "comment of a member": (make_with_first_item(comment=b"PK\5\6" + bytes(18)), AB),
    "descriptor": (
        make_with_first_item(both={"flags": DESCRIPTOR}, after=descriptor(TEXT, PACKED)),
        AB,
    ),
    "descriptor, no sizes before": (
        make_with_first_item(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED),
        ),
        AB,
    ),
    "descriptor without signature": (
        make_with_first_item(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED)[4:],
        ),
        AB,
    ),
    "versions that disagree": (
        make_with_first_item(local={"version": 99}, central={"version": 10}),
        AB,
    ),
    "dates that disagree": (make_with_first_item(local={"date": 1, "time": 2}), AB),
    "no date": (make_with_first_item(both={"date": 0, "time": 0}), AB),
    "date that cannot be": (make_with_first_item(both={"date": LIMIT16, "time": LIMIT16}), AB),
    "a masked directory's flag alone": (make_with_first_item(both={"flags": MASKED}), AB),
    "a local flag of UTF-8, ASCII": (make_with_first_item(local={"flags": UTF8}), AB),
    "a flag of UTF-8 in the directory, ASCII": (make_with_first_item(central={"flags": UTF8}), AB),
    "one folder twice": (zipped(Item(b"d/"), Item(b"d/")), {"d/": b""}),
    "zip64, two counts": (make_with_records64(here=1), AB),
    "all other flags": (
        make_with_first_item(
            both={"flags": LIMIT16 & ~(ENCRYPTED | DESCRIPTOR | PATCH | STRONG | MASKED)}
        ),
        AB,
    ),
    "other flags that disagree": (make_with_first_item(local={"flags": 6}), AB),
    "a disk that only zip64 tells": (
        make_with_first_item(central={"disk": LIMIT16}, central_extra=extra(1, bytes(4))),
        AB,
    ),
    "no attributes": (make_with_first_item(central={"attributes": 0}), AB),
    "all attributes": (make_with_first_item(central={"made_by": 20, "attributes": 0x0FFFFBE7}), AB),
    "attributes of DOS": (make_with_first_item(central={"made_by": 0, "attributes": 0x27}), AB),
    "made by something unknown": (make_with_first_item(central={"made_by": LIMIT16}), AB),
    "internal attributes": (make_with_first_item(central={"internal": LIMIT16}), AB),
    "a link": (
        zipped(Item(b"link", b"a.txt", STORED, central=LINK), A),
        {"link": b"a.txt", "a.txt": TEXT},
    ),
    "a link, deflated": (zipped(Item(b"link", b"a.txt", central=LINK)), {"link": b"a.txt"}),
    "a folder": (zipped(Item(b"d/", b"", STORED), B), {"d/": b"", "d/b.bin": b"stored"}),
    "a folder, deflated": (zipped(Item(b"d/"), B), {"d/": b"", "d/b.bin": b"stored"}),
    "an empty file": (zipped(Item(b"0", b"", STORED)), {"0": b""}),
    "an empty file, deflated": (zipped(Item(b"0")), {"0": b""}),
    "a stream of 1,032 times": (zipped(Item(b"0", bytes(1 << 20))), {"0": bytes(1 << 20)}),
    "a stream in many blocks": (make_with_first_item(packed=b"\0\0\0\xff\xff" * 300 + PACKED), AB),
    "name in UTF-8": (
        zipped(Item("gr\u00fc\u00df".encode(), TEXT, both={"flags": UTF8})),
        {"gr\u00fc\u00df": TEXT},
    ),
    "name in code page 437": (
        zipped(Item(b"gr\x81n", TEXT, central={"made_by": 0})),
        {"gr\u00fcn": TEXT},
    ),
    "names of one folder, differing in case": (
        zipped(A, A._replace(name=b"A.TXT")),
        {"a.txt": TEXT, "A.TXT": TEXT},
    ),
    "long name": (zipped(Item(b"n" * 1000, TEXT)), {"n" * 1000: TEXT}),
    "a name with dots": (
        zipped(Item(b"...", TEXT), Item(b"a..b/..c", TEXT)),
        {"...": TEXT, "a..b/..c": TEXT},
    ),
}
