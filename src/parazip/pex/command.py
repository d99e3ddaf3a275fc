"""`parazip pex ARGS...`: everything after `pex` is pex's own command line."""

from __future__ import annotations

import sys

import click

from parazip.display import Display
from parazip.errors import ParazipError
from parazip.model import Report, Settings, Tally


class _Untouched(click.Command):
    """A command whose arguments are somebody else's, `--` and `--help` included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["args"] = tuple(args)
        return []


@click.command(cls=_Untouched, add_help_option=False)
def pex(args: tuple[str, ...]) -> None:
    """Run pex with ARGS; the zips it writes are compressed on all cores."""
    try:
        from pex.bin.pex import main
    except ImportError as error:
        raise ParazipError(
            "pex is not installed here; install parazip[pex], or pex beside parazip"
        ) from error
    from parazip.pex.seam import fast

    sys.argv = ["pex", *args]
    reports: list[Report] = []
    with Display() as display:
        try:
            with fast(Settings(), display, reports):
                main()
        except SystemExit as end:
            if end.code in (0, None) and reports:
                display.summary(_together(reports))
            raise


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
    )
