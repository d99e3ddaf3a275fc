"""`parazip pex ARGS...`: what follows `pex` is pex's own command line, but for a few options.

Those may stand anywhere before `--`. pex has none of their names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from parazip.cache import Cache
from parazip.copying import COPIED
from parazip.display import MODES, Display, Mode, format_size, format_table
from parazip.model import CODEC_NAMES, CodecName, Report, SectionReport, Settings, Tally, parse_size
from parazip.naming import refuse_folder
from parazip.pex import inside, outside
from parazip.pex.asked import ZIPAPP, read_options
from parazip.pex.limits import Limits
from parazip.pex.mark import (
    KINDS,
    SENTINEL,
    SILENCE,
    Kind,
    choose_possible,
    insert_arguments,
    mark_arguments,
)
from parazip.pex.opt_in import FEATURE, load_command
from parazip.pex.zipper import ZipPlan

if TYPE_CHECKING:
    from parazip.pex.wheels import Distribution


class _Forwarding(click.Command):
    """A command whose unknown options are pex's, as is all from `--` on."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        # Alone it would take the next argument for its value.
        told = ["--explain=table" if arg == "--explain" else arg for arg in args[:end]]
        rest = super().parse_args(ctx, told)
        ctx.params["arguments"] += tuple(args[end:])
        return rest

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] PEX-ARGUMENTS...")


@click.command(
    cls=_Forwarding,
    # No short ones: pex has -h, and with -r requirements.txt may go without a space.
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog="All other options are pex's own, and may stand before, between and behind these; -h "
    "shows them.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--zip-level",
    "level",
    type=click.IntRange(1, 9),
    default=6,
    show_default=True,
    help="For what cannot be copied: 1 is fastest, 9 smallest. To store all: pex's --no-compress.",
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
    help="Threads that zip.  [default: the CPUs this process may use]",
)
@click.option(
    "--zip-memory",
    "memory",
    metavar="SIZE",
    default="256M",
    show_default=True,
    callback=lambda context, option, value: parse_size(value),
    help="Bytes that may be in flight.",
)
@click.option(
    "--zip-progress",
    "progress",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal. plain: lines for a log. json: one object a line. none: no "
    "summary either.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Zips that are pex's own to the byte, with zlib 6: all cores, but nothing is copied.",
)
@click.option(
    "--mark",
    type=click.Choice(KINDS),
    default="build-property",
    show_default=True,
    help="How a PEX whose bytes are not pex's own says so: in PEX-INFO, by an empty file "
    f"{SENTINEL}, or not at all.",
)
@click.option(
    "--warn-on-run",
    is_flag=True,
    help=f"The PEX says so in a line when it starts, unless {SILENCE} is set there.",
)
@click.option(
    "--pex-binary",
    metavar="PATH",
    help="Run this pex (a program, a PEX or scie of pex) by its command line alone; without cache.",
)
@click.option("--no-cache", is_flag=True, help="Recall nothing, and keep nothing.")
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
    help="For parapex, which is pex itself without it; here it is always on.",
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
    mark: Kind,
    warn_on_run: bool,
    pex_binary: str | None,
    no_cache: bool,
    explain: str | None,
    use_feature: tuple[str, ...],
) -> None:
    """Run pex with PEX-ARGUMENTS; the zips that it writes are made on all cores."""
    if exact:
        _refuse_beside_exact(context)
    asked = read_options(arguments)
    with Display(progress, quiet=progress == "none") as display, ExitStack() as stack:
        run_installed = None if pex_binary else load_command()
        other = [pex_binary] if pex_binary else _unfit(display)
        way = ZipPlan(
            settings=Settings(level=level, codec=codec, jobs=jobs, memory=memory),
            arguments=arguments,
            progress=display,
            cache=None if no_cache or other else Cache(*context.obj),
            exact=exact,
            watch=partial(Limits, asked.check, asked.output, display.show_note)
            if asked.layout == ZIPAPP
            else None,
            note=display.show_note,
        )
        if explain == "json":
            # pex tells names on standard output, where only the explanation is to be.
            stack.enter_context(redirect_stdout(sys.stderr))
        alone = asked.untouched
        if asked.output and not alone:
            refuse_folder(asked.output)
            version = outside.ask_version(other) if other else inside.installed_version()
            if other:
                alone = asked.only_finished or outside.explain_refusal(version, exact)
            if asked.compress and not exact and not alone:
                mode = f"level {level}, codec {codec}"
                marks = mark_arguments(
                    choose_possible(mark, version), mode, warn_on_run, asked.preamble
                )
                arguments = insert_arguments(arguments, stack.enter_context(marks))
        if asked.output and alone:
            display.show_note(f"pex alone makes this PEX: {alone}")
        code: object = 0
        if other:
            if asked.output and not alone:
                code = outside.build_from_stored(other, arguments, asked, way)
            else:
                code = outside.run_unchanged(other, arguments)
        else:
            assert run_installed is not None
            if not alone:
                stack.enter_context(inside.making_zips_fast(way))
            sys.argv = ["pex", *arguments]
            try:
                run_installed()
            except SystemExit as end:
                code = end.code
        stack.close()
        if code in (0, None):
            if way.reports:
                reports = [report for report, _ in way.reports]
                zips = "1 zip" if len(reports) == 1 else f"{len(reports)} zips"
                name = reports[0].archive if asked.layout == ZIPAPP else zips
                display.show_summary(_together(name, reports))
            if explain is not None:
                rows = [row for report in way.reports for row in _rows(*report)]
                _explain(rows, as_json=explain == "json")
    sys.exit(code)  # type: ignore[arg-type] # what pex itself exits with


