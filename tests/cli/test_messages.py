"""What the command says: summaries, a bar, progress, help."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from parazip.cli.create import create as create_command
from parazip.cli.merge import merge as merge_command
from support.archives import open_archive
from support.command import (
    COMMAND,
    ENDLESS,
    EVERYTHING,
    TEXT,
    Done,
    assert_fails,
    make_environment,
    run_create,
    run_parazip,
)
from support.patience import HUNG

pytestmark = pytest.mark.once


def test_a_summary_line_stands_on_standard_error(work: Path) -> None:
    done = run_create("out.zip", "t", cwd=work)
    (line,) = done.err.splitlines()
    assert line.startswith("out.zip: 8 members, ")
    assert " -> " in line
    assert done.out == b""


@pytest.mark.parametrize("progress", ["auto", "none", "bar", "plain"])
def test_short_work_shows_its_summary_alone_where_there_is_no_terminal(
    work: Path, progress: str
) -> None:
    done = run_create("--progress", progress, "out.zip", "t/b.pyc", cwd=work)
    assert done.code == 0
    assert "\x1b" not in done.err
    assert done.err.splitlines()[-1].startswith("out.zip: 1 member, 4 B -> ")


@pytest.mark.parametrize(
    "options", [["-q"], ["--quiet"], ["-q", "--progress", "json"], ["-q", "--progress", "plain"]]
)
def test_quiet_says_nothing(work: Path, options: list[str]) -> None:
    assert run_create(*options, "out.zip", "t", cwd=work) == Done(0, b"", "")
    assert_fails(run_create(*options, "out.zip", "gone", cwd=work), 1, "cannot read gone: ")


def test_json_progress_is_one_object_a_line_with_the_right_numbers(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    done = run_create("--progress", "json", "-1", "out.zip", "t", cwd=work)
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [event["event"] for event in events[:-1]] == ["progress"] * (len(events) - 1)
    assert len(events) >= 2
    size = (work / "out.zip").stat().st_size
    with open_archive(work / "out.zip") as archive:
        infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    for event in events[:-1]:
        assert event["members_total"] == len(infos)
        assert event["bytes_total"] == total
        assert 0 <= event["bytes"] <= total
        assert 0 <= event["members"] <= len(infos)
        assert event["bytes_out"] <= size
        assert event["current"] in [*EVERYTHING, "t/large"]
    last = events[-1]
    assert last["event"] == "done"
    assert last["archive"] == "out.zip"
    assert (last["members"], last["bytes_in"], last["bytes_out"]) == (len(infos), total, size)
    assert last["seconds"] > 0
    assert sum(tally["members"] for tally in last["codecs"].values()) == len(infos)
    assert sum(tally["bytes_in"] for tally in last["codecs"].values()) == total
    assert sum(tally["bytes_out"] for tally in last["codecs"].values()) == sum(
        info.compress_size for info in infos
    )


@pytest.mark.parametrize("command", [create_command, merge_command], ids=["create", "merge"])
def test_each_option_of_the_help_page_stands_in_a_group(command: click.Command) -> None:
    options = [option for option in command.params if isinstance(option, click.Option)]
    shown = [option for option in options if not option.hidden]
    assert [option.name for option in shown if not hasattr(option, "group")] == []
    with click.Context(command) as context:
        page = command.get_help(context)
    titles = ["What goes in:", "How it is compressed:", "What comes out:", "How it is told:"]
    places = [page.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    assert "Options:" not in page
    told = page[places[0] :]
    for option in shown:
        assert option.opts[-1] in told
    assert told.rindex("--help") > places[-1]


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help_tells_each_option(work: Path, argument: str) -> None:
    done = run_create(argument, cwd=work)
    assert done.code == 0
    for option in (
        "-C", "-x", "--prefix", "--files-from", "--null", "--symlinks", "-l", "-0 to -9", "--codec",
        "-j", "--memory", "--timestamp", "--prepend", "--shebang", "--progress", "-q", "--skip",
        "--ignore", "--exclude-vcs", "-n", "--json", "--store", "--align", "--changes",
    ):  # fmt: skip
        assert option in " ".join(done.out.decode().split())
    top = run_parazip(argument, cwd=work).out.decode()
    assert "create" in top
    assert "pex" in top


# Signals


def read_terminal(descriptor: int) -> bytes:
    """What is shown next; nothing if nothing comes."""
    ready, _, _ = select.select([descriptor], [], [], HUNG)
    return os.read(descriptor, 4096) if ready else b""


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
def test_a_terminal_gets_a_bar(work: Path) -> None:
    with open(work / "endless", "wb") as file:
        file.truncate(ENDLESS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "create", "out.zip", "endless"],
        cwd=work,
        env=make_environment(TERM="xterm", COLUMNS="120"),
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"/s" not in shown or b"endless" not in shown:
            more = read_terminal(ours)
            assert more, "no bar is shown"
            shown += more
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal's other end has gone
            while more := read_terminal(ours):
                shown += more
        assert process.wait(HUNG) == 1
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"0/1" in shown
    assert b"Traceback" not in shown
    assert b"parazip: interrupted" in shown
    assert sorted(os.listdir(work)) == ["endless", "t"]
