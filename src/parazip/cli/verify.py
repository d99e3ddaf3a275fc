"""`parazip verify`: reads archives back, and tells all that is wrong with them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from parazip.cli import options
from parazip.cli.extract import opened_archive
from parazip.display import Display, format_size, make_printable, print_json, print_name
from parazip.errors import ParazipError, hide_secrets
from parazip.settings import Settings
from parazip.verification.profiles import PROFILES
from parazip.verification.verify import VerifyReport
from parazip.verification.verify import verify as verify_archive

_MOST_SHOWN = 100
"""Faults of one archive that people are shown."""


@click.command(cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archives", metavar="ARCHIVE...", nargs=-1, required=True)
@options.telling(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice([*PROFILES]),
    help="A reader that ARCHIVE is for: what it does not take as it is meant is an error. May be "
    "given several times.",
)
@options.working_options
@options.telling_options
@options.telling("--json", "as_json", is_flag=True, help="Tell all faults as one JSON document.")
def verify(
    archives: tuple[str, ...],
    profiles: tuple[str, ...],
    jobs: int | None,
    memory: int,
    progress: Any,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read each ARCHIVE back on all cores, and tell what is wrong with it.

    An error is what two readers may understand in two ways, or what is damaged; a warning what only
    some system takes for something else. A profile makes errors of all that one reader does not
    take as it is meant. Exits with 1 if there is an error. ARCHIVE may be a URL, or - for
    standard input.
    """
    settings = Settings(jobs=jobs, memory=memory)
    documents: list[dict[str, Any]] = []
    is_sound = True
    with Display(progress, quiet or as_json) as display:
        for archive in archives:
            try:
                with opened_archive(archive) as path:
                    report = verify_archive(path, settings, profiles=profiles, progress=display)
                report = replace(report, archive=hide_secrets(archive))
            except ParazipError as error:
                is_sound = False
                documents.append(
                    {"archive": hide_secrets(archive), "sound": False, "error": str(error)}
                )
                if not as_json:
                    display.end_bar()
                    print(f"parazip: {make_printable(str(error))}", file=sys.stderr)
                continue
            is_sound = is_sound and report.is_sound
            documents.append(_make_document(report))
            if not as_json:
                display.end_bar()
                _show(report, quiet)
    if as_json:
        print_json({"archives": documents})
    sys.exit(0 if is_sound else 1)


def _show(report: VerifyReport, quiet: bool) -> None:
    name = make_printable(report.archive)
    faults = [fault for fault in report.faults if fault.severity != "note"]
    for fault in faults[:_MOST_SHOWN]:
        print_name(f"{name}: {make_printable(str(fault))}")
    more = len(faults) - _MOST_SHOWN
    if more > 0:
        print_name(f"{name}: {more + report.untold:,} faults more; --json tells of more")
    if not quiet:
        speed = f", {format_size(report.bytes / report.seconds)}/s" if report.seconds else ""
        members = "1 member" if report.members == 1 else f"{report.members:,} members"
        print_name(
            f"{name}: {_count_faults(report)}; {members}, {format_size(report.bytes)} in "
            f"{report.seconds:.1f} s{speed}"
        )
        if report.is_sound and report.unfit:
            unfit = [f"{reader} [{', '.join(ids)}]" for reader, ids in report.unfit.items()]
            print_name(f"{name}: not for {', '.join(unfit)}")


def _count_faults(report: VerifyReport) -> str:
    errors = sum(fault.severity == "error" for fault in report.faults) + report.untold
    warnings = sum(fault.severity == "warning" for fault in report.faults)
    counts = [(errors, "error"), (warnings, "warning")]
    told = [f"{count:,} {what}{'s' if count > 1 else ''}" for count, what in counts if count]
    return ", ".join(told) or "sound"


def _make_document(report: VerifyReport) -> dict[str, Any]:
    return {
        "archive": report.archive,
        "sound": report.is_sound,
        "members": report.members,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "untold": report.untold,
        "unfit": report.unfit,
        "faults": [fault._asdict() for fault in report.faults],
    }
