"""pex, or parazip's pex, that tells how long it zipped: `pex_step.py FILE pex|parazip ARGS...`.

ARGS are pex's. FILE gets a JSON object: "zip_step" has the seconds of all calls of the method in
which pex writes a zip, from its first look at the files on. A program of its own, as its whole run
is timed; but for two or three clock readings it does what `pex` and `parazip pex` do.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

_Timed: TypeAlias = Callable[..., Any]


def timed(function: _Timed, name: str, seconds: dict[str, float]) -> _Timed:
    """A function that does the same and adds the time it takes to `seconds[name]`."""
    seconds[name] = 0.0

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - began

    return call


def pex(arguments: list[str], seconds: dict[str, float]) -> None:
    """Runs pex itself."""
    import pex.common
    from pex.bin.pex import main

    pex.common.Chroot.zip = timed(pex.common.Chroot.zip, "zip_step", seconds)
    sys.argv = ["pex", *arguments]
    main()


def parazip(arguments: list[str], seconds: dict[str, float]) -> None:
    """Runs parazip's pex.

    parazip looks at the code of pex's method before it relies on it, and puts another one in its
    place; so what is timed is what stands there after that.
    """
    from parazip.__main__ import main
    from parazip.pex import inside, zipper

    fast = inside.making_zips_fast

    @contextlib.contextmanager
    def fast_then_timed(zip_plan: zipper.ZipPlan) -> Iterator[None]:
        import pex.common as common

        with fast(zip_plan):
            common.Chroot.zip = timed(common.Chroot.zip, "zip_step", seconds)
            yield

    inside.making_zips_fast = fast_then_timed
    sys.argv = ["parazip", "pex", *arguments]
    main()


def main() -> None:
    """Runs what the command line tells, and tells the times however that ends."""
    target, which, *arguments = sys.argv[1:]
    seconds: dict[str, float] = {}
    try:
        {"pex": pex, "parazip": parazip}[which](arguments, seconds)
    finally:
        with open(target, "w", encoding="utf-8") as file:
            json.dump(seconds, file)


if __name__ == "__main__":
    main()
