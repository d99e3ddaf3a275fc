"""Archives made by hand that are refused, and the cases they make."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator

from support.hostile_cases import (
    BEGIN,
    BOTH,
    LENGTH,
    PACKED,
    PLAIN,
    SATURATED,
    TEXT,
    WITH,
    A,
    B,
    Case,
    make_end_records64,
    make_with_first_item,
    make_with_records64,
)
from support.hostile_wheels import TIMES
from support.odd_archives import (
    DEFLATED,
    DESCRIPTOR,
    ENCRYPTED,
    END,
    LIMIT16,
    LIMIT32,
    PATCH,
    STORED,
    STRONG,
    UTF8,
    Item,
    deflate,
    descriptor,
    extra64,
    zipped,
)
from support.unusual_archives import MERGED


def overlapping(count: int) -> bytes:
    """A bomb: one record that many members share."""
    local, central = A.headers(0)
    names = [b"%05d" % i for i in range(count)]
    headers = [central.replace(b"a.txt", name) for name in names]
    data = local + A.data()
    directory = b"".join(headers)
    end = END.pack(b"PK\5\6", 0, 0, count, count, len(directory), len(data), 0)
    return data + directory + end


def quoted_records(count: int, in_extra: bool) -> bytes:
    """A bomb: each member's data, or extra field, begins with the whole record of the next one.

    In the data it stands in a deflate block that is stored; so all of them end with one kernel.
    """
    body, directory = b"", []
    kernel = deflate(bytes(5000))
    contents, packed, size = bytes(5000), kernel, len(kernel)
    for i in reversed(range(count)):
        item = Item(b"%05d" % i, contents, both={"packed": size, "size": len(contents)})
        if not body:
            local, central = item.headers(0)
            body = local + packed
        elif in_extra:
            local, central = item._replace(local_extra=b"").headers(0)
            length = len(body) - len(kernel)
            extra = struct.pack("<2H", 0xABCD, length) + body[:length]
            local = local[:28] + struct.pack("<H", len(extra)) + local[30:] + extra
            body = local + kernel
        else:
            quote = body[: 30 + 5]
            packed = b"\0" + struct.pack("<2H", 35, ~35 & LIMIT16) + body
            contents = quote + contents
            size = len(packed)
            item = Item(b"%05d" % i, contents, both={"packed": size, "size": len(contents)})
            local, central = item.headers(0)
            body = local + packed
        directory.append((central, len(body)))
    directory.reverse()
    headers = b"".join(
        central[:42] + struct.pack("<I", len(body) - length) for central, length in directory
    )
    names = [b"%05d" % i for i in range(count)]
    headers = b"".join(headers[i * 46 : i * 46 + 46] + name for i, name in enumerate(names))
    return body + headers + END.pack(b"PK\5\6", 0, 0, count, count, len(headers), len(body), 0)


def primed(window: bytes, data: bytes) -> bytes:
    """A stream that reaches back to what stands before it."""
    stream = zlib.compressobj(6, DEFLATED, -15, zdict=window)
    return stream.compress(data) + stream.flush()


NOISE = random.Random(9).randbytes(200)

DAMAGED, COPY = " is damaged: ", "cannot copy "

NO_ARCHIVE = "is not a zip archive or was cut off"

EOCD, EOCD64, LOCATOR = "EOCD at offset", "zip64 EOCD at offset", "zip64 EOCD locator at offset"

HEADER = "central directory header at offset"

LOCAL_A = "local file header of 'a.txt' at offset 0"

DISAGREE = LOCAL_A + ": expected flags, method and name as in the directory"

SIZES = LOCAL_A + ": expected CRC and sizes as in the directory"

LEADS_OUT = "its name leads out of the archive"


def rule(name: str) -> str:
    """A pattern of the end of a message."""
    return f"[[]{name}]"


REFUSED: dict[str, tuple[bytes, str]] = {
    # Records that overlap
    "overlap, one record for two": (overlapping(2), "record of b'00001' at offset 0"),
    "overlap, one record for 3,000": (overlapping(3000), "record of b'00001' at offset 0"),
    "overlap, quoted in data": (quoted_records(40, False), "record of b'00001' at offset"),
    "overlap, quoted in two": (quoted_records(2, False), "record of b'00001' at offset"),
    "overlap, quoted in extra fields": (quoted_records(40, True), rule("records-overlap")),
    "overlap by a byte": (
        zipped(A, B._replace(central={"offset": BEGIN - len(B.headers(0)[0]) - 7})),
        "record of b'd/b.bin' at offset",
    ),
    "overlap of extra field and next record": (
        make_with_first_item(local={"extra": 1}),
        f"{LOCAL_A}: expected at most {len(PACKED) - 1} bytes before the next record",
    ),
    "extra field as long as can be": (make_with_first_item(local={"extra": LIMIT16}), LOCAL_A),
    "overlap with the directory": (
        zipped(A, B._replace(local={"extra": 1})),
        "local file header of 'd/b.bin' at offset",
    ),
    "record inside the directory": (
        zipped(A, B._replace(central={"offset": BEGIN})),
        f"a record that ends before {BEGIN}",
    ),
    # What is not found by reading alone
    "an archive in front": (zipped(A._replace(name=b"other")) + PLAIN, rule("unlisted-record")),
    "a record in an extra field": (
        make_with_first_item(local_extra=A.headers(0)[0]),
        rule("extra-field-cut-off"),
    ),
    "a record between": (
        zipped(A, B._replace(before=A.headers(0)[0] + A.data())),
        rule("unlisted-record"),
    ),
    "an EOCD in the comment": (
        zipped(A, B, comment=zipped() + b"more"),
        rule("end-record-in-comment"),
    ),
    "an archive in the comment": (
        zipped(A, B, comment=zipped(A) + b"more"),
        rule("end-record-in-comment"),
    ),
    "zip64's extra field, not needed": (
        make_with_first_item(local_extra=extra64(7, 7), central_extra=extra64(7)),
        rule("zip64-field-mismatch"),
    ),
    "extra field of noise": (
        make_with_first_item(local_extra=NOISE, central_extra=NOISE),
        rule("extra-field-cut-off"),
    ),
    "extra field that is cut off": (
        make_with_first_item(local_extra=b"UT\xff\xff", central_extra=b"U"),
        rule("extra-field-cut-off"),
    ),
    "descriptor that lies": (
        make_with_first_item(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED, crc=1, packed=LIMIT32, size=1),
        ),
        rule("descriptor-mismatch"),
    ),
    "no descriptor, but the flag": (
        make_with_first_item(both={"flags": DESCRIPTOR}),
        rule("descriptor-missing"),
    ),
    "version": (make_with_first_item(both={"version": 0xFFFF}), rule("version-needed")),
    "a disk that zip64 does not tell": (
        make_with_first_item(central={"disk": LIMIT16}),
        rule("split-archive"),
    ),
    "attributes of a folder": (
        make_with_first_item(central={"attributes": 0o040755 << 16 | 0x10}),
        rule("folder-with-contents"),
    ),
    "attributes of nothing": (
        make_with_first_item(central={"attributes": LIMIT32}),
        "it is neither a file nor",
    ),
    "attributes of a device": (
        make_with_first_item(central={"attributes": 0o020666 << 16}),
        "it is a device; leave it out with --exclude a.txt",
    ),
    # Names
    "one name twice": (zipped(A, B, A), "two members would have the name a.txt"),
    "one name in two encodings": (
        zipped(
            Item(b"\x81", central={"made_by": 0}), Item("\u00fc".encode(), both={"flags": UTF8})
        ),
        "two members would have the name \u00fc",
    ),
    "a file that is a folder": (
        zipped(A, Item(b"a.txt/")),
        "two members would have the name a.txt",
    ),
    "no name": (make_with_first_item(name=b""), rule("name-missing")),
    "NUL in a name": (make_with_first_item(name=b"a.txt\0.exe"), "expected a name without NUL"),
    "a name in wrong UTF-8": (
        make_with_first_item(name=b"a\xff", both={"flags": UTF8}),
        "a name in UTF-8",
    ),
    "a surrogate": (
        make_with_first_item(name=b"\xed\xa0\x80", both={"flags": UTF8}),
        "a name in UTF-8",
    ),
    "a name that leads up": (make_with_first_item(name=b"../a.txt"), LEADS_OUT),
    "a name that leads up inside": (make_with_first_item(name=b"d/../../a.txt"), LEADS_OUT),
    "a name that leads up and back": (make_with_first_item(name=b"d/../a.txt"), LEADS_OUT),
    "a name that is up": (make_with_first_item(name=b".."), LEADS_OUT),
    "a folder that is up": (zipped(Item(b"../", b"", STORED)), LEADS_OUT),
    "a name from the root": (make_with_first_item(name=b"/a.txt"), LEADS_OUT),
    "a name from a share": (make_with_first_item(name=b"//host/a.txt"), LEADS_OUT),
    "the root": (zipped(Item(b"/", b"", STORED)), LEADS_OUT),
    "a name too long for UTF-8": (
        zipped(Item(b"\x81" * 40_000, central={"made_by": 0})),
        "a zip archive takes 1 to 65535",
    ),
    # Headers that disagree
    "local signature": (
        make_with_first_item(local={"signature": b"PK\3\5"}),
        "local file header at offset 0",
    ),
    "local flag of encryption": (make_with_first_item(local={"flags": ENCRYPTED}), DISAGREE),
    "local flag of descriptors": (
        make_with_first_item(local={"flags": DESCRIPTOR}),
        rule("descriptor-missing"),
    ),
    "flag of descriptors in the directory": (
        make_with_first_item(central={"flags": DESCRIPTOR}),
        DISAGREE,
    ),
    "local method": (make_with_first_item(local={"method": STORED}), DISAGREE),
    "method in the directory": (
        make_with_first_item(central={"method": STORED, "size": len(PACKED)}),
        DISAGREE,
    ),
    "local CRC": (make_with_first_item(local={"crc": 0}), SIZES),
    "CRC in the directory": (make_with_first_item(central={"crc": 0}), SIZES),
    "local compressed size": (make_with_first_item(local={"packed": len(PACKED) - 1}), SIZES),
    "compressed size in the directory": (
        make_with_first_item(central={"packed": len(PACKED) - 1}),
        SIZES,
    ),
    "local size": (make_with_first_item(local={"size": len(TEXT) - 1}), SIZES),
    "size in the directory": (make_with_first_item(central={"size": len(TEXT) - 1}), SIZES),
    "no local sizes": (make_with_first_item(local={"crc": 0, "packed": 0, "size": 0}), SIZES),
    "local name": (make_with_first_item(other_name=b"b.txt"), DISAGREE),
    "local name, in another case": (make_with_first_item(other_name=b"A.txt"), DISAGREE),
    "local name, longer": (make_with_first_item(other_name=b"a.txt.exe"), DISAGREE),
    "local name's length": (make_with_first_item(local={"name": 4}), DISAGREE),
    "local name, none": (make_with_first_item(other_name=b"", local_extra=b"a.txt"), DISAGREE),
    "one size of two with a descriptor": (
        make_with_first_item(both={"flags": DESCRIPTOR}, local={"packed": 0, "size": 5, "crc": 0}),
        SIZES,
    ),
    "local zip64 sizes": (
        make_with_first_item(
            local={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED) + 1),
        ),
        SIZES,
    ),
    "local zip64 sizes, none": (
        make_with_first_item(local={"packed": LIMIT32, "size": LIMIT32}),
        SIZES,
    ),
    # What cannot be copied
    "encrypted": (
        make_with_first_item(both={"flags": ENCRYPTED}),
        "cannot copy a.txt of *: it is encrypted",
    ),
    "strong encryption": (
        make_with_first_item(both={"flags": ENCRYPTED | STRONG}),
        "it is encrypted",
    ),
    "patch": (make_with_first_item(both={"flags": PATCH}), COPY),
    **{
        f"method {method}": (
            make_with_first_item(method=method),
            f"the compression method {method}, not stored",
        )
        for method in (1, 6, 9, 12, 14, 20, 93, 95, 97, 98, 99, LIMIT16)
    },
    # Sizes that cannot be
    "stored with two sizes": (
        make_with_first_item(method=STORED, both={"size": 1}),
        "a size that method 0 can",
    ),
    "stored, 4 GiB": (
        make_with_first_item(method=STORED, both={"size": LIMIT32 - 1}),
        "a size that method 0",
    ),
    "more than 1,032 times": (
        make_with_first_item(both={"size": 1033 * len(PACKED)}),
        "a size that method 8 can have",
    ),
    "deflated, 4 GiB": (
        make_with_first_item(both={"size": LIMIT32 - 1}),
        "a size that method 8 can have",
    ),
    "no bytes, and yet a size": (make_with_first_item(packed=b""), "a size that method 8 can have"),
    "packed, 4 GiB": (
        make_with_first_item(both={"packed": LIMIT32 - 1}),
        f"a record that ends before {BEGIN}",
    ),
    "packed, a byte more": (
        zipped(A, B._replace(both={"packed": 7, "size": 7})),
        f"a record that ends before {BEGIN}",
    ),
    "zip64, all bits": (
        make_with_first_item(
            both={"packed": LIMIT32, "size": LIMIT32}, central_extra=extra64(2**64 - 1, 2**64 - 1)
        ),
        "a record that ends before",
    ),
    "zip64, 8 EiB": (
        make_with_first_item(both={"size": LIMIT32}, central_extra=extra64(1 << 63)),
        "a size that method 8 can have",
    ),
    "zip64, offset of 8 EiB": (
        make_with_first_item(central={"offset": LIMIT32}, central_extra=extra64(1 << 63)),
        "a record that ends before",
    ),
    "zip64, saturated and nothing else": (
        make_with_first_item(both={"size": LIMIT32}),
        "a zip64 extra field",
    ),
    "zip64, an extra field too short": (
        make_with_first_item(both={"packed": LIMIT32, "size": LIMIT32}, central_extra=extra64(5)),
        "a zip64 extra field",
    ),
    "zip64, an extra field that is cut off": (
        make_with_first_item(both={"size": LIMIT32}, central_extra=extra64(5)[:10]),
        rule("extra-field-cut-off"),
    ),
    "zip64, another tag": (
        make_with_first_item(both={"size": LIMIT32}, central_extra=extra64(len(TEXT), tag=2)),
        "a zip64 extra field",
    ),
    # Where it ends
    "nothing": (b"", NO_ARCHIVE),
    "no archive": (TEXT, NO_ARCHIVE),
    "zeros": (bytes(70_000), NO_ARCHIVE),
    "half an EOCD": (PLAIN[:-11], NO_ARCHIVE),
    "a byte less": (PLAIN[:-1], NO_ARCHIVE),
    "a byte more": (PLAIN + b"\n", rule("bytes-behind-archive")),
    "no EOCD": (PLAIN[:-22], NO_ARCHIVE),
    "no directory": (PLAIN[:BEGIN], NO_ARCHIVE),
    "half": (PLAIN[: len(PLAIN) // 2], NO_ARCHIVE),
    "the first byte": (PLAIN[:1], NO_ARCHIVE),
    "without its first byte": (PLAIN[1:], EOCD),
    "without its first record": (PLAIN[len(A.headers(0)[0] + PACKED) :], EOCD),
    "an EOCD alone": (PLAIN[-22:], EOCD),
    "an EOCD twice": (PLAIN + PLAIN[-22:], rule("two-directories")),
    "a comment too short": (zipped(A, B, end={"comment": 9}, comment=b"12345678"), NO_ARCHIVE),
    "a comment too long": (
        zipped(A, B, end={"comment": 7}, comment=b"12345678"),
        rule("bytes-behind-archive"),
    ),
    "two EOCDs that fit": (zipped(A, B, comment=zipped()), rule("end-record-in-comment")),
    "two archives that fit": (zipped(A, comment=zipped(B)), rule("end-record-in-comment")),
    # Counts, lengths, offsets
    "a member more": (zipped(A, B, end={"here": 3, "count": 3}), EOCD),
    "a member less": (
        zipped(A, B, end={"here": 1, "count": 1}),
        "the end of the central directory",
    ),
    "no member": (zipped(A, B, end={"here": 0, "count": 0}), EOCD),
    "as many as can be": (zipped(A, B, end={"here": LIMIT16, "count": LIMIT16}), EOCD),
    "two counts": (zipped(A, B, end={"here": 1}), rule("count-mismatch")),
    "a second disk": (zipped(A, B, end={"disk": 1, "first": 1}), "one disk"),
    "disks that disagree": (zipped(A, B, end={"disk": 1}), "one disk"),
    "a member on another disk": (make_with_first_item(central={"disk": 1}), "disk 0"),
    "directory a byte shorter": (zipped(A, B, end={"length": LENGTH - 1}), rule("two-directories")),
    "directory a byte longer": (zipped(A, B, end={"length": LENGTH + 1}), EOCD),
    "directory longer, and earlier": (
        zipped(A, B, end={"length": LENGTH + 1, "offset": BEGIN - 1}),
        HEADER,
    ),
    "directory longer than the file": (zipped(A, B, end={"length": LIMIT32 - 1}), EOCD),
    "directory of no length": (zipped(A, B, end={"length": 0}), EOCD),
    "directory a byte later": (zipped(A, B, end={"offset": BEGIN + 1}), EOCD),
    "directory a byte earlier": (zipped(A, B, end={"offset": BEGIN - 1}), "a record that ends"),
    "directory a byte earlier, and room": (
        zipped(A, B._replace(after=b"-"), end={"offset": BEGIN}),
        rule("two-records"),
    ),
    "directory behind the file": (zipped(A, B, end={"offset": LIMIT32 - 1}), EOCD),
    "something behind the directory": (zipped(A, B, wide=b"PK"), rule("two-directories")),
    "a hole in the directory": (
        zipped(A._replace(central={"comment": 1}), B),
        HEADER,
    ),
    "central signature": (make_with_first_item(central={"signature": b"PK\3\4"}), HEADER),
    "central name's length": (make_with_first_item(central={"name": 4}), DAMAGED),
    "central name's length, all bits": (make_with_first_item(central={"name": LIMIT16}), HEADER),
    "central extra field's length": (make_with_first_item(central={"extra": LIMIT16}), HEADER),
    "central comment's length": (
        zipped(A, B._replace(central={"comment": 1})),
        HEADER,
    ),
    "offset, a byte more": (
        make_with_first_item(central={"offset": 1}, after=b"-"),
        "local file header at offset 1: expected b'PK",
    ),
    "offset, a byte less": (
        make_with_first_item(before=b"-", central={"offset": 0}),
        "local file header at offset 0: expected b'PK",
    ),
    "offset of another record": (
        zipped(A, B._replace(central={"offset": 0})),
        "record of b'd/b.bin' at offset 0",
    ),
    "offset behind all": (
        make_with_first_item(central={"offset": LIMIT32 - 1}),
        "a record that ends before",
    ),
    # What zip64 can lie about
    "zip64 announced, but not there": (zipped(A, B, end=SATURATED), LOCATOR),
    "zip64 offset announced": (zipped(A, B, end={"offset": LIMIT32}), LOCATOR),
    "zip64 signature": (make_with_records64().replace(b"PK\6\6", b"PK\6\5"), EOCD64),
    "zip64 locator's signature": (make_with_records64().replace(b"PK\6\7", b"PK\6\5"), LOCATOR),
    "zip64 locator's offset": (make_with_records64(at=0), LOCATOR),
    "zip64 locator's offset behind all": (make_with_records64(at=1 << 63), LOCATOR),
    "zip64 record's size": (make_with_records64(size=45), EOCD64),
    "zip64 record's size, all bits": (make_with_records64(size=2**64 - 1), EOCD64),
    "zip64 disk": (make_with_records64(disk=1), "one disk"),
    "zip64 first disk": (make_with_records64(first=1), "one disk"),
    "zip64, a member more": (make_with_records64(here=3, count=3), EOCD),
    "zip64, 2 ** 64 - 1 members": (make_with_records64(here=2**64 - 1, count=2**64 - 1), EOCD),
    "zip64, another length": (make_with_records64({}, length=LENGTH - 1), EOCD),
    "zip64, 8 EiB of directory": (make_with_records64(length=1 << 63, at=BEGIN + (1 << 63)), EOCD),
    "zip64, directory at 4 EiB": (make_with_records64(offset=1 << 62, at=LENGTH + (1 << 62)), EOCD),
    "zip64, another count": (make_with_records64({"here": 1, "count": 1}), EOCD),
    "zip64, another offset": (make_with_records64({"offset": 0}), EOCD),
    "zip64 locator alone": (zipped(A, B, wide=make_end_records64()[56:]), DAMAGED),
}

# What only shows when it is inflated.
CHECKED: dict[str, tuple[bytes, str]] = {
    "stored, a bit": (zipped(A, B._replace(packed=b"stoped")), "data of d/b.bin * expected CRC"),
    "stored, CRC": (zipped(A, B._replace(both={"crc": 5})), "expected CRC 0x00000005 of 6 bytes"),
    "deflated, CRC": (make_with_first_item(both={"crc": 5}), "expected CRC 0x00000005"),
    "deflated, a size less": (make_with_first_item(both={"size": len(TEXT) - 1}), "data of a.txt"),
    "deflated, a size more": (make_with_first_item(both={"size": len(TEXT) + 1}), "data of a.txt"),
    "deflated, no size": (make_with_first_item(both={"size": 0, "crc": 0}), "data of a.txt"),
    "deflated, ends early": (make_with_first_item(packed=PACKED[:-1]), "does not end"),
    "deflated, ends at half": (
        make_with_first_item(packed=PACKED[: len(PACKED) // 2]),
        "data of a.txt",
    ),
    "deflated, never ends": (make_with_first_item(packed=b"\0\0\0\xff\xff"), "does not end"),
    "deflated, goes on": (
        make_with_first_item(packed=PACKED + b"\0"),
        "goes on where it should end",
    ),
    "deflated, another stream": (
        make_with_first_item(packed=PACKED + PACKED),
        "goes on where it should end",
    ),
    "deflated, an archive behind": (
        make_with_first_item(packed=PACKED + PLAIN),
        "goes on where it should end",
    ),
    "deflated, larger than told": (
        zipped(Item(b"0", TEXT, packed=deflate(bytes(40 << 20)))),
        "goes on where it should end",
    ),
    "deflated, larger and smaller": (
        zipped(Item(b"0", TEXT, packed=deflate(TEXT + b"!"))),
        "goes on where it should end",
    ),
    "deflated, not at all": (make_with_first_item(packed=TEXT), "data of a.txt"),
    "deflated, a block of type 3": (make_with_first_item(packed=b"\7" + PACKED), "data of a.txt"),
    "deflated, a block of wrong length": (
        make_with_first_item(packed=b"\1\2\0\xfd\xfe12" + bytes(9)),
        "data of a.txt",
    ),
    "deflated, reaching too far back": (
        make_with_first_item(packed=primed(TEXT, TEXT)),
        "data of a.txt",
    ),
    "descriptor, CRC in the directory": (
        make_with_first_item(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            central={"crc": 5},
            after=descriptor(TEXT, PACKED),
        ),
        rule("descriptor-mismatch"),
    ),
    "extra field, shorter than it is": (
        make_with_first_item(local_extra=TIMES, local={"extra": 0}),
        rule("bytes-between-records"),
    ),
}


def cases_by_hand() -> Iterator[Case]:
    for name, (data, contents) in MERGED.items():
        yield Case("by hand", name, data, BOTH, "", contents)
    for name, (data, told) in REFUSED.items():
        yield Case("by hand", name, data, BOTH, told, {})
    for name, (data, told) in CHECKED.items():
        yield Case("by hand", name, data, WITH, told, {})
