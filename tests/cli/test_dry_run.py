"""Dry runs, and JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip.display import format_size
from support.archives import names_in, open_archive
from support.command import COMMAND, EVERYTHING, TEXT, Done, assert_fails, run_create, run_parazip
from support.patience import HUNG

pytestmark = pytest.mark.once


def test_a_dry_run_lists_and_writes_nothing(work: Path) -> None:
    (work / "t" / ".gitignore").write_text("build/\n*.pyc\n")
    os.mkfifo(work / "t" / "pipe")
    (work / "out.zip").write_bytes(b"what stood there")
    before = sorted(os.listdir(work))
    options = ["--ignore", "--skip", "special", "-x", "*.sh"]
    done = run_create("-n", *options, "out.zip", "t", cwd=work)
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
    assert run_create("-n", "-", "t", "--skip=special", cwd=work).code == 0
    for refused in ("gone/out.zip", "t"):
        for how in ([], ["--dry-run"]):
            done = run_create(*how, refused, "t", "--skip=special", cwd=work)
            assert_fails(done, 1, f"cannot write {refused}: ")


def test_a_dry_run_tells_the_problems_that_there_would_be(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    assert_fails(run_create("-n", "out.zip", "t", "gone", cwd=work), 1, "t/dead", "gone")
    assert_fails(run_create("-n", "t/out.zip", "t", "-x", "dead", cwd=work), 1, "lies inside t")


def test_a_dry_run_refuses_what_a_real_one_refuses_before_its_work(work: Path) -> None:
    for how in ([], ["-n"]):
        assert_fails(
            run_create(*how, "--prepend=gone", "o.zip", "t", cwd=work), 1, "cannot read gone"
        )
        assert_fails(run_create(*how, "--shebang=", "o.zip", "t", cwd=work), 2, "the shebang ''")
        assert_fails(run_create(*how, "o.zip", "t", "--align", "3", cwd=work), 2, "a power of two")
    assert not (work / "o.zip").exists()


@pytest.mark.skipif(os.name != "posix", reason="there are no pipes with names")
@pytest.mark.parametrize(("option", "told"), [("--sync", "synced"), ("--verify", "read back")])
@pytest.mark.parametrize("target", ["-", "pipe"])
def test_what_is_no_file_is_refused_where_one_is_needed(
    work: Path, target: str, option: str, told: str
) -> None:
    os.mkfifo(work / "pipe")
    for how in ([], ["-n"]):
        assert_fails(run_create(*how, option, target, "t", cwd=work), 2, told, "as it is no file")


@pytest.mark.parametrize("level", ["-0", "-6"])
def test_a_dry_run_tells_of_what_is_not_aligned_as_a_real_one_does(work: Path, level: str) -> None:
    (work / "t" / "mimetype").write_bytes(b"text" * 99)
    options = [level, "-C", "t", "--align", "64", "--store", "x", "-x", "*.pyc", "-x", "run.sh"]
    notes = [
        json.loads(run_create(*how, "--json", *options, "out.zip", ".", cwd=work).out)["notes"]
        for how in (["-n"], [])
    ]
    assert notes[0] == notes[1]
    assert [note.partition(";")[0] for note in notes[0]] == (
        [] if level == "-0" else ["compressed members are not aligned: 2 of the 5 that were to be"]
    )


def test_a_dry_run_puts_in_what_a_real_one_does(work: Path) -> None:
    options = ["-x", "*.pyc", "--prefix", "p", "--symlinks", "store"]
    seen = json.loads(run_create("-n", "--json", *options, "out.zip", "t", cwd=work).out)
    assert run_create(*options, "out.zip", "t", cwd=work).code == 0
    with open_archive(work / "out.zip") as archive:
        real = [(info.filename, info.file_size) for info in archive.infolist()]
    assert [(member["name"], member["size"]) for member in seen["put_in"]] == real
    assert seen["left_out"] == [{"name": "p/t/b.pyc", "why": "--exclude *.pyc"}]
    assert (seen["archive"], seen["dry_run"]) == ("out.zip", True)
    assert (seen["members"], seen["bytes_in"]) == (len(real), sum(size for _, size in real))
    merged = json.loads(
        run_parazip("merge", "-n", "--json", "all.zip", "out.zip", "t", cwd=work).out
    )
    assert merged["members"] == len(real) + len(EVERYTHING) - 1
    assert not (work / "all.zip").exists()


def test_json_is_one_document_on_standard_output(work: Path) -> None:
    os.utime(work / "t" / "a.txt", (0, 0))
    for args in (["create", "out.zip", "t"], ["merge", "out.zip", "t"]):
        done = run_parazip(*args[:1], "--json", *args[1:], cwd=work)
        assert (done.code, done.err) == (0, "")
        told = json.loads(done.out)
        assert told["archive"] == "out.zip"
        assert told["dry_run"] is False
        assert told["bytes_out"] == (work / "out.zip").stat().st_size
        assert told["members"] == len(names_in(work / "out.zip"))
        assert len(told["notes"]) == 1
        assert set(told) == {
            "archive", "dry_run", "members", "bytes_in", "bytes_out", "seconds", "codecs",
            "recalled", "aligned", "skipped", "notes", "changes",
        }  # fmt: skip


def test_json_tells_problems_too(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    done = run_create("--json", "out.zip", "t", "gone", cwd=work)
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
    done = run_create("--json", *args, cwd=work)
    assert_fails(done, code)
    told = json.loads(done.out)  # one document, and nothing else
    assert (told["exit_code"], told["error"]["type"]) == (code, type_)
    assert told["problems"][0] == told["error"]["message"]
    assert told["error"]["message"] in done.err.replace("\\", "")
    assert not (work / "out.zip").exists()


def test_json_tells_the_rule_that_an_archive_breaks(work: Path) -> None:
    (work / "bad.zip").write_bytes(b"no archive")
    done = run_parazip("merge", "--json", "out.zip", "bad.zip", cwd=work)
    assert_fails(done, 1, "bad.zip")
    told = json.loads(done.out)
    assert told["error"]["type"] == "BadArchiveError"
    assert told["error"]["id"]


def test_a_command_line_that_is_not_understood_is_told_as_text(work: Path) -> None:
    for args in (["--jsn", "out.zip", "t"], ["--json", "-", "t"], ["--json", "out.zip"]):
        done = run_create(*args, cwd=work)
        assert (done.code, done.out) == (2, b"")
        assert "Usage: parazip create" in done.err
    done = run_create("out.zip", "t", "--memory", "lots", "--", "--json", cwd=work)
    assert (done.code, done.out) == (2, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")
def test_json_tells_names_that_are_not_utf8(work: Path) -> None:
    """A byte that is none is told as a lone surrogate, as Python does (PEP 383)."""
    name = os.fsdecode(b"odd\xff.pyc")
    (work / "t" / name).write_bytes(b"x")
    left_out = json.loads(run_create("-n", "--json", "-x*.pyc", "out.zip", "t", cwd=work).out)
    assert (
        rb"t/odd\udcff.pyc" in run_create("-n", "--json", "-x*.pyc", "out.zip", "t", cwd=work).out
    )
    told = [os.fsencode(one["name"]) for one in left_out["left_out"]]
    assert told == [b"t/b.pyc", b"t/odd\xff.pyc"]
    done = run_create("--json", "out.zip", "t", cwd=work)
    assert_fails(done, 1, "not valid UTF-8")
    assert os.fsencode(json.loads(done.out)["error"]["member"]) == b"t/odd\xff.pyc"
    archive = os.fsdecode(b"out\xfe.zip")
    made = json.loads(run_create("--json", archive, "t/a.txt", cwd=work).out)
    assert os.fsencode(made["archive"]) == b"out\xfe.zip"
    assert_fails(run_create("--json", "-", "t", cwd=work), 2, "--json", "standard output")


def test_standard_input_is_no_member_and_a_file_of_its_name_is_one(work: Path) -> None:
    assert_fails(
        run_create("out.zip", "-", cwd=work), 1, "standard input is not put in", "files-from"
    )
    assert_fails(run_create("out.zip", "t/-", cwd=work), 1, "cannot read t/-: No such file")
    (work / "-").write_bytes(b"x")
    assert run_create("out.zip", "-", cwd=work).code == 0
    assert names_in(work / "out.zip") == ["-"]


def test_skipped_files_are_counted_in_the_summary(work: Path) -> None:
    (work / "t" / "dead").symlink_to("nowhere")
    os.mkfifo(work / "t" / "pipe")
    done = run_create("--skip", "dangling", "--skip=special", "out.zip", "t", cwd=work)
    assert done.code == 0
    assert "out.zip: 8 members (skipped 1 dangling, 1 special), " in done.err
    assert_fails(run_create("--skip", "all", "out.zip", "t", cwd=work), 2, "all", "dangling")


def test_a_full_log_is_no_reason_to_have_no_archive(work: Path) -> None:
    command = [*COMMAND, "create", "--progress", "json", "out.zip", "t"]
    with open("/dev/full", "w") as full:
        subprocess.run(command, cwd=work, stderr=full, check=False, timeout=HUNG)
    assert zipfile.ZipFile(work / "out.zip").testzip() is None


def test_the_version(work: Path) -> None:
    assert run_parazip("--version", cwd=work) == Done(
        0, f"parazip {parazip.__version__}\n".encode(), ""
    )
