"""One thread beside the caller's, for calls in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from parazip.workers.line import Lane, Line, is_interrupt

_Call: TypeAlias = Callable[[], object]


class SideThread:
    """Makes calls one after the other on a thread of its own, as long as all goes well.

    When its `with` block ends by an error, calls that have not begun are not made any more.
    """

    def __init__(self) -> None:
        # A call may be handed over before the one that fails is seen to have failed. What is shared
        # with the thread must not be this object: it holds the lane (see `Job`).
        self._failed: list[None] = []
        self._lane = self._open_lane()
        self._is_used = False

    def __enter__(self) -> SideThread:
        return self

    def call(self, function: _Call) -> None:
        """Makes a call after those that were asked for before.

        Raises:
            Exception: what one of those has raised.
        """
        self._is_used = True
        self._lane.put(function)
        for _ in self._lane.take_finished():
            pass

    def finish(self) -> None:
        """Waits for all calls, and ends the thread until there are more.

        Raises:
            Exception: what the first call raised that failed.
        """
        if self._is_used:
            for _ in self._lane.take_all():
                pass
            self._lane.close()
            self._lane = self._open_lane()
            self._is_used = False

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._lane.close(is_interrupt(kind))

    def _open_lane(self) -> Lane[_Call, object]:
        make_call = partial(_make_call, self._failed)
        return Line(1, 1).open_lane(make_call, cost=lambda _: 0, weight=lambda _: 0)


def _make_call(failed: list[None], function: _Call) -> object:
    if failed:
        return None
    try:
        return function()
    except BaseException:
        failed.append(None)
        raise
