"""`parazip run` beside Python itself: programs notice nothing but the class."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipapp
import zipfile
from pathlib import Path

import pytest

PARAZIP = [sys.executable, "-m", "parazip", "run"]

PROGRAM = """
import atexit, pickle, sys, zipfile
class Kind: pass
atexit.register(lambda: print(pickle.dumps(Kind())))
print(__name__, __file__, __package__, __spec__ and __spec__.name, __doc__)
from zipfile import ZipFile
print(__name__, sys.argv, sys.path[0], sys.stdin.read(), ZipFile.__module__)
what = sys.argv[1] if len(sys.argv) > 1 else ""
if what == "code": sys.exit(7)
if what == "words": sys.exit("words")
if what == "error": raise LookupError("wrong")
if what == "os": raise OSError(5, "wrong", "file")
if what == "interrupt": raise KeyboardInterrupt
if what == "memory": raise MemoryError
if what == "kill":
    import os, signal
    os.kill(os.getpid(), signal.SIGTERM)
"""


def start(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, input="given", capture_output=True, text=True, check=False
    )


ENDS = [
    [],
    ["code"],
    ["words"],
    ["error"],
    ["os"],
    ["interrupt"],
    ["memory"],
    ["kill"],
    ["-h", "--help", "-m", "x", "--"],
]
FORMS = ["link", "module", "package", "folder", "archive"]


@pytest.mark.parametrize(
    ("how", "arguments"),
    [*(("script", end) for end in ENDS), *((how, end) for how in FORMS for end in ENDS[2::3])],
    ids=str,
)
def test_a_program_runs_as_under_python(tmp_path: Path, how: str, arguments: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    for name in "program.py", "__main__.py":
        (tmp_path / "sub" / name).write_text(PROGRAM)
    told = {
        "script": ["sub/program.py"],
        "link": ["link"],
        "module": ["-m", "sub.program"],
        "package": ["-m", "sub"],
        "folder": ["sub"],
        "archive": ["sub.pyz"],
    }[how]
    (tmp_path / "link").symlink_to("sub/program.py")
    zipapp.create_archive(tmp_path / "sub", tmp_path / "sub.pyz")
    python = start([sys.executable, *told, *arguments], tmp_path)
    ours = start([*PARAZIP, *told, *arguments], tmp_path)
    assert ours.stdout == python.stdout.replace(" zipfile\n", " parazip.dropin.zip_file\n")
    assert ours.returncode == python.returncode
    assert ("Kind" in ours.stdout) == (arguments != ["kill"])
    assert ours.stderr == python.stderr or how not in ("script", "link")
    assert ours.stderr.splitlines()[-1:] == python.stderr.splitlines()[-1:]


def test_sigterm_is_what_it_is_under_python(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import signal; print(signal.getsignal(signal.SIGTERM))")
    done = start([*PARAZIP, "a.py"], tmp_path)
    assert done.stdout == f"{signal.SIG_DFL!s}\n"


def test_zipapp_and_shutil_use_it(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("print('hello')")
    done = start([*PARAZIP, "-m", "zipapp", "app", "-c", "-o", "app.pyz"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert start([sys.executable, "app.pyz"], tmp_path).stdout == "hello\n"
    with zipfile.ZipFile(tmp_path / "app.pyz") as archive:
        assert archive.namelist() == ["__main__.py"]
    (tmp_path / "make.py").write_text(
        "import shutil, zipfile\n"
        "print(zipfile.ZipFile.__module__, shutil.make_archive('made', 'zip', 'app'))"
    )
    done = start([*PARAZIP, "make.py"], tmp_path)
    assert done.stdout.startswith("parazip.dropin.zip_file")
    assert os.path.basename(done.stdout.strip()) == "made.zip"
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert archive.namelist() == ["__main__.py"]


def test_what_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    for arguments, expected in (
        ([], "name a script, or a module with -m"),
        (["nothing"], "there is no file nothing; for an installed command give its path"),
        (["-m", "nothing.at.all"], "No module named 'nothing'"),
        (["-m"], "Option '-m' requires an argument."),
    ):
        done = start([*PARAZIP, *arguments], tmp_path)
        assert done.returncode in (1, 2)
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
