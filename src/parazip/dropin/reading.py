"""Reads members faster than the standard library's own code."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

from parazip import codecs
from parazip.model import DEFLATED

_FEW = 200
_SMALL = 4 << 20


_Reader = zipfile.ZipExtFile


class MemberReader(_Reader):
    """A member that is inflated by ISA-L, at twice the speed of zlib."""

    def _update_crc(self, newdata: bytes) -> None:
        reader = cast("Any", self)
        expected = reader._expected_crc
        if expected is None:
            return
        crc = reader._running_crc = codecs.crc32(newdata, reader._running_crc)
        if reader._eof and crc != expected:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self.name!r}")


def hasten(file: Any) -> None:
    """Makes a reader of the standard library's a `MemberReader`, if it is one that we know."""
    if type(file) is _Reader:
        reader: Any = file
        reader.__class__ = MemberReader
        if reader._compress_type == DEFLATED:
            reader._decompressor = codecs.Inflater()


def slow_down(file: Any) -> Any:
    """Makes a reader that has not read yet the standard library's again, and gives it."""
    if type(file) is MemberReader:
        reader: Any = file
        reader.__class__ = _Reader
        if reader._compress_type == DEFLATED:
            reader._decompressor = codecs.zlib_inflater()
    return file


def are_few(infos: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether one thread is done with the members before others have begun."""
    return len(infos) <= _FEW and sum([info.file_size for info in infos]) <= _SMALL


def folders(infos: Iterable[zipfile.ZipInfo]) -> list[str] | None:
    """The folders that the members are extracted to; None if their order counts there.

    It counts where two of them may be one file, or one is a file and another's folder; also where
    just Windows, or a file system that does not tell capitals apart, takes two names for the same.
    """
    found: dict[str, None] = {}
    files: set[str] = set()
    above: set[str] = set()
    known: dict[str, str] = {}
    for info in infos:
        parent, _, name = info.filename.rpartition("/")
        if name in _NO_STEPS or info.is_dir():
            steps = _steps(info.filename)
            name = steps.pop() if steps and not info.is_dir() else ""
            parent = "/".join(steps)
        alike = known.get(parent)
        if alike is None:
            steps = _steps(parent)
            found["/".join(steps)] = None
            kinds = [_kind(step) for step in steps]
            above.update("/".join(kinds[:i]) for i in range(1, len(kinds) + 1))
            alike = known[parent] = "".join(f"{kind}/" for kind in kinds)
        if name:
            alike += _kind(name)
            if alike in files:
                return None
            files.add(alike)
    return list(found) if files.isdisjoint(above) else None


_NO_STEPS = ("", ".", "..")
_ILLEGAL = str.maketrans('\\:<>|"?*', "/_______")


def _steps(name: str) -> list[str]:
    """The way from the folder to which all is extracted to where a member of that name is."""
    return [step for step in name.split("/") if step not in _NO_STEPS]


def _kind(step: str) -> str:
    """What is the same for names that a file system may take for the same."""
    return step.casefold().translate(_ILLEGAL).rstrip(" .")


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
