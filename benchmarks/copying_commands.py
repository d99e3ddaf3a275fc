"""The commands of `copying`: what copies compressed data, each beside a `cp` of as many bytes.

What is put into archives is the lock of workload tensorflow: as a PEX, as wheels, and as a tree.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from dataclasses import dataclass, replace
from functools import partial

import click

from benchmarks import commands, workloads
from benchmarks.model import OUTPUT, STEPS, Command
from benchmarks.workloads import Workload

_STEP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pex_step.py")
CACHE = "PARAZIP_CACHE_DIR"
"""The variable that tells parazip where its cache is."""
_PEX_PARTS = "pex-parts"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is.

    Attributes:
        workload: whose lock it is.
        lock: the lock's path.
        python: the interpreter that the lock is for.
        pex_root: pex's own cache, with all that the lock asks for once pex has run.
        scratch: a folder for what is kept between runs.
    """

    workload: Workload
    lock: str
    python: str
    pex_root: str
    scratch: str

    @property
    def installed(self) -> str:
        """Where pex has installed the lock's wheels."""
        return os.path.join(self.pex_root, "installed_wheels")

    def kept(self, name: str) -> str:
        """The path of something that is kept."""
        return os.path.join(self.scratch, name)


def place(scratch: str) -> Place:
    """All that the measuring needs; `ClickException` if something is missing."""
    if shutil.which("cp") is None:
        raise click.ClickException("there is no cp on PATH")
    workload = workloads.find("tensorflow")
    lock = workloads.lock()
    if not os.path.exists(lock):
        raise click.ClickException(
            f"there is no {lock}; remove {workload.folder}, "
            "then make both with: python -m benchmarks prepare tensorflow"
        )
    pex_root = os.path.join(workloads.cache_folder(), "pex_root")
    return Place(workload, lock, workloads.python38(), pex_root, scratch)


def wheels(at: Place) -> dict[str, str]:
    """The wheels of the lock by name, as pex has downloaded or built them."""
    found = {}
    root = glob.escape(at.pex_root)
    for name in sorted(os.listdir(os.path.join(at.workload.folder, ".deps"))):
        downloaded = glob.glob(os.path.join(root, "downloads", "*", "*", glob.escape(name)))
        pattern = os.path.join(root, "built_wheels", "**", glob.escape(name))
        paths = sorted(downloaded) or sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise click.ClickException(f"pex has no {name} in {at.pex_root}")
        found[name] = paths[0]
    return found


def cp(label: str, source: str) -> Command:
    """The yardstick: a copy of a file that is in the page cache."""
    return Command(label, ("cp", source, OUTPUT), before=partial(workloads.read, source))


def pex(at: Place, at_most: int) -> Command:
    """The rival, pex itself; a few runs of it are enough, as one takes a minute."""
    return replace(_step("pex (stock)", at, "pex"), slow=True, at_most=at_most)


def parazip(at: Place, *copied: str) -> Command:
    """What is measured: parazip's pex, here without its cache.

    Args:
        at: where everything is.
        copied: the wheels, as far as they are there, to be in the page cache.
    """
    step = _step("parazip pex --no-cache", at, "parazip", "--no-cache")
    return replace(step, before=partial(workloads.read, at.installed, *copied))


def parazip_cold(at: Place, *copied: str) -> Command:
    """The same with a cache that is empty; it is filled afterwards."""
    cache = at.kept(_PEX_PARTS)

    def empty() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        workloads.read(at.installed, *copied)

    step = _step("parazip pex, empty cache", at, "parazip", cache=cache)
    return replace(step, before=empty)


def parazip_warm(at: Place) -> Command:
    """The same with the cache that `parazip_cold` has filled."""
    cache = at.kept(_PEX_PARTS)
    step = _step("parazip pex, warm cache", at, "parazip", cache=cache)
    return replace(step, before=partial(workloads.read, cache))


def merge(found: dict[str, str]) -> Command:
    """All wheels in one archive, each below a folder of its name."""
    sources = [f".deps/{name}/={path}" for name, path in found.items()]
    arguments = commands.module("merge", "-q", OUTPUT, *sources)
    return Command("parazip merge", arguments, before=partial(workloads.read, *found.values()))


def create(at: Place) -> Command:
    """An archive of the workload's tree; when it is made again, nothing has changed."""
    cache = at.kept("create-parts")
    os.makedirs(cache, exist_ok=True)
    options = ("-q", "--cache", "-C", at.workload.folder)
    return Command(
        "parazip create --cache, warm",
        commands.module("create", *options, OUTPUT, "."),
        environment=((CACHE, cache),),
        before=partial(workloads.read, cache),
    )


def _step(label: str, at: Place, which: str, *options: str, cache: str = "") -> Command:
    arguments = (*options, "--python", at.python, "--lock", at.lock, "-o", OUTPUT)
    return Command(
        label,
        (sys.executable, _STEP, STEPS, which, *arguments),
        environment=(("PEX_ROOT", at.pex_root), (CACHE, cache)),
    )
