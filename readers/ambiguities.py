"""Archives of which two readers may make two things, by class.

The classes are those of the study of 50 readers in "My ZIP isn't your ZIP" (USENIX Security 2025).
Most variants are the cases that tests have for each rule of the strict reader; where a class is
about a pair of claims, all pairs are made here.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from support.archive_parts import LAST, TEXT, A
from support.odd_archives import ENCRYPTED, UTF8, Item, deflate, unicode_path, zipped
from support.refused_archives import REFUSED
from support.unusual_archives import MERGED

CLASSES = {
    "A1": "method of compression",
    "A2": "sizes and zip64 fields",
    "A3": "names: local, central, Unicode path, flag 11",
    "A4": "file, folder or link",
    "A5": "encryption",
    "B1": "names that come twice",
    "B2": "special bytes, by the system that made the member",
    "B3": "paths that mean the same",
    "B4": "case",
    "C1": "records beside the directory",
    "C2": "choice of the end record",
    "C3": "number of members",
    "C4": "place of the directory",
    "C5": "choice of the zip64 end record",
}

_RULES = {
    "A1": "version-needed",
    "A2": "extra-field-cut-off zip64-field-missing zip64-field-twice zip64-field-length "
    "zip64-field-mismatch size-impossible crc-of-nothing deflate-stream-missing "
    "local-sizes-mismatch descriptor-mismatch",
    "A3": "name-missing name-not-utf-8 unicode-path-twice unicode-path-invalid "
    "unicode-path-mismatch",
    "A4": "folder-with-contents kind-mismatch link-target link-mismatch",
    "B2": "name-with-nul name-with-backslash",
    "B3": "name-in-two-forms",
    "C1": "end-record-in-front other-archive-in-front record-outside records-overlap two-records "
    "unlisted-record bytes-between-records local-header-missing descriptor-missing "
    "two-descriptors",
    "C2": "comment-cut-off bytes-behind-archive end-record-in-comment split-archive",
    "C3": "count-mismatch",
    "C4": "directory-place two-directories central-header",
    "C5": "zip64-locator zip64-end-record zip64-end-mismatch two-zip64-end-records",
}
"""Rules whose cases are of a class as a whole."""

_OF_LOCAL_HEADERS = {"method": "A1", "deflated": "A1", "encryption": "A5", "masked": "A5"}
"""Cases of `local-header-mismatch` by their first word; `name` and `UTF-8` are A3, bits A1."""


class Ambiguity(NamedTuple):
    """An archive that may be ambiguous.

    Attributes:
        of: its class.
        variant: what tells it from others of the class.
        data: the archive.
    """

    of: str
    variant: str
    data: bytes


def make_ambiguities() -> Iterator[Ambiguity]:
    """All variants of all classes."""
    for of, rules in _RULES.items():
        for rule in rules.split():
            for name, make in REFUSED[rule].items():
                yield Ambiguity(of, f"{rule}: {name}", make())
    for name, make in REFUSED["local-header-mismatch"].items():
        word = name.split()[0]
        of = "A3" if word in ("name", "UTF-8") else _OF_LOCAL_HEADERS.get(word, "A1")
        yield Ambiguity(of, f"local-header-mismatch: {name}", make())
    for name, (data, *_) in MERGED.items():
        yield Ambiguity("C1", f"unusual: {name}", data)
    for of, generate in _GENERATORS.items():
        for variant, data in generate():
            yield Ambiguity(of, variant, data)


def _make_methods() -> Iterator[tuple[str, bytes]]:
    packed = {0: TEXT, 8: deflate(TEXT), 12: bz2.compress(TEXT)}
    for actual, data in packed.items():
        for local in (0, 8, 9, 12, 14, 93, 95, 99):
            for central in (0, 8, 9, 12, 14, 93, 95, 99):
                if actual in (local, central):
                    item = Item(
                        b"m",
                        TEXT,
                        packed=data,
                        local={"method": local},
                        central={"method": central},
                    )
                    yield f"{actual} as {local} and {central}", zipped(A, item, LAST)


def _make_sizes() -> Iterator[tuple[str, bytes]]:
    right = {"packed": len(deflate(TEXT)), "size": len(TEXT)}
    for where in ("local", "central", "both"):
        for field, value in right.items():
            for lie in (0, value - 1, value + 1, value + 9, 0xFFFFFFFF):
                lies: dict[str, Any] = {where: {field: lie}}
                item = A._replace(**lies)
                yield f"{field} {lie:+} {where}", zipped(item, LAST)


def _make_names() -> Iterator[tuple[str, bytes]]:
    raw, other, third = b"plain", b"other", "th\u00efrd".encode()
    for local_name in (raw, other, third):
        for local_path, central_path in (
            (b"", other),
            (other, b""),
            (other, other),
            (other, third),
        ):
            for flags in (0, UTF8):
                item = Item(
                    raw,
                    TEXT,
                    both={"flags": flags},
                    other_name=local_name,
                    local_extra=unicode_path(local_name, local_path) if local_path else b"",
                    central_extra=unicode_path(raw, central_path) if central_path else b"",
                )
                variant = f"{local_name!r}, paths {local_path!r} and {central_path!r}, {flags}"
                yield variant, zipped(A, item, LAST)


def _make_kinds() -> Iterator[tuple[str, bytes]]:
    modes = {"file": 0o100644, "folder": 0o40755, "link": 0o120777, "pipe": 0o10644, "none": 0}
    for name in (b"k", b"k/", b"k\\"):
        for kind, mode in modes.items():
            for system in (0, 3, 19):
                for dos in (0, 0x10):
                    for contents in (b"", b"target"):
                        item = Item(
                            name,
                            contents,
                            method=0,
                            central={"made_by": system << 8 | 20, "attributes": mode << 16 | dos},
                        )
                        variant = f"{name!r} {kind} by {system}, {dos:#x}, {len(contents)} bytes"
                        yield variant, zipped(A, item, LAST)


def _make_encrypted() -> Iterator[tuple[str, bytes]]:
    for flag in (1, 1 << 6, ENCRYPTED | 1 << 13, 1 << 13):
        for where in ("local", "central", "both"):
            lies: dict[str, Any] = {where: {"flags": flag}}
            yield f"flags {flag:#x} {where}", zipped(A._replace(**lies), LAST)


def _make_twice() -> Iterator[tuple[str, bytes]]:
    other = A._replace(contents=b"another")
    yield "the same twice", zipped(A, A, LAST)
    yield "the same, apart", zipped(A, LAST, A)
    yield "another", zipped(A, other, LAST)
    yield "another, apart", zipped(other, LAST, A)
    yield "three", zipped(A, other, LAST, A)
    yield "stored and deflated", zipped(A, A._replace(method=0), LAST)
    folder = Item(b"d/", both={"attributes": 0o40755 << 16}, method=0)
    yield "folders", zipped(folder, A, folder)
    yield "a file and a folder", zipped(folder._replace(name=b"a.py/"), A, LAST)
    yield "a folder and a file", zipped(A, folder._replace(name=b"a.py/"), LAST)
    yield "a file in a file", zipped(A, A._replace(name=b"a.py/in"), LAST)


def _make_special() -> Iterator[tuple[str, bytes]]:
    for name in (b"a\\b", b"a:b", b"a\x82b", b"a\xe9b", b"a\x7fb", b"a;1", b"a\tb", b"a|b", b"~a"):
        for system in (0, 1, 2, 3, 4, 6, 7, 10, 11, 14, 19, 99):
            item = Item(name, TEXT, central={"made_by": system << 8 | 20})
            yield f"{name!r} by {system}", zipped(A, item, LAST)


def _make_paths() -> Iterator[tuple[str, bytes]]:
    for name in (b"./a.py", b"/a.py", b"x/../a.py", b"x//../a.py", b"a.py/.", b"//a.py", b"C:a.py"):
        item = Item(name, b"another")
        yield f"{name!r} alone", zipped(item, LAST)
        yield f"{name!r} behind", zipped(A, item, LAST)
        yield f"{name!r} before", zipped(item, A, LAST)
    for name in (b"d//b", b"d/./b", b"d/b/", b"d/b ", b"d/b."):
        yield f"{name!r} beside d/b", zipped(Item(b"d/b", TEXT), Item(name, b"another"))


def _make_cases() -> Iterator[tuple[str, bytes]]:
    pairs = ("a A", "d/a D/a", "d/a D/b", "\u00e9 \u00c9", "stra\u00dfe STRASSE", "\u017f s")
    for pair in pairs:
        first, second = (
            Item(name.encode(), contents, both={"flags": UTF8})
            for name, contents in zip(pair.split(), (b"1", b"2"), strict=True)
        )
        yield pair, zipped(first, second)


def _make_counts() -> Iterator[tuple[str, bytes]]:
    yield "one less", zipped(A, LAST, end={"here": 1, "count": 1})
    yield "one more", zipped(A, LAST, end={"here": 3, "count": 3})
    yield "one less here", zipped(A, LAST, end={"here": 1})
    yield "none", zipped(A, LAST, end={"here": 0, "count": 0})
    many = [Item(b"%d" % number, b"", method=0) for number in range(65_537)]
    yield "65,537 as 1", zipped(*many, end={"here": 1, "count": 1})
    yield "65,535", zipped(*many[:65_535])


_GENERATORS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "A1": _make_methods,
    "A2": _make_sizes,
    "A3": _make_names,
    "A4": _make_kinds,
    "A5": _make_encrypted,
    "B1": _make_twice,
    "B2": _make_special,
    "B3": _make_paths,
    "B4": _make_cases,
    "C3": _make_counts,
}
