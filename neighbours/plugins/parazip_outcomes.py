"""A pytest plugin: writes what came of each test, as JSON lines.

It runs in the environments of the neighbours, so it needs nothing but pytest. What a line says is
told in `neighbours.outcomes`, which reads them.
"""

from __future__ import annotations

import functools
import json
import zipfile
from typing import Any, TextIO

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tells pytest of the options."""
    parser.addoption("--outcomes", help="write the outcomes here")
    parser.addoption("--count-archives", action="store_true", help="count those that are opened")


def pytest_configure(config: pytest.Config) -> None:
    """Begins to write."""
    if path := config.getoption("--outcomes"):
        file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 # until pytest ends
        count = _count_archives() if config.getoption("--count-archives") else [0]
        config.pluginmanager.register(_Writer(file, count))


def _count_archives() -> list[int]:
    """A list of one number, how many archives were opened so far.

    Only with the class as it is in the standard library: parazip would have to call the hook.
    """
    count = [0]
    stock = zipfile.ZipFile.__init__

    @functools.wraps(stock)
    def counting(*args: Any, **kwargs: Any) -> None:
        stock(*args, **kwargs)
        count[0] += 1

    zipfile.ZipFile.__init__ = counting  # type: ignore[method-assign] # to count
    return count


class _Writer:
    def __init__(self, file: TextIO, count: list[int]) -> None:
        self._file = file
        self._count = count

    def _write(self, **line: object) -> None:
        self._file.write(json.dumps(line) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(test=nodeid, outcome="unfinished")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if outcome == "rerun":  # pytest-rerunfailures: the last try counts
            return
        if report.passed and report.when != "call":
            return
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        elif report.failed and report.when != "call":
            outcome = "error"
        self._write(test=report.nodeid, outcome=outcome, message=_message(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            outcome = "error" if report.failed else "skipped"
            self._write(test=report.nodeid, outcome=outcome, message=_message(report))

    def pytest_sessionfinish(self) -> None:
        kind = f"{zipfile.ZipFile.__module__}.{zipfile.ZipFile.__qualname__}"
        self._write(zipfile=kind, archives=self._count[0])


def _message(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The line that says what went wrong."""
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)[:2000]
