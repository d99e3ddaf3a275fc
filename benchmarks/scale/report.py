"""The tables of docs/scale.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.model import Tell
from benchmarks.scale.check import Compared
from benchmarks.scale.costs import Assumed, Measured
from benchmarks.scale.measuring import Found
from benchmarks.scale.members import Input, make_mixed
from benchmarks.scale.readers import Opened
from benchmarks.scale.simulation import Outcome, simulate
from benchmarks.table import markdown

ROWS = (
    (10**3, 10**9, 1),
    (10**5, 10**10, 1),
    (10**6, 10**11, 1),
    (10**3, 10**12, 1),
    (10**6, 10**12, 1),
    (10**7, 10**12, 16),
    (10**8, 10**12, 64),
    (10**6, 10**13, 1),
)
"""Members, bytes, and how many members each one stands for that is planned."""

WORKERS = (1, 10, 100, 1000)
_PER_WORKER = 12 << 20
_RATIO = 0.4


def simulate_all(
    measured: Measured, assumed: Assumed, workers: Iterable[int], tell: Tell
) -> Iterator[Outcome]:
    """All rows; `--memory` is as large as so many workers need."""
    counts = list(workers)
    for members, size, factor in ROWS:
        for count in counts:
            wide = assumed._replace(memory=max(assumed.memory, count * _PER_WORKER))
            given = Input("mixed", members, size, _RATIO, make_mixed)
            made = simulate(given, count, measured, wide, factor)
            tell(
                f"{members:,} members, {size / 1e9:,.0f} GB, {count} workers: {made.seconds:,.0f} s"
            )
            yield made


def outcomes(found: Iterable[Outcome], measured: Measured, assumed: Assumed) -> str:
    """What archives take."""
    rows = [
        (
            f"{each.given.members:,}",
            f"{each.given.size / 1e9:,.0f}",
            f"{each.workers:,}",
            f"{each.seconds:,.0f}",
            f"{each.coordinator:,.0f}",
            f"{each.given.members * (measured.known + measured.directory) / 1e6:,.0f}",
            f"{each.requests:,}",
            f"{len(each.parts):,}",
            f"{max(each.parts, default=0) / 1e6:,.0f}",
            f"{each.received / 1e9:,.2f}",
            f"{_price(each, assumed):,.2f}",
            f"{each.size / 1e9 * assumed.gigabyte_month:,.2f}",
        )
        for each in found
    ]
    header = (
        "members",
        "GB",
        "workers",
        "seconds",
        "CPU s here",
        "MB here",
        "requests",
        "parts",
        "largest, MB",
        "GB through here",
        "$ to make",
        "$ a month",
    )
    return markdown(header, rows, texts=0)


def _price(made: Outcome, assumed: Assumed) -> float:
    """What it costs, if all workers are there from the beginning to the end."""
    hours = (made.workers + 1) * made.seconds / 3600
    return hours * assumed.core_hour + made.requests / 1000 * assumed.thousand_puts


def constants(found: dict[str, Found]) -> str:
    """The constants with their spread."""
    rows = [(name, f"{each.value:.3g}", each.spread) for name, each in found.items()]
    return markdown(("constant", "median", "runs"), rows)


def comparison(found: Iterable[Compared]) -> str:
    """What was foretold, and what was."""
    rows = []
    for each in found:
        told = each.foretold
        pairs = (
            ("seconds", told.seconds, each.seconds),
            ("CPU s of workers", told.cores, each.cores),
            ("CPU s here", told.coordinator, each.coordinator),
            ("requests", told.requests, each.requests),
            ("MB", told.size / 1e6, each.size / 1e6),
        )
        rows += [(str(each.workers), what, f"{a:,.1f}", f"{b:,.1f}") for what, a, b in pairs]
    return markdown(("workers", "what", "foretold", "real"), rows, texts=2)


def opened(found: Iterable[Opened]) -> str:
    """What readers took."""
    rows = [
        (
            each.reader,
            f"{each.members:,}",
            f"{each.list_seconds:.1f}",
            f"{each.one_seconds:.1f}",
            f"{each.memory / 1e6:,.0f}",
        )
        for each in found
    ]
    return markdown(("reader", "members", "list, s", "take out one, s", "peak MB"), rows)
