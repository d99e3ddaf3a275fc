"""Runs a program as Python itself would, in this very process.

What Python does at its start is done once more for the program: its own `__main__`, `sys.argv`,
`sys.orig_argv` and first folder in `sys.path`. Its end is left to Python: an exception goes on
through our frames to whoever started us, who shows it, sets the exit code and ends by the signal
after Ctrl-C. Only our own frames are left out of what is shown.

Starting Python anew, with the classes handed over, would leave all of this to Python. But then
nothing that was started around us (coverage, a debugger, a profiler) would see the program, and no
interpreter with -I or -E could be given anything.
"""

from __future__ import annotations

import builtins
import io
import linecache
import marshal
import os
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType, TracebackType
from typing import IO, NoReturn

from parazip.cli.run import own
from parazip.cli.run.request import Request


def run_program(request: Request) -> None:
    """Runs a program; returns when it has come to its end."""
    path = own.own_path()
    own.replace_classes(path)
    if request.children:
        with own.importing_from(path):
            from parazip.cli.run import children
        children.hand_over(path)
    main = _new_main()
    request.enter_original_arguments()
    start = _prepare(request, main)
    own.release_modules(sys.path)
    at_end = partial(_forget_file, main) if hasattr(main, "__file__") else _do_nothing
    try:
        start()
    except BaseException as error:
        if sys.flags.inspect or not isinstance(error, SystemExit):
            _show_as_python_does(at_end)
        raise
    at_end()


def _new_main() -> ModuleType:
    """A module `__main__` as Python makes it."""
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    if "__annotations__" in vars(sys.modules["__main__"]):  # a newer Python makes none
        main.__annotations__ = {}
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _prepare(request: Request, main: ModuleType) -> Callable[[], object]:
    """Sets `sys.argv` and `sys.path` for the program; gives what starts it."""
    option, program, arguments, *_ = request
    sys.argv[:] = [option or program, *arguments]
    if option == "-m":
        _set_first_folder(_working_folder())
        return partial(_run_module, program)
    if option == "-c":
        _set_first_folder("")
        return partial(_run_code, program, main)
    if option == "-":
        _set_first_folder("")
        _set_file(main, "<stdin>")
        return partial(_run_standard_input, main)
    path = _working_folder() if program == "." else os.path.join(_working_folder(), program)
    if not os.path.exists(path):
        _refuse(
            f"there is no file {program}; for an installed command give its path, as in "
            f"$(command -v {program}), or its module, as in -m {program}"
        )
    if _is_folder_or_archive(path):
        _set_first_folder(path, even_if_unsafe=True)
        return partial(_run_module, "__main__", alter_argv=False)
    _set_first_folder(os.path.dirname(_real_path(path)))
    _set_file(main, path)
    return partial(_run_script, path, main)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path, strict=True)
    except OSError:  # it has no name: /dev/fd/63
        return path


def _refuse(message: str) -> NoReturn:
    with own.importing_from():
        from parazip.display import make_printable

    print(f"parazip: {make_printable(message)}", file=sys.stderr)
    sys.exit(2)


def _is_folder_or_archive(path: str) -> bool:
    """Whether modules could be imported from there; Python asks the same way."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _set_first_folder(folder: str, even_if_unsafe: bool = False) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif even_if_unsafe:
        sys.path.insert(0, folder)


def _run_module(name: str, alter_argv: bool = True) -> None:
    zipfile = sys.modules.get("zipfile")
    if name == "zipfile" and zipfile is not None and not hasattr(zipfile, "__path__"):
        # Up to Python 3.11 this runs the file a second time, with classes of its own.
        sys.argv[0] = str(zipfile.__file__)
        zipfile.main()
        return
    # What python -m itself calls. The public functions of runpy put another `__main__` in place
    # when the module has ended: too early for what is called at exit.
    import runpy

    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _run_code(code: str, main: ModuleType) -> None:
    if sys.version_info >= (3, 14):
        code = textwrap.dedent(code)
    compiled = _compile(code, "<string>")
    if sys.version_info >= (3, 13):  # tracebacks show the lines of -c from there on
        lines = [f"{line}\n" for line in code.splitlines()]
        linecache.cache["<string>"] = len(code), None, lines, "<string>"
    exec(compiled, main.__dict__)


def _run_standard_input(main: ModuleType) -> None:
    source = sys.stdin.buffer.read() if sys.stdin else b""
    compiled = _compile(source, "<stdin>")
    exec(compiled, main.__dict__)


def _run_script(path: str, main: ModuleType) -> None:
    with _open(path) as file:
        data = file.read()
    if path.endswith(".pyc") or data.startswith(MAGIC_NUMBER[:2]):
        main.__loader__ = SourcelessFileLoader("__main__", path)
        if not data.startswith(MAGIC_NUMBER):
            raise RuntimeError("Bad magic number in .pyc file")
        code = marshal.loads(data[_PYC_HEADER:])
    else:
        main.__loader__ = SourceFileLoader("__main__", path)
        code = _compile(data, path)
    exec(code, main.__dict__)


_PYC_HEADER = 16


def _open(path: str) -> IO[bytes]:
    try:
        return io.open_code(path)
    except OSError as error:
        _refuse(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}")


def _compile(source: bytes | str, name: str) -> CodeType:
    """Compiles a program; what this very file has from `__future__` is none of its own."""
    return compile(source, name, "exec", dont_inherit=True)


def _set_file(main: ModuleType, path: str) -> None:
    main.__file__ = path
    if sys.version_info < (3, 15):
        main.__cached__ = None  # type: ignore[attr-defined] # as Python does


def _forget_file(main: ModuleType) -> None:
    """Takes away again what `_set_file` has set, as Python does when a script has ended."""
    for name in ("__file__", "__cached__"):
        main.__dict__.pop(name, None)


def _do_nothing() -> None:
    pass


def _show_as_python_does(at_end: Callable[[], None]) -> None:
    """Has the exception that is on its way out shown without the frames that are ours.

    Python calls `sys.excepthook` when all frames are left: the program's hook, which stands there
    now, is called by ours and put back before.
    """
    hook = getattr(sys, "excepthook", sys.__excepthook__)

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = hook
        sys.last_traceback = trace = _without_our_frames(trace)
        try:
            hook(kind, error.with_traceback(trace), trace)
        except SystemExit:
            raise
        except BaseException as broken:  # Python says the same, but with a frame of ours
            print("Error in sys.excepthook:", file=sys.stderr)
            trace_of_hook = _without_our_frames(broken.__traceback__)
            broken.with_traceback(trace_of_hook)
            sys.__excepthook__(type(broken), broken, trace_of_hook)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)
        at_end()

    sys.excepthook = show


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from where the program begins: behind the first run of frames of this file."""
    is_ours = False
    while trace is not None:
        was_ours, is_ours = is_ours, trace.tb_frame.f_code.co_filename == __file__
        if was_ours and not is_ours:
            break
        trace = trace.tb_next
    return trace
