"""Members that are names and sizes only, in mixtures as they come, and as planners fear them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import NamedTuple

from parazip.model import File, Member

MIB = 1 << 20
_WORDS = ("include", "kernels", "core", "python", "ops", "data", "training", "v2", "test", "image")


class Input(NamedTuple):
    """What is put into an archive.

    Attributes:
        name: how tables call it.
        members: how many there are.
        size: their bytes in all.
        ratio: bytes that come of a byte of contents.
        make: gives the sizes and alignments of `members` members that have `size` bytes in all.
        seed: of all that is drawn.
    """

    name: str
    members: int
    size: int
    ratio: float
    make: Callable[[Input], Iterator[tuple[int, int]]]
    seed: int = 1

    def list_members(self) -> Iterator[Member]:
        """The members, in order."""
        for number, (size, align) in enumerate(self.make(self)):
            word = _WORDS[number % len(_WORDS)]
            name = f"dataset/{word}/{number // 1000:06}/{word}_{number:09}.bin"
            file = File(f"/mnt/files/{name}", size, 1_700_000_000_000_000_000, number + 2**32, 1)
            yield Member(name, file, 0o100644 << 16, 33 << 16, align=align)

    def scale(self, factor: int) -> Input:
        """The same bytes in fewer members, each of which stands for `factor` of them."""
        return self._replace(members=max(1, self.members // factor))


def make_mixed(given: Input) -> Iterator[tuple[int, int]]:
    """Many small members; 1 % that have 30 % of the bytes; and one that has 10 %, up to 1 TB."""
    drawn = random.Random(given.seed)
    huge = min(given.size // 10, 10**12)
    large = (given.size - huge) * 3 // 10
    count = given.members - 1
    many = max(1, count // 100)
    small = given.size - huge - large
    sizes = [(small / max(1, count - many), 99), (large / many, 1)]
    for number in range(count):
        average = sizes[number % 100 == 99 or count < 100][0]
        yield min(int(drawn.expovariate(1 / average)), int(8 * average)), 1
        if number == count // 2:
            yield huge, 1


def make_equal(given: Input) -> Iterator[tuple[int, int]]:
    """All of one size."""
    for _ in range(given.members):
        yield given.size // given.members, 1


def make_aligned(given: Input) -> Iterator[tuple[int, int]]:
    """All of one size, and aligned: nothing that workers may send by themselves."""
    for size, _ in make_equal(given):
        yield size, 4096


def make_tiny_and_huge(given: Input) -> Iterator[tuple[int, int]]:
    """One of 1 KB and one of all other bytes, in turn."""
    each = 2 * given.size // given.members
    return islice(cycle(((1000, 1), (each - 1000, 1))), given.members)


def make_every_second_aligned(given: Input) -> Iterator[tuple[int, int]]:
    """Members that workers may send, each behind a small one that has to come here."""
    each = 2 * given.size // given.members
    return islice(cycle(((1000, 4096), (each - 1000, 1))), given.members)
