"""What of an archive an older one has, and how S3's limits are kept."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip.format.reader import Layout
from parazip.format.values import Record
from parazip.output import pieces
from parazip.output.pieces import Run, find_same, plan_runs

MIB = 1 << 20


def make(*members: tuple[str, int], front: bytes = b"", directory: int = 100) -> Layout:
    """An archive of members, by their names and the lengths of their records."""
    records, position = [], len(front)
    for name, length in members:
        records.append(Record(name.encode(), 0, 0, 0, 0, length, length, 0, position))
        position += length
    return Layout(front, records, position, position + directory)


def fill(layout: Layout) -> bytes:
    """The bytes of such an archive: the same for what has the same name and length."""
    data = layout.front
    for record in layout.records:
        data += random.Random(f"{record.name!r} {record.size}").randbytes(record.size)
    return data + random.Random(layout.size).randbytes(layout.size - layout.end)


@pytest.mark.parametrize(
    ("new", "runs"),
    [
        (make(("a", 10), ("b", 20)), [Run(0, 30, 0)]),
        (make(("a", 10), ("x", 5), ("b", 20)), [Run(0, 10, 0), Run(15, 35, 10)]),
        (make(("x", 5), ("a", 10), ("b", 20)), [Run(5, 35, 0)]),
        (make(("b", 20)), [Run(0, 20, 10)]),
        (make(("b", 20), ("a", 10)), [Run(0, 20, 10), Run(20, 30, 0)]),
        (make(("a", 11), ("b", 20)), [Run(11, 31, 10)]),
        (make(("a", 10), ("b", 20), front=bytes(7)), [Run(7, 37, 0)]),
        (make(), []),
        (make(("b", 20), ("b", 20)), [Run(0, 20, 10), Run(20, 40, 10)]),
    ],
)
def test_what_is_the_same_is_found(new: Layout, runs: list[Run]) -> None:
    assert [*find_same(new, make(("a", 10), ("b", 20)))] == runs


def test_what_stands_in_front_is_compared() -> None:
    old = make(("a", 10), front=b"#!/one\n")
    assert [*find_same(make(("a", 10), front=b"#!/one\n"), old)] == [Run(0, 17, 0)]
    assert [*find_same(make(("a", 10), front=b"#!/two\n"), old)] == [Run(7, 17, 7)]
    assert [*find_same(make(("a", 10), front=b"#!/one \n"), old)] == [Run(8, 18, 7)]


def test_attributes_do_not_count() -> None:
    """They stand in the directory alone."""
    old = make(("a", 10))
    new = old._replace(records=[each._replace(attributes=1) for each in old.records])
    assert [*find_same(new, old)] == [Run(0, 10, 0)]


ARCHIVE = make(*((f"{number:03}", MIB) for number in range(100)))


def change(number: int) -> Layout:
    return make(*((f"{n:03}" if n != number else "new", MIB) for n in range(100)))


def measure(runs: list[Run], size: int) -> tuple[int, int]:
    """How many bytes are sent, and by how many parts; S3's limits are kept."""
    assert [run.begin for run in runs] == [0, *(run.end for run in runs[:-1])]
    assert runs[-1].end == size
    assert all(run.length >= 5 * MIB for run in runs[:-1])
    assert len(runs) <= 10_000
    sent = [run for run in runs if not run.is_copied]
    return sum(run.length for run in sent), len(sent)


@pytest.mark.parametrize(
    ("new", "sent"),
    [
        (ARCHIVE, 100),
        (change(50), 5 * MIB + 100),
        (change(0), 5 * MIB + 100),
        (change(3), 5 * MIB + 100),  # what is before it is too short
        (change(98), 2 * MIB + 100),  # what is behind it is too short, and the last part may be
        (make(("x", 5), *((f"{n:03}", MIB) for n in range(100))), 5 * MIB + 100),
        (make(*((f"{n:03}", MIB) for n in range(100) if n != 50)), 100),  # taken out
        (make(*((f"{n:03}", MIB) for n in range(100)), ("x", 5)), 105),
        (make(*((f"{n:03}", MIB) for n in range(100)), front=bytes(9)), 5 * MIB + 100),
    ],
)
def test_what_has_changed_is_sent(new: Layout, sent: int) -> None:
    assert measure(plan_runs(new, ARCHIVE), new.size)[0] == sent


def test_copies_have_32_mib_at_most_and_what_is_sent_some_8() -> None:
    runs = plan_runs(change(50), ARCHIVE)
    assert max(run.length for run in runs if run.is_copied) <= 32 * MIB
    runs = plan_runs(ARCHIVE, None)
    assert measure(runs, ARCHIVE.size) == (ARCHIVE.size, 13)


def test_the_longer_of_two_is_copied_where_both_cannot_be() -> None:
    old = make(("a", 6 * MIB), ("b", 7 * MIB), ("c", 6 * MIB))
    new = make(("a", 6 * MIB), ("x", 1), ("b", 7 * MIB), ("y", 1), ("c", 6 * MIB))
    runs = plan_runs(new, old)
    measure(runs, new.size)
    assert [run.source for run in runs if run.is_copied] == [6 * MIB]


def test_the_largest_archive_has_no_more_parts_than_s3_takes() -> None:
    """Each second member has changed."""
    size = 1 << 30
    old = make(*((f"{number}", size) for number in range(5000)))
    new = make(*((f"{number} {'new' * (number % 2)}".strip(), size) for number in range(5000)))
    runs = plan_runs(new, old)
    sent, _ = measure(runs, new.size)
    assert sent <= 2600 << 30
    assert max(run.length for run in runs) <= 5 << 30


members = st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 300))
layouts = st.builds(
    lambda members, front, directory: make(*members, front=front, directory=directory),
    st.lists(members, max_size=30),
    st.binary(max_size=60),
    st.integers(22, 90),
)


@given(layouts, layouts, st.integers(1, 80), st.integers(1, 200), st.integers(1, 200))
def test_parts_make_the_archive(
    new: Layout, old: Layout, least: int, part: int, largest: int
) -> None:
    """They tile it, none but the last is too short, and copies are what they are said to be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SMALLEST_PART", least)
        patch.setattr(pieces, "PART", part)
        patch.setattr(pieces, "LARGEST_COPY", largest)
        runs = plan_runs(new, old)
        again = plan_runs(new, new)
    data, old_data = fill(new), fill(old)
    made = b""
    for run in runs:
        source = old_data if run.is_copied else data
        begin = run.source if run.source is not None else run.begin
        assert 0 <= begin <= begin + run.length <= (old.end if run.is_copied else new.size)
        made += source[begin : begin + run.length]
    assert made == data
    assert all(run.length >= least for run in runs[:-1])
    for run in runs:
        assert run.length <= max(largest if run.is_copied else part, 2 * least - 1)
    for first, second in pairwise(runs):
        assert first.end == second.begin
    if new.end >= least:  # nothing but the directory is sent
        assert sum(run.length for run in again if not run.is_copied) == new.size - new.end
