"""How many bytes may be in flight, and how many are."""

from __future__ import annotations

import weakref
from typing import Any

MEMORY = 256 << 20
"""Bytes in flight where nothing else is said: results of some hundred tasks, that threads can go
on while the writer waits for the disk, and no more than a small machine or container has to spare.
"""


class Budget:
    """Bytes that may be in flight at once, counted by each lane for itself.

    Attributes:
        limit: how many that is.
        peak: the most that ever were.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._used: dict[weakref.ref[Any], int] = {}

    @property
    def used(self) -> int:
        """How many are in flight now."""
        return sum(list(self._used.values()))  # a list is made in one step, beside other threads

    def fits(self, amount: int) -> bool:
        """Whether `amount` more may be in flight."""
        return self.used + amount <= self.limit

    def count(self, lane: weakref.ref[Any], amount: int) -> None:
        """A lane has so many in flight."""
        self._used[lane] = amount
        self.peak = max(self.peak, self.used)

    def forget(self, lane: weakref.ref[Any]) -> None:
        """A lane has ended, or is gone."""
        self._used.pop(lane, None)
