"""The workloads: folders in a cache outside the repository, made once and then kept.

`tensorflow` is what pex installs for a set of requirements with a very large wheel among them;
`sources` and `one` are parts of it, as hard links; `tiny` is generated. Each is made under another
name and renamed when complete, so what is there is whole.
"""

from __future__ import annotations

import glob
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

_REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorflow-gpu-py38.txt")
_SOURCES_LIMIT = 1 << 20
_READ_SIZE = 1 << 20

_TINY_SEED = 7
_TINY_FOLDERS = 200
_TINY_FILES = 250
_TINY_SIZES = (200, 2500)
_TINY_WORDS = 3000


@dataclass(frozen=True, slots=True)
class Workload:
    """A folder that is put into archives.

    Attributes:
        name: how the command line calls it.
        folder: where it is.
        files: how many it has, at any depth.
        size: bytes of all files.
    """

    name: str
    folder: str
    files: int
    size: int


def cache_folder() -> str:
    """Where the workloads are: $PARAZIP_BENCH_CACHE, or a folder of the user's cache."""
    chosen = os.environ.get("PARAZIP_BENCH_CACHE")
    if chosen:
        return os.path.abspath(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "parazip-bench")


def lock() -> str:
    """The path of the lock that tensorflow is made from."""
    return os.path.join(cache_folder(), "tensorflow.lock")


def find(name: str) -> Workload:
    """A workload that is there.

    Raises:
        ClickException: it was not made yet.
    """
    folder = os.path.join(cache_folder(), name)
    if not os.path.isdir(folder):
        raise click.ClickException(
            f"there is no workload {name} in {cache_folder()}; "
            f"make it with: python -m benchmarks prepare {name}"
        )
    return Workload(name, folder, sum(1 for _ in list_files(folder)), size(folder))


def prepare(name: str, tell: Callable[[str], None]) -> Workload:
    """A workload, made if it is not there yet."""
    folder = os.path.join(cache_folder(), name)
    if not os.path.isdir(folder):
        tell(f"making {name} in {cache_folder()}")
        os.makedirs(cache_folder(), exist_ok=True)
        partial = folder + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        _MAKERS[name](partial, tell)
        os.rename(partial, folder)
    return find(name)


def size(path: str) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(os.path.getsize(name) for name in list_files(path))


def read(*paths: str) -> None:
    """Reads files, and folders with all they hold: into the page cache if that is large enough."""
    buffer = bytearray(_READ_SIZE)
    for path in paths:
        for name in list_files(path):
            with open(name, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def list_files(path: str) -> Iterator[str]:
    """A file itself, or all files of a folder."""
    if not os.path.isdir(path):
        yield path
    for parent, _, names in os.walk(path):
        for name in names:
            yield os.path.join(parent, name)


def _tensorflow(folder: str, tell: Callable[[str], None]) -> None:
    """Resolves the requirements into a lock, once, and installs what it says."""
    python = python38()
    target = lock()
    if not os.path.exists(target):
        partial = target + ".partial"
        resolve = (
            *("lock", "create", "--python-path", os.path.dirname(python)),
            *("--interpreter-constraint", "CPython==3.8.*"),
            *("--resolver-version=pip-2020-resolver", "--indent", "2"),
            *("-r", _REQUIREMENTS, "-o", partial),
        )
        _pex("pex3", resolve, tell)
        os.rename(partial, target)
    install = ("--python", python, "--lock", target, "--layout", "loose", "-o", folder)
    _pex("pex", install, tell)


def python38() -> str:
    """A CPython 3.8 that runs; one on PATH may be a stand-in of a version manager that does not."""
    installed = sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.8*/bin/python3.8")))
    for candidate in (shutil.which("python3.8"), *installed):
        if candidate is None:
            continue
        question = [candidate, "-c", "import sys; print(sys.executable)"]
        answer = subprocess.run(question, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    raise click.ClickException(
        "the workload tensorflow needs CPython 3.8, and there is no python3.8 on PATH or under "
        "~/.pyenv/versions; install one, for example with: pyenv install 3.8"
    )


def _pex(script: str, arguments: tuple[str, ...], tell: Callable[[str], None]) -> None:
    """Runs one of pex's scripts of the environment that runs this."""
    path = os.path.join(os.path.dirname(sys.executable), script)
    if not os.path.exists(path):
        raise click.ClickException(f"there is no {script} beside {sys.executable}; install pex")
    tell(f"running {script} {' '.join(arguments)}")
    status = subprocess.run([path, *arguments], check=False).returncode
    if status:
        raise click.ClickException(f"{script} failed with status {status}")


def _sources(folder: str, tell: Callable[[str], None]) -> None:
    """The tree of tensorflow without its large files."""
    tree = prepare("tensorflow", tell).folder

    def large(parent: str, names: list[str]) -> set[str]:
        paths = {name: os.path.join(parent, name) for name in names}
        return {
            name
            for name, path in paths.items()
            if os.path.isfile(path) and os.path.getsize(path) > _SOURCES_LIMIT
        }

    shutil.copytree(tree, folder, symlinks=True, ignore=large, copy_function=link)


def _one(folder: str, tell: Callable[[str], None]) -> None:
    """The largest file of tensorflow."""
    largest = max(list_files(prepare("tensorflow", tell).folder), key=os.path.getsize)
    os.mkdir(folder)
    link(largest, os.path.join(folder, os.path.basename(largest)))


def link(source: str, target: str) -> None:
    """The same file under another name, or a copy where the file system has no hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _tiny(folder: str, tell: Callable[[str], None]) -> None:
    """Many short texts of words that compress as prose does."""
    generator = random.Random(_TINY_SEED)
    letters = "abcdefghijklmnopqrstuvwxyz_"
    words = [
        "".join(generator.choices(letters, k=generator.randint(2, 10))) for _ in range(_TINY_WORDS)
    ]
    least, most = _TINY_SIZES
    for parent in range(_TINY_FOLDERS):
        path = os.path.join(folder, f"d{parent:03}")
        os.makedirs(path)
        for number in range(_TINY_FILES):
            size = generator.randint(least, most)
            # A word and its space take three bytes or more: these are always enough.
            text = " ".join(generator.choices(words, k=size // 3 + 1))[:size]
            with open(os.path.join(path, f"f{number:03}.txt"), "w", encoding="ascii") as file:
                file.write(text)


_MAKERS: dict[str, Callable[[str, Callable[[str], None]], None]] = {
    "tensorflow": _tensorflow,
    "sources": _sources,
    "tiny": _tiny,
    "one": _one,
}

NAMES = tuple(_MAKERS)
"""All workloads."""
