"""The one room that names private parts of `zipfile`.

The standard library promises nothing about them. So each shortcut, a job that is done here in
another way than there, lists the parts it needs, and they are looked for once, when this module is
imported. If one is missing or takes other arguments, the standard library's own code does that job:
more slowly, with the same result. `warn_of_misfits` says so.

A part is looked for by its name alone. An attribute that only instances have is there if a method
of its class uses the name; that takes microseconds, and opens no archive whose opening somebody
might count. A part in whose place somebody has put a function of his own is there, too: whether it
may be gone round is asked before each job (`hooks`).
"""

from __future__ import annotations

import abc
import io
import platform
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from operator import attrgetter
from types import FunctionType
from typing import IO, TYPE_CHECKING, Any

from parazip.codecs import checksums

StandardZipFile = zipfile.ZipFile
StandardPyZipFile = zipfile.PyZipFile
StandardReader = zipfile.ZipExtFile
"""The classes themselves; by their names others may be found one day."""

INFO = zipfile.ZipInfo


class Shortcut:
    """A job that is done in another way than by the standard library.

    Args:
        otherwise: what is so if it is left to the standard library, for people.
        watched: functions that are gone round, so that a hook in their place has to be seen.
        needed: other parts that are used or replaced.
        home: the module that all of these are looked up in.

    Attributes:
        misfits: which of them are missing, or take other arguments.
    """

    def __init__(
        self,
        otherwise: str,
        watched: Iterable[str] = (),
        needed: Iterable[str] = (),
        home: Any = zipfile,
    ) -> None:
        self.otherwise = otherwise
        self.misfits = tuple(
            f"{home.__name__} has no {part}"
            for part in (*watched, *needed)
            if not any(_is_there(home, each) for each in part.split(" or "))
        )
        self._watched = tuple(watched)

    def watched_places(self) -> Iterator[str]:
        """Where `hooks` looks: the class under our name, as ours may stand in `zipfile`."""
        for part in self._watched:
            place = part.partition("(")[0]
            yield f"Standard{place}" if place.startswith("ZipFile.") else f"zipfile.{place}"


def _is_there(home: Any, part: str) -> bool:
    """Whether a part is in a module, and takes the arguments that it is said to take."""
    place, _, parameters = part.rstrip(")").partition("(")
    owner_name, _, name = place.rpartition(".")
    owner = getattr(home, owner_name, None) if owner_name else home
    if owner is None:
        return False
    value = getattr(owner, name, None)
    if value is None:
        return isinstance(owner, type) and name in _used_names(owner)
    if not parameters or not isinstance(value, FunctionType):
        return True
    if value.__globals__ is not vars(home):  # a wrapper, which may take anything
        return True
    return _can_take(value, len(parameters.split(", ")))


def _can_take(method: FunctionType, count: int) -> bool:
    """Whether a method can be called with so many arguments."""
    code = method.__code__
    most = code.co_argcount - 1
    fewest = most - len(method.__defaults__ or ())
    required_keywords = code.co_kwonlyargcount - len(method.__kwdefaults__ or ())
    return fewest <= count <= most and not required_keywords


@cache
def _used_names(kind: type) -> frozenset[str]:
    """Names that the methods of a class use."""
    return frozenset(
        name
        for each in kind.__mro__
        for method in vars(each).values()
        if isinstance(method, FunctionType)
        for name in method.__code__.co_names
    )


INFLATING = Shortcut(
    "members are inflated by zlib, on one core each",
    watched=(
        "ZipExtFile._read1(n)",
        "ZipExtFile._read2(n)",
        "ZipExtFile._update_crc(newdata)",
        "_SharedFile.read(n)",
        "_get_decompressor",
    ),
    needed=(
        "ZipExtFile._compress_left",
        "ZipExtFile._compress_type",
        "ZipExtFile._decompressor",
        "ZipExtFile._decrypter",
        "ZipExtFile._eof",
        "ZipExtFile._expected_crc",
        "ZipExtFile._fileobj",
        "ZipExtFile._left",
        "ZipExtFile._offset",
        "ZipExtFile._orig_compress_size",
        "ZipExtFile._orig_compress_start",
        "ZipExtFile._orig_file_size",
        "ZipExtFile._readbuffer",
        "ZipExtFile._running_crc",
    ),
)
"""A member that is opened is given a faster reader."""

TESTING = Shortcut(
    "members are extracted and tested one after the other, on one core",
    watched=(
        "_EndRecData",
        "_ZipDecrypter",
        "_check_compression",
        "_get_decompressor",
        "ZipFile._RealGetContents",
        "ZipFile._fpclose(fp)",
    ),
    needed=("ZipFile._extract_member(member, targetpath, pwd)", "ZipFile.filelist", "_SharedFile"),
)
"""Members are read side by side, on threads or in helpers."""

