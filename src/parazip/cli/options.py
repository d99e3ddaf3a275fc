"""Options that several commands have, and how they reach what the commands call.

To add an option: declare it here, in the list that each command has which is to take it, or at its
command if it is only one. `selecting`, `compressing`, `producing` or `telling` put it into that
group of the help page. If a field of `Selection`, `Settings` or `CommonOptions` has its name, that
field has its value; otherwise it is a parameter of its command. README's table tells of it, which
`tests/whole/test_docs.py` compares with the help page.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, fields
from functools import partial
from io import FileIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from parazip.cli.outcomes import print_failure
from parazip.codecs.table import CODEC_NAMES
from parazip.display import MODES, Display, Mode
from parazip.errors import DateError, OutputError, SettingsError
from parazip.model import CHANGES
from parazip.settings import Preview, Report, Settings, parse_size
from parazip.sources.dates import TIMESTAMPS, Timestamp
from parazip.sources.selection import SKIPS, Selection

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from parazip.output.stream import Pipe

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

    With --json it also tells failures as a document, except for a command line that is not
    understood.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line; values that make no sense are refused while it is read."""
        options = args[: args.index("--")] if "--" in args else args
        with ctx.scope(cleanup=False), _failures_as_json("--json" in options):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Does what the command does."""
        with _failures_as_json(ctx.params.get("as_json", False)):
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


def read_size(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """The callback of an option that is a size in bytes, such as `64M`.

    Raises:
        SettingsError: it is no size.
    """
    try:
        return None if value is None else parse_size(value)
    except SettingsError as error:
        raise SettingsError(f"{option.opts[0]} is wrong: {error}") from error


def _read_alignments(
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


def _read_timestamp(
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


def join_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, which the help page shows in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


input_options = join_options(
    selecting("-C", "--directory", metavar="DIR", help="Take PATHs relative to DIR."),
    selecting(
        "-x",
        "--exclude",
        metavar="GLOB",
        multiple=True,
        help="Leave out what matches. GLOB is compared with names at any depth or, if it has a "
        "slash, with whole member names; with a slash at its end it means a folder. Repeatable.",
    ),
    selecting("--prefix", metavar="NAME", default="", help="Put everything below folder NAME."),
    selecting(
        "--files-from",
        metavar="FILE",
        help="Also put in the files and folders that FILE (- for standard input) lists, one per "
        "line; a folder without what it holds.",
    ),
    selecting("--null", is_flag=True, help="Names in --files-from end with NUL (find -print0)."),
    selecting(
        "--symlinks",
        type=click.Choice(["follow", "store"]),
        default="follow",
        show_default=True,
        help="Put in what links point to, or the links themselves.",
    ),
)
"""Which of the files and folders that are named go in, and under which names."""


skipping_options = join_options(
    selecting(
        "--ignore",
        is_flag=True,
        help="Leave out .git and what .gitignore files say, as git does; .zipignore files follow "
        "the same rules and have the last word.",
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
        help="Leave out and count, instead of refusing: special files (sockets, pipes, devices), "
        "dangling links, or what is unreadable. Repeatable.",
    ),
)
"""What is left out of folders."""


changes_option = selecting(
    "--changes",
    type=click.Choice(CHANGES),
    default="ctime",
    show_default=True,
    help="What shows that a file changed after it was found, which is an error. ctime: its size, "
    "modification time, inode or change time. mtime: size or modification time. size: size alone. "
    "none: nothing; whatever is there is taken.",
)


layout_options = join_options(
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
        callback=_read_alignments,
        help="Begin the contents of stored members that match at a multiple of N bytes, a power "
        "of two up to 32K. Repeatable.",
    ),
)
"""How members stand in an archive."""


working_options = join_options(
    compressing(
        "-j",
        "--jobs",
        type=click.IntRange(1),
        help="How many work at once.  [default: the CPUs this process may use]",
    ),
    compressing(
        "--memory",
        metavar="SIZE",
        default="256M",
        show_default=True,
        callback=read_size,
        help="How many bytes may be in flight at once.",
    ),
)
"""How much of the machine may be used."""


telling_options = join_options(
    telling(
        "--progress",
        type=click.Choice(MODES),
        default="auto",
        show_default=True,
        help="auto: a bar on a terminal. plain: lines for a log. json: one object per line.",
    ),
    telling("-q", "--quiet", is_flag=True, help="No progress, no summary."),
)
"""How progress and the result are told."""


output_options = join_options(
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
    working_options,
    producing(
        "--timestamp",
        metavar="keep|clamp|epoch|DATE",
        callback=_read_timestamp,
        help="Dates of the members. keep: the files' own, moved into 1980 to 2107 with a note. "
        "clamp: the same without the note, and none newer than SOURCE_DATE_EPOCH if that is set. "
        "epoch: 1980-01-01. DATE: that date (ISO 8601).  [default: SOURCE_DATE_EPOCH if set, else "
        "keep]",
    ),
    producing(
        "--modes",
        type=click.Choice(["keep", "normal"]),
        default="keep",
        show_default=True,
        help="Permissions. keep: the files' own. normal: 644, and 755 for folders and what can be "
        "executed.",
    ),
    producing("--prepend", metavar="FILE", help="Put FILE's bytes in front of the archive."),
    producing(
        "--shebang",
        metavar="TEXT",
        help="Begin with the line #!TEXT and make the archive executable.",
    ),
    telling_options,
)
"""How an archive is compressed, written and told: for each command that makes one of files."""


executor_option = compressing(
    "--executor",
    metavar="dask://HOST:PORT",
    help="Let the workers of that Dask cluster compress, which see the same files. --jobs says "
    "how many pieces of work they may have at once.  [default for these: as many as --memory "
    "allows]",
)


verify_option = producing(
    "--verify",
    is_flag=True,
    help="Read the archive back before it appears under its name, as parazip verify does.",
)


sync_option = producing("--sync", is_flag=True, help="Return when all is on the disk.")


listing_options = join_options(
    telling(
        "-n",
        "--dry-run",
        is_flag=True,
        help="Write nothing; list what would be put in or taken out, with sizes, and what would "
        "be left out, and why.",
    ),
    telling(
        "--json",
        "as_json",
        is_flag=True,
        help="Tell what was made, or with -n what would be, as one JSON document on standard "
        "output.",
    ),
)
"""What programs and people are told of members, with or without writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """What is asked for by the options that several commands have.

    An option reaches the field of its own name: here, in `Selection` or in `Settings`.

    Attributes:
        selection: what goes in.
        settings: how it is compressed.
        progress: how progress is shown.
        quiet: whether neither progress nor a summary is.
        dry_run: whether nothing is written.
        as_json: whether the result is one JSON document on standard output.
        prepend: the file whose bytes stand in front of the archive, if any.
        shebang: what its first line says behind `#!`, if it is to have one.
        executor: whose workers compress, if not threads of this process.
        verify: whether the archive is read back before it appears under its name.
        sync: whether it is on the disk when the command ends.
    """

    selection: Selection
    settings: Settings
    progress: Mode
    quiet: bool
    dry_run: bool
    as_json: bool
    prepend: str | None = None
    shebang: str | None = None
    executor: str | None = None
    verify: bool = False
    sync: bool = False

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> CommonOptions:
        """Sorts the values of options, by the options' names.

        Raises:
            SettingsError: a value is out of its range.
            TypeError: no field has the name of an option; so none is without effect.
        """
        rest = {**values}
        if _DIGIT in (meta := click.get_current_context().meta):
            rest["level"] = meta[_DIGIT]  # -0 to -9 count more than --level
        try:
            selection = Selection(**_pop_fields(Selection, rest))
        except DateError as error:  # here a date out of range is a mistake of the command line's
            raise SettingsError(str(error)) from error
        settings = Settings(**_pop_fields(Settings, rest))
        return cls(selection=selection, settings=settings, **rest)

    @property
    def arguments(self) -> dict[str, Any]:
        """What `create`, `merge`, `update` and the previews of all three are called with."""
        return {
            "selection": self.selection,
            "settings": self.settings,
            "prepend": self.prepend,
            "shebang": self.shebang,
        }

    def open_executor(self) -> AbstractContextManager[Executor | None]:
        """Whose workers compress, until the end of the block, if anybody's do."""
        if self.executor is None:
            return nullcontext()
        from parazip.cli import clusters

        return clusters.open_executor(self.executor)

    def find_inspector(self, archive: str) -> Callable[[str], object] | None:
        """What looks at an archive before it appears under its name, if anything does."""
        if not self.verify:
            return None
        from parazip.verification.verify import require_sound

        return partial(require_sound, settings=self.settings, name=f"the new {archive}")

    def execute(
        self,
        archive: str,
        preview: Callable[[], Preview],
        make: Callable[[Display], Report],
    ) -> None:
        """Makes an archive, or with --dry-run previews it, and shows what came of it."""
        with Display(self.progress, self.quiet) as display:
            if self.dry_run:
                self._refuse_no_file(archive)
                display.show_preview(archive, preview(), self.as_json)
            else:
                display.show_summary(make(display), self.as_json)

    def _refuse_no_file(self, archive: str) -> None:
        from parazip.output import places, stream

        if archive == "-":
            stream.refuse_no_file("standard output", inspects=self.verify, syncs=self.sync)
        else:
            places.refuse_unwritable(archive, inspects=self.verify, syncs=self.sync)


