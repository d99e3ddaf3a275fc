"""The command line of the fuzzing."""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from benchmarks.table import markdown

from fuzz.runner import KINDS, Outcome, fetch_wheels, fuzz_target
from fuzz.targets import TARGETS

_FOLDER = Path(__file__).resolve().parents[1] / ".fuzz"


@click.command()
@click.argument("names", nargs=-1, metavar="[TARGET]...", type=click.Choice(list(TARGETS)))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True)
def main(names: tuple[str, ...], minutes: float) -> None:
    """Fuzz targets for so many minutes each, half of them by bytes, half by structure.

    Keeps what it found in .fuzz; 1 if that shows a fault.
    """
    (_FOLDER / "wheels").mkdir(parents=True, exist_ok=True)
    if why := fetch_wheels(_FOLDER / "wheels"):
        click.echo(f"no wheels could be had; those that are made here have to do: {why}", err=True)
    outcomes = []
    for name in names or TARGETS:
        for kind in KINDS:
            click.echo(f"{name}, {kind}", err=True)
            outcomes.append(fuzz_target(name, kind, round(minutes * 60 / len(KINDS)), _FOLDER))
            if outcomes[-1].found:
                click.echo(f"found something: {outcomes[-1].found}", err=True)
    click.echo(make_table(outcomes))
    sys.exit(1 if any(outcome.found for outcome in outcomes) else 0)


def make_table(outcomes: list[Outcome]) -> str:
    """A row for each target and kind."""
    header = (
        "target",
        "changed",
        "executions",
        "seconds",
        "edges",
        "corpus",
        "of it new",
        "faults",
    )
    rows = [
        (
            *(outcome.target, outcome.kind, f"{outcome.executions:,}", f"{outcome.seconds:,}"),
            *(f"{outcome.edges:,}", f"{outcome.corpus:,}", f"{outcome.new:,}"),
            "1" if outcome.found else "0",
        )
        for outcome in outcomes
    ]
    return markdown(header, rows, texts=2)


main()
