"""`parazip run`: any Python program, with `zipfile.ZipFile` replaced by parazip's.

The program runs as if Python had started it by its absolute path: with its own arguments, its own
folder first in `sys.path`, its own exit code, its own tracebacks, and signals as Python finds them.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from parazip.errors import SettingsError


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
    patch()
    if module is None:
        script, *arguments = program
        if not os.path.exists(script):
            raise SettingsError(
                f"there is no file {script}; for an installed command give its path, as in "
                f"$(command -v {script}), or its module, as in -m {script}"
            )
        path = os.path.abspath(script)
        _prepare([script, *arguments], os.path.dirname(path))
        _run(lambda: runpy.run_path(path, run_name="__main__"))
    else:
        _prepare([module, *program], os.getcwd())
        _run(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))


def _prepare(argv: list[str], folder: str) -> None:
    sys.argv[:] = argv
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _run(program: Callable[[], object]) -> NoReturn:
    """Runs the program and ends as Python ends."""
    try:
        program()
    except SystemExit:
        raise
    except KeyboardInterrupt as error:
        _tell(error)
        if os.name == "posix":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
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
    if trace is None and isinstance(error, ImportError):  # not even found
        print(f"parazip: {error}", file=sys.stderr)
    else:
        sys.excepthook(type(error), error.with_traceback(trace), trace)


_RUNPY = runpy.run_path.__code__.co_filename
