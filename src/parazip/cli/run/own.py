"""Puts parazip's classes into `zipfile`, in a process that is somebody else's.

The program must import what it would find without us, and we must import what is ours. A program
may have a module `deflate` or `queue` of its own, or another version of click. So:

* All that the classes need, codecs included, is imported before the program starts, by a path on
  which parazip's own folders and the standard library come first. Nothing is imported later, when
  the program's folders and modules could be taken for ours.
* Then all but the standard library is taken out of `sys.modules`. Our modules still hold what they
  have imported; a program that imports the same name finds its own, or a second copy of ours.
* A module of the standard library goes too if the program's folders have one of its name.

Loading the codecs when the first archive is made would save 20 ms in programs that make none. But
it would have to change `sys.path` and `sys.modules` for a moment in a program with any threads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder

_COMMAND_LINE = ("click", "colorama", "parazip.__main__", "parazip.cli")

_STARTED = {"abc", "codecs", "encodings", "genericpath", "io", "ntpath", "os", "posixpath", "site"}
_STARTED |= {"stat", "sys", "zipimport", *sys.builtin_module_names}
"""What Python has loaded before it looks into the program's folders."""


def own_path() -> list[str]:
    """`sys.path`, with the program's folders at its end."""
    theirs = set()
    if not sys.flags.safe_path:
        theirs.update(sys.path[:1])
    if not sys.flags.ignore_environment:
        folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        with suppress(FileNotFoundError):  # the current folder is gone, and all that is in it
            theirs.update(map(os.path.abspath, folders))
    return sorted(sys.path, key=theirs.__contains__)


@contextmanager
def importing_from(path: list[str] | None = None) -> Iterator[None]:
    """In this block modules are found by `path`; by `own_path` if there is none."""
    theirs = sys.path[:]
    sys.path[:] = own_path() if path is None else path
    try:
        yield
    finally:
        sys.path[:] = theirs


def replace_classes(path: list[str]) -> None:
    """Replaces the classes in `zipfile`, with modules that are found by `path`.

    Leaves `sys.path` as it is, and no library in `sys.modules` that was not there before.
    """
    with importing_from(path):
        from parazip.codecs.table import CODECS
    packages = [codec.package for codec in CODECS.values() if codec.package]
    before = {name for name in packages if name in sys.modules}
    try:
        with importing_from(path):
            from parazip.dropin.patch import patch

            patch()
    finally:
        for name in packages:
            if name not in before:
                _forget(name)


def release_modules(path: list[str]) -> None:
    """Takes out of `sys.modules` what a program is to find by itself.

    Args:
        path: the program's `sys.path`.
    """
    for name in _COMMAND_LINE:
        _forget(name)
    library = os.path.dirname(os.__file__)
    ahead = path[: path.index(library)] if library in path else []
    known = sys.path_importer_cache.copy()
    for name in {name.partition(".")[0] for name in sys.modules}:
        if name in sys.stdlib_module_names and name not in _STARTED:
            spec = PathFinder.find_spec(name, ahead)
            if spec is not None and spec.loader is not None:
                _forget(name)
    # What is in the folders now is not to be remembered: the program has not looked yet.
    sys.path_importer_cache.clear()
    sys.path_importer_cache.update(known)


def first_folders() -> list[str]:
    """What Python is going to put first into `sys.path`, once `site` has been imported."""
    program = sys.argv[0]
    if program in ("", "-", "-c", "-m"):
        return [] if sys.flags.safe_path else [os.getcwd()]
    folders = [] if sys.flags.safe_path else [os.path.dirname(os.path.realpath(program))]
    return [os.path.abspath(program), *folders]


def _forget(module: str) -> None:
    """Takes a module out of `sys.modules`, and what is in it if it is a package."""
    for name in list(sys.modules):
        if name == module or name.startswith(f"{module}."):
            del sys.modules[name]
