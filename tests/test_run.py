"""`parazip run` beside Python itself: programs notice nothing but the class."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import zipapp
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PARAZIP = ["-m", "parazip", "run"]
PARAZIP_RUN = [sys.executable, *PARAZIP]


def start(
    command: Sequence[str], cwd: Path, given: str = "given", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def compare(
    cwd: Path,
    words: Sequence[str],
    options: Sequence[str] = (),
    given: str = "given",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program with and without parazip; all that can be seen from outside is the same."""
    commands = [[sys.executable, *options, *before, *words] for before in ([], PARAZIP)]
    with ThreadPoolExecutor() as side_by_side:
        python, ours = side_by_side.map(lambda words: start(words, cwd, given, env), commands)
    assert without_addresses(ours.stdout) == without_addresses(python.stdout)
    assert without_addresses(ours.stderr) == without_addresses(python.stderr)
    assert ours.returncode == python.returncode
    return ours


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)


PROBE = """
import sys, __main__

def show(*facts):
    print(*map(repr, facts))

for name, value in sorted(vars(__main__).items()):
    show(name, value)
show(globals() is vars(__main__), sys.modules["__main__"] is __main__, show.__module__)
show(sys.argv, sys.path, sys.orig_argv[1:], sys.executable, sys.prefix)
show(sys.flags, sys._xoptions, sys.warnoptions, __debug__, sys.dont_write_bytecode)
import warnings; show(warnings.filters)
import signal; show([(s, signal.getsignal(s)) for s in sorted(signal.valid_signals())])
import gc; show(gc.isenabled(), gc.get_threshold(), gc.callbacks)
import threading; show([thread.name for thread in threading.enumerate()], threading.excepthook)
show(sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook, sys.gettrace())
show(sys.meta_path, sys.path_hooks, sys.getrecursionlimit(), sys.get_asyncgen_hooks())
import faulthandler, tracemalloc; show(faulthandler.is_enabled(), tracemalloc.is_tracing())
import os; show({name: value for name, value in os.environ.items() if name != "_"}, os.getcwd())
if os.path.isdir("/proc/self/fd"): show(os.listdir("/proc/self/fd"))
for stream in sys.stdin, sys.stdout, sys.stderr: show(stream, stream.errors, stream.line_buffering)
import locale; show(locale.setlocale(locale.LC_ALL))
import builtins; show(sorted(vars(builtins)), hasattr(sys, "last_value"), sys.exc_info())
import linecache; show([name for name in linecache.cache if name != "<string>"])
import logging; show(logging.root.handlers, logging.root.level)
import atexit; show(atexit._ncallbacks())
import inspect
try: show(inspect.getsource(show), inspect.getsourcefile(show))
except (OSError, TypeError) as error: show(error)
import pickle
class Kind: pass
show(pickle.dumps(Kind()), pickle.loads(pickle.dumps(Kind())))
atexit.register(lambda: show("at exit", sorted(vars(__main__)), sys.excepthook))
"""

FORMS = {
    "script": ["sub/program.py", "-h", "--help", "-m", "x", "--", ""],
    "script by a dotted path": ["./sub/../sub/program.py", "-c"],
    "script by an absolute path": ["{cwd}/sub/program.py"],
    "link": ["link"],
    "compiled": ["program.pyc", "x"],
    "compiled, by another name": ["program"],
    "module": ["-m", "sub.program", "-m", "--children"],
    "module by one word": ["-msub.program", "x"],
    "package": ["-m", "sub", "-h"],
    "folder": ["sub", "x"],
    "folder by a dotted path": ["./sub/"],
    "archive": ["sub.pyz", "-"],
    "code": ["-c", PROBE, "-c", "x"],
    "standard input": ["-", "x", "-"],
}


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    lay_out(tmp_path, PROBE)
    return tmp_path


def lay_out(folder: Path, program: str) -> None:
    (folder / "sub").mkdir()
    for name in "program.py", "__main__.py":
        (folder / "sub" / name).write_text(program)
    (folder / "link").symlink_to("sub/program.py")
    py_compile.compile(str(folder / "sub" / "program.py"), str(folder / "program.pyc"))
    shutil.copy(folder / "program.pyc", folder / "program")
    zipapp.create_archive(folder / "sub", folder / "sub.pyz")


