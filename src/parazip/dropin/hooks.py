"""Tells whether somebody has replaced a function that the standard library would call for a job.

People count, show progress, log, forbid and fake by putting a function of theirs in the place of
`zipfile.ZipFile.extract`, `shutil.copyfileobj`, `open` and others. Such a hook has to be called as
often as ever, in this process, on the thread that asked for the job. So where there is one, the
standard library does the job. It also does where its private parts do not fit (`inside`).

Whether a function is a hook is told by where it comes from. To compare it with what stood there
when parazip was imported would not do, as the hook may be older. A wrapper has the globals of
another module, whatever `functools.wraps` has copied to it.
"""

from __future__ import annotations

import builtins
import genericpath
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from operator import attrgetter
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from parazip.dropin import inside
from parazip.dropin.inside import Shortcut, StandardZipFile

# Places begin with some of these.
__all__ = ["Originals", "StandardZipFile", "builtins", "is_original", "zipfile"]

_HOMES = [vars(module) for module in (zipfile, os, os.path, genericpath, shutil)]
_COMPILED = frozenset(("_io", "io", "binascii", "nt", "posix", "zlib"))
_OF_C_CLASSES = (
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)


class Originals:
    """Functions and classes that the standard library uses for one job.

    Args:
        places: where they are: names that are looked up one in the other, the first in this module.
        shortcut: the private parts that the job needs, too.
    """

    def __init__(self, places: Iterable[str], shortcut: Shortcut | None = None) -> None:
        more = shortcut.watched_places() if shortcut else ()
        self._places = [place for place in (*places, *more) if _exists(place)]
        self._look_up = attrgetter(*self._places)
        self._known: tuple[Any, ...] = ()
        self._is_possible = not (shortcut and shortcut.misfits)

    def are_in_place(self) -> bool:
        """Whether the job may be done in another way: nothing else stands in any of the places."""
        if not self._is_possible:
            return False
        try:
            found = self._look_up(_HERE)
        except AttributeError:
            return False
        # What was looked at before is not looked at again, as most often nothing has changed.
        if found != self._known:
            if not all(map(_is_original_at, self._places, found)):
                return False
            self._known = found
        return "open" not in vars(zipfile)  # it would be called instead of the builtin one


def is_original(name: str, value: Any) -> bool:
    """Whether a function, method or class is the standard library's own of that name."""
    if isinstance(value, BuiltinFunctionType):
        return value.__name__ in (name, f"_path_{name}") and value.__module__ in _COMPILED
    if isinstance(value, type):
        return value.__name__ == name and value.__module__ == zipfile.__name__
    if isinstance(value, property):
        return value.fget is not None and _has_home(value.fget)
    if isinstance(value, MethodType | classmethod | staticmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        return value.__code__.co_name == name and _has_home(value)
    return isinstance(value, _OF_C_CLASSES)


def _is_original_at(place: str, value: Any) -> bool:
    return is_original(place.rpartition(".")[2], value)


def _has_home(function: Any) -> bool:
    return any(getattr(function, "__globals__", None) is home for home in _HOMES)


def _exists(place: str) -> bool:
    """Whether this Python has it."""
    with suppress(AttributeError):
        attrgetter(place)(_HERE)
        return True
    return False


def _find_methods(name: str) -> list[str]:
    """The places of a class of `zipfile` and of its methods; none if there is no such class."""
    place = f"zipfile.{name}"
    kind = getattr(zipfile, name, None)
    if kind is None:
        return []
    return [place, *(f"{place}.{method}" for method in dir(kind) if _is_method(kind, method))]


_SPECIAL = ("__init__", "__enter__", "__exit__", "__iter__", "__next__")


def _is_method(kind: type, name: str) -> bool:
    if name.startswith("__"):
        return name in _SPECIAL and hasattr(kind, name)
    return callable(getattr(kind, name)) or isinstance(getattr(kind, name), property)


_HERE: ModuleType = sys.modules[__name__]

INFLATING = Originals(
    ("zipfile.ZipExtFile.read", "zipfile.zlib.decompressobj", "zipfile.crc32"), inside.INFLATING
)
"""What reads, checks and inflates a member that is opened. It is looked at for each."""

TESTING = Originals(
    (
        *_find_methods("ZipExtFile"),
        *_find_methods("ZipInfo"),
        *_find_methods(inside.SHARED_FILE),
        "zipfile.LZMADecompressor",
        "zipfile.zlib.decompressobj",
        "zipfile.crc32",
        "zipfile.io.open",
        "StandardZipFile.testzip",
    ),
    inside.TESTING,
)
"""What reads many members: all that has a say in it, as other threads or processes may do it."""

EXTRACTING = Originals(
    (
        "builtins.open",
        "zipfile.shutil.copyfileobj",
        *(
            f"zipfile.os.{name}"
            for name in ("fspath", "getcwd", "listdir", "lstat", "makedirs", "mkdir", "stat")
        ),
        *(
            f"zipfile.os.path.{name}"
            for name in ("dirname", "exists", "isdir", "join", "normpath", "splitdrive")
        ),
        "StandardZipFile.extractall",
    ),
    inside.EXTRACTING,
)
"""What puts a member that is read where it belongs."""

READING_FILES = Originals(("builtins.open", "zipfile.shutil.copyfileobj", "StandardZipFile.write"))
"""What reads a file that is put in."""

WRITING = Originals(
    (
        "zipfile.ZipInfo.FileHeader",
        "zipfile.zlib.compressobj",
        "zipfile.crc32",
        "StandardZipFile.mkdir",
    ),
    inside.WRITING,
)
"""What writes a member. It is looked at for each, so there is no more than need be."""
