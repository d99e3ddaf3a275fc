"""The command line of the neighbours."""

from __future__ import annotations

import os
import signal
import sys

import click

from neighbours import environment, outcomes, report, suites
from neighbours.packages import NEIGHBOURS, Neighbour

_BY_NAME = {neighbour.name: neighbour for neighbour in NEIGHBOURS}
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(tuple(_BY_NAME)))
@click.option("--python", default=sys.executable, help="The Python to run the suites with.")
@click.option("--parazip", default=_HERE, help="A checkout of parazip; default: this one.")
def main(names: tuple[str, ...], python: str, parazip: str) -> None:
    """Run the suites of packages that use zipfile, with parazip in its place.

    Ends with 1 if a test comes out otherwise than with the standard library and `explained` does
    not say why, or if a suite could not be run.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the suite that runs, too
    rows = []
    is_right = True
    for name in names or _BY_NAME:
        try:
            rows.append(_compared(_BY_NAME[name], python, os.path.abspath(parazip)))
        except click.ClickException as error:
            _tell(f"{name}: {error.message}")
            is_right = False
    click.echo(f"{report.table(rows)}\n\n{report.details(rows)}")
    sys.exit(0 if is_right and not any(row.unexplained for row in rows) else 1)


def _compared(neighbour: Neighbour, python: str, parazip: str) -> report.Row:
    """Runs a suite as it is and in each of our ways; once more as it is if something differs."""
    inside = environment.prepare(neighbour, python, parazip, _tell)

    def run(way: suites.Way, *options: str) -> outcomes.Run:
        return suites.run(neighbour, way, inside, _tell, *options)

    stock = _checked(run(suites.STOCK, "--count-archives"), suites.STOCK)
    ours = [_checked(run(way), way) for way in (suites.RUN, suites.PATCH)]
    unsteady: set[str] = set()
    if any(outcomes.differences(stock, each, unsteady) for each in ours):
        unsteady = outcomes.flaky(stock, run(suites.STOCK))
    return report.Row(
        neighbour, stock, unsteady, *(outcomes.differences(stock, each, unsteady) for each in ours)
    )


def _checked(run: outcomes.Run, way: suites.Way) -> outcomes.Run:
    """A run that says something.

    Raises:
        ClickException: no test ran, or not with the class that was meant.
    """
    if not run.count("passed", "failed", "xfailed", "unfinished"):
        raise click.ClickException(f"no test ran: {way.label} {run.end}")
    if run.kind and run.kind != way.kind:
        raise click.ClickException(f"{way.label} ran with {run.kind}")
    return run


def _tell(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m neighbours")
