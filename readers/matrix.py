"""Every feature of what parazip writes, read by every reader at hand.

A reader that does not see what was put in has to be declared here, with its reason.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.table import markdown

from readers.features import FEATURES
from readers.views import (
    LINK,
    Reader,
    View,
    describe_version,
    find_importers,
    find_readers,
    scan_folder,
)

_DECLARED = [
    (
        "Java ZipInputStream",
        "a first line",
        "It reads from the front, and finds no member at the start of the file.",
    ),
    ("PyPI", "a first line", "Wheels and source distributions begin with a member."),
    ("PyPI", "data descriptors|streamed", "It takes no member whose sizes are not in front of it."),
    ("7z", "links", "It makes no link whose target begins with `..`, wherever that leads."),
    (
        "Perl Archive::Zip",
        "65,535 members",
        "It takes that number for the sign that zip64 records have the true one, and finds none. "
        "CPython's zipfile writes it in the same way.",
    ),
    (
        "Perl Archive::Zip",
        "over 4 GiB, deflated",
        "Its `contents` fails for a deflated member of such a size.",
    ),
    ("fflate", "over 4 GiB, .*", "It has all in memory, which is too much for it here."),
    (
        "busybox unzip",
        "over 4 GiB, stored",
        "It does not know zip64; a deflate stream tells where it ends without.",
    ),
    (
        r"zipimport 3\.([6-9]|1[0-2])",
        "65,536 members|over 4 GiB, stored",
        "It knows zip64 from CPython 3.13 on.",
    ),
    (r"zipimport 3\.6", "over 4 GiB, deflated", "It knows zip64 from CPython 3.13 on."),
]
"""Patterns of readers and of features, and why such a reader does not see what was put in."""


class Cell(NamedTuple):
    """What a reader made of a feature.

    Attributes:
        is_seen: whether it saw what was put in.
        reason: why not, if that is declared.
    """

    is_seen: bool
    reason: str

    @property
    def is_expected(self) -> bool:
        """Whether it is as it was declared."""
        return self.is_seen is not bool(self.reason)


def measure(tell: Callable[[str], object]) -> dict[str, dict[str, Cell]]:
    """Cells by features and readers; readers by name and version."""
    readers = [*find_readers(), *find_importers()]
    found: dict[str, dict[str, Cell]] = {}
    for feature, make in FEATURES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "source").mkdir()
            archive = make(folder)
            expected = scan_folder(os.path.join(name, "source"))
            row = found[feature] = {}
            for reader in readers:
                tell(f"{feature}: {reader.name}")
                (view,) = reader.view_all([archive])
                label = f"{reader.name} ({describe_version(reader)})"
                row[label] = Cell(_is_as(view, expected, reader), find_reason(reader.name, feature))
    return found


def _is_as(view: View, expected: dict[str, str], reader: Reader) -> bool:
    if view is None or reader.knows_links:
        return view == expected
    return view == {path: told.removeprefix(LINK) for path, told in expected.items()}


def find_reason(reader: str, feature: str) -> str:
    """Why a reader does not see a feature, if that is declared."""
    for readers, features, reason in _DECLARED:
        if re.fullmatch(readers, reader) and re.fullmatch(features, feature):
            return reason
    return ""


def make_table(found: dict[str, dict[str, Cell]]) -> str:
    """A row for each reader, a column for each feature; reasons in numbers, and told below."""
    reasons: list[str] = []
    labels = list(next(iter(found.values())))
    rows = [
        (label, *(_show(cells[label], reasons) for cells in found.values())) for label in labels
    ]
    told = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([markdown(("reader", *found), rows), "", *told])


def _show(cell: Cell, reasons: list[str]) -> str:
    if not cell.is_expected:
        return "?"
    if cell.is_seen:
        return "yes"
    if cell.reason not in reasons:
        reasons.append(cell.reason)
    return f"no ({reasons.index(cell.reason) + 1})"


def find_unexpected(found: dict[str, dict[str, Cell]]) -> Sequence[str]:
    """What came out otherwise than it was declared."""
    return [
        f"{label}, {feature}: {'seen' if cell.is_seen else 'not seen'}"
        for feature, cells in found.items()
        for label, cell in cells.items()
        if not cell.is_expected
    ]
