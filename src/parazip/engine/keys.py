"""What a part's key is made of: all that determines its bytes.

A key is the hash of everything that has a say in a part's bytes: names, dates and attributes of
its members, the identity of their contents, the coders with their libraries' versions and CPU,
and the versions of parazip and of the cache's layout. So what is found under a key is what would be
made; nothing in the cache is ever out of date, it is only not found any more.

Where members are aligned, a part's bytes depend on where it lands. So a key tells what is to be
aligned, and a part in which something was is not kept.

A file that has just been changed may change again without its times showing it, as clocks tick:
of such files no part is kept (as git does not believe its index of them).
"""

from __future__ import annotations

import hashlib
import marshal
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias

from parazip.codecs import libraries
from parazip.codecs.levels import Recipe
from parazip.model import File, Member
from parazip.sources import contents, files
from parazip.version import __version__

LAYOUT = "parts-1"
"""The version of the cache's layout."""

_TICK_NS = 100_000_000
_COARSE_TICK_NS = 2_000_000_000
"""The longest that two changes may follow each other and leave a file with the same times; the
second where times are whole seconds, as FAT counts every other one."""

_SECOND_NS = 1_000_000_000

Identity: TypeAlias = Callable[[File], object]
"""What tells a file's contents from all others, as a plain value; None if that is not certain."""


def identify_by_stat(file: File) -> object:
    """Size, times and inode of a file, whatever its path, as far as they count for it.

    Of remote files the cache keeps nothing.

    Raises what `files.hash_file` raises: a file that is said to be empty may have contents all the
    same, where the system does not know how many; those may change and nothing would show it.
    """
    if not file.is_watched or file.is_remote or not _is_settled(file):
        return None
    if not file.size and files.measure_file(file)[1]:
        return None
    return file[1:6] if file.changes == "ctime" else (file.size, file.mtime_ns, file.changes)


def identify_by_content(file: File) -> object:
    """A hash of a file's bytes; raises what `files.hash_file` raises.

    Where changes do not show, it might have others when it is read once more, to be compressed.
    """
    is_certain = file.is_watched and not file.is_remote and _is_settled(file)
    return files.hash_file(file) if is_certain else None


def _is_settled(file: File) -> bool:
    """Whether a change from now on would show in the times of a file."""
    age = time.time_ns() - max(file.mtime_ns, file.ctime_ns)
    # Anybody may set the modification time to fractions of a second that the clock does not know.
    is_fine = (file.ctime_ns or file.mtime_ns) % _SECOND_NS
    return age > (_TICK_NS if is_fine else _COARSE_TICK_NS)


def make_key(members: Iterable[Member], recipe: Recipe, *more: object, identity: Identity) -> str:
    """Names a part by all that determines its bytes; empty if that is not certain.

    Args:
        members: as they are to be put in.
        recipe: how they are compressed.
        more: plain values that the bytes depend on besides.
        identity: what tells the contents of their files from all others.
    """
    facts = []
    identify = contents.identify_contents
    for name, source, attributes, date, store, align in members:
        identified = identify(source, identity)
        if identified is None:
            return ""
        facts.append((name, attributes, date, store, align, *identified))
    circumstances = repr((LAYOUT, __version__, _codec_versions(), recipe, more))
    # Version 2 of marshal is the last one in which equal values always have equal bytes.
    return hashlib.sha256(marshal.dumps((circumstances, facts), 2)).hexdigest()


_codec_versions = lru_cache(libraries.describe_versions)
