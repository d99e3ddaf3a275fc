"""Where members are extracted to, and whether it matters in which order.

Nothing of an archive has been checked here but that it has a directory, so what is claimed must
cost no more than the bytes that it is claimed with: names are never taken apart into all of their
beginnings, and sizes are added, not allocated.
"""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress

from parazip.format.names import MOST_STEPS, find_file_as_folder

_FEW = 200
_SMALL = 4 << 20


def are_few(infos: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether one thread is done with the members before others have begun."""
    return len(infos) <= _FEW and sum([info.file_size for info in infos]) <= _SMALL


def list_target_folders(infos: Iterable[zipfile.ZipInfo]) -> list[str] | None:
    """The folders that the members are extracted to; None if their order counts there.

    It counts where two of them may be one file, or one is a file and another's folder; also where
    just Windows, or a file system that does not tell capitals apart, takes two names for the same;
    and where a name is too deep for any system, so that its member fails.
    """
    found: dict[str, None] = {}
    files: list[str] = []
    ways: dict[str, str] = {}
    for info in infos:
        name = info.filename
        parent, _, last = name.rpartition("/")
        if last in _NO_STEPS or info.is_dir():
            steps = _steps(name)
            last = steps.pop() if steps and not info.is_dir() else ""
            parent = "/".join(steps)
        way = ways.get(parent)
        if way is None:
            if parent.count("/") > MOST_STEPS:
                return None
            found["/".join(_steps(parent))] = None
            way = ways[parent] = _way(parent)
        if last:
            files.append(way + _way(last))
    if len(set(files)) < len(files) or find_file_as_folder(files, ways.values()):
        return None
    return list(found)


_NO_STEPS = ("", ".", "..")
_ILLEGAL = str.maketrans('\\:<>|"?*', "/_______")


def _steps(name: str) -> list[str]:
    """The way from the folder to which all is extracted to where a member of that name is."""
    return [step for step in name.split("/") if step not in _NO_STEPS]


def _way(name: str) -> str:
    """What is the same for ways that a file system may take for the same; ends with a slash.

    A step that comes to nothing on Windows is none.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFD", name)  # as macOS has it
    steps = name.casefold().translate(_ILLEGAL).split("/")
    return "".join([f"{kind}/" for step in steps if (kind := step.rstrip(" ."))])


def have_links(infos: Iterable[zipfile.ZipInfo], target: str, folders: Sequence[str]) -> bool:
    """Whether two members may be one file because of links that are there already.

    Args:
        infos: the members.
        target: the folder to which they are extracted.
        folders: where its folders are, as they are made.
    """
    places = [os.stat(folder) for folder in folders]
    if len({(place.st_dev, place.st_ino) for place in places}) < len(places):
        return True
    for info in infos:
        if not info.is_dir():
            with suppress(OSError):
                found = os.lstat(os.path.join(target, *_steps(info.filename)))
                if stat.S_ISLNK(found.st_mode) or found.st_nlink > 1:
                    return True
    return False
