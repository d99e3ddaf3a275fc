"""The commands `parazip` and `parapex`.

`parazip run` is apart from the first line on: what the other commands need (click, signal handlers,
error messages) would disturb a program that is somebody else's.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line and exits; returns where a program was run and has ended."""
    if sys.argv[1:2] == ["run"]:
        from parazip.cli.run import own

        with own.importing_from():  # the program's folder may be in front, with a `linecache.py`
            from parazip.cli.run.program import run_program
            from parazip.cli.run.request import Request

        request = Request.read(sys.argv[2:])
        if request is not None:
            run_program(request)
            return
    try:
        from parazip.cli import commands
    except KeyboardInterrupt:
        sys.exit("parazip: interrupted")
    commands.main()


def parapex() -> None:
    """Runs pex itself; or `parazip pex`, where that is asked for."""
    from parazip.cli.commands import reporting_errors
    from parazip.pex.opt_in import load_command, wants_parallel_zip

    with reporting_errors():
        if wants_parallel_zip(sys.argv[1:], os.environ):
            sys.argv.insert(1, "pex")
            main()
        pex = load_command()
    sys.argv[0] = "pex"
    sys.exit(pex())  # type: ignore[arg-type] # it gives what sys.exit takes


if __name__ == "__main__":
    main()
