"""What people and programs are shown of the work: modes, throttle, bar, summaries."""

from __future__ import annotations

import io
import json
import re
import sys
import time

import pytest

from parazip import Progress, Report, Tally
from parazip.display import MODES, Display, Mode, format_size, format_summary

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # rich asks before it draws

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What is shown, without the escape sequences."""
        return ESCAPES.sub("", self.getvalue())


class Clock:
    """Stands in for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")


def progress(
    *, members: int = 3, done: int = 25_000_000, seconds: float = 2.0, current: str = "dir/file.so"
) -> Progress:
    return Progress(members, 1_200, done, 100_000_000, 9_000_000, seconds, current)


def make_report(
    *,
    archive: str = "out.zip",
    members: int = 1_200,
    bytes_in: int = 100_000_000,
    bytes_out: int = 25_000_000,
    seconds: float = 4.0,
    changes: dict[str, int] | None = None,
) -> Report:
    tallies = {
        "isal 2": Tally(1_000, 99_000_000, 24_000_000),
        "stored": Tally(200, 1_000_000, 1_000_000),
    }
    return Report(
        archive=archive,
        members=members,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        seconds=seconds,
        codecs=tallies,
        changes=changes,
    )


def shown(mode: Mode, *progresses: Progress, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    with Display(mode, stream=stream) as display:
        for each in progresses:
            display(each)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_none_and_auto_show_no_progress_on_a_file(mode: Mode) -> None:
    assert shown(mode, progress(), progress(done=50_000_000)) == ""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_auto_is_a_bar_on_a_terminal_that_can_show_one(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = Terminal()
    shown("auto", progress(), stream=terminal)
    assert ("dir/file.so" in terminal.text) is (term != "dumb")


@pytest.mark.parametrize("mode", MODES)
def test_quiet_shows_nothing_at_all(mode: Mode, clock: Clock) -> None:
    terminal = Terminal()
    with Display(mode, quiet=True, stream=terminal) as display:
        display(progress())
        clock.now += 100
        display(progress(done=50_000_000))
        display.show_summary(make_report())
    assert terminal.getvalue() == ""


def test_standard_error_is_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("json") as display:
        display(progress())
        display.show_summary(make_report())
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 2


def test_a_json_line_has_every_number() -> None:
    assert json.loads(shown("json", progress())) == {
        "event": "progress",
        "members": 3,
        "members_total": 1_200,
        "bytes": 25_000_000,
        "bytes_total": 100_000_000,
        "bytes_out": 9_000_000,
        "seconds": 2.0,
        "current": "dir/file.so",
    }


def test_a_plain_line_tells_bytes_members_speed_time_left_and_current() -> None:
    assert shown("plain", progress()) == (
        " 25 %  25.0 MB of 100 MB  3 of 1,200 members  12.5 MB/s  6 s left  dir/file.so\n"
    )


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (
            Progress(0, 5, 0, 0, 30, 2.0, "empty"),
            "100 %  0 B of 0 B  0 of 5 members  0 B/s  0 s left",
        ),
        (Progress(0, 5, 0, 1_000, 30, 2.0, "begun"), "  0 %  0 B of 1.0 kB  0 of 5 members  0 B/s"),
        (Progress(5, 5, 1_000, 1_000, 30, 2.0, "done"), "100 %  1.0 kB of 1.0 kB  5 of 5 members"),
    ],
    ids=lambda value: value.current if isinstance(value, Progress) else "",
)
def test_a_plain_line_of_little_or_nothing(moment: Progress, told: str) -> None:
    assert shown("plain", moment).startswith(told)


@pytest.mark.parametrize(("mode", "every"), [("json", 0.25), ("plain", 5.0)])
def test_lines_come_as_often_as_promised_and_no_oftener(
    clock: Clock, mode: Mode, every: float
) -> None:
    stream = io.StringIO()
    lines = []
    with Display(mode, stream=stream) as display:
        for step in (0.0, every / 2, every / 2, every / 4, every / 4, every / 2, 10 * every, 0.0):
            clock.now += step
            display(progress())
            lines.append(stream.getvalue().count("\n"))
    assert lines == [1, 1, 2, 2, 2, 3, 4, 4]


@pytest.mark.parametrize("mode", ["plain", "bar"])
def test_what_is_over_soon_is_not_worth_a_line(mode: Mode) -> None:
    terminal = Terminal()
    assert shown(mode, progress(seconds=0.29), stream=terminal) == ""
    assert "dir/file.so" in shown(mode, progress(seconds=0.31), stream=terminal)


def test_json_does_not_wait() -> None:
    assert json.loads(shown("json", progress(seconds=0.0)))["seconds"] == 0.0


def test_the_bar_shows_bytes_members_speed_time_left_and_current(clock: Clock) -> None:
    terminal = Terminal()
    with Display("bar", stream=terminal) as display:
        for step in range(1, 5):
            clock.now += 1.0
            display(progress(members=step, done=step * 10_000_000, seconds=step))
    for told in ("40.0/100.0 MB", "4/1,200", "dir/file.so"):
        assert told in terminal.text
    assert re.search(r"\d [kMGT]?B/s", terminal.text)  # by a clock of rich's own
    assert re.search(r"\d\d:\d\d", terminal.text)


def test_the_bar_is_gone_when_the_work_has_ended(clock: Clock) -> None:
    terminal = Terminal()
    with Display("bar", stream=terminal) as display:
        display(progress())
        display.show_summary(make_report())
        before, after = terminal.getvalue().rsplit("out.zip", 1)
    assert "\x1b[2K" in before  # the line of the bar is erased
    assert "\x1b[?25h" in before  # and the cursor shown again
    assert after.startswith(": 1,200 members")
    assert terminal.getvalue().endswith("\n")


