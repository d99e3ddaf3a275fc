"""`parazip create`: the zip command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from itertools import pairwise
from typing import cast

import click

from parazip.cli import options
from parazip.dates import Timestamp
from parazip.display import Display, Mode
from parazip.errors import MemberNameError, ParazipError, SourceError
from parazip.format.records import MAX_NAME
from parazip.model import CodecName
from parazip.sources import Modes, Skip, Symlinks

_IDENTITIES = ("stat", "content")


class _Create(options.GroupedCommand):
    """A command whose --cache may stand alone; click would take the next argument for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for first, second in pairwise(args[:end]):
            if first == "--cache" and second in _IDENTITIES:
                raise click.UsageError(f"write --cache={second}, or ./{second} for a file", ctx)
        told = ["--cache=stat" if arg == "--cache" else arg for arg in args[:end]]
        return super().parse_args(ctx, told + args[end:])


@click.command(cls=_Create, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("paths", metavar="PATH...", nargs=-1)
@options.selecting("-C", "--directory", metavar="DIR", help="Take PATHs relative to DIR.")
@options.selecting(
    "-x",
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out what matches: a name at any depth, or, with a slash in GLOB, a whole member "
    "name. Repeatable.",
)
@options.selecting("--prefix", metavar="NAME", default="", help="Put everything below folder NAME.")
@options.selecting(
    "--files-from",
    metavar="FILE",
    help="Also put in the files and folders that FILE (- for standard input) lists, one a line, "
    "each by itself.",
)
@options.selecting(
    "--null", is_flag=True, help="Names in --files-from end with NUL (find -print0)."
)
@options.selecting(
    "--symlinks",
    type=click.Choice(["follow", "store"]),
    default="follow",
    show_default=True,
    help="Put in what links point to, or the links.",
)
@options.skipping_options
@options.compressing(
    "--cache",
    metavar="[=content]",
    type=click.Choice(_IDENTITIES),
    help="Keep what was compressed, and do not compress again what has not changed: by size, "
    "times and inode, or, with =content, by a hash of each file.",
)
@options.output_options
@options.listing_options
@click.pass_context
def create(
    context: click.Context,
    /,
    archive: str,
    paths: tuple[str, ...],
    directory: str | None,
    exclude: tuple[str, ...],
    prefix: str,
    files_from: str | None,
    null: bool,
    symlinks: Symlinks,
    ignore: bool,
    exclude_vcs: bool,
    skip: tuple[Skip, ...],
    cache: str | None,
    level: int,
    codec: CodecName,
    jobs: int | None,
    memory: int,
    timestamp: Timestamp | None,
    modes: Modes,
    prepend: str | None,
    shebang: str | None,
    progress: Mode,
    quiet: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put files, and folders with all they hold, into the new zip archive ARCHIVE.

    ARCHIVE appears complete or not at all; an archive that stood there is replaced. With "-" it
    goes to standard output. Members keep the paths' order; what a folder holds is sorted.
    """
    if not paths and files_from is None:
        raise click.UsageError("nothing to put in: name files or folders, or use --files-from")
    if null and files_from is None:
        raise click.UsageError("--null says how --files-from is read; there is no --files-from")
    options.refuse_two_on_standard_output(archive, dry_run, as_json)
    selection = options.selection(
        directory=directory,
        exclude=exclude,
        prefix=prefix,
        symlinks=symlinks,
        ignore=ignore,
        exclude_vcs=exclude_vcs,
        skip=skip,
        modes=modes,
        timestamp=timestamp,
    )
    settings = options.settings(context, level, codec, jobs, memory)
    from parazip import archive as engine
    from parazip.cache import Cache

    names = _listed(files_from, null) if files_from is not None else ()
    kept = Cache(*context.obj) if cache is not None else None
    with options.told_as_json(as_json), Display(progress, quiet) as display:
        if dry_run:
            place = None if archive == "-" else archive
            found = engine.preview(paths, selection, names=names, archive=place, cache=kept)
            display.preview(archive, found, as_json)
            return
        report = engine.create(
            options.target(archive),
            paths,
            settings,
            selection,
            names=names,
            prepend=prepend,
            shebang=shebang,
            progress=display,
            cache=kept,
            identity="content" if cache == "content" else "stat",
        )
        display.summary(report, as_json)


def _listed(source: str, null: bool) -> Iterator[str]:
    """The names in a list, as the operating system spells them; never all of it in memory."""
    try:
        with _opened(source) as file:
            rest = b""
            while piece := file.read1(_PIECE):
                *names, rest = (rest + piece).split(b"\0" if null else b"\n")
                yield from map(os.fsdecode, filter(None, names))
                if len(rest) > MAX_NAME:
                    raise MemberNameError(
                        f"cannot read names from {source}: one has more than {MAX_NAME} bytes; "
                        f"each ends with {'NUL' if null else 'a line break'}, see --null"
                    )
            if rest:
                yield os.fsdecode(rest)
    except OSError as error:
        raise error if isinstance(error, ParazipError) else SourceError.of(source, error) from error


def _opened(source: str) -> AbstractContextManager[BufferedReader]:
    if source != "-":
        return open(source, "rb")
    if sys.stdin is None:
        raise SourceError("cannot read names from standard input: it is closed")
    return nullcontext(cast("BufferedReader", sys.stdin.buffer))


_PIECE = 64 << 10
