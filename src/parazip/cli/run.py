"""`parazip run`: any Python program, with `zipfile.ZipFile` replaced by parazip's.

The program runs as if Python had started it: as the module `__main__` until the process ends, with
its own arguments, its own folder first in `sys.path`, its own exit code, its own tracebacks, and
signals as Python finds them.
"""

from __future__ import annotations

import atexit
import builtins
import io
import os
import pkgutil
import runpy
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.machinery import SourcelessFileLoader
from types import ModuleType
from typing import Any, NoReturn

import click

from parazip.errors import SettingsError

_as_main: Callable[..., object] = runpy._run_module_as_main  # type: ignore[attr-defined]
"""What python -m itself calls. The public functions of runpy take `__main__` away afterwards."""


class _Run(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What stands behind MODULE or SCRIPT is the program's, whatever it looks like."""
        if args[:1] == ["-m"] and len(args) > 1:
            args = [*args[:2], "--", *args[2:]]
        return super().parse_args(ctx, args)


@click.command(
    cls=_Run,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "allow_interspersed_args": False,
    },
)
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("program", metavar="SCRIPT | -m MODULE [ARGS]...", nargs=-1)
def run(module: str | None, program: tuple[str, ...]) -> None:
    """Run a Python program, with its zip archives made on all cores.

    Where it looks up zipfile.ZipFile, it gets parazip's: the same calls, the same members and
    contents, other compressed bytes. Other processes that it starts are left as they are.
    """
    if module is None and not program:
        raise click.UsageError("name a script, or a module with -m")
    from parazip.dropin.patch import patch

    for name in ("SIGTERM", "SIGHUP"):  # a polite kill is no Ctrl-C there
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, signal.SIG_DFL)
    main = _new_main()
    is_place = False
    start: Callable[[], object]
    if module is not None:
        sys.argv[:] = [module, *program]
        start = partial(_as_main, module)
        folder = os.getcwd()
    else:
        sys.argv[:] = program
        path = os.path.abspath(program[0])
        if not os.path.exists(path):
            raise SettingsError(
                f"there is no file {program[0]}; for an installed command give its path, as in "
                f"$(command -v {program[0]}), or its module, as in -m {program[0]}"
            )
        is_place = pkgutil.get_importer(path) is not None  # a folder or an archive
        if is_place:
            start = partial(_as_main, "__main__", alter_argv=False)
            folder = path
        else:
            start = partial(_run_script, path, main)
            folder = os.path.dirname(os.path.realpath(path))
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif is_place:
        sys.path.insert(0, folder)
    patch()
    _run(start)


def _new_main() -> ModuleType:
    """A module `__main__` that has nothing of ours."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _run_script(path: str, main: ModuleType) -> None:
    main.__file__ = path
    exec(_code(path), main.__dict__)


def _code(path: str) -> Any:
    if path.endswith(".pyc"):
        return SourcelessFileLoader("__main__", path).get_code("__main__")
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec")


def _run(start: Callable[[], object]) -> NoReturn:
    """Runs the program and ends as Python ends: after Ctrl-C by the signal itself, last of all."""
    interrupted = False

    def end() -> None:
        if interrupted and os.name == "posix":
            for stream in sys.stdout, sys.stderr:
                with suppress(Exception):
                    stream.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)

    atexit.register(end)  # what the program registers is called before it
    try:
        start()
    except SystemExit:
        raise
    except KeyboardInterrupt as error:
        _tell(error)
        interrupted = True
        sys.exit(130)
    except BaseException as error:
        _tell(error)
        sys.exit(1)
    sys.exit(0)


def _tell(error: BaseException) -> None:
    """Shows a traceback without the frames that are not the program's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, _RUNPY):
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


_RUNPY = runpy.run_path.__code__.co_filename
