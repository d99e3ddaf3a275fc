"""What is wrong on the command line, and what cannot be done."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from support.archives import names_in
from support.command import EVERYTHING, assert_fails, make_environment, run_create, run_parazip

pytestmark = pytest.mark.once

USAGE: dict[str, tuple[list[str], list[str]]] = {
    "nothing": ([], ["ARCHIVE"]),
    "no paths": (["out.zip"], ["nothing to put in", "--files-from"]),
    "unknown option": (["--fast", "out.zip", "t"], ["--fast"]),
    "level": (["-l", "10", "out.zip", "t"], ["10"]),
    "level text": (["-l", "best", "out.zip", "t"], ["best"]),
    "codec": (["--codec", "zstd", "out.zip", "t"], ["zstd", "libdeflate"]),
    "jobs 0": (["-j", "0", "out.zip", "t"], ["0"]),
    "jobs beyond machines": (["-j", "9" * 20, "out.zip", "t"], ["jobs must be 10,000 at most"]),
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
    assert_fails(run_create(*args, cwd=work), 2, *told)
    assert os.listdir(work) == ["t"]


def test_a_wrong_source_date_epoch_is_told(work: Path) -> None:
    env = make_environment(SOURCE_DATE_EPOCH="yesterday")
    assert_fails(run_create("out.zip", "t", cwd=work, env=env), 2, "SOURCE_DATE_EPOCH=yesterday")


@pytest.mark.parametrize("args", [[], ["zip", "out.zip", "t"], ["--level", "3"]], ids=" ".join)
def test_a_wrong_subcommand_is_told(work: Path, args: list[str]) -> None:
    done = run_parazip(*args, cwd=work)
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
    assert_fails(run_create(*args, cwd=work), 1, *told)
    assert (sorted(os.listdir(work)), sorted(os.listdir(work / "t"))) == before


def test_a_failure_leaves_the_old_archive_untouched(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    assert_fails(run_create("out.zip", "t", "gone", cwd=work), 1, "gone")
    assert (work / "out.zip").read_bytes() == b"old archive"
    assert sorted(os.listdir(work)) == ["out.zip", "t"]


def test_an_existing_archive_is_replaced(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    assert run_create("out.zip", "t", cwd=work).code == 0
    assert names_in(work / "out.zip") == EVERYTHING
    assert sorted(os.listdir(work)) == ["out.zip", "t"]


def test_a_replaced_archive_stays_as_private_as_it_was(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    (work / "out.zip").chmod(0o600)
    assert run_create("out.zip", "t", cwd=work).code == 0
    assert stat.S_IMODE((work / "out.zip").stat().st_mode) == 0o600


def test_a_link_to_an_archive_is_followed(work: Path) -> None:
    (work / "real.zip").write_bytes(b"old archive")
    (work / "out.zip").symlink_to("real.zip")
    assert run_create("out.zip", "t", cwd=work).code == 0
    assert (work / "out.zip").is_symlink()
    assert names_in(work / "real.zip") == EVERYTHING


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_told(work: Path) -> None:
    with open("/dev/full", "wb") as output:
        done = run_create("-", "t/b.pyc", cwd=work, stdout=output)
    assert_fails(done, 1, "cannot write standard output: the disk is full")


def test_a_limit_on_file_sizes_is_told_and_leaves_the_old_archive(work: Path) -> None:
    (work / "random").write_bytes(os.urandom(4 << 20))
    (work / "out.zip").write_bytes(b"old archive")
    done = run_create(
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
    done = run_create("out.zip", name, cwd=work)
    assert_fails(done, 1, "evil")
    assert "\x1b" not in done.err
    assert "\x07" not in done.err
