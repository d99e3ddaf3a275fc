"""What came of the tests of a suite, and where two runs of it differ.

The plugin `parazip_outcomes` writes a line for each thing that happens to a test: it begins
("unfinished"), it is set up, called and torn down. The gravest of these is the test's outcome.
The last line tells which class stood in `zipfile` at the end, and how many archives were opened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

GRAVITY = ("unfinished", "passed", "xfailed", "xpassed", "skipped", "failed", "error")
"""All outcomes of a test; a later one counts more."""

MISSING = "missing"
"""What is told of a test that another run has and this one has not."""

END = "(the end of the run)"
"""Stands in for a test whose outcome is how the process ended."""


@dataclass(slots=True)
class Run:
    """One run of a suite.

    Attributes:
        tests: the outcome of each test, by its pytest node id.
        messages: what was said of those that failed.
        kind: the class that was `zipfile.ZipFile` at the end; empty if the run did not get there.
        archives: how many archives were opened, if they were counted.
        end: how the process ended.
    """

    tests: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    archives: int = 0
    end: str = ""

    @property
    def outcomes(self) -> Mapping[str, str]:
        """What is compared: of each test, and of the process."""
        return {**self.tests, END: self.end}

    def count(self, *outcomes: str) -> int:
        """How many tests had one of these outcomes."""
        counted = Counter(self.tests.values())
        return sum(counted[outcome] for outcome in outcomes)


class Difference(NamedTuple):
    """A test that comes out otherwise with parazip.

    Attributes:
        test: its node id, or `END`.
        stock: its outcome with the standard library's class.
        ours: its outcome with parazip's.
        message: what was said of it, if it failed with parazip.
    """

    test: str
    stock: str
    ours: str
    message: str


def read(lines: Iterable[str], end: str) -> Run:
    """A run out of what the plugin wrote; the last line may be cut off."""
    run = Run(end=end)
    for line in lines:
        if not line.endswith("\n"):
            break
        told = json.loads(line)
        if "test" in told:
            _add(run, told["test"], told["outcome"], told.get("message", ""))
        else:
            run.kind, run.archives = told["zipfile"], told["archives"]
    return run


def _add(run: Run, test: str, outcome: str, message: str) -> None:
    before = run.tests.get(test, GRAVITY[0])
    run.tests[test] = max(before, outcome, key=GRAVITY.index)
    if message:
        run.messages.setdefault(test, message)


def flaky(first: Run, second: Run) -> set[str]:
    """The tests that came out differently in two runs with the same class."""
    return {test for test, _, _ in _pairs(first, second)}


def differences(stock: Run, ours: Run, unsteady: set[str]) -> list[Difference]:
    """The tests that came out differently with parazip, but for those that are flaky."""
    return [
        Difference(test, before, after, ours.messages.get(test, ""))
        for test, before, after in _pairs(stock, ours)
        if test not in unsteady
    ]


def _pairs(first: Run, second: Run) -> list[tuple[str, str, str]]:
    """Each test whose outcomes differ, with both."""
    one, two = first.outcomes, second.outcomes
    both = ((test, one.get(test, MISSING), two.get(test, MISSING)) for test in {**one, **two})
    return [(test, before, after) for test, before, after in both if before != after]
