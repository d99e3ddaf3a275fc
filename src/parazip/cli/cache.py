"""`parazip cache`: what is kept, and how it goes."""

from __future__ import annotations

import sys

import click

from parazip.cache import Cache, Usage
from parazip.display import format_size, make_printable
from parazip.errors import SettingsError
from parazip.settings import parse_size


def _size(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_size(value)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """Show or empty the folder of finished parts.

    Place and size: `parazip --cache-dir DIR --cache-size SIZE ...`, or PARAZIP_CACHE_DIR and
    PARAZIP_CACHE_SIZE.
    """


@cache.command()
@click.pass_context
def info(context: click.Context, /) -> None:
    """Tell where the cache is and how much it holds."""
    kept = Cache(*context.obj)
    usage = kept.usage()
    print(f"folder  {make_printable(kept.folder)}")
    print(f"parts   {usage.parts:,}")
    print(f"size    {format_size(usage.size)} of at most {format_size(kept.limit)}")
    _note(kept)


@cache.command()
@click.option(
    "--size",
    metavar="SIZE",
    callback=_size,
    help="Keep at most so much.  [default: the cache's own limit]",
)
@click.pass_context
def prune(context: click.Context, /, size: int | None) -> None:
    """Throw away what was used longest ago, down to a size."""
    kept = Cache(*context.obj)
    _tell(kept, kept.prune(kept.limit if size is None else size))


@cache.command()
@click.pass_context
def clear(context: click.Context, /) -> None:
    """Throw away everything."""
    kept = Cache(*context.obj)
    _tell(kept, kept.clear())


def _tell(kept: Cache, gone: Usage) -> None:
    _note(kept)
    parts = "1 part" if gone.parts == 1 else f"{gone.parts:,} parts"
    print(f"{parts} thrown away, {format_size(gone.size)}")


def _note(kept: Cache) -> None:
    for note in kept.notes:
        print(f"parazip: {make_printable(note)}", file=sys.stderr)
