"""Replaces the classes in a child of `parazip run --children`; see `parazip.cli.run.children`.

Any Python may come by, 2.7 as well. What goes wrong leaves the child with the standard library's
classes, and says nothing. In the end another `sitecustomize` gets its turn, as without this one.
"""

# Python 2 knows no annotations.
# mypy: ignore-errors

import os
import sys


def _replace_classes():
    from importlib.machinery import EXTENSION_SUFFIXES

    prefix, suffix, path = os.environ["PARAZIP_CHILDREN"].split(os.pathsep, 2)
    if [prefix, suffix] != [sys.base_prefix, EXTENSION_SUFFIXES[0]]:
        return
    path = path.split(os.pathsep)
    theirs = sys.path[:]
    sys.path[:] = path
    try:
        from parazip.cli.run.children import take_over
    finally:
        sys.path[:] = theirs
    take_over(path)


def _take_back():
    if "parazip.dropin.patch" in sys.modules:
        sys.modules["parazip.dropin.patch"].unpatch()
    for name in list(sys.modules):
        if name.split(".")[0] == "parazip":
            del sys.modules[name]


_folder = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _folder]
try:
    _replace_classes()
except Exception:
    _take_back()

# This module is not there any more: either another one takes its place here, or the error says to
# `site` that there is none.
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402, F401
