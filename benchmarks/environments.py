"""Environments with programs of the package index, made once and kept beside the workloads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import workloads
from benchmarks.model import Tell


def find_python(name: str, packages: Sequence[str], tell: Tell) -> str:
    """The interpreter of an environment that has some packages; it is made if it is not there.

    Args:
        name: of the environment.
        packages: what it has, as pip takes them.
        tell: is told if it has to be made.
    """
    folder = os.path.join(workloads.cache_folder(), name)
    python = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "ready")
    wanted = "\n".join(packages)
    if not os.path.exists(ready) or _read(ready) != wanted:
        tell(f"installing {', '.join(packages)}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, *packages], check=True)
        with open(ready, "w", encoding="utf-8") as file:
            file.write(wanted)
    return python


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
