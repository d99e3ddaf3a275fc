"""`parazip create`: the zip command."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Iterator
from io import FileIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from parazip.dates import Timestamp
from parazip.display import MODES, Display, Mode
from parazip.errors import DateError, OutputError, SettingsError, SourceError
from parazip.model import CODEC_NAMES, CodecName, Settings, parse_size
from parazip.sources import Selection, Symlinks

if TYPE_CHECKING:
    from parazip.output import Pipe

Command = TypeVar("Command", bound=Callable[..., Any])


def _level_digits(command: Command) -> Command:
    """The options -0 to -9, as zip and gzip have them."""

    def choose(context: click.Context, option: click.Parameter, chosen: bool) -> None:
        if chosen:
            context.meta[_DIGIT] = int(option.opts[0][1:])

    for level in range(10):
        option = click.option(
            f"-{level}",
            f"level_{level}",
            is_flag=True,
            expose_value=False,
            hidden=True,
            callback=choose,
        )
        command = option(command)
    return command


_DIGIT = "parazip.level"


def _size(context: click.Context, option: click.Parameter, value: str) -> int:
    return parse_size(value)


def _timestamp(
    context: click.Context, option: click.Parameter, value: str | None
) -> Timestamp | None:
    if value is None or value in ("keep", "epoch"):
        return cast("Timestamp | None", value)
    try:
        return datetime.datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise SettingsError(
            f"--timestamp {value} is not keep, epoch or a date like 2026-01-31 or "
            "2026-01-31T12:00:00"
        ) from None


@click.command(
    short_help="Put files and folders into a new zip archive.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("paths", metavar="PATH...", nargs=-1)
@click.option("-C", "--directory", metavar="DIR", help="Take PATHs relative to DIR.")
@click.option(
    "-x",
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out what matches: a name at any depth, or, with a slash in GLOB, a whole member "
    "name. Repeatable.",
)
@click.option("--prefix", metavar="NAME", default="", help="Put everything below folder NAME.")
@click.option(
    "--files-from",
    metavar="FILE",
    help="Also put in the files and folders that FILE (- for standard input) lists, one a line, "
    "each by itself.",
)
@click.option("--null", is_flag=True, help="Names in --files-from end with NUL (find -print0).")
@click.option(
    "--symlinks",
    type=click.Choice(["follow", "store"]),
    default="follow",
    show_default=True,
    help="Put in what links point to, or the links.",
)
@click.option(
    "-l",
    "--level",
    type=click.IntRange(0, 9),
    default=6,
    show_default=True,
    help="0 stores, 1 is fastest, 9 smallest. Also: -0 to -9.",
)
@_level_digits
@click.option(
    "--codec",
    type=click.Choice(CODEC_NAMES),
    default="auto",
    show_default=True,
    help="Compress with this library alone.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    help="Threads that compress.  [default: the CPUs this process may use]",
)
@click.option(
    "--memory",
    metavar="SIZE",
    default="256M",
    show_default=True,
    callback=_size,
    help="Bytes that may be in flight.",
)
@click.option(
    "--timestamp",
    metavar="keep|epoch|DATE",
    callback=_timestamp,
    help="Dates of the members: the files' own, 1980-01-01, or DATE (ISO 8601).  [default: "
    "SOURCE_DATE_EPOCH if set, else keep]",
)
@click.option("--prepend", metavar="FILE", help="Put FILE's bytes in front of the archive.")
@click.option(
    "--shebang",
    metavar="TEXT",
    help="Begin with the line #!TEXT and make the archive executable.",
)
@click.option(
    "--progress",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal. plain: lines for a log. json: one object a line.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
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
    level: int,
    codec: CodecName,
    jobs: int | None,
    memory: int,
    timestamp: Timestamp | None,
    prepend: str | None,
    shebang: str | None,
    progress: Mode,
    quiet: bool,
) -> None:
    """Put files, and folders with all they hold, into the new zip archive ARCHIVE.

    ARCHIVE appears complete or not at all; an archive that stood there is replaced. With "-" it
    goes to standard output. Members keep the paths' order; what a folder holds is sorted.
    """
    if not paths and files_from is None:
        raise click.UsageError("nothing to put in: name files or folders, or use --files-from")
    if null and files_from is None:
        raise click.UsageError("--null says how --files-from is read; there is no --files-from")
    try:
        selection = Selection(
            directory=directory,
            exclude=exclude,
            prefix=prefix,
            symlinks=symlinks,
            timestamp=timestamp,
        )
    except DateError as error:
        raise SettingsError(str(error)) from error
    settings = Settings(
        level=context.meta.get(_DIGIT, level), codec=codec, jobs=jobs, memory=memory
    )
    from parazip import archive as engine

    with Display(progress, quiet) as display:
        report = engine.create(
            _standard_output() if archive == "-" else archive,
            paths,
            settings,
            selection,
            names=_listed(files_from, null) if files_from is not None else (),
            prepend=prepend,
            shebang=shebang,
            progress=display,
        )
        display.summary(report)


def _standard_output() -> Pipe:
    if sys.stdout is None:
        raise OutputError("cannot write an archive to standard output: it is closed")
    if sys.stdout.isatty():
        raise OutputError(
            "cannot write an archive to the terminal; redirect standard output to a file or pipe"
        )
    from parazip.output import Pipe

    # Not sys.stdout.buffer: what a broken pipe leaves there would fail once more at exit.
    return Pipe(FileIO(sys.stdout.fileno(), "wb", closefd=False), "standard output")


def _listed(source: str, null: bool) -> Iterator[str]:
    """The names in a list, as the operating system spells them."""
    try:
        if source == "-":
            if sys.stdin is None:
                raise SourceError("cannot read names from standard input: it is closed")
            text = sys.stdin.buffer.read()
        else:
            with open(source, "rb") as file:
                text = file.read()
    except OSError as error:
        raise SourceError.of(source, error) from error
    names = text.split(b"\0" if null else b"\n")
    return (os.fsdecode(name) for name in names if name)
