"""Differences that are known, each with the reason."""

from __future__ import annotations

from typing import NamedTuple

from neighbours.outcomes import Difference


class Explanation(NamedTuple):
    """Why tests come out otherwise.

    Attributes:
        package: whose tests they are.
        test: how their node ids begin.
        reason: a sentence or two, for docs/zipfile.md.
    """

    package: str
    test: str
    reason: str


EXPLANATIONS: tuple[Explanation, ...] = ()


def reason(package: str, difference: Difference) -> str:
    """Why it is so; empty if nobody knows."""
    for each in EXPLANATIONS:
        if each.package == package and difference.test.startswith(each.test):
            return each.reason
    return ""
