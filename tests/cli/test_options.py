"""The options of `parazip create`, and members that are named in a list."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip import Selection, Settings
from parazip.codecs.table import CODEC_NAMES
from support.archives import names_in, open_archive
from support.command import EVERYTHING, TEXT, assert_fails, make_environment, run_create
from support.running import SHEBANG_PYTHON

pytestmark = pytest.mark.once

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
    done = run_create(*args, cwd=work)
    assert done.code == 0, done.err
    assert done.out == b""
    assert names_in(work / "out.zip") == expected


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
    done = run_create("out.zip", "--files-from", source, *options, cwd=work, stdin=stdin)
    assert done.code == 0, done.err
    assert names_in(work / "out.zip") == expected


def test_names_from_a_list_come_after_paths_and_below_the_folder(work: Path) -> None:
    (work / "list").write_bytes(b"a.txt\n")
    done = run_create("-C", "t", "--files-from", "list", "out.zip", "run.sh", cwd=work)
    assert done.code == 0, done.err
    assert names_in(work / "out.zip") == ["run.sh", "a.txt"]


def test_a_list_that_cannot_be_read_is_named(work: Path) -> None:
    for source in ("missing", "t"):
        done = run_create("out.zip", "--files-from", source, cwd=work)
        assert_fails(done, 1, f"cannot read {source}: ")
    assert not (work / "out.zip").exists()


def test_with_nul_all_else_belongs_to_names(work: Path) -> None:
    (work / "\ufeffa\r").write_bytes(b"")
    (work / "list").write_bytes("\ufeffa\r\0".encode())
    assert run_create("out.zip", "--null", "--files-from", "list", cwd=work).code == 0
    for source, stdin in (("list", b""), ("-", (work / "list").read_bytes())):
        done = run_create("out.zip", "--files-from", source, cwd=work, stdin=stdin)
        assert_fails(done, 1, f"cannot read names from {source}: it has NUL", "--null")
    assert names_in(work / "out.zip") == ["\ufeffa\r"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_list_of_powershell_is_refused_with_advice(work: Path, encoding: str) -> None:
    (work / "list").write_bytes("\ufefft/a.txt\r\n".encode(encoding))
    done = run_create("out.zip", "--files-from", "list", cwd=work)
    assert_fails(done, 1, "cannot read names from list: it is UTF-16")
    assert "-Encoding utf8" in done.err


def test_symlinks_are_followed_or_stored(work: Path) -> None:
    for option, is_link in (("follow", False), ("store", True), (None, False)):
        options = [] if option is None else ["--symlinks", option]
        assert run_create(*options, "out.zip", "t", cwd=work).code == 0
        with open_archive(work / "out.zip") as archive:
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
    done = run_create(*options, "out.zip", "t/a.txt", cwd=work)
    assert done.code == 0, done.err
    level = int(next((c for c in "".join(options) if c.isdigit()), "6"))
    parazip.create(work / "api.zip", ["t/a.txt"], Settings(level=level), Selection(directory=work))
    assert (work / "out.zip").read_bytes() == (work / "api.zip").read_bytes()
    with open_archive(work / "out.zip") as archive:
        info = archive.getinfo("t/a.txt")
    assert (info.compress_type == zipfile.ZIP_DEFLATED) is (level > 0)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_codecs(work: Path, codec: str) -> None:
    done = run_create("--codec", codec, "--progress", "json", "-3", "out.zip", "t/a.txt", cwd=work)
    assert done.code == 0, done.err
    report = json.loads(done.err.splitlines()[-1])
    (used,) = report["codecs"]
    assert used.startswith("libdeflate" if codec == "auto" else codec)
    with open_archive(work / "out.zip") as archive:
        assert archive.read("t/a.txt") == TEXT


@pytest.mark.parametrize(
    "options",
    [["-j", "1"], ["--jobs=3"], ["--memory", "1M"], ["--memory=1.5GiB"], ["--memory", "8388608"]],
    ids=" ".join,
)
def test_jobs_and_memory_change_no_byte(work: Path, options: list[str]) -> None:
    for name, more in (("plain.zip", []), ("out.zip", options)):
        assert run_create(*more, name, "t", cwd=work).code == 0
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
    done = run_create(
        *options, "out.zip", "t/a.txt", cwd=work, env=make_environment(TZ="UTC0", **env)
    )
    assert done.code == 0, done.err
    with open_archive(work / "out.zip") as archive:
        assert archive.getinfo("t/a.txt").date_time == date


def test_a_prepended_file_stands_in_front(work: Path) -> None:
    (work / "stub").write_bytes(b"\x7fELF" + bytes(5000))
    done = run_create("--prepend", "stub", "out.zip", "t", cwd=work)
    assert done.code == 0, done.err
    data = (work / "out.zip").read_bytes()
    assert data.startswith((work / "stub").read_bytes() + b"PK\3\4")
    assert names_in(data) == EVERYTHING
    assert not (work / "out.zip").stat().st_mode & 0o111
    assert_fails(run_create("--prepend", "gone", "out.zip", "t", cwd=work), 1, "cannot read gone: ")
    assert (work / "out.zip").read_bytes() == data


@pytest.mark.parametrize("text", ["{python}", "#!{python}", "{python} -sE"])
def test_an_archive_with_a_shebang_runs(work: Path, text: str) -> None:
    (work / "app").mkdir()
    (work / "app" / "__main__.py").write_text("import other; print('ran', other.ANSWER)")
    (work / "app" / "other.py").write_text("ANSWER = 42")
    shebang = text.format(python=SHEBANG_PYTHON)
    done = run_create("--shebang", shebang, "-C", "app", "run.pyz", ".", cwd=work)
    assert done.code == 0, done.err
    assert (work / "run.pyz").read_bytes().startswith(b"#!" + shebang.removeprefix("#!").encode())
    assert (work / "run.pyz").stat().st_mode & 0o100
    for command in ([sys.executable, "run.pyz"], ["./run.pyz"]):
        ran = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
        assert ran.stdout == "ran 42\n"


def test_a_prepended_script_makes_the_archive_executable(work: Path) -> None:
    (work / "stub").write_bytes(b'#!/bin/sh\necho "from $0"\nexit 0\n')
    assert run_create("--prepend", "stub", "out", "t", cwd=work).code == 0
    ran = subprocess.run(["./out"], cwd=work, capture_output=True, text=True, check=True)
    assert ran.stdout == "from ./out\n"
    assert names_in(work / "out") == EVERYTHING
