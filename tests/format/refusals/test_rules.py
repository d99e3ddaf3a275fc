"""The rules themselves: each has its cases and its place in the docs; all can be collected."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from parazip import BadArchiveError
from parazip.codecs import inflating
from parazip.format.local import find_data_offset
from parazip.format.reader import read_directory
from parazip.format.refusals import REFUSALS, Judge
from parazip.sources import archives
from parazip.verification.faults import RULES
from support import damage
from support.archive_parts import (
    EMPTY,
    LAST,
    NOT_COPIED,
    PACKED,
    PLAIN,
    RECORD,
    A,
    incomplete_distances,
    merge_and_read,
)
from support.odd_archives import DEFLATED, UTF8, Item, zipped
from support.places import DOCS
from support.refused_archives import CASES, CHECKED, REFUSED


def test_each_rule_has_its_cases() -> None:
    assert {*REFUSED, *CHECKED, "file-cut-off"} == REFUSALS.keys()
    assert {case.partition(",")[0] for case in NOT_COPIED} == {*archives.NOT_COPIED}


def test_a_file_that_gets_shorter_is_refused() -> None:
    with pytest.raises(BadArchiveError) as error:
        read_directory("s.zip", len(PLAIN) + 1, lambda offset, length: PLAIN[offset:][:length])
    assert error.value.id == "file-cut-off"


def test_the_docs_list_each_id() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "refusals.md").read_text(), re.MULTILINE)
    own = [rule for rule in RULES if rule not in archives.NOT_COPIED]
    assert listed == [*REFUSALS, *archives.NOT_COPIED, *own]


class Collector(Judge):
    """Is told of all that is not right."""

    def __init__(self) -> None:
        super().__init__("s.zip")
        self.found: list[str] = []

    def refuse(self, id: str, *told: Any, **more: Any) -> None:  # noqa: A002 # as `Judge`
        self.found.append(id)


def collect_rules(data: bytes) -> list[str]:
    judge = Collector()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    try:
        for entry in read_directory("s.zip", len(data), read, judge):
            find_data_offset(judge, entry, read(entry.record.offset, 66_000), read)
    except BadArchiveError:
        assert judge.found
    return judge.found


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_rules_can_be_collected_without_stopping_at_the_first(rule: str, case: str) -> None:
    is_inside = rule in ("stream-end", "stream-damaged") or (
        rule == "link-target" and case.startswith(("NUL", "in many empty blocks"))
    )
    if is_inside:
        assert collect_rules(REFUSED[rule][case]()) == []  # contents are not read here
    else:
        assert rule in collect_rules(REFUSED[rule][case]())


def test_all_that_is_not_right_is_collected() -> None:
    data = zipped(
        A._replace(both={"version": 99}, after=b"-"),
        EMPTY._replace(both={"crc": 5}, local={"size": 1}),
        LAST._replace(local={"method": DEFLATED}),
        front=RECORD,
        comment=zipped(),
    )
    assert collect_rules(data) == [
        "end-record-in-comment",
        "version-needed",
        "crc-of-nothing",
        "unlisted-record",
        "bytes-between-records",
        "local-sizes-mismatch",
        "local-header-mismatch",
    ]


def zlib_takes(stream: bytes) -> bool:
    """Whether zlib takes a deflate stream that ends where its bytes end."""
    inflater = zlib.decompressobj(-15)
    try:
        inflater.decompress(stream)
    except zlib.error:
        return False
    return inflater.eof and not inflater.unused_data


def is_taken(chunks: Iterable[bytes]) -> bool:
    try:
        inflating.measure_inflated(DEFLATED, chunks, 1 << 20)
    except ValueError:
        return False
    return True


def test_streams_are_judged_as_zlib_judges_them() -> None:
    streams = [*damage.ODD_STREAMS, incomplete_distances(), PACKED, PACKED[:-1], PACKED + b"-"]
    for at in range(60):
        for bit in range(8):
            spoilt = bytearray(PACKED)
            spoilt[at % len(PACKED)] ^= 1 << bit
            streams.append(bytes(spoilt))
    taken = [zlib_takes(stream) for stream in streams]
    assert [is_taken([stream]) for stream in streams] == taken
    assert [is_taken([stream[:9], stream[9:]]) for stream in streams if len(stream) > 9] == [
        verdict for verdict, stream in zip(taken, streams, strict=True) if len(stream) > 9
    ]
    assert 3 < sum(taken) < len(streams) - 100


def test_names_of_long_steps_are_compared_at_a_bounded_cost(tmp_path: Path) -> None:
    """To put marks into their order takes the square of how many there are."""
    marks = "".join(chr(0x0300 + i % 2 * 0x16) for i in range(20_000))
    assert not unicodedata.is_normalized("NFC", marks)
    item = Item(marks.encode(), both={"flags": UTF8})
    assert list(merge_and_read(tmp_path, zipped(item, LAST))) == [marks, "last"]
