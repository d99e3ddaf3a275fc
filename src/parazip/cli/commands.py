"""The `parazip` command line: finds the face that a subcommand asks for, and has the last word.

The faces are named here and imported when they are asked for, so that `parazip --version` loads
none of them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import click

from parazip import __version__
from parazip.cli.outcomes import explain_error
from parazip.workers import starting

_FACES = {
    "create": ("parazip.cli.create", "Put files and folders into a new zip archive."),
    "merge": ("parazip.cli.merge", "Put zip archives and folders into one, without recompressing."),
    "update": ("parazip.cli.change", "Put files and folders into an archive, if they changed."),
    "delete": ("parazip.cli.change", "Take members out of an archive."),
    "pex": ("parazip.pex.command", "Build a PEX with pex's own command line, zipped fast."),
    "info": ("parazip.pex.info", "Tell what is in a PEX, and which Pythons can start it."),
    "run": ("parazip.cli.run.command", "Run a Python program, with zipfile.ZipFile on all cores."),
    "cache": ("parazip.cli.cache", "Show or empty the cache of finished parts."),
}


class _Faces(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_FACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _FACES:
            return None
        command = getattr(importlib.import_module(_FACES[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _FACES.items()])


@click.group(cls=_Faces, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="parazip", message="%(prog)s %(version)s")
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where finished parts are kept.  [default: PARAZIP_CACHE_DIR, else the user's cache]",
)
@click.option(
    "--cache-size",
    metavar="SIZE",
    help="How much they may take.  [default: PARAZIP_CACHE_SIZE, else 5G]",
)
@click.pass_context
def parazip(context: click.Context, /, cache_dir: str | None, cache_size: str | None) -> None:
    """Make zip archives and PEX files on all the cores of this machine."""
    context.obj = (cache_dir, cache_size)
    starting.may_fork = context.invoked_subcommand != "run"  # that is another program's process


def main() -> None:
    """Runs the command line and exits; returns where a program was run and has ended."""
    # Not click's own main: it takes a broken pipe for its own affair and says nothing.
    with (
        _kill_taken_for_interrupt(),
        last_word(),
        parazip.make_context("parazip", sys.argv[1:]) as context,
    ):
        program = parazip.invoke(context)
    if program is None:
        sys.exit(0)
    program()


@contextlib.contextmanager
def last_word() -> Iterator[None]:
    """Tells errors in a line and exits."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SystemExit:
        raise
    except BaseException as error:
        outcome = explain_error(error)
        if isinstance(error, BrokenPipeError):  # who reads standard output has seen enough
            _end_standard_output()
            sys.exit(1)
        if outcome is None:
            raise
        if outcome.is_of_output:
            _end_standard_output()
        _fail(*outcome.messages, code=outcome.code)


def _end_standard_output() -> None:
    """Lets Python's own flush at the end have nowhere to fail."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _kill_taken_for_interrupt() -> Iterator[None]:
    """A polite kill is treated like Ctrl-C: what was begun is taken back."""
    taken = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            taken.append(number)
    yield
    for number in taken:  # a program that is run finds them as Python does
        signal.signal(number, signal.SIG_DFL)


def _fail(*messages: str, code: int = 1) -> NoReturn:
    if sys.stderr is not None:  # print would take standard output instead
        from parazip.display import make_printable

        for message in messages:
            print(f"parazip: {make_printable(message)}", file=sys.stderr)
    sys.exit(code)
