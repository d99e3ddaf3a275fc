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


_SIZES = (
    "asserts how many bytes zlib makes of 6 to 26 bytes; the codecs here make others, "
    'but for codec="zlib"'
)

EXPLANATIONS = (
    Explanation(
        "fsspec",
        "fsspec/implementations/tests/test_zip.py::test_find_returns_expected_result_detail_true",
        _SIZES,
    ),
)


def reason(package: str, difference: Difference) -> str:
    """Why it is so; empty if nobody knows."""
    for each in EXPLANATIONS:
        if each.package == package and difference.test.startswith(each.test):
            return each.reason
    return ""
