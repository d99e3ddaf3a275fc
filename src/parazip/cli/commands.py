"""The `parazip` command line: finds the command that is asked for, and reports its errors.

The commands are named here and imported when they are asked for, so that `parazip --version` loads
none of them.
"""

from __future__ import annotations

import contextlib
import gc
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

_COMMANDS = {
    "create": ("parazip.cli.create", "Put files and folders into a new zip archive."),
    "merge": ("parazip.cli.merge", "Put zip archives and folders into one, without recompressing."),
    "update": ("parazip.cli.change", "Put files and folders into an archive, if they changed."),
    "delete": ("parazip.cli.change", "Take members out of an archive."),
    "push": ("parazip.cli.push", "Bring an archive into S3, and send only what has changed."),
    "extract": ("parazip.cli.extract", "Extract an archive on all cores."),
    "list": ("parazip.cli.extract", "List what is in an archive."),
    "verify": ("parazip.cli.verify", "Read archives back on all cores, and tell what is wrong."),
    "pex": ("parazip.pex.command", "Build a PEX with pex's own command line, zipped fast."),
    "info": ("parazip.pex.info", "Show what is in a PEX, and which Pythons can start it."),
    "seed": ("parazip.pex.seed", "Do what the first boot of a PEX would do, on all cores."),
    "run": ("parazip.cli.run.command", "Run a Python program, with zipfile.ZipFile on all cores."),
    "cache": ("parazip.cli.cache", "Show or empty the cache of finished parts."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command = getattr(module, "list_command" if cmd_name == "list" else cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="parazip", message="%(prog)s %(version)s")
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where finished parts are kept.  [default: PARAZIP_CACHE_DIR, else the user's cache]",
)
@click.option(
    "--cache-size",
    metavar="SIZE",
    help="How much room they may take.  [default: PARAZIP_CACHE_SIZE, else 5G]",
)
@click.pass_context
def parazip(context: click.Context, /, cache_dir: str | None, cache_size: str | None) -> None:
    """Make zip archives and PEX files on all the cores of this machine."""
    context.obj = (cache_dir, cache_size)
    if context.invoked_subcommand != "run":  # that is another program's process
        starting.may_fork = True
        # A directory of 50,000 members makes no garbage, and looking for some takes a third of the
        # time that reading it takes.
        gc.set_threshold(1_000_000)


def main() -> None:
    """Runs the command line and exits; returns where a program was run and has ended."""
    # Not click's own main: it handles a broken pipe itself and says nothing.
    with (
        reporting_errors(),
        _taking_kill_for_interrupt(),
        parazip.make_context("parazip", sys.argv[1:]) as context,
    ):
        program = parazip.invoke(context)
    if program is None:
        sys.exit(0)
    program()


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """In this block errors are told in a line each, and end the process."""
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
            _discard_standard_output()
            sys.exit(1)
        if outcome is None:
            raise
        if outcome.is_of_output:
            _discard_standard_output()
        _exit_with(*outcome.messages, code=outcome.code)


def _discard_standard_output() -> None:
    """Python flushes standard output when it ends; this leaves it nothing that could fail."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _taking_kill_for_interrupt() -> Iterator[None]:
    """In this block SIGTERM and SIGHUP act like Ctrl-C: what was begun is taken back."""
    taken = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            taken.append(number)
    yield
    for number in taken:  # a program that is run finds them as Python leaves them
        signal.signal(number, signal.SIG_DFL)


def _exit_with(*messages: str, code: int = 1) -> NoReturn:
    if sys.stderr is not None:  # print would take standard output instead
        from parazip.display import make_printable

        for message in messages:
            print(f"parazip: {make_printable(message)}", file=sys.stderr)
    sys.exit(code)
