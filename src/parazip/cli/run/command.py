"""`parazip run` as click sees it: its help page, and its complaint about a command line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from parazip.cli.run.program import run_program
from parazip.cli.run.request import Request


class _Run(click.Command):
    """A command that leaves its arguments to `Request.read`, as most are the program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] in (["-h"], ["--help"]):
            click.echo(self.get_help(ctx))
            ctx.exit()
        ctx.params["arguments"] = args
        return []


@click.command(
    cls=_Run,
    context_settings={"help_option_names": ["-h", "--help"]},
    options_metavar="[--children]",
)
@click.option(
    "--children",
    is_flag=True,
    help="Do the same in the Python processes that the program starts.",
)
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.option("-c", "code", metavar="CODE", help="Run a piece of code, as python -c does.")
@click.argument("program", metavar="SCRIPT | -m MODULE | -c CODE | - [ARGS]...", nargs=-1)
def run(arguments: list[str]) -> Callable[[], None]:
    """Run a Python program, with its zip archives made on all cores.

    When it uses zipfile.ZipFile, it gets parazip's: the same calls, members and contents, but other
    compressed bytes. With - the program is read from standard input.
    """
    request = Request.read(arguments)
    if request is None:
        option = next((word for word in arguments if word != "--children"), "")
        if option.startswith("-") and option not in ("-m", "-c"):
            raise click.UsageError(
                f"there is no option {option}; those of Python go in front of parazip: "
                "python OPTION... -m parazip run"
            )
        raise click.UsageError("name a script, a module with -m, or code with -c")
    return partial(run_program, request)
