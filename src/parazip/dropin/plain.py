"""Plain members become files without zipfile, which would make the same of them, and slower.

A member is plain if nothing about it is odd: it is a file, its name is the way to it, its method is
one of the two that all have, its records agree, its contents are right; and where it goes nothing
stands yet. Of one that turns out not to be nothing is left, and zipfile extracts it, or refuses.
"""

from __future__ import annotations

import io
import marshal
import os
import threading
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from parazip.extraction.unpacking import (
    Item,
    Place,
    Unpacker,
    flatten_items,
    restore_items,
)
from parazip.format.end import Read
from parazip.format.records import FLAG_ENCRYPTED, FLAG_PATCH, FLAG_UTF8
from parazip.format.values import DEFLATED, STORED, Entry, Record
from parazip.model import File
from parazip.workers.helpers import Helpers

_NO_FILE = File("", 0, 0, 0)
"""The archive is open already."""

_NO_DATE = 1 << 21 | 1 << 16
"""zipfile gives files no times."""

_ODD = ("//", "\\", "\0", ":")
_ODD_STEPS = ("/./", "/../")


def can_be_plain(archive: zipfile.ZipFile) -> bool:
    """Whether an archive may have plain members: it is read, from a file that has a descriptor."""
    is_posix = hasattr(os, "pread") and os.sep == "/"
    is_file = type(archive.fp) in (io.BufferedReader, io.FileIO)  # and holds back nothing written
    return is_posix and archive.mode == "r" and is_file


class PlainMembers:
    """The members of an archive that seem to be plain.

    Args:
        archive: that is open, and for which `can_be_plain` holds, if there are members.
        infos: members of it.
        target: the folder that they are extracted to.
    """

    def __init__(
        self, archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], target: str
    ) -> None:
        self._place = _make_place(target)
        self._items = _list_items(archive, infos) if infos else {}
        self._archive = archive

    def make_files(self, indexes: Sequence[int], helpers: Helpers | None = None) -> Sequence[int]:
        """Makes files of members; gives those that are left to zipfile.

        Args:
            indexes: which of `infos`.
            helpers: who may be asked. They have the archive's file.
        """
        # A signal handler, which runs on the main thread, may raise anything at any moment: a
        # time limit. There nothing may be done that takes errors for a sign of something odd.
        if not self._items or threading.current_thread() is threading.main_thread():
            return indexes
        items, left, chosen = [], [], []
        for index in indexes:
            item = self._items.get(index)
            if item is None:
                left.append(index)
            else:
                chosen.append(index)
                items.append(item)
        done = 0
        if helpers and helpers.are_started:
            answer = None
            with suppress(ValueError):  # somebody's own kind of text or number
                question = (self._place.target, flatten_items(items))
                answer = helpers.ask(marshal.dumps(question))
            done = int.from_bytes(answer or b"", "little")
        else:
            done = _unpack(self._place, items, self._read)
        return sorted([*left, *chosen[done:]])

    def _read(self, offset: int, length: int) -> bytes:
        file = self._archive.fp
        assert file is not None
        return os.pread(file.fileno(), length, offset)


def make_files_here(target: str, flat_items: list[Any], read: Read) -> bytes:
    """Makes files in a helper; tells how many, until something was odd."""
    return _unpack(_make_place(target), restore_items(flat_items), read).to_bytes(8, "little")


def _make_place(target: str) -> Place:
    return Place(_NO_FILE, target, target, "none", "", keeps_times=False, by_name=True)


def _unpack(place: Place, items: Sequence[Item], read: Read) -> int:
    unpacker = Unpacker(place)
    with suppress(Exception):
        unpacker.unpack_from(read, items)
    return unpacker.done


def _list_items(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo]) -> dict[int, Item]:
    end: int | None = getattr(archive, "start_dir", None)
    if end is None:
        return {}
    offsets = sorted({info.header_offset for info in archive.filelist if _has_numbers(info)})
    ends = dict(zip(offsets, [*offsets[1:], end], strict=True))
    items = {}
    for index, info in enumerate(infos):
        if _has_numbers(info) and _seems_plain(info) and info.header_offset in ends:
            raw = _encode_name(info)
            if raw is not None:
                items[index] = _make_item(info, raw, ends[info.header_offset])
    return items


_NUMBERS = (
    "compress_size",
    "compress_type",
    "CRC",
    "file_size",
    "flag_bits",
    "header_offset",
)


def _has_numbers(info: zipfile.ZipInfo) -> bool:
    """Whether the fields of a ZipInfo are there, and numbers: somebody may have changed them."""
    return all(type(getattr(info, name, None)) is int for name in _NUMBERS)


def _seems_plain(info: zipfile.ZipInfo) -> bool:
    if not type(info.filename) is type(info.orig_filename) is str:
        return False
    name = f"/{info.filename}"
    return (
        info.compress_type in (STORED, DEFLATED)
        and not info.flag_bits & (FLAG_ENCRYPTED | FLAG_PATCH)
        # The name is the way to a file, step by step, on each system.
        and name[-1] != "/"
        and not any(odd in name for odd in _ODD)
        and not any(odd in f"{name}/" for odd in _ODD_STEPS)
    )


def _encode_name(info: zipfile.ZipInfo) -> bytes | None:
    """The name as it was spelled in the archive, if that is certain."""
    name = info.orig_filename
    if name.isascii():
        return name.encode()
    try:
        return name.encode("utf-8" if info.flag_bits & FLAG_UTF8 else "cp437")
    except UnicodeEncodeError:
        return None


def _make_item(info: zipfile.ZipInfo, raw: bytes, end: int) -> Item:
    sizes = (info.CRC, info.compress_size, info.file_size)
    method, offset = info.compress_type, info.header_offset
    record = Record(raw, info.flag_bits, method, _NO_DATE, *sizes, 0, offset)
    return Item(info.filename, Entry(info.filename, record, end))
