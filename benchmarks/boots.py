"""The first boot of a PEX: by the PEX itself, and seeded before by `parazip seed`.

The PEXes are made of the lock of workload tensorflow. PEX_ROOT is new for each boot and each seed,
on a file system in memory where there is one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from benchmarks import compare, measure, workloads
from benchmarks.copying_commands import CACHE, Place, place
from benchmarks.model import Command, Tell
from benchmarks.table import markdown
from benchmarks.zip_file import folder_in_memory

NOTE = (
    "Stock: PEX -c pass with an empty PEX_ROOT. Seed: parazip seed with an empty one; start: the "
    "same as stock after it. Ratio: seed and start together against stock."
)
"""What is to be known about the table."""

_LAYOUTS = ((), ("--sh-boot",), ("--layout", "packed"), ("--venv", "--sh-boot"))


class Row(NamedTuple):
    """What was measured of a layout: seconds."""

    label: str
    stock: float
    seed: float
    start: float


def measured(runs: int, tell: Tell) -> list[Row]:
    """Boots and seeds each PEX in turn."""
    with compare.scratch() as scratch, folder_in_memory(scratch) as memory:
        at = place(scratch)
        return [_measure(at, options, memory, runs, tell) for options in _LAYOUTS]


def _measure(at: Place, options: tuple[str, ...], memory: str, runs: int, tell: Tell) -> Row:
    made, root = at.kept("app.pex"), os.path.join(memory, "root")
    label = " ".join(options) or "one file"
    # A PEX with --sh-boot looks for its interpreter on PATH.
    path = os.pathsep.join((os.path.dirname(at.python), os.environ["PATH"]))
    build = (sys.executable, "-m", "parazip", "pex", "--python", at.python, "--lock", at.lock)
    kept = (("PEX_ROOT", at.pex_root), (CACHE, at.kept("parts")), ("PATH", path))
    tell(f"making the PEX: {label}")
    measure.make(Command(label, (*build, *options, "-o", made), environment=kept), made)
    workloads.read(made)
    program = os.path.join(made, "__main__.py") if os.path.isdir(made) else made
    start = (program,) if "--sh-boot" in options else (at.python, program)
    seed = (sys.executable, "-m", "parazip", "seed", "-q", "--python", at.python, made)

    def command(step: str, arguments: tuple[str, ...], is_new: bool = False) -> Command:
        forget = partial(shutil.rmtree, root, ignore_errors=True) if is_new else None
        environment = (("PEX_ROOT", root), ("PATH", path))
        return Command(
            f"{label}, {step}", arguments, slow=True, environment=environment, before=forget
        )

    turn = (
        command("stock", (*start, "-c", "pass"), is_new=True),
        command("seed", seed, is_new=True),
        command("start", (*start, "-c", "pass")),
    )
    found = measure.in_turn(turn, runs, at.scratch, tell)
    shutil.rmtree(made) if os.path.isdir(made) else os.unlink(made)
    shutil.rmtree(root)
    return Row(label, *(found[each].seconds for each in turn))


def table(rows: Sequence[Row]) -> str:
    """All layouts as one Markdown table."""
    cells = [
        (label, f"{stock:.1f}", f"{seed:.1f}", f"{start:.2f}", f"{(seed + start) / stock:.2f}")
        for label, stock, seed, start in rows
    ]
    return markdown(("layout", "stock, s", "seed, s", "start, s", "ratio"), cells)
