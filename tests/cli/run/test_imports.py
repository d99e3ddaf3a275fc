"""What the program imports: its own modules, and parazip's class."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from support.running import IMPORTS, OWN, PARAZIP, PARAZIP_RUN, compare_runs, start_program


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", ["sub/program.py"]),
        (".", ["sub"]),
        ("sub", ["program.py"]),
        ("sub", ["-m", "program"]),
        ("sub", ["-"]),
        ("sub", ["-c", IMPORTS]),
        ("other", ["../alone/program.py"]),
    ],
    ids=str,
)
def test_the_program_finds_its_own_modules_and_parazip_its_own(
    tmp_path: Path, folder: str, words: list[str]
) -> None:
    for name in "sub", "other", "alone":
        (tmp_path / name).mkdir()
    for path in "sub/program.py", "sub/__main__.py", "alone/program.py":
        (tmp_path / path).write_text(IMPORTS)
    for name in OWN:
        (tmp_path / "sub" / f"{name}.py").write_text("version = 'mine'")
    # Other modules of the standard library get the program's `queue` as well, under any Python.
    env = {"PYTHONPATH": str(tmp_path / "sub")} if folder == "other" else {}
    for before in PARAZIP, [*PARAZIP, "--children"]:
        command = [sys.executable, *before, *words]
        done = start_program(command, tmp_path / folder, IMPORTS, env)
        assert done.stderr == ""
        assert done.stdout == "None 8000000 None\nparazip.dropin.zip_file\n"


def test_another_version_on_a_path_that_the_program_adds(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    for name in "click", "isal", "deflate":
        (tmp_path / "vendor" / f"{name}.py").write_text("version = 'mine'")
    (tmp_path / "program.py").write_text(
        "import sys; sys.path.insert(0, 'vendor')\n"
        "import click, isal, deflate; print(click.version, isal.version, deflate.version)"
    )
    assert compare_runs(tmp_path, ["program.py"]).stdout == "mine mine mine\n"


@pytest.mark.parametrize("before", [[], ["--cache-size", "1G"]])
def test_there_is_no_other_library_in_sys_modules(tmp_path: Path, before: list[str]) -> None:
    (tmp_path / "program.py").write_text("import zipfile, sys; print(*sys.modules)")
    python = start_program([sys.executable, "program.py"], tmp_path)
    ours = start_program([sys.executable, "-m", "parazip", *before, "run", "program.py"], tmp_path)
    more = set(ours.stdout.split()) - set(python.stdout.split())
    assert "parazip.dropin.zip_file" in more
    assert {name.partition(".")[0] for name in more} <= {"parazip", *sys.stdlib_module_names}
    assert not [name for name in more if name.startswith(("parazip.cli", "parazip.__main__"))]
    if not before:
        assert not more & {"gettext", "socket", "subprocess", "uuid", "multiprocessing"}


def test_codecs_of_the_environment_can_be_imported_by_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from isal import isal_zlib; from zlib_ng import zlib_ng; import deflate, zlib, zipfile\n"
        "packed = deflate.deflate_compress(b'data' * 9)\n"
        "print(isal_zlib.decompress(zlib_ng.compress(b'data')), zlib.decompress(packed, -15))\n"
        "zipfile.ZipFile('a.zip', 'w', 8).writestr('a', b'data' * 9)"
    )
    compare_runs(tmp_path, ["program.py"])


# The class


def test_zipapp_and_shutil_use_it(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("print('hello')")
    done = start_program([*PARAZIP_RUN, "-m", "zipapp", "app", "-c", "-o", "app.pyz"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert start_program([sys.executable, "app.pyz"], tmp_path).stdout == "hello\n"
    with zipfile.ZipFile(tmp_path / "app.pyz") as archive:
        assert archive.namelist() == ["__main__.py"]
    (tmp_path / "make.py").write_text(
        "import shutil, zipfile\n"
        "print(zipfile.ZipFile.__module__, shutil.make_archive('made', 'zip', 'app'))"
    )
    done = start_program([*PARAZIP_RUN, "make.py"], tmp_path)
    assert done.stdout.startswith("parazip.dropin.zip_file")
    assert os.path.basename(done.stdout.strip()) == "made.zip"
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert archive.namelist() == ["__main__.py"]


def test_the_command_line_of_zipfile_uses_it(tmp_path: Path) -> None:
    """Up to Python 3.11 `-m zipfile` is a second copy of the module, with classes of its own."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("".join(f"{i} {i * i % 977}\n" for i in range(20_000)))
    for name, before in ("stock.zip", []), ("ours.zip", PARAZIP):
        words = [*before, "-m", "zipfile", "-c", name, "tree"]
        assert start_program([sys.executable, *words], tmp_path).returncode == 0
    with (
        zipfile.ZipFile(tmp_path / "stock.zip") as stock,
        zipfile.ZipFile(tmp_path / "ours.zip") as ours,
    ):
        assert stock.namelist() == ours.namelist()
        assert stock.read("tree/a") == ours.read("tree/a")
        assert stock.infolist()[-1].compress_size != ours.infolist()[-1].compress_size
    for words in ["-h"], ["-l", "ours.zip"], ["-t", "ours.zip"], ["-e"], ["-l", "none.zip"]:
        python = start_program([sys.executable, "-m", "zipfile", *words], tmp_path)
        done = start_program([*PARAZIP_RUN, "-m", "zipfile", *words], tmp_path)
        assert (done.stdout, done.returncode) == (python.stdout, python.returncode)
        assert done.stderr.splitlines()[-1:] == python.stderr.splitlines()[-1:]
