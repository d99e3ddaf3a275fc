"""`parazip cache`: shows what is kept, and removes it."""

from __future__ import annotations

import sys

import click

from parazip.cli.options import read_size
from parazip.display import format_size, make_printable
from parazip.engine.cache import Cache, Usage


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """Show or empty the folder of finished parts.

    Where it is and how large it may get: `parazip --cache-dir DIR --cache-size SIZE ...`, or
    PARAZIP_CACHE_DIR and PARAZIP_CACHE_SIZE.
    """


@cache.command()
@click.pass_context
def info(context: click.Context, /) -> None:
    """Show where the cache is and how much it holds."""
    opened_cache = Cache(*context.obj)
    usage = opened_cache.usage()
    print(f"folder  {make_printable(opened_cache.folder)}")
    print(f"parts   {usage.parts:,}")
    print(f"size    {format_size(usage.size)} of at most {format_size(opened_cache.limit)}")
    _print_notes(opened_cache)


@cache.command()
@click.option(
    "--size",
    metavar="SIZE",
    callback=read_size,
    help="Keep at most this much.  [default: the cache's own limit]",
)
@click.pass_context
def prune(context: click.Context, /, size: int | None) -> None:
    """Throw away what was used longest ago, down to a size."""
    opened_cache = Cache(*context.obj)
    _print_removed(opened_cache, opened_cache.prune(opened_cache.limit if size is None else size))


@cache.command()
@click.pass_context
def clear(context: click.Context, /) -> None:
    """Throw away everything."""
    opened_cache = Cache(*context.obj)
    _print_removed(opened_cache, opened_cache.clear())


def _print_removed(opened_cache: Cache, removed: Usage) -> None:
    _print_notes(opened_cache)
    if opened_cache.notes:
        sys.exit(1)  # who empties it has to know that it is not
    parts = "1 part" if removed.parts == 1 else f"{removed.parts:,} parts"
    print(f"{parts} thrown away, {format_size(removed.size)}")


def _print_notes(opened_cache: Cache) -> None:
    for note in opened_cache.notes:
        print(f"parazip: {make_printable(note)}", file=sys.stderr)