EXTRACTING = Shortcut(
    "members are extracted one after the other, on one core",
    watched=("ZipFile._sanitize_windows_name",),
    needed=("ZipFile._extract_member(member, targetpath, pwd)",),
)
"""The same, and each is put where it belongs."""

WRITING = Shortcut(
    "members are compressed by zlib, on one core, and progress is not told",
    watched=(
        "ZipInfo._encodeFilenameFlags",
        "_ZipWriteFile.__init__",
        "_ZipWriteFile.write",
        "_ZipWriteFile.close",
        "_get_compressor",
        "ZipFile._open_to_write(zinfo, force_zip64)",
    ),
    needed=(
        "ZipFile._allowZip64",
        "ZipFile._didModify",
        "ZipFile._filePassed",
        "ZipFile._fpclose(fp)",
        "ZipFile._lock",
        "ZipFile._seekable",
        "ZipFile._strict_timestamps",
        "ZipFile._write_end_record",
        "ZipFile._writecheck(zinfo)",
        "ZipFile._writing",
        "ZipFile.NameToInfo",
        "ZipFile.filelist",
        "ZipFile.fp",
        "ZipFile.start_dir",
        "ZipInfo.FileHeader(zip64)",
        "ZipInfo.compress_level or ZipInfo._compresslevel",
    ),
)
"""Members are compressed on all cores."""

OPTIMIZING = Shortcut(
    "PyZipFile opens an empty archive more to find where it keeps `optimize`",
    needed=("PyZipFile._optimize",),
)

CLEARING_CACHES = Shortcut(
    "isinstance asks a metaclass of parazip's about archives, without a cache",
    needed=("ABCMeta._abc_caches_clear",),
    home=abc,
)

_SHORTCUTS = (INFLATING, TESTING, EXTRACTING, WRITING, OPTIMIZING, CLEARING_CACHES)


def find_misfits() -> dict[str, tuple[str, ...]]:
    """What does not fit, by what is so therefore."""
    return {each.otherwise: each.misfits for each in _SHORTCUTS if each.misfits}


def warn_of_misfits() -> None:
    """Tells people what the standard library does by itself, if it is more than it should be."""
    misfits = find_misfits()
    if misfits:
        reasons = "; ".join(
            f"{', '.join(parts)}, so {otherwise}" for otherwise, parts in misfits.items()
        )
        warnings.warn(
            f"parazip does not know all of Python {platform.python_version()}'s zipfile. "
            f"Results are right, but some are slower: {reasons}",
            RuntimeWarning,
            stacklevel=2,
        )


# Archives

# Functions written in C, so that they are no frames: a warning of zipfile's names the line of
# who is so many frames away.
allows_zip64: Callable[[zipfile.ZipFile], bool] = attrgetter("_allowZip64")
is_modified: Callable[[zipfile.ZipFile], bool] = attrgetter("_didModify")
was_given_file: Callable[[zipfile.ZipFile], bool] = attrgetter("_filePassed")
is_seekable: Callable[[zipfile.ZipFile], bool] = attrgetter("_seekable")
is_strict_about_dates: Callable[[zipfile.ZipFile], bool] = attrgetter("_strict_timestamps")
get_lock: Callable[[zipfile.ZipFile], AbstractContextManager[Any]] = attrgetter("_lock")
get_check: Callable[[zipfile.ZipFile], Callable[[zipfile.ZipInfo], None]] = attrgetter(
    "_writecheck"
)
"""What warns of, or refuses, a member that is about to be written."""
get_opener: Callable[[Any], Callable[..., IO[bytes]]] = attrgetter("_open_to_write")
"""What opens a new member, of an archive or of `super()`."""

WRITING_FLAG = "_writing"
"""In the dictionary of an archive: whether a member is open that zipfile itself writes."""

SHARED_FILE = "_SharedFile"
"""The class through which members read the archive's file."""

CALLED_PER_MEMBER = ("open", "read", "getinfo", "extract", "_extract_member", "_fpclose")
"""The methods that are called for each member that is read."""


def set_modified(archive: Any, is_modified: bool) -> None:
    """Says whether the archive's directory is to be written."""
    archive._didModify = is_modified


def write_directory(archive: Any) -> None:
    """Writes the central directory where the archive's file stands."""
    archive._write_end_record()


def close_file(archive: Any, file: IO[bytes]) -> None:
    """Closes an archive's file, if the archive has opened it and nobody reads a member."""
    archive._fpclose(file)


