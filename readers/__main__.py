"""The command line of the readers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from readers import ambiguity, matrix  # it needs what tests are made of


@click.group()
def main() -> None:
    """Show archives to other people's readers."""


@main.command("ambiguity")
def measure_ambiguity() -> None:
    """Show them archives of which two readers may make two things; 1 if parazip misses one."""
    outcomes, readers = ambiguity.measure(lambda text: click.echo(text, err=True))
    click.echo(ambiguity.make_table(outcomes))
    click.echo("\nReaders: " + ", ".join(reader.name for reader in readers))
    missed = ambiguity.find_missed(outcomes)
    for outcome in missed:
        click.echo(f"missed: {outcome.ambiguity.of} {outcome.ambiguity.variant}", err=True)
    sys.exit(1 if missed else 0)


@main.command("matrix")
def measure_matrix() -> None:
    """Show them all features of what parazip writes; 1 if one is not read as it was declared."""
    found = matrix.measure(lambda text: click.echo(text, err=True))
    click.echo(matrix.make_table(found))
    unexpected = matrix.find_unexpected(found)
    for text in unexpected:
        click.echo(f"unexpected: {text}", err=True)
    sys.exit(1 if unexpected else 0)


main()
