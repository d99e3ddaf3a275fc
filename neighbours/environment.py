"""What a suite needs: its sources, and a virtual environment with the package and parazip.

All of it is in a cache folder outside the repository, and made once. Each thing is made under
another name and renamed when complete, so what is there is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from typing import TypeAlias

import click

from neighbours.packages import SDIST, WHEEL, Neighbour

Tell: TypeAlias = Callable[[str], None]

_PYTEST = "pytest==9.0.2"
_REPOSITORIES = "https://github.com/"
_PLUGINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plugins")


def cache_folder() -> str:
    """Where it all is: $PARAZIP_NEIGHBOURS_CACHE, or a folder of the user's cache."""
    chosen = os.environ.get("PARAZIP_NEIGHBOURS_CACHE")
    if chosen:
        return os.path.abspath(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "parazip-neighbours")


def prepare(neighbour: Neighbour, python: str, parazip: str, tell: Tell) -> str:
    """The interpreter of an environment for a package.

    Args:
        neighbour: the package.
        python: the interpreter that the environment is made with.
        parazip: the checkout of parazip that is installed there, as it is whenever it is used.
        tell: is told what takes long.
    """
    wanted = repr(
        (python, _PYTEST, neighbour.name, neighbour.version, tuple(neighbour.needs.split()))
    )
    mark = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    folder = os.path.join(cache_folder(), "environments", f"{neighbour.name}-{mark}")
    inside = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "ready")
    if not os.path.exists(ready):
        tell(f"{neighbour.name}: installing")
        shutil.rmtree(folder, ignore_errors=True)
        _call([python, "-m", "venv", folder])
        package = f"{neighbour.name}=={neighbour.version}"
        _call([*_pip(inside), "install", _PYTEST, package, *neighbour.needs.split()])
        with open(ready, "w"):
            pass
    _install_parazip(folder, inside, parazip)
    return inside


def _install_parazip(folder: str, python: str, parazip: str) -> None:
    """Installs it from its checkout, and puts the plugins where pytest finds them."""
    chosen = os.path.join(folder, "parazip")
    wanted = f"{parazip}\n{_text(os.path.join(parazip, 'pyproject.toml'))}"
    if not os.path.exists(chosen) or _text(chosen) != wanted:
        _call([*_pip(python), "install", "-e", parazip])
        with open(chosen, "w", encoding="utf-8") as file:
            file.write(wanted)
    with open(os.path.join(packages(python), "neighbours.pth"), "w") as file:
        file.write(_PLUGINS + "\n")


def packages(python: str) -> str:
    """The folder of the packages that are installed for an interpreter."""
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def tests(neighbour: Neighbour, python: str, folder: str, tell: Tell) -> str:
    """The folder to run a suite in: `folder` with fresh sources, or that of what is installed."""
    if neighbour.tests_in == WHEEL:
        return packages(python)
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(_sources(neighbour, python, tell)) as archive:
        partial = folder + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        archive.extractall(partial, filter="data")
    (top,) = (name for name in os.listdir(partial) if name != "pax_global_header")
    os.rename(os.path.join(partial, top), folder)
    shutil.rmtree(partial)
    return folder


def _sources(neighbour: Neighbour, python: str, tell: Tell) -> str:
    """The path of the archive of the sources, fetched if it is not there yet."""
    origin = neighbour.tests_in.replace("/", "+")
    name = f"{neighbour.name}-{neighbour.version}-{origin}"
    folder = os.path.join(cache_folder(), "sources", name)
    if not os.path.isdir(folder):
        tell(f"{neighbour.name}: fetching the sources")
        partial = folder + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        if neighbour.tests_in == SDIST:
            _download(neighbour, python, partial)
        else:
            _clone(neighbour, partial)
        os.rename(partial, folder)
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def _download(neighbour: Neighbour, python: str, folder: str) -> None:
    package = f"{neighbour.name}=={neighbour.version}"
    chosen = ["--no-deps", "--no-binary", neighbour.name, package]
    _call([*_pip(python), "download", "-d", folder, *chosen])


def _clone(neighbour: Neighbour, folder: str) -> None:
    repository, _, tag = neighbour.tests_in.partition("@")
    clone = os.path.join(folder, "clone")
    quiet = ["git", "-c", "advice.detachedHead=false"]
    _call([*quiet, "clone", "-q", "--depth=1", "-b", tag, _REPOSITORIES + repository, clone])
    shutil.rmtree(os.path.join(clone, ".git"))
    with tarfile.open(os.path.join(folder, "sources.tar.gz"), "w:gz") as archive:
        archive.add(clone, neighbour.name)
    shutil.rmtree(clone)


def _pip(python: str) -> list[str]:
    return [python, "-m", "pip", "-q", "--disable-pip-version-check"]


def _call(command: list[str]) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        told = done.stdout.decode(errors="replace")[-2000:]
        raise click.ClickException(f"{' '.join(command)} failed:\n{told}")


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
