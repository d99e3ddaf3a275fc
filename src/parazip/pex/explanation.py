"""`parazip pex --explain`: what was done to each distribution, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from parazip.display import format_size, format_table
from parazip.engine.copying import COPIED
from parazip.model import Tally
from parazip.pex.wheels import Distribution
from parazip.pex.zipper import ZipReport
from parazip.settings import SectionReport


class _Explanation(NamedTuple):
    """What was done to one distribution; the fields are the keys of the JSON document."""

    distribution: str
    how: str
    members: int
    copied_members: int
    bytes_in: int
    bytes_out: int
    seconds: float
    why: str


def print_explanation(reports: Sequence[ZipReport], as_json: bool) -> None:
    """Explains each distribution on standard output: in a table, or in one JSON document."""
    explanations = []
    for report, distributions in reports:
        by_name = {distribution.name: distribution for distribution in distributions}
        explanations += [_explain(each, by_name[each.label]) for each in report.sections]
    if as_json:
        print(json.dumps([each._asdict() for each in explanations], indent=2))
        return
    rows = [
        (
            each.distribution,
            each.how,
            f"{each.members:,}",
            format_size(each.bytes_in),
            format_size(each.bytes_out),
            f"{each.seconds:.2f}",
            each.why,
        )
        for each in explanations
    ]
    header = ("distribution", "how", "members", "in", "out", "seconds", "why")
    print(format_table(header, rows))


def _explain(section: SectionReport, distribution: Distribution) -> _Explanation:
    copied = section.tallies.get(COPIED, Tally(0, 0, 0))
    total = Tally(0, 0, 0)
    for tally in section.tallies.values():
        total = total.plus(tally)
    if section.recalled:
        how, why = "recalled", "nothing has changed since it was put into the cache"
    else:
        how = "copied" if copied.members else "compressed"
        why = distribution.explain_rest(copied.members)
    return _Explanation(
        section.label,
        how,
        total.members,
        copied.members,
        total.bytes_in,
        total.bytes_out,
        round(section.seconds, 4),
        why,
    )
