"""`parazip pex ARGS...`: what follows `pex` is pex's own command line, but for a few options.

Those may stand anywhere before `--`. pex has none of their names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial

import click
from click.core import ParameterSource

from parazip.codecs.table import CODEC_NAMES, CodecName
from parazip.display import MODES, Display, Mode
from parazip.engine.cache import Cache
from parazip.model import Tally
from parazip.output.rights import refuse_folder
from parazip.output.syncing import sync_finished
from parazip.pex import inside, outside
from parazip.pex.asked import ZIPAPP, PexOptions, read_options
from parazip.pex.explanation import print_explanation
from parazip.pex.limits import Limits
from parazip.pex.mark import (
    MARK_KINDS,
    SENTINEL,
    SILENCE,
    MarkKind,
    choose_possible,
    insert_arguments,
    mark_arguments,
)
from parazip.pex.opt_in import FEATURE, load_command
from parazip.pex.zipper import ZipPlan, ZipReport
from parazip.settings import Report, Settings, parse_size
from parazip.verification.verify import require_sound


class _Forwarding(click.Command):
    """A command whose unknown options are pex's, as is all from `--` on."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        # Alone it would take the next argument for its value.
        ours = ["--explain=table" if arg == "--explain" else arg for arg in args[:end]]
        rest = super().parse_args(ctx, ours)
        ctx.params["arguments"] += tuple(args[end:])
        return rest

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] PEX-ARGUMENTS...")


@click.command(
    cls=_Forwarding,
    # No short ones: pex has -h, and with -r requirements.txt may go without a space.
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog="All other options are pex's own; they may stand before, between or after these. -h "
    "shows them.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--zip-level",
    "level",
    type=click.IntRange(1, 9),
    default=6,
    show_default=True,
    help="For what cannot be copied: 1 is fastest, 9 smallest. To store everything: pex's "
    "--no-compress.",
)
@click.option(
    "--zip-codec",
    "codec",
    type=click.Choice(CODEC_NAMES),
    default="auto",
    show_default=True,
    help="Compress with this library alone.",
)
@click.option(
    "--zip-jobs",
    "jobs",
    type=click.IntRange(1),
    help="How many compress at once.  [default: the CPUs this process may use]",
)
@click.option(
    "--zip-memory",
    "memory",
    metavar="SIZE",
    default="256M",
    show_default=True,
    callback=lambda context, option, value: parse_size(value),
    help="How many bytes may be in flight at once.",
)
@click.option(
    "--zip-progress",
    "progress",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal. plain: lines for a log. json: one object per line. none: "
    "nothing, not even a summary.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Make the very zips that pex makes, to the byte: with zlib 6 on all cores; nothing is "
    "copied.",
)
@click.option(
    "--mark",
    type=click.Choice(MARK_KINDS),
    default="build-property",
    show_default=True,
    help="How a PEX whose bytes are not pex's own says so: in PEX-INFO, by an empty file "
    f"{SENTINEL}, or not at all.",
)
@click.option(
    "--warn-on-run",
    is_flag=True,
    help="Also have the PEX say so in a line when it starts, unless its environment has "
    f"{SILENCE}.",
)
@click.option(
    "--pex-binary",
    metavar="PATH",
    help="Run this pex (a program, a PEX or scie of pex) by its command line alone, without the "
    "cache.",
)
@click.option("--verify", is_flag=True, help="Read each zip back, as parazip verify does.")
@click.option("--sync", is_flag=True, help="Return when the PEX is on the disk.")
@click.option("--no-cache", is_flag=True, help="Recall nothing and keep nothing.")
@click.option(
    "--explain",
    metavar="[=json]",
    type=click.Choice(["table", "json"]),
    help="Tell what was done to each distribution, and why.",
)
@click.option(
    "--use-feature",
    type=click.Choice([FEATURE]),
    multiple=True,
    help="For parapex, which is plain pex without it; here it is always on.",
)
@click.pass_context
def pex(
    context: click.Context,
    /,
    arguments: tuple[str, ...],
    level: int,
    codec: CodecName,
    jobs: int | None,
    memory: int,
    progress: Mode,
    exact: bool,
    mark: MarkKind,
    warn_on_run: bool,
    pex_binary: str | None,
    verify: bool,
    sync: bool,
    no_cache: bool,
    explain: str | None,
    use_feature: tuple[str, ...],
) -> None:
    """Run pex with PEX-ARGUMENTS; the zips that it writes are made on all cores."""
    if exact:
        _refuse_beside_exact(context)
    asked = read_options(arguments)

    def make_marks(version: tuple[int, ...]) -> AbstractContextManager[list[str]]:
        kind = choose_possible(mark, version)
        return mark_arguments(kind, f"level {level}, codec {codec}", warn_on_run, asked.preamble)

    with Display(progress, quiet=progress == "none") as display:
        builder = (
            _PexProgram([_find_program(pex_binary)])
            if pex_binary
            else _choose_installed_pex(display)
        )
        settings = Settings(level=level, codec=codec, jobs=jobs, memory=memory)
        zip_plan = ZipPlan(
            settings=settings,
            arguments=arguments,
            progress=display,
            cache=Cache(*context.obj) if builder.can_recall and not no_cache else None,
            exact=exact,
            watch=partial(Limits, asked.check, asked.output, display.show_note)
            if asked.layout == ZIPAPP
            else None,
            note=display.show_note,
            verify=verify,
            sync=sync,
        )
        # pex tells names on standard output, where only the explanation is to be.
        with redirect_stdout(sys.stderr) if explain == "json" else nullcontext():
            code = _build(builder, arguments, asked, zip_plan, make_marks)
        if code in (0, None):
            if verify and not zip_plan.reports and os.path.isfile(asked.output):
                require_sound(asked.output, settings)
            if sync:
                zips = [report.archive for report, _ in zip_plan.reports]
                for path in filter(os.path.exists, {asked.output, *zips}):
                    sync_finished(path)
            if zip_plan.reports:
                display.show_summary(_join_reports(zip_plan.reports, asked.layout))
            if explain is not None:
                print_explanation(zip_plan.reports, as_json=explain == "json")
    sys.exit(code)  # type: ignore[arg-type] # what pex itself exits with


