"""What readers make of ambiguous archives, and whether parazip refuses those on which they differ.

An archive is ambiguous if two readers that take it see two things in it. One that some refuse, and
all others read alike, is not.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.table import markdown

import parazip
from parazip import BadArchiveError, DuplicateMemberError, ParazipError
from readers.ambiguities import CLASSES, Ambiguity, make_ambiguities
from readers.views import LINK, Reader, View, find_readers


class Outcome(NamedTuple):
    """What came of an archive.

    Attributes:
        ambiguity: the archive.
        views: by readers' names.
        links: the readers that know links.
        errors: rules that `verify --profile strict` names.
        merged: whether `merge` takes it.
    """

    ambiguity: Ambiguity
    views: dict[str, View]
    links: frozenset[str]
    errors: tuple[str, ...]
    merged: bool

    @property
    def is_ambiguous(self) -> bool:
        """Whether two readers see two things; those that know no links see their targets."""
        seen = {name: view for name, view in self.views.items() if view is not None}
        kinds = [view for name, view in seen.items() if name in self.links]
        contents = [
            {path: told.removeprefix(LINK) for path, told in view.items()} for view in seen.values()
        ]
        return any(view != each[0] for each in (kinds, contents) for view in each)


def measure(tell: Callable[[str], object]) -> tuple[list[Outcome], list[Reader]]:
    """Shows all archives to all readers at hand; they are told which comes next."""
    ambiguities = list(make_ambiguities())
    readers = find_readers()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, ambiguity in enumerate(ambiguities):
            paths.append(Path(folder, f"{number}.zip"))
            paths[-1].write_bytes(ambiguity.data)
        views: list[dict[str, View]] = [{} for _ in paths]
        for reader in readers:
            tell(f"{reader.name} ({reader.version})")
            for place, view in zip(views, reader.view_all(paths), strict=True):
                place[reader.name] = view
        links = frozenset(reader.name for reader in readers if reader.knows_links)
        tell("parazip")
        outcomes = [
            Outcome(ambiguity, seen, links, _verify(path), _is_merged(path))
            for ambiguity, seen, path in zip(ambiguities, views, paths, strict=True)
        ]
    return outcomes, readers


def _verify(path: Path) -> tuple[str, ...]:
    report = parazip.verify(path, profiles=["strict"])
    return tuple(sorted({fault.id for fault in report.faults if fault.severity == "error"}))


def _is_merged(path: Path) -> bool:
    try:
        parazip.merge(io.BytesIO(), [path], check_crc=True)
    except (BadArchiveError, DuplicateMemberError, ParazipError):
        return False
    return True


def make_table(outcomes: Sequence[Outcome]) -> str:
    """A row for each class."""
    rows = []
    for of, what in CLASSES.items():
        found = [outcome for outcome in outcomes if outcome.ambiguity.of == of]
        ambiguous = [outcome for outcome in found if outcome.is_ambiguous]
        alike = [outcome for outcome in found if not outcome.is_ambiguous]
        rows.append(
            (
                f"{of}: {what}",
                str(len(found)),
                str(len(ambiguous)),
                str(sum(bool(outcome.errors) for outcome in ambiguous)),
                str(sum(not outcome.merged for outcome in ambiguous)),
                str(sum(not outcome.errors for outcome in alike)),
                str(sum(bool(outcome.errors) for outcome in alike)),
            )
        )
    totals = [str(sum(int(row[column]) for row in rows)) for column in range(1, 7)]
    header = (
        "class",
        "archives",
        "readers differ",
        "of these verify refuses",
        "merge refuses",
        "readers agree, verify passes",
        "readers agree, verify refuses",
    )
    return markdown(header, [*rows, ("all", *totals)], texts=1)


DECLARED = {
    "unusual: zip64's offset": "fflate takes the offset for a size. Archives of more than 4 GiB "
    "cannot do without such fields (APPNOTE 4.5.3).",
}
"""Variants on which readers differ by a fault of one of them, and that `verify` calls sound."""


def find_missed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those on which readers differ, and that `verify` calls sound without such a reason."""
    return [
        outcome
        for outcome in outcomes
        if outcome.is_ambiguous and not outcome.errors and outcome.ambiguity.variant not in DECLARED
    ]


def find_resolved(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those on which readers differ, and of which `merge` makes one that means one thing."""
    return [outcome for outcome in outcomes if outcome.is_ambiguous and outcome.merged]
