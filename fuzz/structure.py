"""Archives and streams that are nearly valid, made by hypothesis: there readers differ most.

An archive is made of records, told field by field, in which a few fields are wrong: by one, by
much, or by another field's number.
"""

from __future__ import annotations

import bz2
import lzma
from typing import Any

from hypothesis import strategies as st

from fuzz.seeds import HOSTILE_NAMES, MARK, Piece, hide_stretches, join_pieces
from parazip.codecs import deflating
from support.archive_parts import (
    DARWIN,
    DEVICE,
    DOS,
    FILE,
    FOLDER,
    LINK,
    NTFS,
    PIPE,
    asi,
    like_libarchive,
    signing_block,
)
from support.hostile_wheels import TIMES
from support.odd_archives import (
    DEFLATED,
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
    descriptor64,
    end_records64,
    extra,
    extra64,
    unicode_path,
    zipped,
)

_SHORT_NAMES = [name for name in HOSTILE_NAMES if len(name) < 99]
_NAMES = st.sampled_from(
    [b"a", b"A", b"b", b"d/", b"d/a", b"d/b", b"D/a", b"d\\a", b"a/", b"", *_SHORT_NAMES]
)
_CONTENTS = st.sampled_from(
    [
        b"",
        b"a",
        b"..",
        b"../..",
        b"text " * 40,
        b"text " * 2000,
        MARK,
        zipped(Item(b"in", b"inner")),
    ]
)
_FLAGS = st.sampled_from(
    [0, 2, DESCRIPTOR, UTF8, UTF8 | DESCRIPTOR, ENCRYPTED, PATCH, STRONG, MASKED, 1 << 15]
)
_METHODS = st.sampled_from([STORED, DEFLATED, DEFLATED, 9, 12, 14, 93, 99])
_KINDS = st.sampled_from([FILE, FILE, FOLDER, LINK, PIPE, DEVICE, 0, 0x10, FOLDER | 0x10, 0x20])
_SYSTEMS = st.sampled_from([3, 3, DOS, NTFS, DARWIN, 1, 11, 99]).map(
    lambda system: system << 8 | 20
)
_EXTRAS = st.sampled_from(
    [
        *(b"", b"", TIMES, bytes(3), bytes(4), extra(1, b""), extra(0x7075, b""), extra(9, b"", 9)),
        *(extra64(5), extra64(5, 5), extra64(5, 5, 0), extra64(5, 5, 0, tag=2)),
        *(unicode_path(b"a", b"b"), unicode_path(b"a", b"a"), unicode_path(b"a", b"b", 2)),
        *(asi(0o120777, b"out"), asi(0o100644), like_libarchive(LINK), like_libarchive(FILE)),
    ]
)
_BETWEEN = st.sampled_from(
    [
        *(b"", b"", b"", b"\0", bytes(12), b"PK", b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\7\x08"),
        *(Item(b"in", b"inner").headers(0)[0] + b"inner", signing_block(), zipped()),
    ]
)
_LIES = {
    "signature": (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\0\0"),
    "name": (0, 1, 2, 3, LIMIT16),
    "extra": (0, 1, 4, 9, 28, LIMIT16),
    "comment": (0, 1, 22, LIMIT16),
    "version": (0, 10, 45, 63, 64, LIMIT16),
    "flags": (0, 1, 8, 0x800, 0x808, 0x2000),
    "method": (0, 8, 9, 12, 99),
    "date": (0, 0x21, LIMIT16),
    "crc": (0, 1, LIMIT32),
    "packed": (0, 1, 2, 5, 7, 99, LIMIT32 - 1, LIMIT32),
    "size": (0, 1, 2, 5, 7, 99, 5000, LIMIT32 - 1, LIMIT32),
    "disk": (1, LIMIT16),
    "internal": (1, 4),
    "offset": (0, 1, 30, 31, LIMIT32 - 1, LIMIT32),
    "made_by": (20, 0x314, LIMIT16),
    "attributes": (0, LINK, FOLDER, LIMIT32),
}
"""Fields of headers, and what they are said to be."""
_CENTRAL_ALONE = {"made_by", "disk", "internal", "attributes", "offset", "comment"}
_END_LIES = {
    "disk": (1, LIMIT16),
    "first": (1, LIMIT16),
    "here": (0, 1, 2, 3, LIMIT16),
    "count": (0, 1, 2, 3, LIMIT16),
    "length": (0, 46, 47, 94, LIMIT32),
    "offset": (0, 31, 33, 60, LIMIT32),
    "comment": (0, 1, 22, LIMIT16),
}


@st.composite
def _make_lies(draw: st.DrawFn, fields: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    name = draw(st.sampled_from([None, None, None, *fields]))
    return {} if name is None else {name: draw(st.sampled_from(fields[name]))}


_LOCAL_LIES = _make_lies({name: lies for name, lies in _LIES.items() if name not in _CENTRAL_ALONE})
_BOTH_LIES = _make_lies(
    {name: _LIES[name] for name in ("crc", "packed", "size", "method", "flags")}
)


@st.composite
def _make_items(draw: st.DrawFn) -> Item:
    """A member: sound in all but a few things, if in any."""
    contents, method = draw(_CONTENTS), draw(_METHODS)
    item = Item(draw(_NAMES), contents, method)
    if method in (12, 14):
        item = item._replace(packed=_compress_otherwise(contents, method))
    both: dict[str, Any] = {"flags": draw(_FLAGS)}
    local: dict[str, Any] = {}
    if both["flags"] & DESCRIPTOR:
        make = draw(st.sampled_from([descriptor, descriptor64]))
        after = make(contents, item.data())
        item = item._replace(after=after[draw(st.sampled_from([0, 0, 4])) :])
        local = draw(st.sampled_from([{}, {"crc": 0, "packed": 0, "size": 0}]))
    common = draw(_EXTRAS)
    return item._replace(
        both=both | draw(_BOTH_LIES),
        local=local | draw(_LOCAL_LIES),
        central={"attributes": draw(_KINDS), "made_by": draw(_SYSTEMS)} | draw(_make_lies(_LIES)),
        local_extra=draw(st.one_of(st.just(common), _EXTRAS)),
        central_extra=common,
        other_name=draw(st.one_of(st.none(), st.none(), st.none(), _NAMES)),
        before=draw(_BETWEEN),
        after=item.after + draw(_BETWEEN),
    )


def _compress_otherwise(contents: bytes, method: int) -> bytes:
    if method == 12:
        return bz2.compress(contents)
    filters = [{"id": lzma.FILTER_LZMA1}]
    # APPNOTE 5.8.8: a version, and the properties' length, in front of them.
    raw = lzma.compress(contents, lzma.FORMAT_RAW, filters=filters)
    return b"\x09\x04\x05\0" + b"\x5d\0\0\x80\0" + raw


@st.composite
def make_archives(draw: st.DrawFn) -> bytes:
    """An archive of a few members."""
    items = draw(st.lists(_make_items(), max_size=4))
    plain = zipped(*items)
    wide = b""
    end: dict[str, Any] = draw(_make_lies(_END_LIES))
    if draw(st.integers(0, 4)) == 0:
        begin = len(zipped(*items, end={"length": 0})) - 22
        directory = b"".join(item.headers(0)[1] for item in items)
        begin -= len(directory)
        lies = draw(_make_lies({"size": (0, 45), "here": (0, 1), "count": (0, 1), "at": (0, 1)}))
        wide = end_records64(len(items), len(directory), begin, lies)
        full = {"here": LIMIT16, "count": LIMIT16, "length": LIMIT32, "offset": LIMIT32}
        end = draw(st.sampled_from([{}, full])) | end
    front = draw(st.one_of(st.just(b""), _BETWEEN))
    comment = draw(st.sampled_from([b"", b"", b"a comment", plain[-22:], plain]))
    archive = zipped(*items, end=end, front=front, wide=wide, comment=comment)
    return draw(st.sampled_from([b"", b"", b"", b"#!/bin/sh\n"])) + archive


def make_streams(length: int) -> st.SearchStrategy[bytes]:
    """Streams of stretches of that many bytes, or nearly, with marks where they do not belong."""
    return _make_streams(length)


@st.composite
def _make_streams(draw: st.DrawFn, length: int) -> bytes:
    sizes = st.sampled_from([length, length, length, length - 1, length + 1, 1, 2 * length])
    fill = st.sampled_from([b"a", b"some text ", bytes(range(256)), deflating.SYNC_MARKER, MARK])
    marks = st.sampled_from([MARK, MARK, MARK, b"", MARK[:-5], MARK + MARK, MARK[5:] + b"\0"])
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        size, with_what = draw(sizes), draw(fill)
        contents = (with_what * (size // len(with_what) + 1))[:size]
        piece = Piece(contents, draw(st.sampled_from([0, 1, 6])), draw(st.booleans()), draw(marks))
        if draw(st.integers(0, 5)) == 0:
            hidden = join_pieces([piece])
            piece = piece._replace(contents=(hidden + contents)[: max(size, len(hidden))], level=0)
        pieces.append(piece)
    if draw(st.integers(0, 5)) == 0:
        stretches = [piece.contents for piece in pieces]
        return join_pieces(pieces[:1], hide_stretches(bytes(length), stretches, length))
    end = draw(
        st.sampled_from([deflating.EMPTY_STREAM, b"", b"\1\0\0\xff\xff", b"\7", b"\3\0more"])
    )
    return join_pieces(pieces, end)
