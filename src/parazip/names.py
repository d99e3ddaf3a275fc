"""Names of members: what one means, and comparing them at a cost that their bytes bound."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

MIMETYPE = "mimetype"
"""The member that tells what kind of container an archive is (EPUB, OpenDocument)."""

MOST_STEPS = 2048
"""Slashes in a name: no system takes a path of 4,096 bytes or more, and each step takes two."""


def file_as_folder(files: Iterable[str], folders: Iterable[str]) -> tuple[str, str] | None:
    """A file that is also a folder, or one that a folder is in, and that folder; None if none is.

    All names end with a slash. Sorted, the folders that begin with a name stand where the name
    would. To keep all beginnings of a folder's name would take the square of its steps in memory.
    """
    ways = sorted(folders)
    end = len(ways)
    for file in files:
        at = bisect_left(ways, file)
        if at < end and ways[at].startswith(file):
            return file, ways[at]
    return None
