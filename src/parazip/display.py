"""Shows progress and summaries to people, and to programs that ask for JSON; on standard error.

The only room that renders. rich is imported when a bar is first shown, so short work does not pay
for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from parazip.engine.progress import Progress
from parazip.errors import OutputError, ParazipError, SettingsError, hide_secrets
from parazip.model import Tally
from parazip.settings import Preview, Report
from parazip.sources.contents import describe_origin

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from parazip.extraction.model import ExtractReport
    from parazip.pushing import PushReport

Mode: TypeAlias = Literal["auto", "bar", "plain", "json", "none"]
MODES: tuple[Mode, ...] = ("auto", "bar", "plain", "json", "none")

_PATIENCE = 0.3
"""Seconds of work before a bar is shown: what is over sooner needs none."""

_NAME_WIDTH = 40
_INTERVALS: dict[Mode, float] = {"bar": 0.1, "plain": 5.0, "json": 0.25}
"""Seconds between two updates."""


class Display:
    """Shows the progress of one archive after the other. A context manager and a progress sink.

    Args:
        mode: "auto" is a bar on a terminal and nothing elsewhere; "plain" a line every five
            seconds, for logs; "json" an object a line, four a second, the last one "done" or
            "error".
        quiet: no summaries either.
        stream: where to; standard error as it is, if None.
    """

    def __init__(self, mode: Mode = "auto", quiet: bool = False, stream: TextIO | None = None):
        self._stream = stream or sys.stderr or StringIO()  # standard error may be closed
        if mode == "auto":
            is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
            mode = "bar" if is_terminal else "none"
        self._mode: Mode = "none" if quiet else mode
        self._quiet = quiet
        self._shown = 0.0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end_bar()
        if self._mode == "json" and isinstance(error, ParazipError):
            self._print_event("error", {"message": str(error), "problems": error.messages()})
            raise SystemExit(2 if isinstance(error, SettingsError) else 1) from error

    def __call__(self, progress: Progress) -> None:
        """Shows `progress` if the last one was shown long enough ago."""
        now = time.monotonic()
        if self._mode == "none" or now - self._shown < _INTERVALS[self._mode]:
            return
        if self._mode == "json":
            self._print_event("progress", progress._asdict())
        elif progress.seconds < _PATIENCE:
            return
        elif self._mode == "plain":
            self._print_line(_format_progress(progress))
        else:
            self._update_bar(progress)
        self._shown = now

    def show_preview(self, archive: str, preview: Preview, as_json: bool = False) -> None:
        """Tells on standard output what an archive would be made of."""
        self.end_bar()
        if as_json:
            print_json(_list_preview(archive, preview))
            return
        if preview.changes is None:
            for member in preview.members:
                print_name(f"{format_size(member.size):>9}  {make_printable(member.name)}")
        else:
            self._list_changes(preview)
        for name, why in () if preview.deleted else preview.left_out:
            print_name(f" left out  {make_printable(name)}  ({make_printable(why)})")
        members = _count_members(len(preview.members), preview.skipped)
        if preview.changes is not None:
            kept = len(preview.members) - len(preview.changes)
            members += f" ({_count_changes({**preview.counts(), 'kept': kept})})"
        is_left_out = preview.left_out and not preview.deleted
        more = f", {len(preview.left_out):,} left out" if is_left_out else ""
        size = format_size(preview.bytes_in)
        print_name(f"{make_printable(hide_secrets(archive))} would have {members}, {size}{more}")
        self._show_notes(preview.notes)

    def _list_changes(self, preview: Preview) -> None:
        """Lists what would change; the rest is only counted."""
        for member in preview.members:
            if what := (preview.changes or {}).get(member.name):
                print_name(
                    f"{format_size(member.size):>9}  {make_printable(member.name)}  ({what})"
                )
        for name, why in preview.left_out if preview.deleted else ():
            print_name(f"  deleted  {make_printable(name)}  ({make_printable(why)})")

    def show_summary(self, report: Report, as_json: bool = False) -> None:
        """Tells what came of an archive; as a JSON document on standard output."""
        self.end_bar()
        self._shown = 0.0
        if as_json:
            fields = _list_fields(report)
            del fields["sections"]
            try:
                print_json({**fields, "dry_run": False})
            except OSError as error:
                error.add_note(f"{report.archive} is complete")
                raise
        elif self._mode == "json":
            self._print_event("done", _list_fields(report))
        elif not self._quiet:
            self._print_line(format_summary(report))
            self._show_notes(report.notes)

    def show_extracted(self, report: ExtractReport, as_json: bool = False) -> None:
        """Tells what was extracted; as a JSON document on standard output."""
        self._show_outcome(_get_fields(report), format_extracted(report), as_json)

    def show_pushed(self, report: PushReport, as_json: bool = False) -> None:
        """Tells what was sent; as a JSON document on standard output."""
        fields = {**_get_fields(report), "dry_run": False}
        self._show_outcome(fields, format_pushed(report), as_json)

    def show_push_preview(self, report: PushReport, as_json: bool = False) -> None:
        """Tells on standard output what would be sent."""
        if as_json:
            print_json({**_get_fields(report), "dry_run": True})
        else:
            print_name(format_push_preview(report))
            self._show_notes(report.notes)

    def _show_outcome(self, fields: dict[str, Any], line: str, as_json: bool) -> None:
        self.end_bar()
        if as_json:
            print_json(fields)
        elif self._mode == "json":
            self._print_event("done", fields)
        elif not self._quiet:
            self._print_line(line)
            self._show_notes(fields.get("notes", ()))

    def show_line(self, text: str) -> None:
        """Tells people something in a line."""
        if not self._quiet:
            self.end_bar()
            self._print_line(make_printable(text))

    def _show_notes(self, notes: Sequence[str]) -> None:
        for note in notes:
            self.show_note(note)

    def show_note(self, message: str) -> None:
        """Tells people something that they may want to know at once."""
        if self._mode == "json":
            self._print_event("note", {"message": message})
        elif not self._quiet:
            self.end_bar()
            self._print_line(f"parazip: {make_printable(message)}")

    def _print_event(self, event: str, fields: dict[str, Any]) -> None:
        import json

        self._print_line(json.dumps({"event": event, **fields}))

    def _print_line(self, text: str) -> None:
        with suppress(OSError):  # a full or closed log is no reason to have no archive
            print(text, file=self._stream, flush=True)

    def _update_bar(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = _make_bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("", total=progress.bytes_total, members="", current="")
        assert self._task is not None
        self._bar.update(
            self._task,
            completed=progress.bytes,
            total=progress.bytes_total,
            members=f"{progress.members:,}/{progress.members_total:,}",
            current=_shorten_name(progress.current),
        )
        self._bar.refresh()

    def end_bar(self) -> None:
        """Takes the bar off the terminal, before something is written there."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def print_name(text: str) -> None:
    """Writes a line with a name to standard output, which may not know all of its characters."""
    print_names((text,))


