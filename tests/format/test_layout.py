"""Where things are in archives of which nothing is believed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from parazip.errors import BadArchiveError
from parazip.format.reader import Layout, read_directory, read_layout
from support.archive_parts import signing_block
from support.hostile_archives import REFUSED as HOSTILE
from support.pushing import make_contents, pack_archive
from support.refused_archives import CASES, REFUSED
from support.small_archives import read_piece

PLAIN = pack_archive(make_contents(4, 100))
DIRECTORY = PLAIN.index(b"PK\1\2")


def read(data: bytes) -> Layout:
    return read_layout("a.zip", len(data), partial(read_piece, data))


def insert(data: bytes, gap: bytes) -> bytes:
    """An archive with more bytes in front of its directory, whose place its end tells."""
    end = data.index(b"PK\5\6")
    place = (DIRECTORY + len(gap)).to_bytes(4, "little")
    return data[:DIRECTORY] + gap + data[DIRECTORY : end + 16] + place + data[end + 20 :]


def test_it_is_that_of_the_strict_reader() -> None:
    layout = read(PLAIN)
    entries = read_directory("a.zip", len(PLAIN), partial(read_piece, PLAIN))
    assert layout == Layout(b"", [entry.record for entry in entries], DIRECTORY, len(PLAIN))


@pytest.mark.parametrize("front", [b"#!/bin/sh\n", bytes(100_000)])
def test_what_stands_in_front(front: bytes) -> None:
    layout = read(front + PLAIN)
    assert layout.front == front[: 64 << 10]
    assert (layout.begin, layout.end) == (len(front), len(front) + DIRECTORY)


def test_an_empty_archive() -> None:
    empty = pack_archive({})
    assert read(empty) == Layout(b"", [], 0, 22)
    assert read(b"#!a\n" + empty) == Layout(b"#!a\n", [], 4, 26)


@pytest.mark.parametrize("gap", [bytes(50), signing_block()])
def test_what_stands_behind_the_last_record_is_none_of_it(gap: bytes) -> None:
    assert read(insert(PLAIN, gap)).end == DIRECTORY


HOSTILE_DATA: dict[str, Callable[[], bytes]] = {
    **{f"{rule} {case}": REFUSED[rule][case] for rule, case in CASES},
    **{name: partial(bytes, data) for name, (data, _) in HOSTILE.items()},
}


def test_whatever_is_said_it_is_in_the_file() -> None:
    for case, make in HOSTILE_DATA.items():
        data = make()
        try:
            layout = read(data)
        except BadArchiveError:
            continue
        offsets = [record.offset for record in layout.records]
        assert all(first < second for first, second in pairwise(offsets)), case
        assert 0 <= layout.begin <= layout.end <= layout.size == len(data), case
        assert not offsets or layout.begin == offsets[0] <= offsets[-1] < layout.end, case
