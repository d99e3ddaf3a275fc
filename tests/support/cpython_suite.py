"""Runs a module of the running Python's own tests with `zipfile.ZipFile` replaced by parazip's.

    python cpython_suite.py HOW test.test_zipfile

HOW is how it is replaced: `patch`, by `parazip.patch`; `hand`, by an assignment; `run`, by `parazip
run`, which runs this script; `stock`, not at all.

Prints the outcome of each test, and last how many archives were opened by our class.
"""

from __future__ import annotations

import sys
import unittest
import zipfile
from collections.abc import Iterator
from typing import Any


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


class Outcomes(unittest.TextTestResult):
    """Prints them, where they can be told from what the tests themselves print."""

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 # unittest's name
        super().stopTest(test)
        wrong = (
            ("error", self.errors),
            ("failure", self.failures),
            ("skipped", self.skipped),
            ("expected failure", self.expectedFailures),
        )
        told = [word for word, tests in wrong if any(test is one for one, _ in tests)]
        print("outcome", test.id(), *told or ["success"], flush=True)


def count_archives() -> list[Any]:
    """What is opened by our class from now on."""
    import parazip

    opened: list[Any] = []
    init = parazip.ZipFile.__init__

    def counting_init(self: Any, *args: Any, **kwargs: Any) -> None:
        if parazip.ZipFile in type(self).__mro__:
            opened.append(None)
        init(self, *args, **kwargs)

    parazip.ZipFile.__init__ = counting_init  # type: ignore[method-assign] # to count
    return opened


def main(how: str, name: str) -> None:
    if how in ("patch", "hand"):
        import parazip

        if how == "patch":
            parazip.patch()
        else:
            zipfile.ZipFile = parazip.ZipFile  # type: ignore[misc] # as people do it
    opened = [] if how == "stock" else count_archives()
    suite = unittest.defaultTestLoader.loadTestsFromName(name)
    kind: Any = Outcomes
    unittest.TextTestRunner(stream=sys.stderr, resultclass=kind).run(suite)
    print("opened", len(opened))


if __name__ == "__main__":
    main(*sys.argv[1:])