def print_names(lines: Iterable[str]) -> None:
    """Writes lines with names to standard output, which may not know all of their characters."""
    _require_output()
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    lines = iter(lines)
    while some := [*islice(lines, _LINES)]:
        print("\n".join(some).encode(encoding, "backslashreplace").decode(encoding))


_LINES = 1000
"""Lines that are written at once."""


def print_json(document: Mapping[str, Any]) -> None:
    """Writes one JSON document to standard output, for programs."""
    import json

    _require_output()
    print(json.dumps(document, indent=2), flush=True)


def _require_output() -> None:
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")


def _list_preview(archive: str, preview: Preview) -> dict[str, Any]:
    """What an archive would be made of, as JSON knows it."""
    put_in = [
        {"name": member.name, "size": member.size, "source": describe_origin(member)}
        for member in preview.members
    ]
    left_out = [each._asdict() for each in preview.left_out]
    document = {
        "archive": hide_secrets(archive),
        "dry_run": True,
        "members": len(preview.members),
        "bytes_in": preview.bytes_in,
        "put_in": put_in,
        "left_out": left_out,
        "skipped": dict(preview.skipped),
        "notes": preview.notes,
    }
    if (changes := preview.changes) is not None:
        for each in put_in:
            each["change"] = changes.get(str(each["name"]), "kept")
        document["changes"] = preview.counts()
        if preview.deleted:
            document |= {"left_out": [], "deleted": left_out}
    return document


def _get_fields(report: Report | ExtractReport | PushReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}


def _list_fields(report: Report) -> dict[str, Any]:
    """The fields of a report as JSON knows them."""
    fields = _get_fields(report)
    sections = [
        {**made._asdict(), "tallies": _list_tallies(made.tallies)} for made in report.sections
    ]
    return {
        **fields,
        "codecs": _list_tallies(report.codecs),
        "skipped": dict(report.skipped),
        "sections": sections,
    }


