"""What fuzzing begins with: archives that are sound, hostile, or two things to two readers.

All are made here, but for wheels, of which those that were downloaded are taken, too.
"""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from readers.ambiguities import make_ambiguities

import parazip
from fuzz.quine import make_quine
from parazip.codecs import deflating
from parazip.codecs.sizes import WINDOW
from support.archive_parts import LAST, LINK, A
from support.damage import ODD_STREAMS, make_damaged
from support.hostile_archives import cases_by_hand
from support.hostile_wheels import WHEELS
from support.odd_archives import (
    LIMIT16,
    LIMIT32,
    STORED,
    UTF8,
    Item,
    deflate,
    end_records64,
    zipped,
)

MOST = 1 << 17
"""Bytes that are worth being changed: two names of 64 KB fit, 65,536 members do not."""

_DAMAGED = 40
"""Archives of members of all sizes and methods, most of them damaged."""


def make_archives() -> dict[str, bytes]:
    """All that are made here, by names; none is longer than `MOST`."""
    archives = {f"sound: {name}": data for name, data in _make_sound()}
    archives |= {f"hostile: {name}": data for name, data in _make_hostile()}
    archives |= {f"by hand: {case.name}": case.data for case in cases_by_hand()}
    archives |= {f"damaged: {seed}": make_damaged(seed) for seed in range(_DAMAGED)}
    archives |= {f"{each.of}: {each.variant}": each.data for each in make_ambiguities()}
    return {name: data for name, data in archives.items() if len(data) <= MOST}


def find_wheels(folder: Path) -> dict[str, bytes]:
    """The wheels in a folder, by names, that are not longer than `MOST`."""
    wheels = {path.name: path.read_bytes() for path in sorted(folder.glob("*.whl"))}
    return {name: data for name, data in wheels.items() if len(data) <= MOST}


# Sound ones


