"""`parazip seed PEX`: does what the first boot of a PEX would do, on all cores.

A process of its own lays out the PEX (`seeding`). Then the PEX is started by its own code, to do
nothing: so whatever else a first boot makes, a venv for one, is made by the pex that is in there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from parazip.codecs.libraries import find_library_folders
from parazip.display import MODES, Display, Mode, format_size, print_json
from parazip.errors import OutputError, ParazipError
from parazip.extraction.extract import extract
from parazip.extraction.model import Extraction
from parazip.pex.info import read_pex_info
from parazip.settings import Settings, parse_size

_PROGRAM = "import sys; sys.path += {folders!r}; from parazip.pex.seeding import main; main()"
_BOOTSTRAP = ".bootstrap"

_MOST_FIRST_LINE = 4096


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pex", metavar="PEX")
@click.option("--pex-root", metavar="DIR", help="Where PEXes are laid out.  [default: pex's own]")
@click.option(
    "--python", metavar="PATH", help="Start the PEX with this Python.  [default: by its first line]"
)
@click.option("--compile", "compiles", is_flag=True, help="Also compile all modules to bytecode.")
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
        _require_folder(pex_root)
    path = os.path.abspath(pex)
    with _unpacked_bootstrap(path) as bootstrap:
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


@contextmanager
def _unpacked_bootstrap(pex: str) -> Iterator[str]:
    """The folder of the pex that a PEX brings along.

    Left in the PEX, it would read the PEX's whole directory again for each of a dozen packages.
    """
    found = os.path.join(pex, _BOOTSTRAP)
    if os.path.isdir(found):
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="parazip-") as folder:
        if os.path.isfile(found):
            extract(found, folder)
        else:
            extract(pex, folder, Extraction(members=(f"{_BOOTSTRAP}/",), strip_components=1))
        yield folder


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
    """Starts a PEX by its own code, to do nothing.

    It is started from the folder that it is laid out in, as its code in a file starts itself once
    more. In the file it would read the whole directory a dozen times before.
    """
    program = os.path.join(pex, "__main__.py") if os.path.isdir(pex) else pex
    interpreter = [python] if python else _read_interpreter(program)
    command = [*interpreter, folder] if interpreter else [program]
    environment = {**environment, "__PEX_EXE__": pex}
    try:
        done = subprocess.run([*command, "-c", ""], env=environment, check=False)
    except OSError as error:
        raise ParazipError(
            f"cannot start {program}: {error.strerror or error}; name a Python with --python",
            member=pex,
        ) from error
    if done.returncode:
        raise ParazipError(
            f"{pex} is laid out, but does not start here; what is wrong stands above", member=pex
        )


def _read_interpreter(program: str) -> list[str]:
    """The Python that the first line of a program names; none if that is a shell, which finds one.

    A system takes all that follows the first word for one argument.
    """
    with open(program, "rb") as file:
        line = file.readline(_MOST_FIRST_LINE).strip()
    words = os.fsdecode(line[2:]).split(maxsplit=1) if line.startswith(b"#!") else []
    return words if words and os.path.basename(words[0]) != "sh" else []


def _compile(python: str, folder: str, jobs: int | None) -> None:
    """Compiles all modules of a PEX that is laid out in a folder: most of it are links."""
    deps = os.path.join(folder, ".deps")
    places = [folder, *([deps] if os.path.isdir(deps) else [])]
    paths = [os.path.realpath(entry.path) for place in places for entry in os.scandir(place)]
    command = [python, "-m", "compileall", "-q", "-j", str(jobs or 0), *sorted(paths)]
    subprocess.run(command, check=False)  # a module for another Python is no failure
