"""pex's walk over the files of a PEX, a folder at a time.

pex computes several paths anew for each file, which takes longer than copying the files' bytes.
This walk gives the same files and folders under the same names in the same order, but computes
what it can once for each folder. What pex decides it still asks pex: which files there are, in
what order a folder is walked, what is left out.

It does what the loop in pex's `Chroot.zip` does, so it is used only if that method is, to the
letter, one that it was written after (`is_known`). All releases that parazip fits into have the
same.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

_KNOWN = ("a2a192b5c83c",)
"""How the SHA-256 of the method's source begins."""


class Addition(NamedTuple):
    """A file or folder that pex puts into a zip.

    Attributes:
        path: of the file or folder.
        name: its normal name in the zip.
        compress: whether it is to be compressed.
        deterministic: whether it gets a date and a mode that are always the same.
    """

    path: str
    name: str
    compress: bool
    deterministic: bool


def is_known(zip_method: Callable[..., object]) -> bool:
    """Whether `walk_chroot` gives what this method of pex's would."""
    try:
        source = inspect.getsource(zip_method)
    except (OSError, TypeError):  # pex may be installed without its sources
        return False
    return hashlib.sha256(source.strip().encode()).hexdigest().startswith(_KNOWN)


def walk_chroot(
    common: Any,
    chroot: Any,
    *,
    deterministic: bool,
    exclude_file: Callable[[str], bool],
    strip_prefix: str | None,
    labels: Iterable[str] | None,
    compress: bool,
) -> Iterator[Addition]:
    """All files of a `Chroot`, each folder before its first file; arguments as in pex."""
    selected = chroot.files()
    if labels:
        selected = set(chain.from_iterable(chroot.filesets.get(label, ()) for label in labels))
    top = chroot.chroot
    compressed = chroot._compress_by_file
    written: set[str] = set()
    inside = "" if strip_prefix is None else strip_prefix + os.sep

    def make_addition(path: str, name: str) -> Addition:
        shown = name
        if strip_prefix:
            is_inside = name.startswith(inside)
            shown = name[len(inside) :] if is_inside else os.path.relpath(name, strip_prefix)
        return Addition(path, shown, compress and compressed.get(name, True), deterministic)

    def add_folders(folder: str) -> Iterator[Addition]:
        """A folder and those above it, from the top down, unless they are there already."""
        if not folder or folder in (os.curdir, strip_prefix) or folder in written:
            return
        yield from add_folders(_parent(folder))
        yield make_addition(os.path.join(top, folder), folder)
        written.add(folder)

    for path in sorted(selected):
        full_path = os.path.join(top, path)
        if os.path.isfile(full_path):
            if not exclude_file(full_path):
                yield from add_folders(_parent(path))
                yield make_addition(full_path, os.path.normpath(path))
            continue
        for root, _, names in common.deterministic_walk(full_path):
            folder = os.path.normpath(path + root[len(full_path) :])
            included = [name for name in names if not exclude_file(name)]
            if included:
                yield from add_folders(folder)
            for name in included:
                yield make_addition(root + os.sep + name, folder + os.sep + name)


def _parent(path: str) -> str:
    return os.path.normpath(os.path.dirname(path))
