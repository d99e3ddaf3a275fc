"""`parazip run --children`: other Python processes get the class, or notice nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from support.readers import pythons
from support.running import IMPORTS, OURS, OWN, PARAZIP_RUN, start_program

STOCK = "zipfile"

CHILDREN = [*PARAZIP_RUN, "--children"]

TELL = "import zipfile; print(zipfile.ZipFile.__module__, flush=True)"


def run_with_children(tmp_path: Path, code: str, *, children: bool = True) -> str:
    """What a program says, and what its children say in between."""
    prepared = f"import os, subprocess, sys\nTELL = {TELL!r}\nPYTHON = sys.executable\n{code}"
    words = CHILDREN if children else PARAZIP_RUN
    done = start_program([*words, "-c", prepared], tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


STARTS = {
    "subprocess": "subprocess.run([PYTHON, '-c', TELL], check=True)",
    "a shell": 'subprocess.run(f\'"{PYTHON}" -c "{TELL}"\', shell=True, check=True)',
    "os.system": 'os.system(f\'"{PYTHON}" -c "{TELL}"\')',
    "os.execv": "os.execv(PYTHON, [PYTHON, '-c', TELL])",
    "os.spawnv": "os.spawnv(os.P_WAIT, PYTHON, [PYTHON, '-c', TELL])",
    "multiprocessing": "import multiprocessing.spawn\nmultiprocessing.set_start_method('spawn')\n"
    "with multiprocessing.Pool(1) as pool: pool.apply(exec, [TELL])",
    "an empty environment": "subprocess.run([PYTHON, '-c', TELL], env={}, check=True)",
    "an emptied path": "env = {**os.environ, 'PYTHONPATH': ''}\n"
    "subprocess.run([PYTHON, '-c', TELL], env=env, check=True)",
    "an environment by place": "subprocess.Popen([PYTHON, '-c', TELL], -1, None, None, None, None,"
    " None, True, False, None, {}).wait()",
    "an environment of bytes": "env = {b'PYTHONPATH': b'.'}\n"
    "subprocess.run([PYTHON, '-c', TELL], env=env, check=True)",
    "os.execve": "os.execve(PYTHON, [PYTHON, '-c', TELL], {})",
    "os.execvpe": "os.execvpe(PYTHON, [PYTHON, '-c', TELL], {'PATH': ''})",
    "os.posix_spawn": "os.waitpid(os.posix_spawn(PYTHON, [PYTHON, '-c', TELL], {}), 0)",
    "asyncio": "import asyncio\nasync def run():\n"
    "    await (await asyncio.create_subprocess_exec(PYTHON, '-c', TELL, env={})).wait()\n"
    "asyncio.run(run())",
    "a grandchild": 'code = f\'import subprocess; subprocess.run([{PYTHON!r}, "-c", {TELL!r}], '
    "env={{}})'\nsubprocess.run([PYTHON, '-c', code], env={}, check=True)",
}


@pytest.mark.skipif(os.name != "posix", reason="ways of POSIX to start a process")
@pytest.mark.parametrize("how", STARTS)
def test_children_get_the_class_however_they_are_started(tmp_path: Path, how: str) -> None:
    assert run_with_children(tmp_path, STARTS[how]) == f"{OURS}\n"
    assert run_with_children(tmp_path, STARTS[how], children=False) == f"{STOCK}\n"


def test_a_child_that_is_to_be_isolated_stays_so(tmp_path: Path) -> None:
    code = "for flag in '-I', '-E', '-S': subprocess.run([PYTHON, flag, '-c', TELL], check=True)"
    assert run_with_children(tmp_path, code) == f"{STOCK}\n" * 3


def test_an_environment_that_was_handed_in_stays_as_it_is(tmp_path: Path) -> None:
    code = "env = {'A': '1'}; subprocess.run([PYTHON, '-c', TELL], env=env); print(env)"
    assert run_with_children(tmp_path, code) == f"{OURS}\n{{'A': '1'}}\n"


def test_what_cannot_be_started_is_the_same_error(tmp_path: Path) -> None:
    code = (
        "for env in {1: 2}, 'x', [], {'A': 1}, {'A=': 'b'}:\n"
        "    for start in subprocess.call, lambda a, env: os.execve(a[0], a, env):\n"
        "        try: start([PYTHON, '-c', ''], env=env)\n"
        "        except Exception as error: print(repr(error))\n"
    )
    said = run_with_children(tmp_path, code)
    assert said == run_with_children(tmp_path, code, children=False)
    assert "TypeError" in said


ABOUT = """
import sys, os
print(sys.path, sys.argv, sys.flags, 'sitecustomize' in sys.modules)
for name in "click", "isal", "deflate", "zlib_ng", "rich":
    try: print(__import__(name).__name__)
    except ImportError as error: print(error)
