"""The command as it is run: options, what it says, exit codes, signals; and how light it is."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pty
import resource
import select
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

import parazip
from parazip import Selection, Settings
from parazip.cli.create import create as create_command
from parazip.cli.merge import merge as merge_command
from parazip.display import format_size
from patience import HUNG

pytestmark = pytest.mark.once

COMMAND = [sys.executable, "-m", "parazip"]
"""Seconds until a command that was told to end must be taken to hang."""
TEXT = b"".join(b"line %d of some text\n" % i for i in range(20_000))
ENDLESS = 256 << 30
"""A sparse file of so many bytes is not compressed to its end while a test runs."""


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def run(*args: str | Path, cwd: Path, stdin: bytes = b"", **popen: Any) -> Done:
    popen.setdefault("env", environment())
    done = subprocess.run(
        [*COMMAND, *(str(arg) for arg in args)],
        cwd=cwd,
        input=stdin,
        stdout=popen.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=HUNG,
        check=False,
        **popen,
    )
    return Done(done.returncode, done.stdout or b"", done.stderr.decode())


def create(*args: str | Path, cwd: Path, **more: Any) -> Done:
    return run("create", *args, cwd=cwd, **more)


def assert_fails(done: Done, code: int, *told: str) -> None:
    """A clear message and the right code, and nothing of Python's inside."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    for text in told:
        assert text in done.err


def opened(archive: Path | bytes) -> zipfile.ZipFile:
    data = archive if isinstance(archive, bytes) else archive.read_bytes()
    return zipfile.ZipFile(io.BytesIO(data))