class _Pipe(io.BytesIO):
    """A file that only takes what is written."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError


def _make_sound() -> Iterator[tuple[str, bytes]]:
    for name, (data, _) in WHEELS.items():
        yield f"wheel {name}", data
    texts = {f"{i}.txt": b"%d is a number\n" % i * i for i in range(9)}
    for name, output in ("made by ZipFile", io.BytesIO()), ("data descriptors", _Pipe()):
        with parazip.ZipFile(output, "w", level=6) as archive:
            for text, contents in texts.items():
                archive.writestr(text, contents)
        yield name, output.getvalue()
    for method in zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA:
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w", method) as other:
            other.writestr("a", b"some text\n" * 99)
        yield f"method {method}", output.getvalue()
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as other, other.open("a", "w", force_zip64=True) as member:
        member.write(b"text")
    yield "zip64 sizes", output.getvalue()


# Hostile ones


def _make_hostile() -> Iterator[tuple[str, bytes]]:
    yield "quine", make_quine()
    yield "overlap bomb", make_overlap_bomb(20, bytes(100_000))
    yield "one record many times", _make_shared_record(20)
    zeros = deflate(bytes(1_000_000))
    yield "ratio bomb", zipped(Item(b"zeros", bytes(1_000_000), packed=zeros))
    inner = zipped(Item(b"zeros", bytes(1_000_000), packed=zeros))
    yield "nested bomb", zipped(*(Item(b"%d.zip" % i, inner) for i in range(4)))
    for target in (b"/etc", b"..", b"../../etc/passwd", b"x/../../y", b"..\\..", b"C:\\", b"self"):
        yield f"link to {target!r}", _make_links((b"self", target))
    yield "links in turn", _make_links((b"a", b"b"), (b"b", b".."), (b"b/c", b"../.."))
    yield "a file through a link", zipped(*_make_link_items((b"a", b"..")), Item(b"a/b", b"out"))
    for pair in ("A a", "d/A D/a", "\u00e9 e\u0301", "\u212b \u00c5", "\ufb01 fi"):
        items = [Item(name.encode(), b"x", both={"flags": UTF8}) for name in pair.split()]
        yield f"alike: {pair!a}", zipped(*items)
    for name in HOSTILE_NAMES:
        yield f"name {name[:20]!r}", zipped(Item(name, b"x"), LAST)
        if not name.isascii():
            yield f"name {name[:20]!r}, UTF-8", zipped(Item(name, b"x", both={"flags": UTF8}), LAST)
    for count in (LIMIT16 - 1, LIMIT16):
        yield f"{count} members claimed", zipped(A, LAST, end={"here": count, "count": count})
    for count in (LIMIT16, LIMIT16 + 1, LIMIT32):
        plain = zipped(A, LAST)
        begin = plain.index(b"PK\1\2")
        wide = end_records64(2, len(plain) - 22 - begin, begin, {"here": count, "count": count})
        end = {"here": LIMIT16, "count": LIMIT16}
        yield f"{count} members claimed by zip64", zipped(A, LAST, end=end, wide=wide)


HOSTILE_NAMES = (
    *(b"../out", b"..\\out", b"d/../../out", b"d\\..\\..\\out", b"/out", b"\\out", b"//host/out"),
    *(b"C:/out", b"C:out", b"c:\\out", b"\\\\?\\C:\\out", b"..", b".", b"./", b"d/.", b"d/.."),
    *(b"CON", b"con.txt", b"d/nul", b"nul.txt", b"AUX.tar.gz", b"LPT1", "COM\u00b9".encode()),
    *(b"a.", b"a ", b"d./a", b"d /a", b"...", b" ", b"a:b", b"a:$DATA", b"a;1", b"a\0b", b"a\nb"),
    *(b"a" * LIMIT16, b"a/" * 32_000 + b"b", b"a/" * 2_048 + b"b", b"a/" * 2_049 + b"b"),
    *(b"\xff\xfe", "gr\u00fc\u00df".encode("cp437"), "gr\u00fc\u00df".encode(), b"-rf", b"~root"),
)
"""Names that some system, or some reader, makes something else of."""


def _make_link_items(*links: tuple[bytes, bytes]) -> list[Item]:
    return [Item(name, target, STORED, central={"attributes": LINK}) for name, target in links]


def _make_links(*links: tuple[bytes, bytes]) -> bytes:
    return zipped(*_make_link_items(*links), A)


def make_overlap_bomb(count: int, kernel: bytes) -> bytes:
    """So many members that share a kernel, as in David Fifield's "A better zip bomb" (2019).

    Each one's stream begins with a stored block that has the next one's local header in it, and
    goes on as that one's stream does.
    """
    members: list[tuple[Item, int]] = []
    data, contents, record = deflate(kernel), kernel, b""
    for number in range(count):
        if record:
            header = record[: -len(data)]
            data, contents = store(header) + data, header + contents
        item = Item(b"%d" % number, contents, packed=data)
        record = item.headers(0)[0] + data
        members.append((item, len(record)))
    central = [item.headers(len(record) - length)[1] for item, length in members]
    return record + _make_end(central, len(record))


def _make_shared_record(count: int) -> bytes:
    local, central = A.headers(0)
    record = local + A.data()
    return record + _make_end([central] * count, len(record))


def _make_end(central: list[bytes], offset: int) -> bytes:
    """A directory of such headers, and its end record."""
    directory, count = b"".join(central), len(central)
    end = {"here": count, "count": count, "length": len(directory), "offset": offset}
    return directory + zipped(end=end)


# Streams that have marks of restarts


class Piece(NamedTuple):
    """A piece of a deflate stream.

    Attributes:
        contents: what it gives.
        level: 0 for stored blocks.
        looks_back: whether it may refer to the contents before it.
        mark: what stands behind it.
    """

    contents: bytes
    level: int
    looks_back: bool
    mark: bytes


def join_pieces(pieces: Sequence[Piece], end: bytes = deflating.EMPTY_STREAM) -> bytes:
    """A raw deflate stream; where `end` is no last block, one that is cut off."""
    stream = before = b""
    for contents, level, looks_back, mark in pieces:
        if looks_back:
            coder = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=before[-WINDOW:])
        else:
            coder = zlib.compressobj(level, zlib.DEFLATED, -15)
        stream += coder.compress(contents) + coder.flush(zlib.Z_SYNC_FLUSH) + mark
        before += contents
    return stream + end


MARK = deflating.SYNC_MARKER[4:]
"""What stands behind a sync flush where a stretch ends."""


def hide_stretches(first: bytes, others: Sequence[bytes], length: int) -> bytes:
    """A stream of one stored block: its contents end as a stretch does, and go on as others do."""
    marker = deflating.SYNC_MARKER
    shown = first[: length - len(marker)] + marker
    shown += join_pieces([Piece(each, 6, False, MARK) for each in others])
    return store(shown) + deflating.EMPTY_STREAM


def store(contents: bytes) -> bytes:
    """A stored block that is not the last (RFC 1951, 3.2.4)."""
    length = len(contents)
    return (
        b"\0" + length.to_bytes(2, "little") + (length ^ LIMIT16).to_bytes(2, "little") + contents
    )


def make_streams(length: int) -> dict[str, bytes]:
    """Streams of stretches of that many bytes, or nearly; by names."""
    text = random.Random(0).choices(b"several letters", k=9 * length)
    contents = [bytes(text[start : start + length]) for start in range(0, len(text), length)]
    inner = join_pieces([Piece(each, 6, False, MARK) for each in contents[:2]])
    inner += bytes(-len(inner) % length)
    changes: dict[str, Callable[[int, bytes], Piece]] = {
        "sound": lambda i, each: Piece(each, 6, False, MARK),
        "stored": lambda i, each: Piece(each, 0, False, MARK),
        "looking back": lambda i, each: Piece(each, 6, True, MARK),
        "one looking back": lambda i, each: Piece(each, 6, i == 3, MARK),
        "one longer": lambda i, each: Piece(each + b"!" * (i == 2), 6, False, MARK),
        "one shorter": lambda i, each: Piece(each[i == 2 :], 6, False, MARK),
        "one without a mark": lambda i, each: Piece(each, 6, False, MARK * (i != 2)),
        "one with two": lambda i, each: Piece(each, 6, False, MARK * (1 + (i == 2))),
        "marks in stored blocks": lambda i, each: Piece(
            (each[:99] + deflating.SYNC_MARKER + each)[:length], 0, False, MARK
        ),
        "a stream in stored blocks": lambda i, each: Piece(
            inner[i % 2 * length :][:length] if i > 1 else each, 0, False, MARK
        ),
    }
    streams = {
        name: join_pieces([change(i, each) for i, each in enumerate(contents)])
        for name, change in changes.items()
    }
    streams["cut off"] = streams["sound"][:-3]
    streams["goes on"] = streams["sound"] + b"more"
    streams["ends within"] = join_pieces(
        [Piece(each, 6, False, MARK) for each in contents[:3]], deflating.EMPTY_STREAM + MARK
    ) + join_pieces([Piece(each, 6, False, MARK) for each in contents])
    before = join_pieces([Piece(contents[0], 6, False, MARK)], b"")
    streams["a stretch that ends in a stored block"] = before + hide_stretches(
        contents[0], contents[1:3], length
    )
    return streams | {f"odd stream {i}": each for i, each in enumerate(ODD_STREAMS)}
