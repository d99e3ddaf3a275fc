"""`parazip extract` and `parazip list` as people and scripts use them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import parazip
from support.command import COMMAND, TEXT, assert_fails, make_environment, run_create, run_parazip
from support.paths import list_below
from support.patience import HUNG

pytestmark = pytest.mark.once


@pytest.fixture
def packed(work: Path) -> Path:
    """A working folder with an archive of its tree."""
    done = run_create("a.zip", "t", "--symlinks", "store", cwd=work)
    assert done.code == 0, done.err
    return work


def test_it_extracts_into_the_current_folder(packed: Path) -> None:
    (packed / "here").mkdir()
    done = run_parazip("extract", "../a.zip", cwd=packed / "here")
    assert (done.code, done.out) == (0, b"")
    assert done.err.startswith(".: 8 members, ")
    assert list_below(packed / "here" / "t") == list_below(packed / "t")
    assert os.readlink(packed / "here/t/link") == "a.txt"


def test_it_extracts_where_it_is_told(packed: Path) -> None:
    assert run_parazip("extract", "-q", "a.zip", "-d", "x/y", cwd=packed).err == ""
    assert list_below(packed / "x/y/t") == list_below(packed / "t")
    assert run_parazip("extract", "-q", "a.zip", "--subfolder", cwd=packed).code == 0
    assert list_below(packed / "a/t") == list_below(packed / "t")
    done = run_parazip("extract", "-q", "a.zip", "-d", "z", "--subfolder", "*.txt", cwd=packed)
    assert done.code == 0, done.err
    assert list_below(packed / "z") == {"a": None, "a/t": None, "a/t/a.txt": TEXT}


def test_it_takes_an_archive_from_standard_input(packed: Path) -> None:
    data = (packed / "a.zip").read_bytes()
    done = run_parazip("extract", "-", "-d", "piped", cwd=packed, stdin=data)
    assert done.code == 0, done.err
    with (packed / "a.zip").open("rb") as file:
        command = [*COMMAND, "extract", "-q", "-", "-d", "redirected"]
        subprocess.run(command, stdin=file, cwd=packed, check=True, env=make_environment())
    for folder in "piped", "redirected":
        assert list_below(packed / folder / "t") == list_below(packed / "t")
    done = run_parazip("extract", "-", "-d", "bad", cwd=packed, stdin=data[:-9])
    assert_fails(done, 1, "standard input")
    assert not (packed / "bad").exists()
    done = run_parazip("extract", "-", "--subfolder", cwd=packed, stdin=data)
    assert_fails(done, 2, "no folder can be named after the archive -; give -d DIR")


def test_contents_go_to_standard_output(packed: Path) -> None:
    done = run_parazip("extract", "-p", "a.zip", "t/a.txt", "t/build", cwd=packed)
    assert (done.code, done.out, done.err) == (0, TEXT + b"built", "")
    done = run_parazip("extract", "-p", "a.zip", "-d", "x", cwd=packed)
    assert_fails(done, 2, "--to-stdout writes no files")
    data = bytearray((packed / "a.zip").read_bytes())
    with zipfile.ZipFile(packed / "a.zip") as archive:
        info = archive.getinfo("t/a.txt")
    data[info.header_offset + 37 + info.compress_size // 2] ^= 1
    (packed / "bad.zip").write_bytes(data)
    done = run_parazip("extract", "-p", "bad.zip", cwd=packed)
    assert_fails(done, 1, "the data of t/a.txt")


def test_who_reads_no_more_ends_it_without_a_word_of_python(packed: Path) -> None:
    command = f"'{sys.executable}' -m parazip extract -p a.zip | head -c 5"
    done = subprocess.run(
        ["sh", "-c", command], cwd=packed, capture_output=True, check=True, env=make_environment()
    )
    assert done.stdout == TEXT[:5]
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("overwrite", ["error", "skip", "newer", "all"])
def test_files_that_are_there(packed: Path, overwrite: str) -> None:
    (packed / "t/a.txt").write_bytes(b"mine")
    os.utime(packed / "t/a.txt", (10**9, 10**9))
    done = run_parazip("extract", "a.zip", "--overwrite", overwrite, cwd=packed)
    if overwrite == "error":
        assert_fails(done, 1, "t/a.txt", "nothing was written")
    else:
        assert done.code == 0, done.err
    replaced = overwrite in ("newer", "all")
    assert (packed / "t/a.txt").read_bytes() == (TEXT if replaced else b"mine")
    assert os.readlink(packed / "t/link") == "a.txt"


def test_failures_have_codes_and_messages(packed: Path) -> None:
    for arguments, code, told in (
        (["nothing.zip"], 1, "cannot read nothing.zip: No such file"),
        (["t"], 1, "it is a folder, not a file"),
        (["t/a.txt"], 1, "t/a.txt is not a zip archive"),
        (["a.zip", "nothing"], 1, "no member has a name that matches"),
        (["a.zip", "--max-size", "1K"], 1, "--max-size"),
        (["a.zip", "--max-members", "1"], 1, "--max-members"),
        (["a.zip", "--max-size", "lots"], 2, "--max-size is wrong: 'lots' is not a size"),
        (["a.zip", "--strip-components", "-1"], 2, "-1"),
        (["a.zip", "--overwrite", "ask"], 2, "ask"),
        ([], 2, "ARCHIVE"),
    ):
        assert_fails(run_parazip("extract", *arguments, cwd=packed), code, told)
    assert sorted(os.listdir(packed)) == ["a.zip", "t"]


def test_json_tells_what_was_made(packed: Path) -> None:
    done = run_parazip("extract", "a.zip", "-d", "out", "--json", cwd=packed)
    told = json.loads(done.out)
    assert told.pop("seconds") > 0
    size = sum(len(data) for data in list_below(packed / "t").values() if data) - len(TEXT)
    assert told == {"folder": "out", "members": 8, "bytes": size, "skipped": 0}
    done = run_parazip("extract", "a.zip", "-d", "out", "--json", cwd=packed)
    assert done.code == 1
    assert "nothing was written" in json.loads(done.out)["problems"][0]


def test_progress_reaches_the_end(packed: Path) -> None:
    args = ["extract", "a.zip", "-d", "out", "--progress", "json"]
    done = run_parazip(*args, cwd=packed)
    events = [json.loads(line) for line in done.err.splitlines()]
    assert events[-1]["event"] == "done"
    assert events[0]["event"] == "progress"
    assert events[0]["members_total"] == 4


@pytest.mark.parametrize(
    ("number", "there"),
    [
        (signal.SIGINT, True),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, number: int, there: bool) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for i in range(3000):
        (tree / f"{i}").write_bytes(b"%d" % i * 2000)
    parazip.create(tmp_path / "a.zip", ["t"], selection=parazip.Selection(directory=tmp_path))
    for wait in range(6):
        out = tmp_path / f"out {wait}"
        if there:
            out.mkdir()
        command = [*COMMAND, "extract", "a.zip", "-d", str(out), "--progress", "json"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            process.stderr.readline()  # it has begun to make files
            time.sleep(wait * 0.03)
            process.send_signal(number)
            _, told = process.communicate(timeout=HUNG)
        assert b"Traceback" not in told
        if process.returncode == 0:
            assert len(list_below(out)) == 3001
        elif there:
            for name, data in list_below(out).items():
                assert data is None or data == (tmp_path / name).read_bytes(), name
        else:  # it may have come when all was done
            assert not out.exists() or len(list_below(out)) == 3001
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


# Listing


def test_names_are_listed_in_the_order_of_the_archive(packed: Path) -> None:
    with zipfile.ZipFile(packed / "a.zip") as archive:
        names = archive.namelist()
    done = run_parazip("list", "a.zip", cwd=packed)
    assert (done.code, done.out.decode().splitlines()) == (0, names)
    done = run_parazip("list", "a.zip", "*.txt", "t/build/", cwd=packed)
    assert done.out.decode().splitlines() == ["t/a.txt", "t/build/", "t/build/x"]
    done = run_parazip("list", "-", "-x", "t/*", cwd=packed, stdin=(packed / "a.zip").read_bytes())
    assert done.out.decode().splitlines() == ["t/"]
    assert_fails(run_parazip("list", "a.zip", "none", cwd=packed), 1, "cannot list none from a.zip")


def test_a_long_list_has_what_ls_and_zipinfo_have(packed: Path) -> None:
    os.utime(packed / "t/run.sh", (1_600_000_000, 1_600_000_000))
    run_create("a.zip", "t", "--symlinks", "store", cwd=packed, env=make_environment(TZ="UTC"))
    done = run_parazip("list", "-l", "a.zip", cwd=packed)
    lines = done.out.decode().splitlines()
    assert lines[0].startswith("drwx")
    run = next(line for line in lines if line.endswith("run.sh"))
    assert run.split() == [
        "-rwxr-xr-x", "10", "100%", "stored", "2020-09-13", "12:26", "t/run.sh"
    ]  # fmt: skip
    assert next(line for line in lines if line.endswith("link")).startswith("l")
    assert lines[-1].startswith("8 members, ")


def test_json_lists_all_that_is_known(packed: Path) -> None:
    told = json.loads(run_parazip("list", "a.zip", "*.txt", "--json", cwd=packed).out)
    (member,) = told["members"]
    assert told["archive"] == "a.zip"
    (listed,) = parazip.list_members(packed / "a.zip", ("*.txt",))
    assert member == {
        **listed._asdict(), "date": listed.date.isoformat(), "mode": f"{listed.mode:o}"
    }  # fmt: skip
    assert (listed.size, listed.method, listed.is_encrypted) == (len(TEXT), 8, False)


def test_names_that_a_terminal_would_obey_are_shown_harmless(tmp_path: Path) -> None:
    parazip.write(tmp_path / "a.zip", [parazip.Member("a\x1b[2Jb", b"", 0o100644 << 16, 1 << 21)])
    done = run_parazip("list", "a.zip", cwd=tmp_path)
    assert done.out == "a\N{REPLACEMENT CHARACTER}[2Jb\n".encode()


# What trials found


def test_the_path_that_a_link_leads_to_is_its_contents(packed: Path) -> None:
    (packed / "t/way").symlink_to("a.txt")
    assert run_parazip("create", "-q", "--symlinks", "store", "l.zip", "t", cwd=packed).code == 0
    assert run_parazip("extract", "-p", "l.zip", "t/way", cwd=packed).out == b"a.txt"


def test_what_is_wrong_with_standard_input_is_told_of_it(packed: Path) -> None:
    done = run_parazip("extract", "-", "-d", "out", cwd=packed, stdin=b"no archive")
    assert_fails(done, 1, "standard input is not a zip archive")
    assert "/" not in done.err.split("is not")[0]


def test_advice_is_about_an_archive(packed: Path) -> None:
    os.mkfifo(packed / "pipe")
    for path in "pipe", "t":
        for command in "extract", "list":
            done = run_parazip(command, path, cwd=packed)
            assert_fails(done, 1, "not a file; name an archive, or - for standard input")


def test_a_name_with_characters_of_patterns_is_advised(packed: Path) -> None:
    (packed / "t/[x]?.txt").write_text("odd")
    assert run_parazip("create", "-q", "l.zip", "t", cwd=packed).code == 0
    done = run_parazip("list", "l.zip", "t/[x]?.txt", cwd=packed)
    assert_fails(done, 1, "spelled so is t/[[]x][?].txt")
    assert run_parazip("list", "l.zip", "t/[[]x][?].txt", cwd=packed).out == b"t/[x]?.txt\n"


@pytest.mark.parametrize("option", ["--json", "-l", ""])
def test_a_list_for_nobody_is_an_error(packed: Path, option: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m parazip list a.zip {option} >&-"
    done = subprocess.run(
        command, shell=True, cwd=packed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot write to standard output: it is closed" in done.stderr
