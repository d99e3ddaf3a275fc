"""`parazip create`: the zip command."""

from __future__ import annotations

import os
import sys
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import click

from parazip.cli import options
from parazip.display import Display
from parazip.errors import MemberNameError, ParazipError, SourceError
from parazip.format.records import MAX_NAME
from parazip.settings import Preview, Report

if TYPE_CHECKING:
    from parazip.engine.archive import Identification

_IDENTITIES = ("stat", "content")


class _Create(options.GroupedCommand):
    """A command whose --cache may stand alone; click would take the next argument for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for first, second in pairwise(args[:end]):
            if first == "--cache" and second in _IDENTITIES:
                raise click.UsageError(f"write --cache={second}, or ./{second} for a file", ctx)
        ours = ["--cache=stat" if arg == "--cache" else arg for arg in args[:end]]
        return super().parse_args(ctx, ours + args[end:])


@click.command(cls=_Create, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("paths", metavar="PATH...", nargs=-1)
@options.input_options
@options.skipping_options
@options.compressing(
    "--cache",
    metavar="[=content]",
    type=click.Choice(_IDENTITIES),
    help="Keep what was compressed, and do not compress again what has not changed, by size, "
    "times and inode or, with =content, by a hash of each file.",
)
@options.changes_option
@options.layout_options
@options.output_options
@options.executor_option
@options.verify_option
@options.sync_option
@options.listing_options
@click.pass_context
def create(
    context: click.Context,
    /,
    archive: str,
    paths: tuple[str, ...],
    files_from: str | None,
    null: bool,
    cache: str | None,
    **values: Any,
) -> None:
    """Put files, and folders with all they hold, into the new zip archive ARCHIVE.

    A PATH may be a URL, and so may ARCHIVE if it is one of a store, such as s3://bucket/name.
    ARCHIVE appears complete or not at all; an archive that stood there is replaced. With "-" it
    goes to standard output. Members keep the order of the PATHs; what a folder holds is sorted.
    """
    names = read_listed_names(paths, files_from, null)
    options.refuse_two_on_standard_output(archive, values)
    common = options.CommonOptions.read(values)
    from parazip.engine import archive as engine
    from parazip.engine.cache import Cache

    arguments = {
        **common.arguments,
        "names": names,
        "cache": Cache(*context.obj) if cache is not None else None,
    }

    def preview() -> Preview:
        return engine.preview(paths, archive=None if archive == "-" else archive, **arguments)

    def make(display: Display) -> Report:
        target = options.open_target(archive)
        identity: Identification = "content" if cache == "content" else "stat"
        with common.open_executor() as executor:
            return engine.create(
                target,
                paths,
                progress=display,
                executor=executor,
                identity=identity,
                inspect=common.find_inspector(archive),
                sync=common.sync,
                **arguments,
            )

    common.execute(archive, preview, make)


def read_listed_names(paths: tuple[str, ...], files_from: str | None, null: bool) -> Iterable[str]:
    """The names that --files-from lists; refuses a command line that names nothing."""
    if not paths and files_from is None:
        raise click.UsageError("nothing to put in: name files or folders, or use --files-from")
    if null and files_from is None:
        raise click.UsageError("--null says how --files-from is read; there is no --files-from")
    return _read_list(files_from, null) if files_from is not None else ()


def _read_list(source: str, null: bool) -> Iterator[str]:
    """The names in a list, as the operating system spells them; never all of it in memory.

    Lines may end as on Windows, and there may be a byte order mark in front of the first one.
    """
    end = b"\0" if null else b"\n"
    try:
        with _open_list(source) as file:
            rest = b""
            for piece in _read_pieces(file) if null else _read_text(file, source):
                if not null and b"\0" in piece:
                    raise SourceError(
                        f"cannot read names from {source}: it has NUL characters, as find -print0 "
                        "and git ls-files -z write them; read it with --null",
                        member=source,
                    )
                *names, rest = (rest + piece).split(end)
                if not null:
                    names = [name.removesuffix(b"\r") for name in names]
                yield from map(os.fsdecode, filter(None, names))
                if len(rest) > MAX_NAME:
                    raise MemberNameError(
                        f"cannot read names from {source}: one has more than {MAX_NAME} bytes; "
                        f"each ends with {'NUL' if null else 'a line break'}, see --null"
                    )
            if rest := rest if null else rest.removesuffix(b"\r"):
                yield os.fsdecode(rest)
    except OSError as error:
        raise error if isinstance(error, ParazipError) else SourceError.of(source, error) from error


def _read_pieces(file: BufferedReader) -> Iterator[bytes]:
    while piece := file.read1(_PIECE):
        yield piece


def _read_text(file: BufferedReader, source: str) -> Iterator[bytes]:
    """The pieces of a text, without the mark that it is UTF-8."""
    begin = file.read(len(BOM_UTF8))
    if begin.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise SourceError(
            f"cannot read names from {source}: it is UTF-16, as PowerShell writes it; write it as "
            "UTF-8 (Out-File -Encoding utf8)"
        )
    yield begin.removeprefix(BOM_UTF8)
    yield from _read_pieces(file)


def _open_list(source: str) -> AbstractContextManager[BufferedReader]:
    if source != "-":
        return open(source, "rb")
    if sys.stdin is None:
        raise SourceError("cannot read names from standard input: it is closed")
    return nullcontext(cast("BufferedReader", sys.stdin.buffer))


_PIECE = 64 << 10
