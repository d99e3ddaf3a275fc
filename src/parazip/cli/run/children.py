"""Hands the replaced classes to the Python processes that a program starts.

Python imports a module `sitecustomize` at its start, if there is one. The folder `hook` has one; it
is put first into the PYTHONPATH that children inherit, and what it needs to find us into another
variable. Programs that isolate a child (pip and build do) give it an environment of its own: so
both are also put into each environment that is handed to a new process. A child does the same.

With -I, -E or -S Python looks for no such module: these children keep the standard library's
classes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from parazip.cli.run import own

_HOOK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hook")
_PATH = "PYTHONPATH"
_CHILDREN = "PARAZIP_CHILDREN"

_STARTS: tuple[tuple[Any, str, int], ...] = (
    (subprocess.Popen, "__init__", 11),
    (os, "execve", 2),
    (os, "posix_spawn", 2),
    (os, "posix_spawnp", 2),
)
"""What is given an environment, and as which argument. All else goes through these."""


def hand_over(path: list[str]) -> None:
    """Lets the Python processes that are started from now on replace their classes.

    Only those of this very installation of Python do so, or of a virtual environment of it: the
    codecs were built for it.

    Args:
        path: where they find parazip, its codecs and the standard library.
    """
    folders = [folder for folder in map(os.path.abspath, path) if os.pathsep not in folder]
    os.environ[_CHILDREN] = os.pathsep.join([sys.base_prefix, EXTENSION_SUFFIXES[0], *folders])
    os.environ[_PATH] = _add_hook(os.environ.get(_PATH))
    _watch_starts()


def take_over(path: list[str]) -> None:
    """Replaces the classes in a child, before its program starts, and hands them on."""
    own.replace_classes(path)
    own.release_modules([*own.first_folders(), *sys.path])
    _watch_starts()


def _add_hook(folders: str | None) -> str:
    """A PYTHONPATH with the hook at its front."""
    theirs = [folder for folder in (folders or "").split(os.pathsep) if folder not in ("", _HOOK)]
    return os.pathsep.join([_HOOK, *theirs])


def _watch_starts() -> None:
    """Puts the two variables into each environment that is handed to a new process."""
    place = os.environ[_CHILDREN]

    def add_variables(environment: Any) -> Any:
        if not isinstance(environment, Mapping):  # None, or what the function itself will refuse
            return environment
        names = {os.fsdecode(name): name for name in environment}
        theirs = environment.get(names.get(_PATH))
        return {
            **environment,
            names.get(_PATH, _PATH): _add_hook(theirs and os.fsdecode(theirs)),
            names.get(_CHILDREN, _CHILDREN): place,
        }

    def wrap(function: Callable[..., Any], position: int) -> Callable[..., Any]:
        @wraps(function)
        def start(*args: Any, **kwargs: Any) -> Any:
            if len(args) > position:
                args = (*args[:position], add_variables(args[position]), *args[position + 1 :])
            elif "env" in kwargs:
                kwargs["env"] = add_variables(kwargs["env"])
            return function(*args, **kwargs)

        return start

    for owner, name, position in _STARTS:
        if hasattr(owner, name):
            setattr(owner, name, wrap(getattr(owner, name), position))
