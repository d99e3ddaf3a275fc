"""Whether the first boot of a PEX would find everything done; nothing is made to know it.

Only the PEX's own code knows which folder it looks for: for a venv that depends on the Python that
starts it, which is found by a shell, the system or the user. So the PEX is started, with a program
of ours as the one that it goes on with before it does anything: pex's `__PEX_ENTRY_POINT__`, which
is there for PEXes that are laid out elsewhere. That program asks the same code for the folder, with
all that makes things taken out.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

from parazip.errors import ParazipError
from parazip.pex.booting import BOOTSTRAP, start, unpacked_bootstrap

_PROGRAM = """\
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, ".bootstrap"))
from argparse import Namespace
from pex import layout
from pex.pex_info import PexInfo
from pex.variables import venv_dir

class Reached(Exception):
    pass

def reach(folder, **options):
    raise Reached(str(folder))

pex = os.environ["PARAZIP_PEX"]
info = PexInfo.from_pex(pex)
info.update(PexInfo.from_env())
if info.venv:
    folder = str(venv_dir(
        pex_root=info.raw_pex_root,
        pex_hash=info.pex_hash,
        has_interpreter_constraints=bool(info.interpreter_constraints),
        pex_file=pex,
        pex_path=info.pex_path,
    ))
    is_done = os.access(os.path.join(folder, "pex"), os.X_OK)
else:
    layout.atomic_directory = reach
    layout.cache_access = Namespace(read_write=lambda: None)
    try:
        folder = layout.ensure_installed(pex, info.raw_pex_root, info.pex_hash)
    except Reached as reached:
        folder = str(reached)
    is_done = os.path.exists(folder)
print(json.dumps([folder, is_done]))
"""
"""Runs under the Python of the PEX, which may be a 2.7."""

_STARTED = "import json, sys; print(json.dumps([sys.prefix, True]))"
"""What a PEX runs that starts a venv without a look at `__PEX_ENTRY_POINT__`: so it is there."""


class FirstBoot(NamedTuple):
    """What the first boot of a PEX makes.

    Attributes:
        folder: where the PEX is laid out, or its venv.
        is_done: whether that is there.
    """

    folder: str
    is_done: bool


def find_first_boot(pex: str, python: str | None, environment: Mapping[str, str]) -> FirstBoot:
    """Finds what the first boot of a PEX makes, and makes nothing.

    Args:
        pex: its path, a file or a folder.
        python: a Python to start it with; None for that of its first line.
        environment: in which it would be started, with `PEX_INTERPRETER`.

    Raises:
        ParazipError: it cannot be started, or its pex cannot be asked.
    """
    with unpacked_bootstrap(pex) as bootstrap, tempfile.TemporaryDirectory() as folder:
        _require_entry_point(pex, bootstrap)
        with open(os.path.join(folder, "__main__.py"), "w", encoding="ascii") as program:
            program.write(_PROGRAM)
        # pex 2.60 looks for itself beside the program that it goes on with.
        shutil.copytree(bootstrap, os.path.join(folder, BOOTSTRAP))
        ours = {"__PEX_ENTRY_POINT__": folder, "PARAZIP_PEX": pex, "PYTHONDONTWRITEBYTECODE": "1"}
        done = start(pex, python, ["-c", _STARTED], {**environment, **ours})
        if done.returncode:
            raise ParazipError(f"{pex} does not start here; what is wrong stands above", member=pex)
    try:
        return FirstBoot(*json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, TypeError, ValueError):
        raise ParazipError(
            f"{pex} does not tell which folder it looks for; it said {done.stdout[:200]!r}",
            member=pex,
        ) from None


def _require_entry_point(pex: str, bootstrap: str) -> None:
    """Makes sure that a PEX goes on with our program, and does not lay itself out."""
    try:
        with open(os.path.join(bootstrap, "pex", "pex_boot.py"), encoding="utf-8") as source:
            is_known = "__PEX_ENTRY_POINT__" in source.read()
    except FileNotFoundError:
        is_known = False
    if not is_known:
        raise ParazipError(
            f"the pex in {pex} cannot be asked without starting it; "
            "seeding tells: it takes no time where all is done",
            member=pex,
        )
