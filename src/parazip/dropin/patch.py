"""Puts `parazip.ZipFile` where programs look for the standard library's."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, cast

from parazip.dropin.zip_file import STANDS_FOR, ZipFile

_lock = threading.RLock()
_wishes: list[_Patch] = []
"""Who wants the classes replaced, and has not taken it back; the last one came last."""


class _Patch:
    """A wish that the classes be replaced, and what takes it back at the end of a `with` block."""

    def __init__(self) -> None:
        self.before: dict[type, Any] = {}
        self.__enter__()

    def __enter__(self) -> None:
        with _lock:
            if self not in _wishes:
                self.before = {kind: vars(zipfile)[kind.__name__] for kind in STANDS_FOR}
                _wishes.append(self)
                _put({kind: kind for kind in STANDS_FOR})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            if self not in _wishes:
                return
            index = _wishes.index(self)
            _wishes.remove(self)
            if index < len(_wishes):  # somebody wanted it later, on another thread, and still does
                _wishes[index].before = self.before
            else:
                _put_back(self.before)


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
        _wishes.clear()
        _put_back(STANDS_FOR)


def _put_back(classes: Mapping[type, Any]) -> None:
    """Puts each in the place of ours, unless something else stands there by now."""
    _put({kind: old for kind, old in classes.items() if vars(zipfile).get(kind.__name__) is kind})


def _put(classes: Mapping[type, Any]) -> None:
    for kind, new in classes.items():
        setattr(zipfile, kind.__name__, new)
    _forget_answers()


def _forget_answers() -> None:
    """Has what `__subclasshook__` answers asked anew.

    `isinstance` remembers it in the class; `functools.singledispatch` until any class is registered
    with any abstract one.
    """
    for kind in STANDS_FOR:
        cast("Any", kind)._abc_caches_clear()
    ZipFile.register(type("Registered", (), {}))
