"""The command line of the benchmarks."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import click

from benchmarks import (
    boots,
    charts,
    commands,
    compare,
    copying,
    extracting,
    loops,
    machine,
    pexes,
    revisions,
    streaming,
    targets,
    tools,
    workloads,
    zip_file,
)
from benchmarks.model import Figure
from benchmarks.scale import check, measuring, readers, report
from benchmarks.scale.costs import EPYC, Assumed

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Figures: TypeAlias = dict[str, list[Figure]]


def _levels(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Levels with commas between them."""
    if not re.fullmatch(r"[0-9](,[0-9])*", value):
        raise click.BadParameter(f"{value!r} is not a list such as 1,6,9", ctx, param)
    return tuple(int(level) for level in value.split(","))


def _measuring(command: _Command) -> _Command:
    """The options that all measuring commands have."""
    for option in (
        click.option("--json", "target", type=click.File("w"), help="Write raw figures here."),
        click.option("--runs", default=3, type=click.IntRange(1), show_default=True),
        click.option(
            "--workload",
            "names",
            multiple=True,
            type=click.Choice(workloads.NAMES),
            help="Only this workload; may be given more than once.",
        ),
    ):
        command = option(command)
    return command


@click.group(help=__doc__)
def main() -> None:
    """What all commands have in common: nothing."""


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(workloads.NAMES))
def prepare(names: tuple[str, ...]) -> None:
    """Make the workloads that are not there yet."""
    for name in names or workloads.NAMES:
        workload = workloads.prepare(name, _tell)
        click.echo(f"{name}: {workload.files:,} files, {workload.size / 1e6:,.0f} MB")


@main.command()
@_measuring
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    type=click.Choice(tuple(commands.RIVALS)),
    help="Only this rival; may be given more than once.",
)
@click.option("--levels", default="1,6,9", callback=_levels, show_default=True)
def run(
    names: tuple[str, ...],
    runs: int,
    target: Any,
    rivals: tuple[str, ...],
    levels: tuple[int, ...],
) -> None:
    """Compare parazip with its rivals and print Markdown tables."""
    found = [workloads.find(name) for name in names or workloads.NAMES]
    chosen = rivals or tuple(commands.RIVALS)
    commands.require(chosen)
    figures: _Figures = {}
    click.echo(machine.headline())
    for workload in found:
        groups = compare.groups(workload, levels, chosen)
        measured = compare.in_turn(workload, compare.flat(groups), runs, _tell)
        figures[workload.name] = list(measured.values())
        click.echo(f"\n### {workload.name}\n\n{compare.table(groups, measured)}")
    _write(target, figures, ())


@main.command("targets")
@_measuring
def measure_targets(names: tuple[str, ...], runs: int, target: Any) -> None:
    """Measure what is asked of parazip; what is not met is told, not failed."""
    found = [workloads.find(name) for name in names or workloads.NAMES]
    commands.require(tuple(commands.RIVALS))
    figures: _Figures = {}
    verdicts: list[targets.Verdict] = []
    for workload in found:
        measured, judged = targets.of_workload(workload, runs, _tell)
        figures |= measured
        verdicts += judged
    figures["startup"], verdict = targets.startup(_tell)
    verdicts.append(verdict)
    click.echo(f"{machine.headline()}\n\n{targets.table(verdicts)}")
    _write(target, figures, verdicts)


@main.command("copying")
@click.option("--json", "target", type=click.File("w"), help="Write raw figures here.")
@click.option("--runs", default=5, type=click.IntRange(1), show_default=True)
@click.option(
    "--stock-runs",
    default=1,
    type=click.IntRange(1),
    show_default=True,
    help="Runs of pex itself, which takes a minute; no more than --runs.",
)
def measure_copying(target: Any, runs: int, stock_runs: int) -> None:
    """Measure PEX, merge and incremental create in units of cp, on workload tensorflow."""
    figures = copying.measured(runs, stock_runs, _tell)
    judged = copying.verdicts(figures)
    click.echo(f"{machine.headline()}\n\n{copying.table(figures)}\n\n{copying.NOTE}\n")
    click.echo(targets.table(judged))
    _write(target, {"copying": list(figures)}, judged)