def extract_member(archive: Any, info: zipfile.ZipInfo, target: str, pwd: bytes | None) -> str:
    """Extracts a member to a folder, and gives its path."""
    path: str = archive._extract_member(info, target, pwd)
    return path


def set_optimization(archive: Any, optimize: int) -> None:
    """Does what `PyZipFile.__init__` does besides opening the archive."""
    if not OPTIMIZING.misfits:
        archive._optimize = optimize
        return
    other = StandardPyZipFile(io.BytesIO(), "w", optimize=optimize)
    for name, value in vars(other).items():
        vars(archive).setdefault(name, value)


def install_overrides(kind: Any, open_to_write: Any, is_writing: property) -> None:
    """Has a class that writes override private parts of the standard library's.

    If `WRITING` does not fit, nothing is overridden: the class has the standard library's methods.

    Args:
        kind: the class.
        open_to_write: opens a new member.
        is_writing: tells whether one is open.
    """
    if not WRITING.misfits:
        open_to_write.__name__ = "_open_to_write"
        kind._open_to_write = open_to_write
        kind._writing = is_writing
        return
    for name in ("write", "writestr", "mkdir", "close", "fp", "start_dir"):
        delattr(kind, name)


# Members

INFO_FIELDS: tuple[str, ...] = tuple(getattr(INFO, "__slots__", ()))
"""All that the central directory says of a member; none if that cannot be told."""

LEVEL: Any = getattr(INFO, "compress_level", None) or getattr(INFO, "_compresslevel", None)
"""The slot for the level, which Python 3.13 made public."""


def _alias(name: str) -> Any:
    """An attribute under a name of ours."""

    def put(reader: Any, value: Any) -> None:
        setattr(reader, name, value)

    return property(attrgetter(name), put)


class MemberReader(StandardReader):
    """The standard library's reader, with another CRC-32 and names for what it keeps to itself.

    Attributes:
        source: the archive's file, where the member's compressed bytes go on.
        method: how it is compressed.
        decrypter: what decrypts it; None if it is not encrypted.
        inflater: what inflates it.
        expected_crc: the CRC-32 that it should have; None if that is not known.
        running_crc: that of the contents that were inflated.
        contents_size: all its bytes.
        contents_left: those that are still to be inflated.
        compressed_start: where in the archive it begins.
        compressed_size: all its compressed bytes.
        compressed_left: those that are still to be read.
        is_at_end: whether there is no more to be inflated.
    """

    if TYPE_CHECKING:
        source: IO[bytes]
        method: int
        decrypter: Any
        inflater: Any
        expected_crc: int | None
        running_crc: int
        contents_size: int
        contents_left: int
        compressed_start: int
        compressed_size: int
        compressed_left: int
        is_at_end: bool
        _expected_crc: int | None
        _running_crc: int
        _eof: bool
    else:
        source = _alias("_fileobj")
        method = _alias("_compress_type")
        decrypter = _alias("_decrypter")
        inflater = _alias("_decompressor")
        expected_crc = _alias("_expected_crc")
        running_crc = _alias("_running_crc")
        contents_size = _alias("_orig_file_size")
        contents_left = _alias("_left")
        compressed_start = _alias("_orig_compress_start")
        compressed_size = _alias("_orig_compress_size")
        compressed_left = _alias("_compress_left")
        is_at_end = _alias("_eof")

    def _update_crc(self, newdata: bytes) -> None:
        expected = self._expected_crc
        if expected is None:
            return
        self._running_crc = checksums.crc32(newdata, self._running_crc)
        if self._eof and self._running_crc != expected:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self.name!r}")

    def move_to_end(self) -> None:
        """Puts it in the state in which it is when it has given the last byte."""
        reader: Any = self
        reader._readbuffer = b""
        reader._offset = reader._left = reader._compress_left = 0
        reader._eof = True


# Classes that count as others


class _AskingMeta(abc.ABCMeta):
    """Asks `__subclasshook__` each time, for a Python whose caches cannot be cleared."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return issubclass(type(instance), cls) or issubclass(instance.__class__, cls)

    def __subclasscheck__(cls, kind: type) -> bool:
        answer = cls.__subclasshook__(kind)
        return type.__subclasscheck__(cls, kind) if answer is NotImplemented else bool(answer)


if TYPE_CHECKING or not CLEARING_CACHES.misfits:
    HookMeta = abc.ABCMeta
else:
    HookMeta = _AskingMeta
"""The metaclass of a class whose `__subclasshook__` may give another answer one day."""


def clear_caches(kind: Any) -> None:
    """Has a class of that metaclass ask its `__subclasshook__` anew."""
    if not CLEARING_CACHES.misfits:
        kind._abc_caches_clear()
