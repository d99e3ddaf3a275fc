"""`parazip run` beside Python itself: programs notice nothing but the class."""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import zipapp
from pathlib import Path

import pytest

from support.running import PARAZIP, compare_runs, start_program, without_addresses

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
    done = compare_runs(forms, words, given=PROBE if form == "standard input" else "given")
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
    done = compare_runs(forms, ["sub/program.py", "x"], options)
    assert "'at exit'" in done.stdout, done.stderr


@pytest.mark.parametrize("form", ["module", "folder", "archive", "code"])
def test_a_safe_path_is_kept_safe(forms: Path, form: str) -> None:
    compare_runs(forms, FORMS[form], ["-P"])


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
    done = compare_runs(forms, ["sub/program.py", "x"], env=dict([variable.split("=")]))
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
    python = start_program([sys.executable, *options, "sub/program.py", "x"], forms)
    ours = start_program([sys.executable, *before, "run", "sub/program.py", "x"], forms)
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
    compare_runs(tmp_path, ["program.py"])


@pytest.mark.parametrize("form", ["module", "package", "archive", "code", "standard input"])
@pytest.mark.parametrize("end", ["exit with words", "error of many", "interrupt"])
def test_a_program_ends_as_under_python(tmp_path: Path, form: str, end: str) -> None:
    program = f"import sys\n{ENDS[end]}\n"
    lay_out(tmp_path, program)
    words = [program if word is PROBE else word for word in FORMS[form]]
    compare_runs(tmp_path, words, given=program)


@pytest.mark.parametrize("words", [["-m", "program"], ["."], ["-c", "x = ("], ["-"]], ids=str)
def test_what_does_not_compile_is_told_of_as_under_python(tmp_path: Path, words: list[str]) -> None:
    for name in "program.py", "__main__.py":
        (tmp_path / name).write_text("x = (")
    done = compare_runs(tmp_path, words, given="x = (")
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
        done = compare_runs(tmp_path, ["program.py"], ["-i"], given=asked)
        assert "'f'" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="only there a folder that is in use can go")
def test_the_current_folder_may_be_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    for words in [], PARAZIP:
        code = f"{sys.executable!r} {' '.join(words)} -c 'print(1)'"
        done = subprocess.run(
            ["sh", "-c", f"mkdir -p gone && cd gone && rmdir ../gone && exec {code}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
