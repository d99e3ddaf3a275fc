"""How many bytes may be in flight, and how many are."""

from __future__ import annotations

import weakref
from typing import Any

MEMORY = 256 << 20
"""Bytes in flight where nothing else is said: more than CPUs make while a writer waits for a disk,
and no more than small machines and containers have to spare."""


class Budget:
    """Bytes that may be in flight at once. Each lane counts its own.

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
        # Another thread may add a lane meanwhile. `list` is one step, a loop over the dict is not.
        return sum([used for lane, used in list(self._used.items()) if lane() is not None])

    def fits(self, amount: int) -> bool:
        """Whether `amount` more may be in flight."""
        return self.used + amount <= self.limit

    def register(self, lane: object) -> weakref.ref[Any]:
        """What a lane is known by here; lanes that have gone without an end are forgotten.

        They are not told by a callback: a signal's handler may raise in that, and nobody hears it.
        """
        for known in list(self._used):
            if known() is None:
                self.forget(known)
        return weakref.ref(lane)

    def count(self, lane: weakref.ref[Any], amount: int) -> None:
        """Notes that a lane has so many in flight."""
        self._used[lane] = amount
        self.peak = max(self.peak, self.used)

    def forget(self, lane: weakref.ref[Any]) -> None:
        """Notes that a lane has ended."""
        self._used.pop(lane, None)