def test_the_bar_gives_the_cursor_back_after_an_error(clock: Clock) -> None:
    terminal = Terminal()

    def interrupted() -> None:
        with Display("bar", stream=terminal) as display:
            display(progress())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_a_bar_for_each_archive(clock: Clock) -> None:
    terminal = Terminal()
    with Display("bar", stream=terminal) as display:
        for name in ("one", "two"):
            clock.now += 1
            display(progress(current=name))
            display.show_summary(make_report(archive=f"{name}.zip"))
    assert terminal.text.index("one") < terminal.text.index("one.zip: ")
    assert terminal.text.index("one.zip: ") < terminal.text.index("two")
    assert terminal.text.index("two") < terminal.text.index("two.zip: ")


def test_summaries_restart_the_throttle(clock: Clock) -> None:
    stream = io.StringIO()
    with Display("json", stream=stream) as display:
        display(progress())
        display.show_summary(make_report())
        display(progress())
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["progress", "done", "progress"]


@pytest.mark.parametrize(
    "name", ["a\x1b[31mb", "a\x07b", "a\nb", "a\rb", "a\x9bb", "a\u202eb", "a\udcffb"]
)
def test_control_characters_in_names_are_made_harmless(name: str) -> None:
    harmless = "a\N{REPLACEMENT CHARACTER}"
    assert harmless in shown("plain", progress(current=name))
    assert shown("plain", progress(current=name)).count("\n") == 1
    terminal = Terminal()
    shown("bar", progress(current=name), stream=terminal)
    assert harmless in terminal.getvalue()
    assert name not in terminal.getvalue()
    assert format_summary(make_report(archive=name)).startswith(harmless)
    assert json.loads(shown("json", progress(current=name)))["current"] == name


def test_a_name_is_no_markup() -> None:
    terminal = Terminal()
    shown("bar", progress(current="[bold]x[/bold] [link]"), stream=terminal)
    assert "[bold]x[/bold] [link]" in terminal.text


def test_a_long_name_does_not_break_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    shown("bar", progress(current="long/" * 100), stream=terminal)
    assert "3/1,200" in terminal.text
    assert max(map(len, terminal.text.replace("\r", "\n").splitlines())) <= 100


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (make_report(), "out.zip: 1,200 members, 100 MB -> 25.0 MB (25.0 %) in 4.0 s, 25.0 MB/s"),
        (
            make_report(members=1, bytes_in=10, bytes_out=120, seconds=0.04),
            "out.zip: 1 member, 10 B -> 120 B (1200.0 %) in 0.0 s, 250 B/s",
        ),
        (
            make_report(members=0, bytes_in=0, bytes_out=22, seconds=0.5),
            "out.zip: 0 members, 0 B -> 22 B in 0.5 s, 0 B/s",
        ),
        (
            make_report(seconds=0.0),
            "out.zip: 1,200 members, 100 MB -> 25.0 MB (25.0 %) in 0.0 s, ?/s",
        ),
        (
            make_report(changes={"added": 1, "changed": 1_002, "deleted": 0}),
            "out.zip: 1,200 members (1 added, 1,002 changed), 100 MB -> 25.0 MB (25.0 %) in 4.0 s, "
            "25.0 MB/s",
        ),
        (
            make_report(changes={"added": 0, "changed": 0, "deleted": 0}),
            "out.zip: 1,200 members (nothing changed), 100 MB -> 25.0 MB (25.0 %) in 4.0 s, "
            "25.0 MB/s",
        ),
    ],
    ids=["many", "one", "none", "no time", "changes", "no changes"],
)
def test_a_summary_is_one_line(told: Report, line: str) -> None:
    assert format_summary(told) == line
    stream = io.StringIO()
    Display("none", stream=stream).show_summary(told)
    assert stream.getvalue() == line + "\n"


def test_a_json_summary_has_every_number() -> None:
    stream = io.StringIO()
    Display("json", stream=stream).show_summary(make_report())
    assert json.loads(stream.getvalue()) == {
        "event": "done",
        "archive": "out.zip",
        "members": 1_200,
        "bytes_in": 100_000_000,
        "bytes_out": 25_000_000,
        "seconds": 4.0,
        "codecs": {
            "isal 2": {"members": 1_000, "bytes_in": 99_000_000, "bytes_out": 24_000_000},
            "stored": {"members": 200, "bytes_in": 1_000_000, "bytes_out": 1_000_000},
        },
        "recalled": 0,
        "aligned": 0,
        "changes": None,
        "skipped": {},
        "sections": [],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (99.6, "100 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1_000, "1.0 kB"),
        (1_550, "1.6 kB"),
        (99_940, "99.9 kB"),
        (99_960, "100 kB"),
        (100_000, "100 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (1_000_000, "1.0 MB"),
        (832_000_000, "832 MB"),
        (1_560_000_000, "1.6 GB"),
        (626_000_000_000, "626 GB"),
        (1_000_000_000_000, "1.0 TB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert format_size(size) == text


def test_the_stream_may_be_any_encoding() -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii", errors="backslashreplace")
    with Display("plain", stream=stream) as display:
        display(progress(current="é/\x1b"))
        display.show_summary(make_report(archive="é.zip"))
    told = buffer.getvalue().decode("ascii")
    assert "\\xe9/\\ufffd" in told
    assert "\\xe9.zip: 1,200 members" in told


def test_no_bar_means_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    modes: tuple[Mode, ...] = ("auto", "plain", "json", "none")
    for mode in modes:
        shown(mode, progress())
        Display(mode, stream=io.StringIO()).show_summary(make_report())
    with pytest.raises(ImportError):
        shown("bar", progress())