def _count_members(count: int, skipped: Mapping[str, int], recalled: int = 0) -> str:
    """How many members there are, and how many were recalled or skipped."""
    members = "1 member" if count == 1 else f"{count:,} members"
    if recalled:
        members += f" ({recalled:,} recalled)"
    if skipped:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in skipped.items())
        members += f" (skipped {kinds})"
    return members


def _list_tallies(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    return {coder: tally._asdict() for coder, tally in tallies.items()}


def format_summary(report: Report) -> str:
    """One line for people: what was made, from how much, how fast."""
    ratio = f" ({100 * report.bytes_out / report.bytes_in:.1f} %)" if report.bytes_in else ""
    members = _count_members(report.members, report.skipped, report.recalled)
    if report.changes is not None:
        members += f" ({_count_changes(report.changes)})"
    speed = format_size(report.bytes_in / report.seconds) if report.seconds else "?"
    return (
        f"{make_printable(report.archive)}: {members}, {format_size(report.bytes_in)} -> "
        f"{format_size(report.bytes_out)}{ratio} in {report.seconds:.1f} s, {speed}/s"
    )


def format_extracted(report: ExtractReport) -> str:
    """One line for people: what was extracted, and how fast."""
    skipped = {"that were there": report.skipped} if report.skipped else {}
    members = _count_members(report.members, skipped)
    speed = format_size(report.bytes / report.seconds) if report.seconds else "?"
    return (
        f"{make_printable(report.folder)}: {members}, {format_size(report.bytes)} in "
        f"{report.seconds:.1f} s, {speed}/s"
    )


def format_pushed(report: PushReport) -> str:
    """One line for people: how much was sent of an archive, and how much was not."""
    if report.is_needless:
        return _format_needless(report)
    return f"pushed {_format_push(report)} in {report.seconds:.1f} s"


def format_push_preview(report: PushReport) -> str:
    """The same of what would be sent."""
    return _format_needless(report) if report.is_needless else f"would push {_format_push(report)}"


def _format_push(report: PushReport) -> str:
    sizes = [*map(format_size, (report.sent, report.copied, report.size))]
    return (
        f"{make_printable(report.archive)} to {make_printable(report.url)}: {sizes[0]} sent, "
        f"{sizes[1]} copied there ({sizes[2]})"
    )


def _format_needless(report: PushReport) -> str:
    return (
        f"nothing to send: {make_printable(report.url)} has all of "
        f"{make_printable(report.archive)} already ({format_size(report.size)})"
    )


def _count_changes(changes: Mapping[str, int]) -> str:
    counts = [f"{count:,} {what}" for what, count in changes.items() if count]
    return ", ".join(counts) or "nothing changed"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, in columns as wide as they need; numbers stand to the right."""
    rows = [[_shorten_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if rows and cells[:1].isdigit() else cell.ljust(width)
            for cell, width, cells in zip(row, widths, rows[0] if rows else header, strict=True)
        ]
        lines.append(make_printable("  ".join(cells).rstrip()))
    return "\n".join(lines)


_WIDEST = 255
"""Characters of a cell, as many as a file's name may have on most systems: all others of its column
are made as wide, so one name of 64 KB would be as many bytes in each row."""


def _shorten_cell(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 3]}..."


def format_size(size: float) -> str:
    """A number of bytes for people, in powers of 1,000 as `ls --si` and wheel listings have it."""
    if size < 999.5:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 99.95:
            return f"{size:.1f} {unit}"
        if size < 999.5:
            return f"{size:.0f} {unit}"
    return f"{size / 1000:.1f} TB"


def _format_progress(progress: Progress) -> str:
    percent = 100 * progress.bytes / progress.bytes_total if progress.bytes_total else 100
    speed = progress.bytes / progress.seconds
    left = (progress.bytes_total - progress.bytes) / speed if speed else 0
    return (
        f"{percent:3.0f} %  {format_size(progress.bytes)} of {format_size(progress.bytes_total)}  "
        f"{progress.members:,} of {progress.members_total:,} members  {format_size(speed)}/s  "
        f"{left:.0f} s left  {_shorten_name(progress.current)}"
    )


def _make_bar(stream: TextIO) -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    return Progress(
        BarColumn(bar_width=24),
        DownloadColumn(),
        TextColumn("{task.fields[members]}"),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn(
            "{task.fields[current]}",
            markup=False,
            style="dim",
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        expand=True,
    )


def _shorten_name(name: str) -> str:
    """The end of a long name, by which it differs from its neighbours."""
    text = make_printable(name)
    return text if len(text) <= _NAME_WIDTH else "…" + text[1 - _NAME_WIDTH :]


def make_printable(name: str) -> str:
    """A name without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