def _unfit(display: Display) -> list[str]:
    """What runs the installed pex, if parazip does not fit into its inside; else nothing."""
    try:
        inside.check_fit()
    except inside.MisfitError as error:
        display.show_note(f"{error}; going by its command line alone")
        return [sys.executable, "-m", "pex"]
    return []


def _refuse_beside_exact(context: click.Context) -> None:
    """Refuses options that ask for other bytes than pex's own."""
    for name in ("level", "codec", "mark", "warn_on_run"):
        if context.get_parameter_source(name) != ParameterSource.DEFAULT:
            option = next(each for each in context.command.params if each.name == name).opts[0]
            raise click.UsageError(f"{option} changes what --exact keeps as it is; leave one out")


def _together(name: str, reports: list[Report]) -> Report:
    """One report for all the zips of one PEX: a packed one has many."""
    tallies: dict[str, Tally] = {}
    for report in reports:
        for coder, tally in report.codecs.items():
            tallies[coder] = tallies[coder].plus(tally) if coder in tallies else tally
    return Report(
        archive=name,
        members=sum(report.members for report in reports),
        bytes_in=sum(report.bytes_in for report in reports),
        bytes_out=sum(report.bytes_out for report in reports),
        seconds=sum(report.seconds for report in reports),
        codecs=tallies,
        recalled=sum(report.recalled for report in reports),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _rows(report: Report, distributions: Iterable[Distribution]) -> list[dict[str, Any]]:
    """What was done to each distribution."""
    found = {each.name: each for each in distributions}
    return [_row(made, found[made.label]) for made in report.sections]


def _row(made: SectionReport, distribution: Distribution) -> dict[str, Any]:
    copied = made.tallies.get(COPIED, Tally(0, 0, 0))
    every = Tally(0, 0, 0)
    for tally in made.tallies.values():
        every = every.plus(tally)
    if made.recalled:
        how, why = "recalled", "nothing has changed since it was put into the cache"
    else:
        how = "copied" if copied.members else "compressed"
        why = distribution.why(copied.members)
    return {
        "distribution": made.label,
        "how": how,
        "members": every.members,
        "copied_members": copied.members,
        "bytes_in": every.bytes_in,
        "bytes_out": every.bytes_out,
        "seconds": round(made.seconds, 4),
        "why": why,
    }


def _explain(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [
        (
            row["distribution"],
            row["how"],
            f"{row['members']:,}",
            format_size(row["bytes_in"]),
            format_size(row["bytes_out"]),
            f"{row['seconds']:.2f}",
            row["why"],
        )
        for row in rows
    ]
    header = ("distribution", "how", "members", "in", "out", "seconds", "why")
    print(format_table(header, lines))
