"""What came of all suites, as tables."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.table import markdown

from neighbours import explained, outcomes
from neighbours.outcomes import Difference
from neighbours.packages import Neighbour


class Row(NamedTuple):
    """A package with what came of its suite.

    Attributes:
        neighbour: the package.
        stock: a run with the standard library's class.
        unsteady: the tests that came out differently in another such run.
        run: where `parazip run` differs.
        patch: where `patch()` differs.
    """

    neighbour: Neighbour
    stock: outcomes.Run
    unsteady: set[str]
    run: list[Difference]
    patch: list[Difference]

    @property
    def differences(self) -> list[Difference]:
        """Both, each test once."""
        return list({each.test: each for each in (*self.patch, *self.run)}.values())

    @property
    def unexplained(self) -> list[Difference]:
        """Those of which nobody knows why."""
        name = self.neighbour.name
        return [each for each in self.differences if not explained.reason(name, each)]


def table(rows: list[Row]) -> str:
    """All suites in one Markdown table."""
    header = ("package", "version", "archives", "tests", "passed", "failed", "skipped", "flaky")
    return markdown(
        (*header, "parazip run", "patch()"),
        [
            (
                row.neighbour.name,
                row.neighbour.version,
                f"{row.stock.archives:,}",
                f"{len(row.stock.tests):,}",
                f"{row.stock.count('passed', 'xpassed'):,}",
                f"{row.stock.count('failed', 'error', 'unfinished'):,}",
                f"{row.stock.count('skipped', 'xfailed'):,}",
                f"{len(row.unsteady)}",
                f"{len(row.run)}",
                f"{len(row.patch)}",
            )
            for row in rows
        ],
    )


def details(rows: list[Row]) -> str:
    """Each difference with its reason, and each flaky test."""
    lines = []
    for row in rows:
        name = row.neighbour.name
        for each in row.differences:
            why = explained.reason(name, each) or f"NOT EXPLAINED: {each.message or 'no message'}"
            lines.append(f"{name}: {each.test}: {each.stock}, {each.ours} with parazip: {why}")
        lines += [f"{name}: {test}: flaky" for test in sorted(row.unsteady)]
    return "\n".join(lines)
