"""Programs that start programs, tools around the program, and what cannot be run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import zipapp
from pathlib import Path

import pytest

from support.running import OURS, PARAZIP, PARAZIP_RUN, compare_runs, start_program

AGAIN = """
import os, sys, zipfile
turn = os.environ.get("TURN", "")
print(turn, sys.argv[1:], sys.flags.dont_write_bytecode > 0, zipfile.ZipFile.__module__, flush=True)
os.environ["TURN"] = turn + "i"
if turn == "": os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
if turn == "i": os.execv(sys.executable, [sys.executable, *sys.argv])
"""


@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"], ["."], ["app.pyz"]], ids=str)
def test_a_program_that_starts_itself_again(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "program.py").write_text(AGAIN)
    (tmp_path / "__main__.py").write_text(AGAIN)
    zipapp.create_archive(tmp_path, tmp_path.parent / "app.pyz")
    shutil.move(tmp_path.parent / "app.pyz", tmp_path / "app.pyz")
    command = [sys.executable, "-B", *PARAZIP, *words, "x", "-y"]
    done = start_program(command, tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        " ['x', '-y'] True parazip.dropin.zip_file",
        "i ['x', '-y'] True zipfile",
        "ii ['x', '-y'] False zipfile",
    ]


WORKERS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
def add(x): return x + 1, __name__
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool: print(pool.map(add, [1, 2]))
    with ProcessPoolExecutor(1, context) as pool: print(pool.submit(add, 3).result())
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"]], ids=str)
def test_multiprocessing(tmp_path: Path, method: str, words: list[str]) -> None:
    (tmp_path / "program.py").write_text(WORKERS)
    done = compare_runs(tmp_path, [*words, method])
    assert done.stdout.startswith("[(2, ")
    assert done.returncode == 0


# Tools around the program, and in its place

TOLD = """
import zipfile
def tell(count):
    if count:
        return zipfile.ZipFile.__module__
    return None
if __name__ == "__main__":
    print(tell(1))
"""


@pytest.mark.once
@pytest.mark.parametrize("inside", [True, False])
def test_coverage(tmp_path: Path, inside: bool) -> None:
    pytest.importorskip("coverage", reason="only where what develops is installed")
    (tmp_path / "program.py").write_text(TOLD)
    tool = ["-m", "coverage", "run", "--data-file=seen"]
    words = [*PARAZIP, *tool] if inside else [*tool, *PARAZIP]
    done = start_program([sys.executable, *words, "program.py"], tmp_path)
    assert (done.stdout, done.stderr) == (f"{OURS}\n", "")
    report = ["-m", "coverage", "report", "--data-file=seen", f"--include={tmp_path}/*", "-m"]
    assert start_program([sys.executable, *report], tmp_path).stdout.split("\n")[2].split()[1:] == (
        ["7", "1", "86%", "6"]
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_profiler(tmp_path: Path, inside: bool) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    tool = ["-m", "cProfile", "-s", "name"]
    words = [*PARAZIP, *tool] if inside else [*tool, *PARAZIP]
    done = start_program([sys.executable, *words, "program.py"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{OURS}\n")
    assert "program.py:3(tell)" in done.stdout


def test_a_tracer(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    words = ["-m", "trace", "--count", "-C", ".", "program.py"]
    done = start_program([*PARAZIP_RUN, *words], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n")
    assert "1:     if count:" in (tmp_path / "program.cover").read_text()


def test_pdb(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    given = "break tell\ncontinue\np count\nwhere\nquit\n"
    done = compare_runs(tmp_path, ["-m", "pdb", "program.py"], given=given)
    assert "-> if count:" in done.stdout
    words = ["-m", "pdb", "-c", "break program.py:4", "-c", "continue", *PARAZIP, "program.py"]
    done = start_program([sys.executable, *words], tmp_path, "p count\nquit\n")
    assert "-> if count:\n(Pdb) 1\n" in done.stdout


@pytest.mark.once
def test_debugpy(tmp_path: Path) -> None:
    pytest.importorskip("debugpy", reason="only where what develops is installed")
    (tmp_path / "program.py").write_text(TOLD)
    words = ["-m", "debugpy", "--listen", "127.0.0.1:0", "program.py"]
    done = start_program([*PARAZIP_RUN, *words], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr


def test_modules_that_run_programs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    (tmp_path / "test_it.py").write_text(
        "import unittest, zipfile\n"
        "class Test(unittest.TestCase):\n"
        "    def test(self): self.assertEqual(zipfile.ZipFile.__module__[:7], 'parazip')\n"
        "if __name__ == '__main__': unittest.main()"
    )
    (tmp_path / "texts.py").write_text('"""\n>>> 1 + 1\n3\n"""')
    code = "import runpy; runpy.{}, run_name='__main__')"
    for words, out, err, end in (
        (["-m", "unittest", "test_it"], "", "\nOK\n", 0),
        (["test_it.py"], "", "\nOK\n", 0),
        (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"], "1 passed in", "", 0),
        (["-m", "doctest", "texts.py"], "Got:\n    2\n", "", 1),
        (["-m", "timeit", "-n1", "-r1", "1"], "1 loop, best of 1", "", 0),
        (["-c", code.format("run_path('program.py'")], OURS, "", 0),
        (["-c", code.format("run_module('program', alter_sys=True")], OURS, "", 0),
    ):
        done = start_program([*PARAZIP_RUN, *words], tmp_path)
        assert out in done.stdout
        assert err in done.stderr
        assert done.returncode == end, done.stderr


# Our own command line


def test_sigterm_is_what_it_is_under_python(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import signal; print(signal.getsignal(signal.SIGTERM))")
    for before in [], ["--cache-size", "1G"]:
        done = start_program([sys.executable, "-m", "parazip", *before, "run", "a.py"], tmp_path)
        assert done.stdout == f"{signal.SIG_DFL!s}\n"


def test_what_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    usage = "name a script, a module with -m, or code with -c"
    for arguments, expected, code in (
        ([], usage, 2),
        (["--children"], usage, 2),
        (["-m"], usage, 2),
        (["-c"], usage, 2),
        (["-x", "a.py"], "there is no option -x; those of Python go in front", 2),
        (["--childre", "a.py"], "there is no option --childre", 2),
        ([""], usage, 2),
        (["nothing"], "there is no file nothing; for an installed command give its path", 2),
        (["folder"], "can't find '__main__' module in", 1),
        (["-m", "nothing.at.all"], "No module named 'nothing'", 1),
    ):
        done = start_program([*PARAZIP_RUN, *arguments], tmp_path)
        assert done.returncode == code
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="sockets of POSIX")
def test_a_script_that_cannot_be_opened_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("a.py")
        python = start_program([sys.executable, "a.py"], tmp_path)
        done = start_program([*PARAZIP_RUN, "a.py"], tmp_path)
    assert done.returncode == python.returncode == 2
    assert done.stderr.partition(": ")[2] == python.stderr.partition(": ")[2]


def test_help_names_each_way(tmp_path: Path) -> None:
    for flag in "-h", "--help":
        done = start_program([*PARAZIP_RUN, flag], tmp_path)
        assert done.returncode == 0
        for word in "SCRIPT", "-m MODULE", "-c CODE", "--children":
            assert word in done.stdout
    assert importlib.util.find_spec("parazip.cli.run.hook.sitecustomize") is not None