@pytest.mark.parametrize("form", FORMS)
def test_a_program_sees_what_it_sees_under_python(forms: Path, form: str) -> None:
    words = [word.replace("{cwd}", str(forms)) for word in FORMS[form]]
    done = compare(forms, words, given=PROBE if form == "standard input" else "given")
    assert "'at exit'" in done.stdout, done.stderr


OPTIONS = [
    ["-I"],
    ["-E"],
    ["-P"],
    ["-O"],
    ["-OO", "-B"],
    ["-X", "dev", "-W", "error"],
    ["-Xdev", "-Werror::DeprecationWarning"],
    ["-X", "utf8", "-X", "frozen_modules=off"],
    ["-X", "faulthandler", "-Xtracemalloc"],
    ["-sub"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options_of_python_are_the_programs(forms: Path, options: list[str]) -> None:
    done = compare(forms, ["sub/program.py", "x"], options)
    assert "'at exit'" in done.stdout, done.stderr


@pytest.mark.parametrize("form", ["module", "folder", "archive", "code"])
def test_a_safe_path_is_kept_safe(forms: Path, form: str) -> None:
    compare(forms, FORMS[form], ["-P"])


@pytest.mark.parametrize(
    "variable",
    [
        "PYTHONPATH=.",
        "PYTHONSAFEPATH=1",
        "PYTHONWARNINGS=error",
        "PYTHONDEVMODE=1",
        "PYTHONIOENCODING=latin-1:replace",
        "PYTHONSTARTUP=sub/program.py",
    ],
)
def test_variables_of_python_are_the_programs(forms: Path, variable: str) -> None:
    done = compare(forms, ["sub/program.py", "x"], env=dict([variable.split("=")]))
    assert done.stdout.count("'at exit'") == 1, done.stderr


@pytest.mark.parametrize(
    "before",
    [
        ["-Im", "parazip"],
        ["-Ximporttime", "-mparazip"],
        ["-c", "from parazip.__main__ import main; main()"],
        ["-m", "parazip", "--cache-size", "1G"],
        [os.path.join(sysconfig.get_path("scripts"), "parazip")],
    ],
    ids=" ".join,
)
def test_however_it_is_started_the_program_sees_the_same(forms: Path, before: list[str]) -> None:
    if os.path.isabs(before[0]) and not os.path.exists(before[0]):
        pytest.skip("parazip is not installed as a command")
    options = [option for option in ("-I", "-Ximporttime") if before[0].startswith(option)]
    python = start([sys.executable, *options, "sub/program.py", "x"], forms)
    ours = start([sys.executable, *before, "run", "sub/program.py", "x"], forms)
    assert "'at exit'" in python.stdout
    assert without_addresses(ours.stdout) == without_addresses(python.stdout)
    assert ours.returncode == 0


ENDS = {
    "exit": "sys.exit()",
    "exit with a number": "sys.exit(7)",
    "exit with a large number": "sys.exit(256)",
    "exit with words": "sys.exit('words')",
    "exit with an object": "raise SystemExit(1, 2)",
    "quit": "quit(3)",
    "error": "def f(): raise LookupError('wrong')\nf()",
    "error with a cause": "try: 1/0\nexcept Exception as e: raise ValueError('x') from e",
    "error with a context": "try: 1/0\nexcept Exception: int('x')",
    "error of many": "try: 1/0\nexcept Exception as e: raise ExceptionGroup('all', [e, e])",
    "error with a note": "e = ValueError(1); e.add_note('noted'); raise e",
    "error of the system": "raise OSError(5, 'wrong', 'file')",
    "error of memory": "raise MemoryError",
    "no import": "import nothing.at.all",
    "name with a hint": "sys.exi(1)",
    "syntax": "x = (",
    "indentation": "if 1:\nx = 1",
    "syntax of another": "compile('x = (', 'other', 'exec')",
    "syntax to be warned of": "x = 1 is 1",
    "warnings": "import warnings\nfor k in UserWarning, DeprecationWarning: warnings.warn('w', k)",
    "interrupt": "import atexit; atexit.register(print, 'at exit')\nraise KeyboardInterrupt",
    "interrupt from outside": "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile 1: 0",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "no way out": "import os; print('lost'); os._exit(5)",
    "hook": "sys.excepthook = lambda kind, error, trace: print(trace.tb_lineno, error.__traceback__"
    " is trace, sys.last_traceback is trace, sys.last_value is error, __file__)\n1/0",
    "hook that fails": "def hook(*_): raise ValueError('hook')\nsys.excepthook = hook\n1/0",
    "hook that exits": "sys.excepthook = lambda *_: sys.exit(9)\n1/0",
    "error at exit": "import atexit\natexit.register(lambda: 1/0)",
    "what is seen at exit": "import atexit, __main__; atexit.register(lambda: print(sorted(vars("
    "__main__)), sys.excepthook is sys.__excepthook__, hasattr(sys, 'last_value')))\n1/0",
    "order at exit": "import atexit, threading\natexit.register(print, 'first')\n"
    "class D:\n    def __del__(self): print('deleted')\nd = D()\natexit.register(print, 'second')\n"
    "threading.Thread(target=lambda: print('thread')).start()",
    "error in a thread": "import threading\nt = threading.Thread(target=lambda: 1/0); t.start()",
    "error in a coroutine": "import asyncio\nasync def f(): 1/0\nasyncio.run(f())",
    "interrupt in a coroutine": "import asyncio, os\nasync def f(): os.kill(os.getpid(), 2)\n"
    "asyncio.run(f())",
    "no __main__": "del sys.modules['__main__']\n1/0",
    "annotations": "def f(a: int = 1): pass\nprint(f.__annotations__)\nclass C: b: int\n"
    "print(C.__annotations__)\nx: int = 1",
    "division": "print(7 / 2)\nexec('def g(a: int): pass\\nprint(g.__annotations__)')",
    "standard input": "print(sys.stdin.read())",
    "traceback": "import traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()",
}


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_programs_without_a_name(tmp_path: Path) -> None:
    """As bash's `parazip run <(make-program)` hands them over; and no standard input at all."""
    told = []
    for before in ([], PARAZIP):
        reading, writing = os.pipe()
        os.write(writing, b"import sys; print(__file__, sys.argv, sys.path, sys.stdin)")
        os.close(writing)
        command = [sys.executable, *before, f"/dev/fd/{reading}"]
        told.append(subprocess.run(command, capture_output=True, pass_fds=[reading], check=True))
        os.close(reading)
        shell = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", sys.executable, *before, "-"]
        told.append(subprocess.run(shell, capture_output=True, check=True))
    assert [done.stderr for done in told] == [b""] * 4
    assert [without_numbers(done.stdout) for done in told[2:]] == [
        without_numbers(done.stdout) for done in told[:2]
    ]


def without_numbers(text: bytes) -> bytes:
    return re.sub(rb"/dev/fd/\d+", b"/dev/fd/N", text)


@pytest.mark.parametrize("end", ENDS)
def test_a_script_ends_as_under_python(tmp_path: Path, end: str) -> None:
    (tmp_path / "program.py").write_text(f"import sys\n{ENDS[end]}\n")
    compare(tmp_path, ["program.py"])


@pytest.mark.parametrize("form", ["module", "package", "archive", "code", "standard input"])
@pytest.mark.parametrize("end", ["exit with words", "error of many", "interrupt"])
def test_a_program_ends_as_under_python(tmp_path: Path, form: str, end: str) -> None:
    program = f"import sys\n{ENDS[end]}\n"
    lay_out(tmp_path, program)
    words = [program if word is PROBE else word for word in FORMS[form]]
    compare(tmp_path, words, given=program)


@pytest.mark.parametrize("words", [["-m", "program"], ["."], ["-c", "x = ("], ["-"]], ids=str)
def test_what_does_not_compile_is_told_of_as_under_python(tmp_path: Path, words: list[str]) -> None:
    for name in "program.py", "__main__.py":
        (tmp_path / name).write_text("x = (")
    done = compare(tmp_path, words, given="x = (")
    assert (done.returncode, "SyntaxError" in done.stderr) == (1, True)


FUTURE = "from __future__ import annotations\ndef f(a: int): pass\nprint(f.__annotations__)\n"
SOURCES = {
    "a future of its own": FUTURE.encode(),
    "a coding line": b"# coding: latin-1\nprint(ascii('\xe9'))\n",
    "a byte order mark": b"\xef\xbb\xbfprint(1)\n",
    "line ends of Windows": b"print(1)\r\nprint('''a\r\nb''' == 'a\\nb')\r\n",
    "no last line end": b"if 1:\n  print(2)",
    "nothing": b"",
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", ["script", "standard input"])
def test_sources_are_read_as_under_python(tmp_path: Path, source: str, form: str) -> None:
    path = tmp_path / "program.py"
    path.write_bytes(SOURCES[source])
    words = [str(path)] if form == "script" else ["-"]
    runs = []
    for before in ([], PARAZIP):
        with path.open("rb") as given:
            command = [sys.executable, *before, *words]
            runs.append(subprocess.run(command, stdin=given, capture_output=True, check=False))
    assert runs[1].stdout == runs[0].stdout
    assert (runs[1].returncode, runs[1].stderr) == (0, b"")


def test_an_interactive_look_afterwards(tmp_path: Path) -> None:
    for last in "x = 1", "1/0", "import sys; sys.exit(3)":
        (tmp_path / "program.py").write_text(f"def f(): pass\n{last}\n")
        asked = "import sys, __main__; print(sorted(globals()), hasattr(sys, 'last_value'))\n"
        done = compare(tmp_path, ["program.py"], ["-i"], given=asked)
        assert "'f'" in done.stdout


# What the program imports


OWN = ["click", "rich", "platformdirs", "pathspec", "isal", "zlib_ng", "deflate", "colorama"]
OWN += ["queue", "logging", "platform", "inspect", "dataclasses", "concurrent", "signal", "string"]
OWN += ["textwrap", "linecache", "tokenize", "ast", "dis", "copy", "gzip", "heapq", "selectors"]
IMPORTS = f"import io, zipfile, {', '.join(OWN)}\n"
IMPORTS += "".join(f"assert {name}.version == 'mine', {name}\n" for name in OWN)
IMPORTS += """
file = io.BytesIO()
with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
    for i in range(300):
        archive.writestr(str(i), b"contents" * i * 100)
    with archive.open("large", "w") as member:
        member.write(b"contents" * 1_000_000)
with zipfile.ZipFile(file) as archive:
    print(archive.testzip(), len(archive.read("large")), archive.extractall("extracted"))
print(type(archive).__module__)
"""


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
        done = start(command, tmp_path / folder, IMPORTS, env)
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
    assert compare(tmp_path, ["program.py"]).stdout == "mine mine mine\n"


@pytest.mark.parametrize("before", [[], ["--cache-size", "1G"]])
def test_there_is_no_other_library_in_sys_modules(tmp_path: Path, before: list[str]) -> None:
    (tmp_path / "program.py").write_text("import zipfile, sys; print(*sys.modules)")
    python = start([sys.executable, "program.py"], tmp_path)
    ours = start([sys.executable, "-m", "parazip", *before, "run", "program.py"], tmp_path)
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
    compare(tmp_path, ["program.py"])


# The class


def test_zipapp_and_shutil_use_it(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("print('hello')")
    done = start([*PARAZIP_RUN, "-m", "zipapp", "app", "-c", "-o", "app.pyz"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert start([sys.executable, "app.pyz"], tmp_path).stdout == "hello\n"
    with zipfile.ZipFile(tmp_path / "app.pyz") as archive:
        assert archive.namelist() == ["__main__.py"]
    (tmp_path / "make.py").write_text(
        "import shutil, zipfile\n"
        "print(zipfile.ZipFile.__module__, shutil.make_archive('made', 'zip', 'app'))"
    )
    done = start([*PARAZIP_RUN, "make.py"], tmp_path)
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
        assert start([sys.executable, *words], tmp_path).returncode == 0
    with (
        zipfile.ZipFile(tmp_path / "stock.zip") as stock,
        zipfile.ZipFile(tmp_path / "ours.zip") as ours,
    ):
        assert stock.namelist() == ours.namelist()
        assert stock.read("tree/a") == ours.read("tree/a")
        assert stock.infolist()[-1].compress_size != ours.infolist()[-1].compress_size
    for words in ["-h"], ["-l", "ours.zip"], ["-t", "ours.zip"], ["-e"], ["-l", "none.zip"]:
        python = start([sys.executable, "-m", "zipfile", *words], tmp_path)
        done = start([*PARAZIP_RUN, "-m", "zipfile", *words], tmp_path)
        assert (done.stdout, done.returncode) == (python.stdout, python.returncode)
        assert done.stderr.splitlines()[-1:] == python.stderr.splitlines()[-1:]


# Programs that start programs


AGAIN = """
import os, sys, zipfile
turn = os.environ.get("TURN", "")
print(turn, sys.argv[1:], sys.flags.dev_mode, zipfile.ZipFile.__module__, flush=True)
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
    command = [sys.executable, "-X", "dev", *PARAZIP, *words, "x", "-y"]
    done = start(command, tmp_path)
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
    done = compare(tmp_path, [*words, method])
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
OURS = "parazip.dropin.zip_file"


@pytest.mark.once
@pytest.mark.parametrize("inside", [True, False])
def test_coverage(tmp_path: Path, inside: bool) -> None:
    pytest.importorskip("coverage", reason="only where what develops is installed")
    (tmp_path / "program.py").write_text(TOLD)
    tool = ["-m", "coverage", "run", "--data-file=seen"]
    words = [*PARAZIP, *tool] if inside else [*tool, *PARAZIP]
    done = start([sys.executable, *words, "program.py"], tmp_path)
    assert (done.stdout, done.stderr) == (f"{OURS}\n", "")
    report = ["-m", "coverage", "report", "--data-file=seen", f"--include={tmp_path}/*", "-m"]
    assert start([sys.executable, *report], tmp_path).stdout.split("\n")[2].split()[1:] == (
        ["7", "1", "86%", "6"]
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_profiler(tmp_path: Path, inside: bool) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    tool = ["-m", "cProfile", "-s", "name"]
    words = [*PARAZIP, *tool] if inside else [*tool, *PARAZIP]
    done = start([sys.executable, *words, "program.py"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{OURS}\n")
    assert "program.py:3(tell)" in done.stdout


def test_a_tracer(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    words = ["-m", "trace", "--count", "-C", ".", "program.py"]
    done = start([*PARAZIP_RUN, *words], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n")
    assert "1:     if count:" in (tmp_path / "program.cover").read_text()


def test_pdb(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TOLD)
    given = "break tell\ncontinue\np count\nwhere\nquit\n"
    done = compare(tmp_path, ["-m", "pdb", "program.py"], given=given)
    assert "-> if count:" in done.stdout
    words = ["-m", "pdb", "-c", "break program.py:4", "-c", "continue", *PARAZIP, "program.py"]
    done = start([sys.executable, *words], tmp_path, "p count\nquit\n")
    assert "-> if count:\n(Pdb) 1\n" in done.stdout


@pytest.mark.once
def test_debugpy(tmp_path: Path) -> None:
    pytest.importorskip("debugpy", reason="only where what develops is installed")
    (tmp_path / "program.py").write_text(TOLD)
    words = ["-m", "debugpy", "--listen", "127.0.0.1:0", "program.py"]
    done = start([*PARAZIP_RUN, *words], tmp_path)
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
        done = start([*PARAZIP_RUN, *words], tmp_path)
        assert out in done.stdout
        assert err in done.stderr
        assert done.returncode == end, done.stderr


# Our own command line


def test_sigterm_is_what_it_is_under_python(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import signal; print(signal.getsignal(signal.SIGTERM))")
    for before in [], ["--cache-size", "1G"]:
        done = start([sys.executable, "-m", "parazip", *before, "run", "a.py"], tmp_path)
        assert done.stdout == f"{signal.SIG_DFL!s}\n"


def test_what_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    usage = "name a script, a module with -m, or code with -c"
    for arguments, expected, code in (
        ([], usage, 2),
        (["--children"], usage, 2),
        (["-m"], usage, 2),
        (["-c"], usage, 2),
        (["-x", "a.py"], usage, 2),
        ([""], usage, 2),
        (["nothing"], "there is no file nothing; for an installed command give its path", 2),
        (["folder"], "can't find '__main__' module in", 1),
        (["-m", "nothing.at.all"], "No module named 'nothing'", 1),
    ):
        done = start([*PARAZIP_RUN, *arguments], tmp_path)
        assert done.returncode == code
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="sockets of POSIX")
def test_a_script_that_cannot_be_opened_is_told_of(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(os.path.relpath(tmp_path / "a.py"))
        python = start([sys.executable, "a.py"], tmp_path)
        done = start([*PARAZIP_RUN, "a.py"], tmp_path)
    assert done.returncode == python.returncode == 2
    assert done.stderr.partition(": ")[2] == python.stderr.partition(": ")[2]


def test_help_names_each_way(tmp_path: Path) -> None:
    for flag in "-h", "--help":
        done = start([*PARAZIP_RUN, flag], tmp_path)
        assert done.returncode == 0
        for word in "SCRIPT", "-m MODULE", "-c CODE", "--children":
            assert word in done.stdout
    assert importlib.util.find_spec("parazip.cli.run.hook.sitecustomize") is not None