@main.command("pexes")
@click.option("--json", "target", type=click.File("w"), help="Write raw figures here.")
@click.option("--chart", "chart", metavar="FILE", help="Draw the table here, as SVG or PNG.")
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
@click.option(
    "--slow-runs",
    default=1,
    type=click.IntRange(1),
    show_default=True,
    help="Runs of what takes a minute; no more than --runs.",
)
def measure_pexes(target: Any, chart: str | None, runs: int, slow_runs: int) -> None:
    """Compare the ways to a PEX of workload tensorflow: build, size and first boot."""
    _require_matplotlib(chart)
    rows = pexes.measured(runs, slow_runs, _tell)
    click.echo(f"{machine.headline()}\n\n{pexes.table(rows)}\n\n{pexes.NOTE}")
    if chart:
        charts.draw([(row.label, row.columns()) for row in rows], chart)
    figures = {each.label: each for row in rows for each in (row.first, row.again, row.boot)}
    _write(target, {"pexes": list(figures.values())}, ())


@main.command("loop")
@click.option("--chart", "chart", metavar="FILE", help="Draw the table here, as SVG or PNG.")
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
def measure_loops(chart: str | None, runs: int) -> None:
    """Compare the ways from a changed source to a running program, on workload tensorflow."""
    _require_matplotlib(chart)
    rows = loops.measured(runs, _tell)
    click.echo(f"{machine.headline()}\n\n{loops.table(rows)}\n\n{loops.NOTE}")
    if chart:
        charts.draw([(row.label, row.columns()) for row in rows], chart)


@main.command("boots")
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
def measure_boots(runs: int) -> None:
    """Compare first boots of PEXes with those that parazip seed has prepared."""
    rows = boots.measured(runs, _tell)
    click.echo(f"{machine.headline()}\n\n{boots.table(rows)}\n\n{boots.NOTE}")


def _require_matplotlib(chart: str | None) -> None:
    if chart and importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException("--chart needs matplotlib: pip install --group charts")


@main.command("zipfile")
@click.option("--json", "target", type=click.File("w"), help="Write raw figures here.")
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
def measure_zip_file(target: Any, runs: int) -> None:
    """Compare parazip.ZipFile with zipfile's and with parazip create."""
    found = zip_file.measured(runs, _tell)
    judged = zip_file.verdicts(found)
    click.echo(f"{machine.headline()}\n\n{zip_file.table(found)}\n\n{targets.table(judged)}")
    _write(target, {"zipfile": list(found.figures.values())}, judged)


_ARCHIVES = ("tensorflow", "sources", "tiny", "many", "foreign stream")


def _of_archives(command: _Command) -> _Command:
    """The options of commands that compare readers of archives."""
    for option in (
        click.option("--json", "target", type=click.File("w"), help="Write raw figures here."),
        click.option("--runs", default=3, type=click.IntRange(1), show_default=True),
        click.option("--archive", "names", multiple=True, type=click.Choice(_ARCHIVES)),
    ):
        command = option(command)
    return command


@main.command("extract")
@_of_archives
def measure_extracting(target: Any, runs: int, names: tuple[str, ...]) -> None:
    """Compare parazip extract with zipfile, unzip, 7z, bsdtar, hayazip and fbz."""
    _compare_readers(target, runs, names, tests=False)


@main.command("verify")
@_of_archives
def measure_verifying(target: Any, runs: int, names: tuple[str, ...]) -> None:
    """Compare parazip verify with zipfile's testzip, unzip -t and 7z t."""
    _compare_readers(target, runs, names, tests=True)


def _compare_readers(target: Any, runs: int, names: tuple[str, ...], tests: bool) -> None:
    found = extracting.measured(runs, names or _ARCHIVES, tests, _tell)
    click.echo(f"{machine.headline()}\n\n{extracting.table(found)}")
    _write(target, found, ())


@main.command("streaming")
@click.option("--json", "target", type=click.File("w"), help="Write raw figures here.")
@click.option("--runs", default=5, type=click.IntRange(1), show_default=True)
@click.option("--levels", default="0,1,6", callback=_levels, show_default=True)
@click.option(
    "--workload",
    "names",
    multiple=True,
    type=click.Choice(streaming.NAMES),
    help="Only this workload; may be given more than once.",
)
def measure_streaming(
    target: Any, runs: int, levels: tuple[int, ...], names: tuple[str, ...]
) -> None:
    """Compare parazip.stream with zipstream-ng and stream-zip."""
    found = streaming.measured(runs, names or streaming.NAMES, levels, _tell)
    click.echo(f"{machine.headline()}\n\n{streaming.table(found)}")
    figures = [found.counted, found.slow, found.abandoned]
    _write(target, {"streaming": [each for of in figures for each in of.values()]}, ())