def _find_program(path: str) -> str:
    """A file of that path, or else a program that the system finds by that name."""
    return os.path.abspath(path) if os.path.isfile(path) else path


def _build(
    builder: _PexInside | _PexProgram,
    arguments: tuple[str, ...],
    asked: PexOptions,
    zip_plan: ZipPlan,
    make_marks: Callable[[tuple[int, ...]], AbstractContextManager[list[str]]],
) -> object:
    """Has pex build what is asked for, with zips of ours if it has any; gives pex's exit code."""
    reason = asked.why_left_to_pex
    marks: AbstractContextManager[list[str]] = nullcontext([])
    if asked.output and not reason:
        refuse_folder(asked.output)
        version = builder.ask_version()
        reason = builder.explain_refusal(version, asked, zip_plan.exact)
        if asked.compress and not zip_plan.exact:
            marks = make_marks(version)
    if reason:
        if asked.output:
            zip_plan.note(f"pex alone makes this PEX: {reason}")
        return builder.run_unchanged(arguments)
    with marks as more:
        return builder.build(insert_arguments(arguments, more), asked, zip_plan)


class _PexInside:
    """The pex that is installed, in this process: parazip makes its zips in place of its code."""

    can_recall = True

    def __init__(self, command: Callable[[], object]) -> None:
        self._command = command

    def ask_version(self) -> tuple[int, ...]:
        return inside.installed_version()

    def explain_refusal(self, version: tuple[int, ...], asked: PexOptions, exact: bool) -> str:
        return ""

    def build(self, arguments: tuple[str, ...], asked: PexOptions, zip_plan: ZipPlan) -> object:
        with inside.making_zips_fast(zip_plan):
            return self.run_unchanged(arguments)

    def run_unchanged(self, arguments: tuple[str, ...]) -> object:
        sys.argv = ["pex", *arguments]
        try:
            self._command()
        except SystemExit as end:
            return end.code
        return 0


class _PexProgram:
    """A pex that is run as a program: parazip makes its zips anew when it is done."""

    can_recall = False

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def ask_version(self) -> tuple[int, ...]:
        return outside.ask_version(self._command)

    def explain_refusal(self, version: tuple[int, ...], asked: PexOptions, exact: bool) -> str:
        return asked.why_not_rebuilt or outside.explain_refusal(version, exact)

    def build(self, arguments: tuple[str, ...], asked: PexOptions, zip_plan: ZipPlan) -> object:
        if not asked.output:  # pex runs what it builds, and nothing is left
            return self.run_unchanged(arguments)
        return outside.build_from_stored(self._command, arguments, asked, zip_plan)

    def run_unchanged(self, arguments: tuple[str, ...]) -> object:
        return outside.run_unchanged(self._command, arguments)


def _choose_installed_pex(display: Display) -> _PexInside | _PexProgram:
    """The pex that is installed: as a program if parazip does not fit into its inside."""
    command = load_command()
    try:
        inside.check_fit()
    except inside.MisfitError as error:
        display.show_note(f"{error}; going by its command line alone")
        return _PexProgram([sys.executable, "-m", "pex"])
    return _PexInside(command)


def _refuse_beside_exact(context: click.Context) -> None:
    """Refuses options that ask for other bytes than pex's own."""
    for name in ("level", "codec", "mark", "warn_on_run"):
        if context.get_parameter_source(name) != ParameterSource.DEFAULT:
            option = next(each for each in context.command.params if each.name == name).opts[0]
            raise click.UsageError(f"{option} changes the bytes that --exact keeps; leave one out")


def _join_reports(reports: Sequence[ZipReport], layout: str) -> Report:
    """One report for all the zips of one PEX: a packed one has many."""
    every = [report for report, _ in reports]
    zips = "1 zip" if len(every) == 1 else f"{len(every)} zips"
    tallies: dict[str, Tally] = {}
    for report in every:
        for coder, tally in report.codecs.items():
            tallies[coder] = tallies[coder].plus(tally) if coder in tallies else tally
    return Report(
        archive=every[0].archive if layout == ZIPAPP else zips,
        members=sum(report.members for report in every),
        bytes_in=sum(report.bytes_in for report in every),
        bytes_out=sum(report.bytes_out for report in every),
        seconds=sum(report.seconds for report in every),
        codecs=tallies,
        recalled=sum(report.recalled for report in every),
        notes=tuple(dict.fromkeys(note for report in every for note in report.notes)),
    )
