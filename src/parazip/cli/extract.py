"""`parazip extract` and `parazip list`: out of an archive, and what is in it."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from parazip.cli import options
from parazip.display import Display, format_size, make_printable, print_json, print_names
from parazip.errors import OutputError, ParazipError, SettingsError, SourceError, hide_secrets
from parazip.extraction.listing import ListedMember, list_members
from parazip.extraction.model import MODES, OVERWRITE, Extraction
from parazip.format.values import MOST_DEFLATED
from parazip.settings import Settings
from parazip.sources.files import find_last_step, is_url

_exclude = options.selecting(
    "-x",
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out what matches; compared as GLOB is. Repeatable.",
)


@click.command(cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("members", metavar="[GLOB]...", nargs=-1)
@_exclude
@options.selecting(
    "--strip-components",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Take N steps off the beginning of each name; what has no more is left out.",
)
@options.selecting(
    "--max-size",
    metavar="SIZE",
    callback=options.read_size,
    help="Refuse to extract more bytes than this.  [default: the room on the disk]",
)
@options.selecting(
    "--max-members",
    metavar="N",
    type=click.IntRange(0),
    help="Refuse to make more files, folders and links than this.  [default: the room on the disk]",
)
@options.selecting(
    "--max-ratio",
    metavar="N",
    type=click.IntRange(1),
    default=MOST_DEFLATED,
    show_default="1032, the most that deflate makes",
    help="Refuse to extract more than N times the compressed bytes, and more than 16 MiB.",
)
@options.producing(
    "-d",
    "--directory",
    metavar="DIR",
    help="Extract to DIR. If it is not there, it appears when all is complete.  [default: the "
    "current folder]",
)
@options.producing(
    "--subfolder",
    is_flag=True,
    help="Extract to a folder in there that is named after the archive.",
)
@options.producing(
    "--overwrite",
    type=click.Choice(OVERWRITE),
    default="error",
    show_default=True,
    help="Files that are there. error: write nothing. skip: leave them. newer: replace those that "
    "are older than the member. all: replace them.",
)
@options.producing(
    "--modes",
    type=click.Choice(MODES),
    default="keep",
    show_default=True,
    help="Permissions. keep: those of the members, as far as the umask allows. normal: those "
    "of any new file, and the right to execute what can be executed. none: those of any new file.",
)
@options.sync_option
@options.producing(
    "-p", "--to-stdout", is_flag=True, help="Write the contents to standard output, no files."
)
@options.working_options
@options.telling_options
@options.telling("--json", "as_json", is_flag=True, help="Tell what was made as one JSON document.")
def extract(
    archive: str,
    members: tuple[str, ...],
    directory: str | None,
    subfolder: bool,
    to_stdout: bool,
    jobs: int | None,
    memory: int,
    progress: Any,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Extract the zip archive ARCHIVE, or the members that match a GLOB, on all cores.

    GLOB is compared with names at any depth or, if it has a slash, with whole member names; with a
    slash at its end it means a folder. A folder comes with all it holds. ARCHIVE may be a URL, of
    which no more is fetched than is needed, or - for standard input: what comes through a pipe is
    kept in a temporary file, as its directory is at its end.
    """
    if to_stdout and (subfolder or directory is not None or as_json or values["sync"]):
        raise click.UsageError(
            "--to-stdout writes no files: leave out -d, --subfolder, --json and --sync"
        )
    extraction = Extraction(members=members, **values)
    settings = Settings(jobs=jobs, memory=memory)
    from parazip.extraction import extract as engine

    folder = directory if directory is not None else "."
    if subfolder:
        folder = os.path.join(folder, _name_subfolder(archive))
    with opened_archive(archive) as path, Display(progress, quiet) as display:
        if to_stdout:
            engine.write_contents(path, options.open_standard_output(), extraction)
        else:
            report = engine.extract(path, folder, extraction, settings, progress=display)
            display.show_extracted(report, as_json)


@click.command(
    "list", cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("members", metavar="[GLOB]...", nargs=-1)
@_exclude
@options.telling(
    "-l", "--long", "is_long", is_flag=True, help="Also show modes, sizes, methods and dates."
)
@options.telling("--json", "as_json", is_flag=True, help="Show all of that as one JSON document.")
def list_command(
    archive: str,
    members: tuple[str, ...],
    exclude: tuple[str, ...],
    is_long: bool,
    as_json: bool,
) -> None:
    """List the names in the zip archive ARCHIVE, or those that match a GLOB.

    GLOB is compared as by `parazip extract`. ARCHIVE may be a URL, or - for standard input.
    """
    with opened_archive(archive) as path:
        found = list_members(path, members, exclude)
    if as_json:
        print_json({"archive": hide_secrets(archive), "members": [*map(_make_fields, found)]})
    elif is_long:
        print_names(map(_format_long, found))
        size = sum([member.size for member in found])
        compressed_size = sum([member.compressed_size for member in found])
        count = "1 member" if len(found) == 1 else f"{len(found):,} members"
        print(f"{count}, {format_size(size)}, compressed {format_size(compressed_size)}")
    else:
        print_names(make_printable(member.name) for member in found)


_METHODS = {0: "stored", 8: "deflated", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd"}


def _format_long(member: ListedMember) -> str:
    ratio = 100 * member.compressed_size / member.size if member.size else 100
    method = _METHODS.get(member.method, str(member.method))
    if member.is_encrypted:
        method += "*"
    return (
        f"{stat.filemode(member.mode)} {member.size:>12,} {ratio:>4.0f}% {method:<9} "
        f"{member.date:%Y-%m-%d %H:%M} {make_printable(member.name)}"
    )


def _make_fields(member: ListedMember) -> dict[str, Any]:
    return {**member._asdict(), "date": member.date.isoformat(), "mode": f"{member.mode:o}"}


def _name_subfolder(archive: str) -> str:
    place = find_last_step(archive) if is_url(archive) else os.path.basename(archive.rstrip("/"))
    name = os.path.splitext(place)[0]
    if archive == "-" or name in ("", ".", ".."):
        raise SettingsError(f"no folder can be named after the archive {archive}; give -d DIR")
    return name


@contextmanager
def opened_archive(archive: str) -> Iterator[str]:
    """The path of an archive; what comes through a pipe is in a file as long as the block lasts."""
    if archive != "-":
        yield archive
        return
    if sys.stdin is None:
        raise SourceError("cannot read an archive from standard input: it is closed")
    if sys.stdin.isatty():
        raise SourceError("cannot read an archive from the terminal; name a file, or pipe one in")
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode) and os.path.exists("/dev/stdin"):
        yield "/dev/stdin"
        return
    with tempfile.TemporaryDirectory(prefix="parazip-") as folder:
        path = os.path.join(folder, "standard input")
        try:
            with open(path, "xb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        except OSError as error:
            hint = "standard input is kept there; TMPDIR may name another folder"
            raise OutputError.of(os.path.dirname(folder), error, hint) from error
        try:
            yield path
        except ParazipError as error:
            error.args = (error.args[0].replace(path, "standard input"), *error.args[1:])
            raise
