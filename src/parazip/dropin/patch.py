"""Puts `parazip.ZipFile` where programs look for the standard library's."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from parazip.dropin.inside import clear_caches
from parazip.dropin.zip_file import STANDS_FOR, ZipFile

_lock = threading.RLock()
_active: list[_Patch] = []
"""The calls of `patch` that were not undone yet, in their order."""


class _Patch:
    """A call of `patch`, which the end of a `with` block undoes."""

    def __init__(self) -> None:
        self.before: dict[type, Any] = {}
        self.__enter__()

    def __enter__(self) -> None:
        with _lock:
            if self not in _active:
                self.before = {kind: vars(zipfile)[kind.__name__] for kind in STANDS_FOR}
                _active.append(self)
                _replace({kind: kind for kind in STANDS_FOR})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            if self not in _active:
                return
            index = _active.index(self)
            _active.remove(self)
            if index < len(_active):  # somebody called `patch` later, and has not undone it yet
                _active[index].before = self.before
            else:
                _restore(self.before)


def patch() -> _Patch:
    """Replaces `zipfile.ZipFile` and `zipfile.PyZipFile` in this process.

    Code that looks them up from now on gets parazip's: `zipfile.ZipFile(...)`, `shutil` and
    `zipapp`, and modules that are imported later. What has taken the name before (by
    `from zipfile import ZipFile`) keeps what it has, and so do classes derived from it; archives of
    theirs are instances of the new `zipfile.ZipFile` as they were of the old one.

    Returns:
        A context manager that puts back at the end of a `with` block what stood there before, or
        leaves that to who has called `patch` meanwhile.
    """
    return _Patch()


def unpatch() -> None:
    """Puts the standard library's classes back; does nothing where they are in place."""
    with _lock:
        _active.clear()
        _restore(STANDS_FOR)


def _restore(classes: Mapping[type, Any]) -> None:
    """Puts each back where ours stands; what somebody else has put there stays."""
    _replace(
        {kind: old for kind, old in classes.items() if vars(zipfile).get(kind.__name__) is kind}
    )


def _replace(classes: Mapping[type, Any]) -> None:
    for kind, new in classes.items():
        setattr(zipfile, kind.__name__, new)
    _clear_caches()


def _clear_caches() -> None:
    """Has `__subclasshook__` asked again, as its answers change with the patch.

    `isinstance` keeps them in the class; `functools.singledispatch` keeps them until any class is
    registered with any abstract one.
    """
    for kind in STANDS_FOR:
        clear_caches(kind)
    ZipFile.register(type("Registered", (), {}))
