"""Options that several commands have."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from parazip.cli.outcomes import print_failure
from parazip.codecs.table import CODEC_NAMES, CodecName
from parazip.dates import TIMESTAMPS, Timestamp
from parazip.display import MODES
from parazip.errors import DateError, OutputError, SettingsError
from parazip.model import CHANGES
from parazip.selection import SKIPS, Selection
from parazip.settings import Settings, parse_size

if TYPE_CHECKING:
    from parazip.output import Pipe

Command = TypeVar("Command", bound=Callable[..., Any])


class _Option(click.Option):
    """An option that stands in a group of the help page."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group


selecting = partial(click.option, cls=_Option, group="What goes in")
compressing = partial(click.option, cls=_Option, group="How it is compressed")
producing = partial(click.option, cls=_Option, group="What comes out")
telling = partial(click.option, cls=_Option, group="How it is told")
"""What `click.option` is, with the group of the help page that the option stands in."""

_GROUPS: tuple[str, ...] = tuple(
    group.keywords["group"] for group in (selecting, compressing, producing, telling)
)


class GroupedCommand(click.Command):
    """A command whose help page shows its options by groups; --help stands in the last.

    With --json it tells as a document whatever fails, but that the command line is not understood.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line; values that make no sense are refused on the way."""
        options = args[: args.index("--")] if "--" in args else args
        with ctx.scope(cleanup=False), _told_as_json("--json" in options):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Does what the command does."""
        with _told_as_json(ctx.params.get("as_json", False)):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, a section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in _GROUPS}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                sections[getattr(option, "group", _GROUPS[-1])].append(record)
        for group, records in sections.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


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


def _aligns(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, str], ...]:
    pairs = []
    for value in values:
        match = re.fullmatch("([0-9]+)(K?)(?::(.+))?", value, re.IGNORECASE | re.DOTALL)
        if match is None:
            raise SettingsError(
                f"--align {value} is not a number of bytes, or one and a GLOB; write it like 4, "
                "64:*.npy or 16K:lib/*.so"
            )
        number, unit, pattern = match.groups()
        pairs.append((int(number[:_MOST_DIGITS]) * (1024 if unit else 1), pattern or "*"))
    return tuple(pairs)


_MOST_DIGITS = 9
"""More are out of every range, and Python refuses to make a number of thousands of them."""


def _timestamp(
    context: click.Context, option: click.Parameter, value: str | None
) -> Timestamp | None:
    if value is None or value in TIMESTAMPS:
        return cast("Timestamp | None", value)
    try:
        return datetime.datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise SettingsError(
            f"--timestamp {value} is not keep, clamp, epoch or a date like 2026-01-31 or "
            "2026-01-31T12:00:00"
        ) from None


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def input_options(command: Command) -> Command:
    """What of the files and folders that are named is put in, and under which names."""
    return _with(_INPUT_OPTIONS, command)


_INPUT_OPTIONS = (
    selecting("-C", "--directory", metavar="DIR", help="Take PATHs relative to DIR."),
    selecting(
        "-x",
        "--exclude",
        metavar="GLOB",
        multiple=True,
        help="Leave out what matches: a name at any depth, or, with a slash in GLOB, a whole "
        "member name; with a slash at its end, a folder. Repeatable.",
    ),
    selecting("--prefix", metavar="NAME", default="", help="Put everything below folder NAME."),
    selecting(
        "--files-from",
        metavar="FILE",
        help="Also put in the files and folders that FILE (- for standard input) lists, one a "
        "line, each by itself.",
    ),
    selecting("--null", is_flag=True, help="Names in --files-from end with NUL (find -print0)."),
    selecting(
        "--symlinks",
        type=click.Choice(["follow", "store"]),
        default="follow",
        show_default=True,
        help="Put in what links point to, or the links.",
    ),
)


def working_options(command: Command) -> Command:
    """What may be used of the machine."""
    return _with(_WORKING_OPTIONS, command)


_WORKING_OPTIONS = (
    compressing(
        "-j",
        "--jobs",
        type=click.IntRange(1),
        help="Threads that work.  [default: the CPUs this process may use]",
    ),
    compressing(
        "--memory",
        metavar="SIZE",
        default="256M",
        show_default=True,
        callback=_size,
        help="Bytes that may be in flight.",
    ),
)


def telling_options(command: Command) -> Command:
    """How progress and what was done are told."""
    return _with(_TELLING_OPTIONS, command)


_TELLING_OPTIONS = (
    telling(
        "--progress",
        type=click.Choice(MODES),
        default="auto",
        show_default=True,
        help="auto: a bar on a terminal. plain: lines for a log. json: one object a line.",
    ),
    telling("-q", "--quiet", is_flag=True, help="No progress, no summary."),
)


def layout_options(command: Command) -> Command:
    """How members stand in an archive: the same for each command that makes one of files."""
    return _with(_LAYOUT_OPTIONS, command)


_LAYOUT_OPTIONS = (
    compressing(
        "--store",
        metavar="GLOB",
        multiple=True,
        help="Store files that match (as with -x) instead of compressing them. Repeatable.",
    ),
    producing(
        "--align",
        metavar="N[:GLOB]",
        multiple=True,
        callback=_aligns,
        help="Let contents of stored members that match begin at a multiple of N bytes, a power "
        "of two up to 32K. Repeatable.",
    ),
)


def output_options(command: Command) -> Command:
    """How an archive is made and told of: the same for each command that makes one."""
    return _with(_OUTPUT_OPTIONS, command)


_OUTPUT_OPTIONS = (
    compressing(
        "-l",
        "--level",
        type=click.IntRange(0, 9),
        default=6,
        show_default=True,
        help="0 stores, 1 is fastest, 9 smallest. Also: -0 to -9.",
    ),
    _level_digits,
    compressing(
        "--codec",
        type=click.Choice(CODEC_NAMES),
        default="auto",
        show_default=True,
        help="Compress with this library alone.",
    ),
    *_WORKING_OPTIONS,
    producing(
        "--timestamp",
        metavar="keep|clamp|epoch|DATE",
        callback=_timestamp,
        help="Dates of the members: their own (moved into 1980 to 2107, which keep tells and clamp "
        "does not; with clamp none newer than SOURCE_DATE_EPOCH, if that is set), 1980-01-01, or "
        "DATE (ISO 8601).  [default: SOURCE_DATE_EPOCH if set, else keep]",
    ),
    producing(
        "--modes",
        type=click.Choice(["keep", "normal"]),
        default="keep",
        show_default=True,
        help="Permissions: their own, or 644, and 755 for folders and what can be executed.",
    ),
    producing("--prepend", metavar="FILE", help="Put FILE's bytes in front of the archive."),
    producing(
        "--shebang",
        metavar="TEXT",
        help="Begin with the line #!TEXT and make the archive executable.",
    ),
    *_TELLING_OPTIONS,
)


changes_option = selecting(
    "--changes",
    type=click.Choice(CHANGES),
    default="ctime",
    show_default=True,
    help="What shows that a file changed since it was found, which is an error. ctime: its size, "
    "modification time, inode or change time. mtime: size or modification time. size: its size. "
    "none: nothing; take what is there.",
)


def listing_options(command: Command) -> Command:
    """Options that tell programs and people of members, or list them without writing."""
    return _with(_LISTING_OPTIONS, command)


_LISTING_OPTIONS = (
    telling(
        "-n",
        "--dry-run",
        is_flag=True,
        help="Write nothing; list what would be put in or taken out, with sizes, and what is left "
        "out, and why.",
    ),
    telling(
        "--json",
        "as_json",
        is_flag=True,
        help="Tell what was made, or with -n what would be, as one JSON document on standard "
        "output.",
    ),
)


def skipping_options(command: Command) -> Command:
    """What is left out of folders: the same for each command that puts folders in."""
    return _with(_SKIPPING_OPTIONS, command)


_SKIPPING_OPTIONS = (
    selecting(
        "--ignore",
        is_flag=True,
        help="Leave out .git and what .gitignore files say, as git does; .zipignore files have the "
        "same rules and the last word.",
    ),
    selecting(
        "--exclude-vcs",
        is_flag=True,
        help="Leave out what version control keeps (.git, .gitignore, .svn, ...), as tar does.",
    ),
    selecting(
        "--skip",
        type=click.Choice(SKIPS),
        multiple=True,
        help="Leave out, and count, what cannot be put in instead of refusing it: special files "
        "(sockets, pipes, devices), dangling links, what is unreadable. Repeatable.",
    ),
)


def make_settings(
    context: click.Context, level: int, codec: CodecName, jobs: int | None, memory: int
) -> Settings:
    """The settings that a command line asks for; -0 to -9 count more than --level."""
    return Settings(level=context.meta.get(_DIGIT, level), codec=codec, jobs=jobs, memory=memory)


def open_target(archive: str) -> str | Pipe:
    """Where an archive goes: "-" is standard output."""
    if archive != "-":
        return archive
    if sys.stdout is None:
        raise OutputError("cannot write an archive to standard output: it is closed")
    if sys.stdout.isatty():
        raise OutputError(
            "cannot write an archive to the terminal; redirect standard output to a file or pipe"
        )
    from parazip.output import Pipe

    # Not sys.stdout.buffer: what a broken pipe leaves there would fail once more at exit.
    return Pipe(FileIO(sys.stdout.fileno(), "wb", closefd=False), "standard output")


def check_in_place(archive: str) -> str:
    """The archive that a command changes; standard output is none."""
    if archive == "-":
        raise SettingsError("an archive is changed in its place: name a file instead of -")
    return archive


@contextmanager
def _told_as_json(as_json: bool) -> Iterator[None]:
    """Tells what fails as a JSON document on standard output, too, if that is asked for, once."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BaseException as error:
        context = click.get_current_context()
        if as_json and not context.meta.get(_TOLD):
            context.meta[_TOLD] = True
            with suppress(OSError):
                print_failure(error)
        raise


_TOLD = "parazip.told"


def refuse_two_on_standard_output(archive: str, dry_run: bool, as_json: bool) -> None:
    """Refuses --json beside an archive that goes to standard output."""
    if as_json and archive == "-" and not dry_run:
        raise click.UsageError("--json and the archive - both take standard output")


def make_selection(**fields: Any) -> Selection:
    """What is put in; a date out of range is a mistake of the command line's here."""
    try:
        return Selection(**fields)
    except DateError as error:
        raise SettingsError(str(error)) from error