import zipfile
file = zipfile.ZipFile("made.zip", "w", 8)
for i in range(300): file.writestr(str(i), b"contents" * i)
file.close()
print(zipfile.ZipFile("made.zip").testzip())
"""


def test_an_environment_without_parazip_has_the_class_and_nothing_else(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = next(path for path in tmp_path.glob("venv/*/python*") if path.stem == "python")
    (tmp_path / "about.py").write_text(ABOUT)
    code = f"for c in ['about.py'], ['-c', TELL]: subprocess.run([{str(python)!r}, *c], check=True)"
    ours = run_with_children(tmp_path, code).splitlines()
    stock = run_with_children(tmp_path, code, children=False).splitlines()
    assert ours[:-1] == stock[:-1]
    assert (ours[-1], stock[-1]) == (OURS, STOCK)
    assert "No module named 'click'" in ours


def test_the_child_finds_its_own_modules(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IMPORTS)
    for name in OWN:
        (tmp_path / f"{name}.py").write_text("version = 'mine'")
    code = (
        "import sys; sys.path.pop(0); import subprocess; PYTHON = sys.executable\n"
        "for words in ['program.py'], ['-m', 'program'], ['.']:\n"
        "    subprocess.run([PYTHON, *words])"
    )
    (tmp_path / "__main__.py").write_text(IMPORTS)
    done = start_program([*CHILDREN, "-c", code], tmp_path)
    assert done.stderr == ""
    assert done.stdout == f"None 8000000 None\n{OURS}\n" * 3


def test_other_pythons_notice_nothing(tmp_path: Path) -> None:
    """Their codecs would be others; Python 2.7 could not even read our modules."""
    others = {
        name: reader.command
        for name, reader in pythons().items()
        if name != f"python{sys.version_info.major}.{sys.version_info.minor}"
    }
    if not others:
        pytest.skip("there is no other Python")
    ask = "import sys; print([sys.path, 'sitecustomize' in sys.modules, 'parazip' in sys.modules])"
    code = (
        f"for python in {list(others.values())!r}:\n"
        f"    subprocess.run([python, '-c', {ask!r}], check=True)"
    )
    said = run_with_children(tmp_path, code)
    assert said == run_with_children(tmp_path, code, children=False)
    assert said.count("False, False]") == len(others)


SITES = {
    "says something": (
        "print('site', __name__, __file__); x = 1",
        "import sitecustomize as s; s.x",
    ),
    "is missing": (None, "import sys; print('sitecustomize' in sys.modules)"),
    "misses something": ("import nothing_at_all", "print(1)"),
    "fails": ("1/0", "print(1)"),
}


@pytest.mark.parametrize("site", SITES)
def test_another_sitecustomize_has_its_turn(tmp_path: Path, site: str) -> None:
    contents, program = SITES[site]
    if contents is not None:
        (tmp_path / "sitecustomize.py").write_text(contents)
    for path in "str(os.getcwd())", "os.environ.get('PYTHONPATH', '') + os.pathsep + os.getcwd()":
        code = (
            f"env = {{**os.environ, 'PYTHONPATH': {path}}}\n"
            f"done = subprocess.run([PYTHON, '-c', {program!r}], env=env, capture_output=True)\n"
            "print(done)"
        )
        said = run_with_children(tmp_path, code)
        assert said == run_with_children(tmp_path, code, children=False)
        assert "CompletedProcess" in said


@pytest.mark.parametrize(
    "variable", [None, "", "x", "{right}", "{right}/nowhere", "{right}/folder"], ids=str
)
def test_what_goes_wrong_leaves_the_child_as_it_is(tmp_path: Path, variable: str | None) -> None:
    broken = tmp_path / "folder" / "parazip"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import threading, no_such_module")
    code = "import os; print(os.environ['PYTHONPATH'], os.environ['PARAZIP_CHILDREN'], sep='\\n')"
    hook, right = run_with_children(tmp_path, code).splitlines()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ask = f"import sys; print('parazip' in sys.modules, sys.path); {TELL}"
    stock = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, check=True)
    env["PYTHONPATH"] = hook
    if variable is not None:
        prefix, suffix, *_ = right.split(os.pathsep)
        same = os.pathsep.join([prefix, suffix, str(tmp_path)])
        env["PARAZIP_CHILDREN"] = variable.replace("{right}", same)
    ours = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, check=True)
    assert (ours.stdout, ours.stderr) == (stock.stdout, b"")


PROJECT = """
[build-system]
requires = ["{backend}"]
build-backend = "{module}"
[project]
name = "app"
version = "1"
{more}
"""

BACKENDS = {
    "hatchling": ("hatchling.build", "[tool.hatch.build.targets.wheel]\npackages = ['app']"),
    "setuptools": ("setuptools.build_meta", "[tool.setuptools]\npackages = ['app']"),
}


@pytest.mark.once
@pytest.mark.parametrize(
    ("frontend", "backend"),
    [
        ("build", "hatchling"),
        pytest.param("build", "setuptools", marks=pytest.mark.slow),
        pytest.param("pip", "hatchling", marks=pytest.mark.slow),
    ],
)
def test_build_backends_in_environments_of_their_own(
    tmp_path: Path, frontend: str, backend: str
) -> None:
    """Real `build` and pip install the backend into an environment without parazip."""
    pytest.importorskip(frontend, reason="only where what develops is installed")
    module, more = BACKENDS[backend]
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    text = "".join(f"# {i * i % 977}\n" for i in range(50_000))
    (project / "app" / "__init__.py").write_text(text)
    (project / "pyproject.toml").write_text(
        PROJECT.format(backend=backend, module=module, more=more)
    )
    ask = {"build": ["build", "-o"], "pip": ["pip", "wheel", "--no-deps", "-w"]}[frontend]
    made: dict[str, list[tuple[str, bytes, int]]] = {}
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    for name, words in ("stock", [sys.executable]), ("ours", CHILDREN):
        out = tmp_path / name
        command = [*words, "-m", *ask, str(out), str(project)]
        done = start_program(command, tmp_path, "", env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(list(out.glob("app-1*.tar.gz"))) == (frontend == "build")
        with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
            made[name] = [
                (info.filename, wheel.read(info), info.compress_size) for info in wheel.infolist()
            ]
    assert [member[:2] for member in made["ours"]] == [member[:2] for member in made["stock"]]
    sizes = {name: [member[2] for member in members] for name, members in made.items()}
    assert sizes["ours"] != sizes["stock"]
