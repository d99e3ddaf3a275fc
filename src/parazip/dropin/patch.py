"""Puts `parazip.ZipFile` where programs look for the standard library's."""

from __future__ import annotations

import zipfile
from types import TracebackType
from typing import Any

from parazip.dropin.stock import Stock
from parazip.dropin.zip_file import PyZipFile, ZipFile

_OURS: dict[str, type] = {"ZipFile": ZipFile, "PyZipFile": PyZipFile}
_STOCK: dict[str, type] = {"ZipFile": Stock, "PyZipFile": PyZipFile.__bases__[1]}


class _Patch:
    """What takes a patch back at the end of a `with` block."""

    def __init__(self) -> None:
        self._before = {name: getattr(zipfile, name) for name in _OURS}
        _put(_OURS)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put(self._before)


def patch() -> _Patch:
    """Replaces `zipfile.ZipFile` and `zipfile.PyZipFile` in this process.

    Code that looks them up from now on gets parazip's: `zipfile.ZipFile(...)`, `shutil` and
    `zipapp`, and modules that are imported later. What has taken the name before (by
    `from zipfile import ZipFile`) keeps what it has, and so do classes derived from it.

    Returns:
        A context manager that puts back at the end of a `with` block what stood there before.
    """
    return _Patch()


def unpatch() -> None:
    """Puts the standard library's classes back; does nothing where they are in place."""
    _put(_STOCK)


def _put(classes: dict[str, Any]) -> None:
    for name, kind in classes.items():
        setattr(zipfile, name, kind)
