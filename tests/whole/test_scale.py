"""Archives that are too large to be made here: the real planner, with workers of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from benchmarks.scale import members
from benchmarks.scale.costs import EPYC, Assumed
from benchmarks.scale.members import Input
from benchmarks.scale.simulation import Outcome, simulate

from parazip.output.multipart import LARGEST_PART, MOST_PARTS, SMALLEST_PART

pytestmark = pytest.mark.once

MIB = 1 << 20
WIDE = Assumed(memory=8 << 30)


def run(
    make: Callable[[Input], Iterator[tuple[int, int]]],
    count: int,
    size: int,
    ratio: float = 0.5,
    workers: int = 100,
    factor: int = 1,
) -> Outcome:
    return simulate(Input("test", count, size, ratio, make), workers, EPYC, WIDE, factor)


def assert_s3_takes_it(made: Outcome) -> None:
    """Whether numbers ascend, and what they are, the simulated store has asked before."""
    assert made.failure == ""
    assert made.members == made.given.members
    assert sum(made.parts) == made.size
    assert 0 < len(made.parts) <= MOST_PARTS
    assert max(made.parts) <= LARGEST_PART
    assert min(made.parts[:-1], default=SMALLEST_PART) >= SMALLEST_PART


MIXTURES: dict[str, tuple[Callable[[Input], Iterator[tuple[int, int]]], int, int, float]] = {
    "mixed": (members.make_mixed, 5_000, 20 * 10**9, 0.4),
    "none shrinks": (members.make_equal, 10_000, 10**10, 1),
    "all shrink to nothing": (members.make_equal, 5_000, 5 * 10**10, 0.001),
    "all above what one worker gets": (members.make_equal, 15_000, 15_000 * 65 * MIB, 0.9),
    "tiny and huge": (members.make_tiny_and_huge, 8_000, 4_000 * 70 * MIB, 1),
    "empty": (members.make_equal, 3_000, 0, 1),
    "aligned": (members.make_aligned, 3_000, 3 * 10**10, 1),
    "every second one aligned": (members.make_every_second_aligned, 28_000, 14_000 * 7 * MIB, 1),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_s3_takes_the_parts_of_each_mixture(name: str) -> None:
    make, count, size, ratio = MIXTURES[name]
    assert_s3_takes_it(run(make, count, size, ratio))


def test_the_archive_does_not_depend_on_workers() -> None:
    few, some, many = (
        run(members.make_mixed, 5_000, 40 * 10**9, workers=workers) for workers in (1, 7, 1000)
    )
    for made in (few, some, many):
        assert_s3_takes_it(made)
    assert few.size == some.size == many.size
    assert few.contents == some.contents == many.contents
    assert few.seconds > 5 * some.seconds > 5 * many.seconds


def test_the_same_is_simulated_again() -> None:
    assert run(members.make_mixed, 500, 10**9) == run(members.make_mixed, 500, 10**9)


def test_members_may_stand_for_others() -> None:
    """So more of them can be simulated than can be planned here one by one."""
    each = run(members.make_mixed, 200_000, 20 * 10**9)
    some = run(members.make_mixed, 200_000, 20 * 10**9, factor=4)
    for made in (each, some):
        assert_s3_takes_it(made._replace(members=made.given.members))
    for field in ("size", "contents", "cores", "tickets"):
        assert getattr(some, field) == pytest.approx(getattr(each, field), rel=0.05), field
    for field in ("coordinator", "seconds"):
        assert getattr(some, field) == pytest.approx(getattr(each, field), rel=0.25), field


def test_most_of_it_never_comes_here() -> None:
    made = run(members.make_mixed, 20_000, 3 * 10**11, 0.4)
    assert_s3_takes_it(made)
    assert made.received < made.size / 20
    assert made.again < made.contents / 50


def test_no_more_comes_back_at_once_than_fits() -> None:
    """Where every second one is aligned, the numbers of parts run out, and then all comes here."""
    given = Input("all comes here", 24_000, 12_000 * 7 * MIB, 1, members.make_every_second_aligned)
    made = simulate(given, 1000, EPYC, Assumed())
    assert made.refused > 6000
    assert made.in_flight <= Assumed().memory
