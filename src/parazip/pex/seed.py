"""`parazip seed PEX`: does what the first boot of a PEX would do, on all cores.

A process of its own lays out the PEX (`seeding`). Then the PEX is started by its own code, to do
nothing: so whatever else a first boot makes, a venv for one, is made by the pex that is in there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import click

from parazip.codecs.libraries import find_library_folders
from parazip.display import MODES, Display, Mode, format_size, print_json
from parazip.errors import OutputError, ParazipError
from parazip.pex.booting import start, unpacked_bootstrap
from parazip.pex.info import read_pex_info
from parazip.pex.seeded import find_first_boot
from parazip.settings import Settings, parse_size

_PROGRAM = "import sys; sys.path += {folders!r}; from parazip.pex.seeding import main; main()"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pex", metavar="PEX")
@click.option("--pex-root", metavar="DIR", help="Where PEXes are laid out.  [default: pex's own]")
@click.option(
    "--python", metavar="PATH", help="Start the PEX with this Python.  [default: by its first line]"
)
@click.option("--compile", "compiles", is_flag=True, help="Also compile all modules to bytecode.")
@click.option(
    "--check", "checks", is_flag=True, help="Make nothing; exit with 1 if anything is to be done."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), help="How many work at once.  [default: all CPUs]"
)
@click.option(
    "--memory",
    metavar="SIZE",
    default="256M",
    show_default=True,
    callback=lambda context, option, value: parse_size(value),
    help="How many bytes may be in flight at once.",
)
@click.option(
    "--progress",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal. plain: lines for a log. json: one object per line.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--json", "as_json", is_flag=True, help="Tell what was made as one JSON document.")
def seed(
    pex: str,
    pex_root: str | None,
    python: str | None,
    compiles: bool,
    checks: bool,
    jobs: int | None,
    memory: int,
    progress: Mode,
    quiet: bool,
    as_json: bool,
) -> None:
    """Do what the first boot of PEX, a file or a folder, would do, on all cores.

    PEX is laid out in PEX_ROOT, and its first start finds that done. It is not run. It needs
    nothing of parazip then or later.
    """
    began = time.monotonic()
    settings = Settings(jobs=jobs, memory=memory)
    read_pex_info(pex)  # which says clearly what is no PEX
    environment = {**os.environ, "PEX_INTERPRETER": "1"}
    if pex_root is not None:
        environment["PEX_ROOT"] = os.path.abspath(pex_root)
    path = os.path.abspath(pex)
    if checks:
        if compiles:
            raise click.UsageError("--check makes nothing, and does not look for bytecode")
        first_boot = find_first_boot(path, python, environment)
        if as_json:
            print_json({"pex": pex, **first_boot._asdict()})
        elif not quiet:
            what = "is there" if first_boot.is_done else "is still to be made"
            Display("none").show_line(f"{pex}: {first_boot.folder} {what}")
        sys.exit(0 if first_boot.is_done else 1)
    if pex_root is not None:
        _require_folder(pex_root)
    with unpacked_bootstrap(path) as bootstrap:
        is_quiet = quiet or as_json
        laid_out = _lay_out(path, bootstrap, environment, settings, progress, is_quiet)
    _start(path, python, environment, laid_out["folder"])
    if compiles:
        _compile(python or sys.executable, laid_out["folder"], jobs)
    laid_out["seconds"] = time.monotonic() - began
    if as_json:
        print_json({"pex": pex, **laid_out})
    elif not quiet:
        Display("none").show_line(
            f"{pex}: {laid_out['members']:,} files, {format_size(laid_out['bytes'])} in "
            f"{laid_out['seconds']:.1f} s: {laid_out['folder']}"
        )


def _require_folder(path: str) -> None:
    """Makes sure that a PEX_ROOT can be written to: pex would take another one without it."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        raise OutputError.of(path, error, "name a folder, or one that is not there") from error
    except OSError as error:
        raise OutputError.of(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {path}: permission denied", member=path)


def _lay_out(
    pex: str,
    bootstrap: str,
    environment: dict[str, str],
    settings: Settings,
    progress: Mode,
    quiet: bool,
) -> dict[str, Any]:
    asked = {
        "pex": pex,
        "front": [bootstrap],
        "jobs": settings.jobs,
        "memory": settings.memory,
        "progress": progress,
        "quiet": quiet,
    }
    program = _PROGRAM.format(folders=find_library_folders())
    command = [sys.executable, "-I", "-S", "-c", program, json.dumps(asked)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ParazipError(f"{pex} was not laid out; what is wrong stands above", member=pex)
    laid_out: dict[str, Any] = json.loads(done.stdout)
    return laid_out


def _start(pex: str, python: str | None, environment: dict[str, str], folder: str) -> None:
    """Starts a PEX that is laid out in a folder, to do nothing.

    It is started from that folder, as its code in a file starts itself once more. In the file it
    would read the whole directory a dozen times before.
    """
    done = start(pex, python, ["-c", ""], {**environment, "__PEX_EXE__": pex}, folder)
    if done.returncode:
        raise ParazipError(
            f"{pex} is laid out, but does not start here; what is wrong stands above", member=pex
        )


def _compile(python: str, folder: str, jobs: int | None) -> None:
    """Compiles all modules of a PEX that is laid out in a folder: most of it are links."""
    deps = os.path.join(folder, ".deps")
    places = [folder, *([deps] if os.path.isdir(deps) else [])]
    paths = [os.path.realpath(entry.path) for place in places for entry in os.scandir(place)]
    command = [python, "-m", "compileall", "-q", "-j", str(jobs or 0), *sorted(paths)]
    subprocess.run(command, check=False)  # a module for another Python is no failure