def namelist(archive: Path | bytes) -> list[str]:
    with opened(archive) as read:
        assert read.testzip() is None
        return read.namelist()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with a tree `t` in it."""
    work = tmp_path / "work"
    (work / "t" / "empty").mkdir(parents=True)
    (work / "t" / "build").mkdir()
    (work / "t" / "a.txt").write_bytes(TEXT)
    (work / "t" / "b.pyc").write_bytes(b"code")
    (work / "t" / "build" / "x").write_bytes(b"built")
    (work / "t" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (work / "t" / "run.sh").chmod(0o755)
    (work / "t" / "link").symlink_to("a.txt")
    return work


EVERYTHING = ["t/", "t/a.txt", "t/b.pyc", "t/build/", "t/build/x", "t/empty/", "t/link", "t/run.sh"]

# Options


NAMES = {
    "no option": (["out.zip", "t"], EVERYTHING),
    "paths in order": (["out.zip", "t/run.sh", "t/a.txt"], ["t/run.sh", "t/a.txt"]),
    "-C": (["-C", "t", "out.zip", "build"], ["build/", "build/x"]),
    "--directory": (["--directory=t", "out.zip", "."], [name[2:] for name in EVERYTHING[1:]]),
    "-x": (["-x", "*.pyc", "out.zip", "t"], [n for n in EVERYTHING if n != "t/b.pyc"]),
    "-x twice": (
        ["-x", "*.pyc", "--exclude", "build", "out.zip", "t"],
        ["t/", "t/a.txt", "t/empty/", "t/link", "t/run.sh"],
    ),
    "-x with a slash": (
        ["out.zip", "t", "-x", "t/build/*"],
        [n for n in EVERYTHING if n != "t/build/x"],
    ),
    "-x of everything": (["-x", "*", "out.zip", "t"], []),
    "--prefix": (["--prefix", "p/q", "out.zip", "t/build"], ["p/q/t/build/", "p/q/t/build/x"]),
    "options last": (["out.zip", "t/build", "-q", "--prefix=p"], ["p/t/build/", "p/t/build/x"]),
    "--": (["-q", "--", "out.zip", "t/build"], ["t/build/", "t/build/x"]),
}


@pytest.mark.parametrize(("args", "expected"), NAMES.values(), ids=NAMES.keys())
def test_options_that_choose_members(work: Path, args: list[str], expected: list[str]) -> None:
    done = create(*args, cwd=work)
    assert done.code == 0, done.err
    assert done.out == b""
    assert namelist(work / "out.zip") == expected


LISTS: dict[str, tuple[bytes, list[str], list[str]]] = {
    "lines": (b"t/run.sh\nt/build\nt/a.txt\n", [], ["t/run.sh", "t/build/", "t/a.txt"]),
    "no newline at the end": (b"t/run.sh\nt/a.txt", [], ["t/run.sh", "t/a.txt"]),
    "blank lines": (b"\nt/run.sh\n\n", [], ["t/run.sh"]),
    "from find": (b".\n./t\n./t/a.txt\n", [], ["t/", "t/a.txt"]),
    "lines of Windows": (b"t/run.sh\r\n\r\nt/a.txt\r\n", [], ["t/run.sh", "t/a.txt"]),
    "no newline at the end, of Windows": (b"t/run.sh\r\nt/a.txt\r", [], ["t/run.sh", "t/a.txt"]),
    "a byte order mark": (b"\xef\xbb\xbft/run.sh\nt/a.txt\n", [], ["t/run.sh", "t/a.txt"]),
    "nothing but a byte order mark": (b"\xef\xbb\xbf", [], []),
    "a byte order mark of Windows": (b"\xef\xbb\xbft/a.txt\r\n", [], ["t/a.txt"]),
    "a short name": (b"t", [], ["t/"]),
    "NUL": (b"t/run.sh\0t/a.txt\0", ["--null"], ["t/run.sh", "t/a.txt"]),
    "NUL and a newline in a name": (b"t/a\nb\0", ["--null"], ["t/a\nb"]),
    "none": (b"", [], []),
}


@pytest.mark.parametrize("source", ["list", "-"])
@pytest.mark.parametrize(("data", "options", "expected"), LISTS.values(), ids=LISTS.keys())
def test_names_from_a_list(
    work: Path, data: bytes, options: list[str], expected: list[str], source: str
) -> None:
    (work / "t" / "a\nb").write_bytes(b"")
    if source == "list":
        (work / "list").write_bytes(data)
    stdin = data if source == "-" else b""
    done = create("out.zip", "--files-from", source, *options, cwd=work, stdin=stdin)
    assert done.code == 0, done.err
    assert namelist(work / "out.zip") == expected


def test_names_from_a_list_come_after_paths_and_below_the_folder(work: Path) -> None:
    (work / "list").write_bytes(b"a.txt\n")
    done = create("-C", "t", "--files-from", "list", "out.zip", "run.sh", cwd=work)
    assert done.code == 0, done.err
    assert namelist(work / "out.zip") == ["run.sh", "a.txt"]


def test_a_list_that_cannot_be_read_is_named(work: Path) -> None:
    for source in ("missing", "t"):
        done = create("out.zip", "--files-from", source, cwd=work)
        assert_fails(done, 1, f"cannot read {source}: ")
    assert not (work / "out.zip").exists()


def test_with_nul_all_else_belongs_to_names(work: Path) -> None:
    (work / "\ufeffa\r").write_bytes(b"")
    (work / "list").write_bytes("\ufeffa\r\0".encode())
    assert create("out.zip", "--null", "--files-from", "list", cwd=work).code == 0
    for source, stdin in (("list", b""), ("-", (work / "list").read_bytes())):
        done = create("out.zip", "--files-from", source, cwd=work, stdin=stdin)
        assert_fails(done, 1, f"cannot read names from {source}: it has NUL", "--null")
    assert namelist(work / "out.zip") == ["\ufeffa\r"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_list_of_powershell_is_refused_with_advice(work: Path, encoding: str) -> None:
    (work / "list").write_bytes("\ufefft/a.txt\r\n".encode(encoding))
    done = create("out.zip", "--files-from", "list", cwd=work)
    assert_fails(done, 1, "cannot read names from list: it is UTF-16")
    assert "-Encoding utf8" in done.err


def test_symlinks_are_followed_or_stored(work: Path) -> None:
    for option, is_link in (("follow", False), ("store", True), (None, False)):
        options = [] if option is None else ["--symlinks", option]
        assert create(*options, "out.zip", "t", cwd=work).code == 0
        with opened(work / "out.zip") as archive:
            mode = archive.getinfo("t/link").external_attr >> 16
            assert stat.S_ISLNK(mode) is is_link
            assert archive.read("t/link") == (b"a.txt" if is_link else TEXT)
            assert stat.S_IMODE(archive.getinfo("t/run.sh").external_attr >> 16) == 0o755


LEVELS = [
    *([f"-{level}"] for level in range(10)),
    *(["-l", str(level)] for level in (0, 1, 6, 9)),
    ["--level=3"],
    ["-9q"],
    [],
]


@pytest.mark.parametrize("options", LEVELS, ids=" ".join)
def test_levels(work: Path, options: list[str]) -> None:
    done = create(*options, "out.zip", "t/a.txt", cwd=work)
    assert done.code == 0, done.err
    level = int(next((c for c in "".join(options) if c.isdigit()), "6"))
    parazip.create(work / "api.zip", ["t/a.txt"], Settings(level=level), Selection(directory=work))
    assert (work / "out.zip").read_bytes() == (work / "api.zip").read_bytes()
    with opened(work / "out.zip") as archive:
        info = archive.getinfo("t/a.txt")
    assert (info.compress_type == zipfile.ZIP_DEFLATED) is (level > 0)


@pytest.mark.parametrize("codec", ["auto", "zlib", "zlib-ng", "isal", "libdeflate"])
def test_codecs(work: Path, codec: str) -> None:
    done = create("--codec", codec, "--progress", "json", "-3", "out.zip", "t/a.txt", cwd=work)
    assert done.code == 0, done.err
    report = json.loads(done.err.splitlines()[-1])
    (used,) = report["codecs"]
    assert used.startswith("libdeflate" if codec == "auto" else codec)
    with opened(work / "out.zip") as archive:
        assert archive.read("t/a.txt") == TEXT


@pytest.mark.parametrize(
    "options",
    [["-j", "1"], ["--jobs=3"], ["--memory", "1M"], ["--memory=1.5GiB"], ["--memory", "8388608"]],
    ids=" ".join,
)
def test_jobs_and_memory_change_no_byte(work: Path, options: list[str]) -> None:
    for name, more in (("plain.zip", []), ("out.zip", options)):
        assert create(*more, name, "t", cwd=work).code == 0
    assert (work / "plain.zip").read_bytes() == (work / "out.zip").read_bytes()


TIMESTAMPS = [
    (["--timestamp", "epoch"], {}, (1980, 1, 1, 0, 0, 0)),
    (["--timestamp", "2026-01-31"], {}, (2026, 1, 31, 0, 0, 0)),
    (["--timestamp", "2026-01-31T12:34:56"], {}, (2026, 1, 31, 12, 34, 56)),
    (["--timestamp=2026-01-31 12:34"], {}, (2026, 1, 31, 12, 34, 0)),
    (["--timestamp", "1980-01-01"], {}, (1980, 1, 1, 0, 0, 0)),
    (["--timestamp", "2107-12-31T23:59:59"], {}, (2107, 12, 31, 23, 59, 58)),
    (["--timestamp", "keep"], {}, (2020, 9, 13, 12, 26, 40)),
    ([], {}, (2020, 9, 13, 12, 26, 40)),
    ([], {"SOURCE_DATE_EPOCH": "1700000000"}, (2023, 11, 14, 22, 13, 20)),
    (["--timestamp", "keep"], {"SOURCE_DATE_EPOCH": "1700000000"}, (2020, 9, 13, 12, 26, 40)),
    (["--timestamp", "epoch"], {"SOURCE_DATE_EPOCH": "nonsense"}, (1980, 1, 1, 0, 0, 0)),
    (["--timestamp", "clamp"], {"SOURCE_DATE_EPOCH": "0"}, (1980, 1, 1, 0, 0, 0)),
    (["--timestamp", "clamp"], {"SOURCE_DATE_EPOCH": "1700000000"}, (2020, 9, 13, 12, 26, 40)),
    ([], {"SOURCE_DATE_EPOCH": "0"}, (1980, 1, 1, 0, 0, 0)),
    ([], {"SOURCE_DATE_EPOCH": "9999999999"}, (2107, 12, 31, 23, 59, 58)),
]


@pytest.mark.parametrize(("options", "env", "date"), TIMESTAMPS, ids=str)
def test_timestamps(
    work: Path, options: list[str], env: dict[str, str], date: tuple[int, ...]
) -> None:
    os.utime(work / "t" / "a.txt", (1_600_000_000, 1_600_000_000))
    done = create(*options, "out.zip", "t/a.txt", cwd=work, env=environment(TZ="UTC0", **env))
    assert done.code == 0, done.err
    with opened(work / "out.zip") as archive:
        assert archive.getinfo("t/a.txt").date_time == date


def test_a_prepended_file_stands_in_front(work: Path) -> None:
    (work / "stub").write_bytes(b"\x7fELF" + bytes(5000))
    done = create("--prepend", "stub", "out.zip", "t", cwd=work)
    assert done.code == 0, done.err
    data = (work / "out.zip").read_bytes()
    assert data.startswith((work / "stub").read_bytes() + b"PK\3\4")
    assert namelist(data) == EVERYTHING
    assert not (work / "out.zip").stat().st_mode & 0o111
    assert_fails(create("--prepend", "gone", "out.zip", "t", cwd=work), 1, "cannot read gone: ")
    assert (work / "out.zip").read_bytes() == data


@pytest.mark.parametrize("text", ["{python}", "#!{python}", "{python} -sE"])
def test_an_archive_with_a_shebang_runs(work: Path, text: str) -> None:
    (work / "app").mkdir()
    (work / "app" / "__main__.py").write_text("import other; print('ran', other.ANSWER)")
    (work / "app" / "other.py").write_text("ANSWER = 42")
    shebang = text.format(python=sys.executable)
    done = create("--shebang", shebang, "-C", "app", "run.pyz", ".", cwd=work)
    assert done.code == 0, done.err
    assert (work / "run.pyz").read_bytes().startswith(b"#!" + shebang.removeprefix("#!").encode())
    assert (work / "run.pyz").stat().st_mode & 0o100
    for command in ([sys.executable, "run.pyz"], ["./run.pyz"]):
        ran = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
        assert ran.stdout == "ran 42\n"


def test_a_prepended_script_makes_the_archive_executable(work: Path) -> None:
    (work / "stub").write_bytes(b'#!/bin/sh\necho "from $0"\nexit 0\n')
    assert create("--prepend", "stub", "out", "t", cwd=work).code == 0
    ran = subprocess.run(["./out"], cwd=work, capture_output=True, text=True, check=True)
    assert ran.stdout == "from ./out\n"
    assert namelist(work / "out") == EVERYTHING


# Standard output


def test_an_archive_goes_to_a_pipe(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    done = create("-1", "-", "t", cwd=work)
    assert done.code == 0, done.err
    assert namelist(done.out) == [*EVERYTHING[:-2], "t/large", *EVERYTHING[-2:]]
    assert done.err.startswith("standard output: 9 members")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_an_archive_goes_to_a_redirected_file(work: Path, mode: str) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    target = work / "out.zip"
    target.write_bytes(b"what was there before")
    with open(target, mode) as output:
        done = create("-1", "-", "t", cwd=work, stdout=output)
    assert done.code == 0, done.err
    data = target.read_bytes()
    assert data.startswith(b"PK" if mode == "wb" else b"what was there beforePK")
    assert "t/large" in namelist(data)


def test_a_redirected_file_inside_the_tree_is_refused(work: Path) -> None:
    with open(work / "t" / "out.zip", "wb") as output:
        done = create("-", "t", cwd=work, stdout=output)
    assert_fails(done, 1, "out.zip")


def test_an_archive_is_not_written_to_a_terminal(work: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = create("-", "t", cwd=work, stdout=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert_fails(done, 1, "terminal", "redirect")


def test_a_reader_that_goes_away_is_an_error_and_no_traceback(work: Path) -> None:
    (work / "t" / "random").write_bytes(os.urandom(4 << 20))
    with subprocess.Popen(
        [*COMMAND, "create", "-", "t"],
        cwd=work,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10).startswith(b"PK")
        process.stdout.close()
        err = process.stderr.read().decode()
        code = process.wait(HUNG)
    assert_fails(Done(code, b"", err), 1, "cannot write standard output: whoever reads it has gone")


def test_a_reader_that_goes_away_before_a_short_archive_is_written(work: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    try:
        done = create("-", "t/b.pyc", cwd=work, stdout=written)
    finally:
        os.close(written)
    assert_fails(done, 1, "cannot write standard output: whoever reads it has gone")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_standard_streams_harm_nothing(work: Path, closed: int) -> None:
    # As a daemon's child may have them: descriptor 0, 1 or 2 is not open at all.
    done = create("out.zip", "t", cwd=work, preexec_fn=lambda: os.close(closed))
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert namelist(work / "out.zip") == EVERYTHING


def test_an_archive_for_a_closed_standard_output_is_an_error(work: Path) -> None:
    done = create("-", "t", cwd=work, preexec_fn=lambda: os.close(1))
    assert_fails(done, 1, "standard output")


# What it says


def test_a_summary_line_stands_on_standard_error(work: Path) -> None:
    done = create("out.zip", "t", cwd=work)
    (line,) = done.err.splitlines()
    assert line.startswith("out.zip: 8 members, ")
    assert " -> " in line
    assert done.out == b""


@pytest.mark.parametrize("progress", ["auto", "none", "bar", "plain"])
def test_short_work_shows_its_summary_alone_where_there_is_no_terminal(
    work: Path, progress: str
) -> None:
    done = create("--progress", progress, "out.zip", "t/b.pyc", cwd=work)
    assert done.code == 0
    assert "\x1b" not in done.err
    assert done.err.splitlines()[-1].startswith("out.zip: 1 member, 4 B -> ")


@pytest.mark.parametrize(
    "options", [["-q"], ["--quiet"], ["-q", "--progress", "json"], ["-q", "--progress", "plain"]]
)
def test_quiet_says_nothing(work: Path, options: list[str]) -> None:
    assert create(*options, "out.zip", "t", cwd=work) == Done(0, b"", "")
    assert_fails(create(*options, "out.zip", "gone", cwd=work), 1, "cannot read gone: ")


def test_json_progress_is_one_object_a_line_with_the_right_numbers(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    done = create("--progress", "json", "-1", "out.zip", "t", cwd=work)
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [event["event"] for event in events[:-1]] == ["progress"] * (len(events) - 1)
    assert len(events) >= 2
    size = (work / "out.zip").stat().st_size
    with opened(work / "out.zip") as archive:
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
    done = create(argument, cwd=work)
    assert done.code == 0
    for option in (
        "-C", "-x", "--prefix", "--files-from", "--null", "--symlinks", "-l", "-0 to -9", "--codec",
        "-j", "--memory", "--timestamp", "--prepend", "--shebang", "--progress", "-q", "--skip",
        "--ignore", "--exclude-vcs", "-n", "--json", "--store", "--align", "--changes",
    ):  # fmt: skip
        assert option in " ".join(done.out.decode().split())
    top = run(argument, cwd=work).out.decode()
    assert "create" in top
    assert "pex" in top


# Dry runs, and JSON


def test_a_dry_run_lists_and_writes_nothing(work: Path) -> None:
    (work / "t" / ".gitignore").write_text("build/\n*.pyc\n")
    os.mkfifo(work / "t" / "pipe")
    (work / "out.zip").write_bytes(b"what stood there")
    before = sorted(os.listdir(work))
    options = ["--ignore", "--skip", "special", "-x", "*.sh"]
    done = create("-n", *options, "out.zip", "t", cwd=work)
    assert (done.code, done.err) == (0, "")
    assert done.out.decode().splitlines() == [
        "      0 B  t/",
        "     13 B  t/.gitignore",
        f"{format_size(len(TEXT)):>9}  t/a.txt",
        "      0 B  t/empty/",
        f"{format_size(len(TEXT)):>9}  t/link",
        " left out  t/b.pyc  (t/.gitignore, line 2: *.pyc)",
        " left out  t/build/  (t/.gitignore, line 1: build/)",
        " left out  t/pipe  (--skip special: cannot put in t/pipe: it is a named pipe)",
        " left out  t/run.sh  (--exclude *.sh)",
        f"out.zip would have 5 members (skipped 1 special), {format_size(2 * len(TEXT) + 13)}, "
        "4 left out",
    ]
    assert sorted(os.listdir(work)) == before
    assert (work / "out.zip").read_bytes() == b"what stood there"
    assert create("-n", "-", "t", "--skip=special", cwd=work).code == 0
    for refused in ("gone/out.zip", "t"):
        for how in ([], ["--dry-run"]):
            done = create(*how, refused, "t", "--skip=special", cwd=work)
            assert_fails(done, 1, f"cannot write {refused}: ")


def test_a_dry_run_tells_the_problems_that_there_would_be(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    assert_fails(create("-n", "out.zip", "t", "gone", cwd=work), 1, "t/dead", "gone")
    assert_fails(create("-n", "t/out.zip", "t", "-x", "dead", cwd=work), 1, "lies inside t")


def test_a_dry_run_refuses_what_a_real_one_refuses_before_its_work(work: Path) -> None:
    for how in ([], ["-n"]):
        assert_fails(create(*how, "--prepend=gone", "o.zip", "t", cwd=work), 1, "cannot read gone")
        assert_fails(create(*how, "--shebang=", "o.zip", "t", cwd=work), 2, "the shebang ''")
        assert_fails(create(*how, "o.zip", "t", "--align", "3", cwd=work), 2, "a power of two")
    assert not (work / "o.zip").exists()


@pytest.mark.parametrize("level", ["-0", "-6"])
def test_a_dry_run_tells_of_what_is_not_aligned_as_a_real_one_does(work: Path, level: str) -> None:
    (work / "t" / "mimetype").write_bytes(b"text" * 99)
    options = [level, "-C", "t", "--align", "64", "--store", "x", "-x", "*.pyc", "-x", "run.sh"]
    notes = [
        json.loads(create(*how, "--json", *options, "out.zip", ".", cwd=work).out)["notes"]
        for how in (["-n"], [])
    ]
    assert notes[0] == notes[1]
    assert [note.partition(";")[0] for note in notes[0]] == (
        [] if level == "-0" else ["compressed members are not aligned: 2 of the 5 that were to be"]
    )


def test_a_dry_run_puts_in_what_a_real_one_does(work: Path) -> None:
    options = ["-x", "*.pyc", "--prefix", "p", "--symlinks", "store"]
    seen = json.loads(create("-n", "--json", *options, "out.zip", "t", cwd=work).out)
    assert create(*options, "out.zip", "t", cwd=work).code == 0
    with opened(work / "out.zip") as archive:
        real = [(info.filename, info.file_size) for info in archive.infolist()]
    assert [(member["name"], member["size"]) for member in seen["put_in"]] == real
    assert seen["left_out"] == [{"name": "p/t/b.pyc", "why": "--exclude *.pyc"}]
    assert (seen["archive"], seen["dry_run"]) == ("out.zip", True)
    assert (seen["members"], seen["bytes_in"]) == (len(real), sum(size for _, size in real))
    merged = json.loads(run("merge", "-n", "--json", "all.zip", "out.zip", "t", cwd=work).out)
    assert merged["members"] == len(real) + len(EVERYTHING) - 1
    assert not (work / "all.zip").exists()


def test_json_is_one_document_on_standard_output(work: Path) -> None:
    os.utime(work / "t" / "a.txt", (0, 0))
    for args in (["create", "out.zip", "t"], ["merge", "out.zip", "t"]):
        done = run(*args[:1], "--json", *args[1:], cwd=work)
        assert (done.code, done.err) == (0, "")
        told = json.loads(done.out)
        assert told["archive"] == "out.zip"
        assert told["dry_run"] is False
        assert told["bytes_out"] == (work / "out.zip").stat().st_size
        assert told["members"] == len(namelist(work / "out.zip"))
        assert len(told["notes"]) == 1
        assert set(told) == {
            "archive", "dry_run", "members", "bytes_in", "bytes_out", "seconds", "codecs",
            "recalled", "aligned", "skipped", "notes", "changes",
        }  # fmt: skip


def test_json_tells_problems_too(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    done = create("--json", "out.zip", "t", "gone", cwd=work)
    assert_fails(done, 1, "t/dead", "gone")
    told = json.loads(done.out)
    assert [*told] == ["problems", "exit_code", "error"]
    assert len(told["problems"]) == 2
    assert told["exit_code"] == 1
    assert told["error"] == {
        "type": "SourceError",
        "message": told["problems"][0],
        "id": None,
        "member": "t/dead",
    }


@pytest.mark.parametrize(
    ("args", "code", "type_"),
    [
        (["out.zip", "gone"], 1, "SourceError"),
        (["-n", "out.zip", "gone"], 1, "SourceError"),
        (["gone/out.zip", "t"], 1, "OutputError"),
        (["-n", "gone/out.zip", "t"], 1, "OutputError"),
        (["--prefix", "../x", "out.zip", "t"], 2, "SettingsError"),
        (["--exclude", "", "out.zip", "t"], 2, "SettingsError"),
        (["--memory", "lots", "out.zip", "t"], 2, "SettingsError"),
        (["--memory", "1", "out.zip", "t"], 2, "SettingsError"),
        (["--align", "x", "out.zip", "t"], 2, "SettingsError"),
        (["--align", "3", "out.zip", "t"], 2, "SettingsError"),
        (["--timestamp", "now", "out.zip", "t"], 2, "SettingsError"),
        (["--timestamp", "1066-10-14", "out.zip", "t"], 2, "SettingsError"),
        (["--shebang", "", "out.zip", "t"], 2, "SettingsError"),
        (["--prepend", "gone", "out.zip", "t"], 1, "SourceError"),
        (["--files-from", "gone", "out.zip"], 1, "SourceError"),
        (["--progress", "json", "--prefix", "../x", "out.zip", "t"], 2, "SettingsError"),
        (["--progress", "json", "out.zip", "gone"], 1, "SourceError"),
    ],
    ids=str,
)
def test_json_tells_each_outcome_once(work: Path, args: list[str], code: int, type_: str) -> None:
    done = create("--json", *args, cwd=work)
    assert_fails(done, code)
    told = json.loads(done.out)  # one document, and nothing else
    assert (told["exit_code"], told["error"]["type"]) == (code, type_)
    assert told["problems"][0] == told["error"]["message"]
    assert told["error"]["message"] in done.err.replace("\\", "")
    assert not (work / "out.zip").exists()


def test_json_tells_the_rule_that_an_archive_breaks(work: Path) -> None:
    (work / "bad.zip").write_bytes(b"no archive")
    done = run("merge", "--json", "out.zip", "bad.zip", cwd=work)
    assert_fails(done, 1, "bad.zip")
    told = json.loads(done.out)
    assert told["error"]["type"] == "BadArchiveError"
    assert told["error"]["id"]


def test_a_command_line_that_is_not_understood_is_told_as_text(work: Path) -> None:
    for args in (["--jsn", "out.zip", "t"], ["--json", "-", "t"], ["--json", "out.zip"]):
        done = create(*args, cwd=work)
        assert (done.code, done.out) == (2, b"")
        assert "Usage: parazip create" in done.err
    done = create("out.zip", "t", "--memory", "lots", "--", "--json", cwd=work)
    assert (done.code, done.out) == (2, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")
def test_json_tells_names_that_are_not_utf8(work: Path) -> None:
    """A byte that is none is told as a lone surrogate, as Python does (PEP 383)."""
    name = os.fsdecode(b"odd\xff.pyc")
    (work / "t" / name).write_bytes(b"x")
    left_out = json.loads(create("-n", "--json", "-x*.pyc", "out.zip", "t", cwd=work).out)
    assert rb"t/odd\udcff.pyc" in create("-n", "--json", "-x*.pyc", "out.zip", "t", cwd=work).out
    told = [os.fsencode(one["name"]) for one in left_out["left_out"]]
    assert told == [b"t/b.pyc", b"t/odd\xff.pyc"]
    done = create("--json", "out.zip", "t", cwd=work)
    assert_fails(done, 1, "not valid UTF-8")
    assert os.fsencode(json.loads(done.out)["error"]["member"]) == b"t/odd\xff.pyc"
    archive = os.fsdecode(b"out\xfe.zip")
    made = json.loads(create("--json", archive, "t/a.txt", cwd=work).out)
    assert os.fsencode(made["archive"]) == b"out\xfe.zip"
    assert_fails(create("--json", "-", "t", cwd=work), 2, "--json", "standard output")


def test_standard_input_is_no_member_and_a_file_of_its_name_is_one(work: Path) -> None:
    assert_fails(create("out.zip", "-", cwd=work), 1, "standard input is not put in", "files-from")
    assert_fails(create("out.zip", "t/-", cwd=work), 1, "cannot read t/-: No such file")
    (work / "-").write_bytes(b"x")
    assert create("out.zip", "-", cwd=work).code == 0
    assert namelist(work / "out.zip") == ["-"]


def test_skipped_files_are_counted_in_the_summary(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    os.mkfifo(work / "t" / "pipe")
    done = create("--skip", "dangling", "--skip=special", "out.zip", "t", cwd=work)
    assert done.code == 0
    assert "out.zip: 8 members (skipped 1 dangling, 1 special), " in done.err
    assert_fails(create("--skip", "all", "out.zip", "t", cwd=work), 2, "all", "dangling")


def test_a_full_log_is_no_reason_to_have_no_archive(work: Path) -> None:
    command = [*COMMAND, "create", "--progress", "json", "out.zip", "t"]
    with open("/dev/full", "w") as full:
        subprocess.run(command, cwd=work, stderr=full, check=False, timeout=HUNG)
    assert zipfile.ZipFile(work / "out.zip").testzip() is None


def test_the_version(work: Path) -> None:
    assert run("--version", cwd=work) == Done(0, f"parazip {parazip.__version__}\n".encode(), "")


# What is wrong on the command line


USAGE: dict[str, tuple[list[str], list[str]]] = {
    "nothing": ([], ["ARCHIVE"]),
    "no paths": (["out.zip"], ["nothing to put in", "--files-from"]),
    "unknown option": (["--fast", "out.zip", "t"], ["--fast"]),
    "level": (["-l", "10", "out.zip", "t"], ["10"]),
    "level text": (["-l", "best", "out.zip", "t"], ["best"]),
    "codec": (["--codec", "zstd", "out.zip", "t"], ["zstd", "libdeflate"]),
    "jobs 0": (["-j", "0", "out.zip", "t"], ["0"]),
    "jobs text": (["-j", "all", "out.zip", "t"], ["all"]),
    "memory text": (["--memory", "lots", "out.zip", "t"], ["'lots' is not a size", "64M"]),
    "memory unit": (["--memory", "64X", "out.zip", "t"], ["'64X' is not a size"]),
    "memory sign": (["--memory=-64M", "out.zip", "t"], ["'-64M' is not a size"]),
    "memory too small": (["--memory", "1K", "out.zip", "t"], ["1 MiB or more", "1024"]),
    "memory beyond numbers": (["--memory", "9" * 400, "out.zip", "t"], []),
    "date text": (["--timestamp", "today", "out.zip", "t"], ["--timestamp today", "2026-01-31"]),
    "date": (["--timestamp", "2026-02-30", "out.zip", "t"], ["--timestamp 2026-02-30"]),
    "year 1979": (["--timestamp", "1979-12-31", "out.zip", "t"], ["1979-12-31", "1980 to 2107"]),
    "year 2108": (["--timestamp", "2108-01-01", "out.zip", "t"], ["2108-01-01", "1980 to 2107"]),
    "prefix": (["--prefix", "../p", "out.zip", "t"], ["'../p' leads out of the archive"]),
    "symlinks": (["--symlinks", "keep", "out.zip", "t"], ["keep", "follow"]),
    "progress": (["--progress", "loud", "out.zip", "t"], ["loud", "json"]),
    "null alone": (["--null", "out.zip", "t"], ["--null", "--files-from"]),
    "shebang of two lines": (["--shebang", "a\nb", "out.zip", "t"], ["'a\\nb' is not one line"]),
    "shebang of DOS": (["--shebang", "a\r", "out.zip", "t"], ["'a\\r' is not one line"]),
    "shebang of nothing": (["--shebang", " ", "out.zip", "t"], ["' ' is not", "python3"]),
}


@pytest.mark.parametrize(("args", "told"), USAGE.values(), ids=USAGE.keys())
def test_a_wrong_command_line_is_told_with_code_2(
    work: Path, args: list[str], told: list[str]
) -> None:
    assert_fails(create(*args, cwd=work), 2, *told)
    assert os.listdir(work) == ["t"]


def test_a_wrong_source_date_epoch_is_told(work: Path) -> None:
    env = environment(SOURCE_DATE_EPOCH="yesterday")
    assert_fails(create("out.zip", "t", cwd=work, env=env), 2, "SOURCE_DATE_EPOCH=yesterday")


@pytest.mark.parametrize("args", [[], ["zip", "out.zip", "t"], ["--level", "3"]], ids=" ".join)
def test_a_wrong_subcommand_is_told(work: Path, args: list[str]) -> None:
    done = run(*args, cwd=work)
    assert_fails(done, 2)
    assert "parazip" in done.err + done.out.decode()


# What cannot be done


FAILURES: dict[str, tuple[list[str], list[str]]] = {
    "missing": (["out.zip", "t", "gone"], ["cannot read gone: No such file"]),
    "missing -C": (["-C", "gone", "out.zip", "t"], ["cannot read gone/t: No such file"]),
    "below a file": (["out.zip", "t/a.txt/x"], ["cannot read t/a.txt/x: Not a directory"]),
    "empty path": (["out.zip", ""], ["'' is not a path"]),
    "device": (["out.zip", "/dev/null"], ["/dev/null", "a device", "--exclude"]),
    "dangling": (["out.zip", "bad/dead"], ["bad/dead", "link to nowhere", "--symlinks store"]),
    "pipe": (["out.zip", "bad/pipe"], ["bad/pipe", "a named pipe", "--exclude"]),
    "not UTF-8": (["out.zip", "bad/bytes"], ["not valid UTF-8", "rename", "--exclude"]),
    "duplicate": (
        ["-C", "t", "out.zip", "a.txt", "../a.txt"],
        ["two members", "a.txt", "--prefix"],
    ),
    "two things": (
        ["out.zip", "gone", "bad/pipe"],
        ["parazip: cannot read", "parazip: cannot put"],
    ),
    "inside": (["t/out.zip", "t"], ["t/out.zip", "lies inside t", "--exclude t/out.zip"]),
    "inside .": (["out.zip", "."], ["out.zip", "lies inside .", "--exclude out.zip"]),
    "archive is a folder": (["t", "t/a.txt"], ["cannot write t: it is a folder"]),
    "no such folder": (["gone/out.zip", "t"], ["cannot write gone/out.zip", "gone", "make it"]),
    "archive below a file": (["t/a.txt/out.zip", "t/run.sh"], ["t/a.txt/out.zip: Not a directory"]),
    "full disk": (["/dev/full", "t"], ["cannot write /dev/full: the disk is full"]),
    "long archive name": (["x" * 300, "t"], ["cannot write xxx", "name too long"]),
}


@pytest.mark.parametrize(("args", "told"), FAILURES.values(), ids=FAILURES.keys())
def test_what_fails_is_told_with_code_1_and_leaves_nothing(
    work: Path, args: list[str], told: list[str]
) -> None:
    if args[0] == "/dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    (work / "bad" / "bytes").mkdir(parents=True)
    (work / "a.txt").write_bytes(b"another")
    (work / "bad" / "dead").symlink_to("nowhere")
    os.mkfifo(work / "bad" / "pipe")
    try:
        with open(os.fsencode(work / "bad" / "bytes") + b"/\xff", "wb"):
            pass
    except OSError:
        if "bad/bytes" in args:
            pytest.skip("this file system takes UTF-8 names only")
    before = sorted(os.listdir(work)), sorted(os.listdir(work / "t"))
    assert_fails(create(*args, cwd=work), 1, *told)
    assert (sorted(os.listdir(work)), sorted(os.listdir(work / "t"))) == before


def test_a_failure_leaves_the_old_archive_untouched(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    assert_fails(create("out.zip", "t", "gone", cwd=work), 1, "gone")
    assert (work / "out.zip").read_bytes() == b"old archive"
    assert sorted(os.listdir(work)) == ["out.zip", "t"]


def test_an_existing_archive_is_replaced(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    assert create("out.zip", "t", cwd=work).code == 0
    assert namelist(work / "out.zip") == EVERYTHING
    assert sorted(os.listdir(work)) == ["out.zip", "t"]


def test_a_replaced_archive_stays_as_private_as_it_was(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    (work / "out.zip").chmod(0o600)
    assert create("out.zip", "t", cwd=work).code == 0
    assert stat.S_IMODE((work / "out.zip").stat().st_mode) == 0o600


def test_a_link_to_an_archive_is_followed(work: Path) -> None:
    (work / "real.zip").write_bytes(b"old archive")
    (work / "out.zip").symlink_to("real.zip")
    assert create("out.zip", "t", cwd=work).code == 0
    assert (work / "out.zip").is_symlink()
    assert namelist(work / "real.zip") == EVERYTHING


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_told(work: Path) -> None:
    with open("/dev/full", "wb") as output:
        done = create("-", "t/b.pyc", cwd=work, stdout=output)
    assert_fails(done, 1, "cannot write standard output: the disk is full")


def test_a_limit_on_file_sizes_is_told_and_leaves_the_old_archive(work: Path) -> None:
    (work / "random").write_bytes(os.urandom(4 << 20))
    (work / "out.zip").write_bytes(b"old archive")
    done = create(
        "out.zip",
        "random",
        cwd=work,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert_fails(done, 1, "cannot write out.zip: File too large")
    assert (work / "out.zip").read_bytes() == b"old archive"
    assert sorted(os.listdir(work)) == ["out.zip", "random", "t"]


def test_control_characters_of_a_name_do_not_reach_the_terminal(work: Path) -> None:
    name = "evil\x1b]0;title\x07"
    done = create("out.zip", name, cwd=work)
    assert_fails(done, 1, "evil")
    assert "\x1b" not in done.err
    assert "\x07" not in done.err


# Signals


@contextlib.contextmanager
def running(work: Path, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `create` of many short files and one endless one that has begun to write."""
    (work / "many").mkdir()
    for i in range(2_500):
        (work / "many" / f"{i}").write_bytes(b"%d" % i)
    with open(work / "z-endless", "wb") as file:
        file.truncate(ENDLESS)
    with subprocess.Popen(
        [*COMMAND, "create", "-6", "-j", "2", "--progress", "json", *args, "many", "z-endless"],
        cwd=work,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_writes(process: subprocess.Popen[bytes]) -> None:
    """Returns when the large member is being written."""
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["current"] == "z-endless":
            return
    raise AssertionError("it ended by itself")


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit code and last words; they end when the last process has gone that could add to them."""
    _, err = process.communicate(timeout=HUNG)
    said = [line for line in err.decode().splitlines() if not line.startswith("{")]
    return process.returncode, "\n".join(said)


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGINT, os.killpg),  # Ctrl-C reaches all processes of a terminal
        (signal.SIGINT, os.kill),
        (signal.SIGTERM, os.killpg),
        (signal.SIGTERM, os.kill),
    ],
    ids=["Ctrl-C", "SIGINT", "SIGTERM to all", "SIGTERM"],
)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_a_signal_ends_the_command_and_leaves_nothing(
    work: Path, number: signal.Signals, to: Callable[[int, int], None], existing: bool
) -> None:
    if existing:
        (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        to(process.pid, number)
        code, err = end_of(process)
        assert (code, err.strip()) == (1, "parazip: interrupted")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    left = ["many", "out.zip", "t", "z-endless"] if existing else ["many", "t", "z-endless"]
    assert sorted(os.listdir(work)) == left
    if existing:
        assert (work / "out.zip").read_bytes() == b"old archive"


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
@pytest.mark.parametrize(
    "moment",
    [*range(0, 12, 3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(12) if n % 3)],
)
def test_a_signal_hangs_the_command_at_no_moment(work: Path, moment: int) -> None:
    # What is interrupted is a matter of luck, so it is tried again and again: an exception that a
    # signal raises just behind the taking of a lock leaves it locked, and the workers wait for it.
    with running(work, "out.zip") as process:
        for _ in range(moment):
            wait_until_it_writes(process)
        wait_until_it_writes(process)
        os.kill(process.pid, signal.SIGINT)
        code, err = end_of(process)
    assert (code, err.strip()) == (1, "parazip: interrupted")


@pytest.mark.skipif(sys.platform != "linux", reason="where files without a name exist")
def test_a_lost_terminal_leaves_the_old_archive_and_no_temporary_file(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        os.killpg(process.pid, signal.SIGHUP)
        code, err = end_of(process)
    assert code in (1, -signal.SIGHUP)
    assert "Traceback" not in err
    assert (work / "out.zip").read_bytes() == b"old archive"
    assert sorted(os.listdir(work)) == ["many", "out.zip", "t", "z-endless"]


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
def test_a_kill_leaves_the_old_archive_and_no_process(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        os.kill(process.pid, signal.SIGKILL)
        code, err = end_of(process)
    assert (code, err) == (-signal.SIGKILL, "")
    assert (work / "out.zip").read_bytes() == b"old archive"


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
def test_a_signal_while_standard_output_is_written(work: Path) -> None:
    with running(work, "-") as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"PK"
        os.killpg(process.pid, signal.SIGINT)
        code, err = end_of(process)
    assert code == 1
    assert "Traceback" not in err
    assert "Exception ignored" not in err


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
        env=environment(TERM="xterm", COLUMNS="120"),
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


# The Python API, and how light things are


def test_the_api_gives_a_report_with_the_right_numbers(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    seen: list[parazip.Progress] = []
    report = parazip.create(
        work / "out.zip",
        ["t"],
        Settings(level=1, jobs=2),
        Selection(directory=work),
        progress=seen.append,
    )
    with opened(work / "out.zip") as archive:
        infos = archive.infolist()
    assert report.archive == str(work / "out.zip")
    assert report.members == len(infos) == 9
    assert report.bytes_in == sum(info.file_size for info in infos)
    assert report.bytes_out == (work / "out.zip").stat().st_size
    assert report.seconds > 0
    assert sum(tally.members for tally in report.codecs.values()) == 9
    assert sum(t.bytes_out for t in report.codecs.values()) == sum(i.compress_size for i in infos)
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)
    assert (seen[-1].members, seen[-1].bytes) == (9, report.bytes_in)
    assert seen[-1].bytes_out < report.bytes_out


def test_all_public_names_can_be_had() -> None:
    for name in vars(parazip)["__all__"]:
        assert getattr(parazip, name) is not None
        assert name in dir(parazip)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        parazip.nothing_of_the_kind  # type: ignore[attr-defined] # noqa: B018 - the access is the point


def test_parazip_errors_are_the_standard_ones_too() -> None:
    assert issubclass(parazip.SettingsError, ValueError)
    assert issubclass(parazip.MemberNameError, ValueError)
    assert issubclass(parazip.DateError, ValueError)
    assert issubclass(parazip.SourceError, OSError)
    assert issubclass(parazip.OutputError, OSError)


def loaded_after(code: str, *modules: str) -> list[str]:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{code}\nprint(*[m for m in {modules!r} if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.splitlines()[-1].split()


def test_importing_parazip_loads_nothing_heavy() -> None:
    heavy = ("click", "rich", "isal", "zlib_ng", "deflate", "zipfile", "parazip.codecs")
    assert loaded_after("import parazip", *heavy) == []


def test_creating_by_the_api_loads_neither_click_nor_rich() -> None:
    code = "import io, parazip; parazip.write(io.BytesIO(), [])"
    assert loaded_after(code, "click", "rich", "isal") == ["isal"]


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_loads_neither_rich_nor_codecs(argument: str) -> None:
    code = (
        f"sys.argv = ['parazip', {argument!r}]\n"
        "from parazip.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    heavy = ("rich", "isal", "zlib_ng", "deflate", "pex", "parazip.archive")
    assert loaded_after(code, *heavy) == []


def test_a_summary_needs_no_rich(work: Path) -> None:
    code = (
        f"sys.argv = ['parazip', 'create', {str(work / 'out.zip')!r}, '-C', {str(work)!r}, 't']\n"
        "from parazip.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded_after(code, "rich") == []


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_has_seen_enough_is_no_error_to_tell(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "parazip", "--cache-dir", str(tmp_path), "cache", "info"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_standard_output_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parazip", "--cache-dir", str(tmp_path), "cache", "info"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "parazip: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


# What an error says


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (MemoryError(), "out of memory", 1),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory", 1),
        (ImportError("x.so: failed to map segment from shared object"), "out of memory", 1),
        (SystemError("returned NULL without setting an error"), "if memory is short", 1),
        (OSError(errno.EMFILE, "Too many open files"), "does not open more files", 1),
        (OSError(errno.ENFILE, "Too many open files in system"), "does not open more files", 1),
        (RuntimeError("can't start new thread"), "not start more threads; use fewer --jobs", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write to standard output", 1),
        (KeyboardInterrupt(), "interrupted", 1),
        (parazip.SettingsError("level 10"), "level 10", 2),
        (parazip.ParazipError("it fails"), "it fails", 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_to_be_expected_is_told_in_a_line(
    work: Path, error: BaseException, told: str, code: int, as_json: bool
) -> None:
    program = (
        "import parazip.archive, sys\n"
        "from parazip import ParazipError, SettingsError\n"
        f"def create(*args, **more): raise {error!r}\n"
        "parazip.archive.create = create\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "create", *["--json"][: int(as_json)], "o.zip", "t"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("parazip: ")
    assert told in line
    if as_json and "standard output" not in told:
        assert told in json.loads(done.stdout)["error"]["message"]
    else:
        assert done.stdout == ""


def test_a_fault_of_ours_is_told_with_its_trace(work: Path) -> None:
    program = (
        "import parazip.archive\n"
        "def create(*args, **more): raise RuntimeError('a bug')\n"
        "parazip.archive.create = create\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "create", "--json", "o.zip", "t"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert done.stdout == ""
