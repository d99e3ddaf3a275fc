"""`parazip pex ARGS...`: what follows `pex` is pex's own command line, but for a few options."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from parazip.cache import Cache
from parazip.copy import COPIED
from parazip.display import Display, size_text, table
from parazip.errors import ParazipError
from parazip.model import Made, Report, Settings, Tally

if TYPE_CHECKING:
    from parazip.pex.wheels import Distribution

_OWN = ("--explain", "--explain=table", "--explain=json", "--no-cache")
"""Options that are not pex's. They may stand anywhere before `--`."""


class _Untouched(click.Command):
    """A command whose arguments are somebody else's, `--` and `--help` included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["args"] = tuple(args)
        return []


@click.command(cls=_Untouched, add_help_option=False)
@click.pass_context
def pex(context: click.Context, /, args: tuple[str, ...]) -> None:
    """Run pex with ARGS; the zips it writes are compressed on all cores."""
    try:
        from pex.bin.pex import main
    except ImportError as error:
        raise ParazipError(
            "pex is not installed here; install parazip[pex], or pex beside parazip"
        ) from error
    from parazip.pex.seam import Way, fast

    own, arguments = _split(args)
    sys.argv = ["pex", *arguments]
    with Display() as display:
        way = Way(
            settings=Settings(),
            arguments=arguments,
            progress=display,
            cache=None if "--no-cache" in own else Cache(*context.obj),
        )
        try:
            # pex tells names on standard output, where only the explanation is to be.
            told = redirect_stdout(sys.stderr) if "--explain=json" in own else nullcontext()
            with told, fast(way):
                main()
        except SystemExit as end:
            if end.code in (0, None):
                if way.reports:
                    display.summary(_together([report for report, _ in way.reports]))
                rows = [row for report in way.reports for row in _rows(*report)]
                for option in own:
                    if option.startswith("--explain"):
                        _explain(rows, as_json=option.endswith("json"))
            raise


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parazip's own options, and all others in their order."""
    end = args.index("--") if "--" in args else len(args)
    own = [arg for arg in args[:end] if arg in _OWN]
    return own, [arg for arg in args[:end] if arg not in _OWN] + list(args[end:])


def _together(reports: list[Report]) -> Report:
    """One report for all the zips of one PEX: a packed one has many."""
    tallies: dict[str, Tally] = {}
    for report in reports:
        for coder, tally in report.codecs.items():
            tallies[coder] = tallies[coder].plus(tally) if coder in tallies else tally
    only = len(reports) == 1
    return Report(
        archive=reports[0].archive.removesuffix("~") if only else f"{len(reports)} zips",
        members=sum(report.members for report in reports),
        bytes_in=sum(report.bytes_in for report in reports),
        bytes_out=sum(report.bytes_out for report in reports),
        seconds=sum(report.seconds for report in reports),
        codecs=tallies,
        recalled=sum(report.recalled for report in reports),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _rows(report: Report, distributions: Iterable[Distribution]) -> list[dict[str, Any]]:
    """What was done to each distribution."""
    found = {each.name: each for each in distributions}
    return [_row(made, found[made.label]) for made in report.sections]


def _row(made: Made, distribution: Distribution) -> dict[str, Any]:
    copied = made.tallies.get(COPIED, Tally(0, 0, 0))
    every = Tally(0, 0, 0)
    for tally in made.tallies.values():
        every = every.plus(tally)
    if made.recalled:
        how, why = "recalled", "nothing has changed since it was put into the cache"
    else:
        how = "copied" if copied.members else "compressed"
        why = distribution.why(copied.members)
    return {
        "distribution": made.label,
        "how": how,
        "members": every.members,
        "copied_members": copied.members,
        "bytes_in": every.bytes_in,
        "bytes_out": every.bytes_out,
        "seconds": round(made.seconds, 4),
        "why": why,
    }


def _explain(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [
        (
            row["distribution"],
            row["how"],
            f"{row['members']:,}",
            size_text(row["bytes_in"]),
            size_text(row["bytes_out"]),
            f"{row['seconds']:.2f}",
            row["why"],
        )
        for row in rows
    ]
    header = ("distribution", "how", "members", "in", "out", "seconds", "why")
    print(table(header, lines))