def _pop_fields(kind: type[Selection | Settings], values: dict[str, Any]) -> dict[str, Any]:
    """Takes out of `values` those that fields of a dataclass are named after."""
    names = [field.name for field in fields(kind) if field.name in values]
    return {name: values.pop(name) for name in names}


def open_target(archive: str) -> str | Pipe:
    """The target of an archive; "-" is standard output."""
    if archive != "-":
        return archive
    output = open_standard_output()
    if output.isatty():
        raise OutputError(
            "cannot write an archive to the terminal; redirect standard output to a file or pipe"
        )
    from parazip.output.stream import Pipe

    return Pipe(output, "standard output")


def open_standard_output() -> FileIO:
    """Standard output, for bytes.

    Raises:
        OutputError: it is closed.
    """
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    # Not sys.stdout.buffer: what a broken pipe leaves there would fail once more at exit.
    return FileIO(sys.stdout.fileno(), "wb", closefd=False)


def check_in_place(archive: str) -> str:
    """The path of the archive that a command changes; refuses standard output."""
    if archive == "-":
        raise SettingsError("an archive is changed in its place: name a file instead of -")
    return archive


@contextmanager
def _failures_as_json(as_json: bool) -> Iterator[None]:
    """Tells what fails as a JSON document on standard output too, if asked for; only once."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BaseException as error:
        context = click.get_current_context()
        if as_json and not context.meta.get(_IS_TOLD):
            context.meta[_IS_TOLD] = True
            with suppress(OSError):
                print_failure(error)
        raise


_IS_TOLD = "parazip.is_told"


def refuse_two_on_standard_output(archive: str, values: Mapping[str, Any]) -> None:
    """Refuses --json beside an archive that goes to standard output."""
    if values["as_json"] and archive == "-" and not values["dry_run"]:
        raise click.UsageError("--json and the archive - both take standard output")