@main.command("scale")
@click.option("--measure/--no-measure", "measures", default=True, help="Measure the constants.")
@click.option("--check/--no-check", "checks", default=True, help="Make a real archive, too.")
@click.option("--readers/--no-readers", "opens", default=True, help="Let readers open archives.")
@click.option("--level", default=6, type=click.IntRange(0, 9), show_default=True)
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
@click.option("--read", default=Assumed().read, help="Bytes a second that a worker reads.")
@click.option("--open", "open_", default=Assumed().open, help="Seconds until a file answers.")
@click.option("--send", default=Assumed().send, help="Bytes a second that each one sends.")
@click.option("--core-hour", default=Assumed().core_hour, help="Dollars.")
@click.option("--thousand-puts", default=Assumed().thousand_puts, help="Dollars.")
@click.option("--gigabyte-month", default=Assumed().gigabyte_month, help="Dollars.")
def foretell_scale(
    measures: bool, checks: bool, opens: bool, level: int, runs: int, open_: float, **assumed: Any
) -> None:
    """Foretell what archives cost that are larger than this machine."""
    costs, given = EPYC, Assumed(open=open_, **assumed)
    click.echo(machine.headline())
    if measures:
        costs, constants = measuring.measure(level, runs, _tell)
        click.echo(f"\n{report.constants(constants)}")
    if checks:
        real = [check.compare(workers, level, costs) for workers in (1, 2)]
        click.echo(f"\n{report.comparison(real)}")
    if opens:
        click.echo(f"\n{report.opened(readers.measure((10**5, 10**6), _tell))}")
    found = report.simulate_all(costs, given, report.WORKERS, _tell)
    click.echo(f"\n{report.outcomes(found, costs, given)}")


@main.command("tools")
@click.option("--json", "target", type=click.File("w"), help="Write raw figures here.")
@click.option("--runs", default=3, type=click.IntRange(1), show_default=True)
def measure_tools(target: Any, runs: int) -> None:
    """Compare other people's tools as they are and under parazip run."""
    rows = tools.measured(runs, _tell)
    click.echo(f"{machine.headline()}\n\n{tools.table(rows)}")
    _write(target, {"tools": [each for row in rows for each in (row.plain, row.ours)]}, ())


@main.command("revision")
@click.argument("revision", default="HEAD")
@click.option("--bytes/--no-bytes", "compares_bytes", default=True, help="Compare all outputs.")
@click.option("--speed/--no-speed", "measures", default=True, help="Measure times and memory.")
@_measuring
def compare_revision(
    revision: str,
    compares_bytes: bool,
    measures: bool,
    names: tuple[str, ...],
    runs: int,
    target: Any,
) -> None:
    """Compare the code of a commit with the code that is here: the same bytes, and how fast."""
    names = names or ("tensorflow", "sources", "tiny")
    different: list[str] = []
    figures: list[tuple[Figure, Figure]] = []
    with compare.scratch() as scratch, revisions.checked_out(revision, scratch) as checkout:
        if compares_bytes:
            different = revisions.differing_outputs(checkout, names, scratch, _tell)
        if measures:
            figures = revisions.measured(checkout, names, runs, scratch, _tell)
    if measures:
        click.echo(f"{machine.headline()}\n\n{revisions.table(figures)}")
    _write(target, {"revision": [each for pair in figures for each in pair]}, ())
    if different:
        raise click.ClickException(f"these come out differently: {', '.join(different)}")


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _write(target: Any, figures: _Figures, verdicts: Iterable[targets.Verdict]) -> None:
    """All figures as JSON, where that was asked for."""
    if target is None:
        return
    raw = {
        "machine": machine.describe(),
        "figures": {name: [each.raw() for each in found] for name, found in figures.items()},
        "targets": [verdict.raw() for verdict in verdicts],
    }
    json.dump(raw, target, indent=2)
    target.write("\n")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
