"""The half of `ZipFile` that writes.

Each call does its work before it returns, as with `zipfile`: whoever looks then, at the archive or
at the file behind it, sees what the standard library's class would show. What is done on all cores
is done within a call: the blocks of a member of more than 1 MiB.

Methods other than stored and deflated, and what else is not ours, go through `zipfile`'s own code.
"""

from __future__ import annotations

import shutil
import weakref
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import IO, Any, cast

from parazip.codecs import levels
from parazip.codecs.levels import DEFLATE_STORED, Recipe
from parazip.codecs.sizes import CUT_FAST
from parazip.codecs.table import CodecName
from parazip.dropin import hooks
from parazip.dropin.handle import MemberWriter
from parazip.dropin.stock import Stock, StrPath
from parazip.format.records import ATTRIBUTE_FOLDER, FLAG_DESCRIPTOR
from parazip.format.values import DEFLATED, STORED
from parazip.progress import Counter
from parazip.settings import LEVEL, Settings

_CHUNK = 1 << 20
_BITE = 64 << 10

INFO = zipfile.ZipInfo
"""The class itself; by its name another one may be found one day."""

_LEVEL: Any = vars(INFO)["compress_level" if "compress_level" in vars(INFO) else "_compresslevel"]
"""The slot, which Python 3.13 made public."""


@cache
def _deflated(level: int, codec: CodecName) -> Recipe:
    """How members are deflated."""
    recipe = levels.choose_recipe(level, codec)
    if level == 0:
        return recipe._replace(whole=DEFLATE_STORED, block=DEFLATE_STORED)
    if codec == "zlib":
        return recipe
    # Members are put in one after the other here, so more of them are worth all cores.
    return recipe._replace(cut=CUT_FAST)


class _InCall:
    """A call that puts in a whole member. If it is interrupted, the member is none.

    Its handle may outlive the call, as the traceback holds it; it is not to put in what it has.
    """

    def __init__(self, archive: Writing) -> None:
        self._archive = archive

    def __enter__(self) -> None:
        self._archive.is_in_call = True

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._archive.abandon_member()
        self._archive.is_in_call = False


class Writing(Stock):
    """See above.

    Attributes:
        is_in_call: whether a call is at work that puts in a whole member.
    """

    is_in_call = False
    # As with zipfile, there are archives that `__init__` was never called for.
    _settings = Settings()
    _counter = Counter(None)
    _begin = 0
    _handle: Callable[[], MemberWriter | None] = staticmethod(lambda: None)
    _added: tuple[zipfile.ZipInfo, int] | None = None
    _has_remains = False

    # What zipfile's own code, and people, look at. The values are where zipfile keeps them, for an
    # archive that it opened may be given this class.

    @property
    def file(self) -> IO[bytes]:
        """The archive's file; None once it is closed, as with zipfile."""
        return cast("IO[bytes]", vars(self).get("fp"))

    @property
    def fp(self) -> IO[bytes] | None:
        """The archive's file, with all in it that was written to the archive; None once closed."""
        handle = self._handle()
        if handle is not None and not handle.closed:
            handle.show()
        return self.file

    @fp.setter
    def fp(self, file: Any) -> None:
        vars(self)["fp"] = file

    @property
    def start_dir(self) -> int:
        """Where the next local file header begins, and in the end the central directory."""
        if self._added is not None:
            info, end = self._added
            if self.filelist and self.filelist[-1] is info:
                vars(self)["start_dir"] = end
            self._added = None
        return cast("int", vars(self).get("start_dir", 0))

    @start_dir.setter
    def start_dir(self, offset: int) -> None:
        self._added = None
        vars(self)["start_dir"] = offset

    @property
    def _writing(self) -> bool:
        """Whether a member is open for writing; ours is no more when its handle is gone."""
        handle = self._handle()
        is_ours = handle is not None and not handle.is_done
        return is_ours or bool(vars(self).get("_writing"))

    @_writing.setter
    def _writing(self, is_writing: bool) -> None:
        vars(self)["_writing"] = is_writing

    def _forget(self) -> None:
        """Has done with the archive before, as `__init__` may be called again."""
        for name in ("_handle", "_added", "_has_remains"):
            vars(self).pop(name, None)

    # What is put in

    def write(
        self,
        filename: StrPath,
        arcname: StrPath | None = None,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        """Puts in a file or a folder, under the name `arcname`; see `zipfile.ZipFile.write`.

        Raises:
            OSError: the file cannot be read, or the archive cannot be written.
            ValueError: the archive is closed, or a handle of `open(name, "w")` is not.
        """
        # With zlib, the bites in which zipfile reads are part of what makes the bytes the same.
        if self._settings.codec == "zlib" or not hooks.READING_FILES.are_in_place():
            super().write(filename, arcname, compress_type, compresslevel)
            return
        if not self.file:
            raise ValueError("cannot write to an archive that was closed")
        if self._writing:
            raise ValueError("cannot write to an archive while a member of it is open for writing")
        info = zipfile.ZipInfo.from_file(
            filename, arcname, strict_timestamps=self._strict_timestamps
        )
        if info.is_dir():
            info.CRC = 0
            self.mkdir(info)
            return
        info.compress_type = self.compression if compress_type is None else compress_type
        _LEVEL.__set__(info, self.compresslevel if compresslevel is None else compresslevel)
        size = info.file_size
        bite = min(_CHUNK, max(_BITE, size + 1))
        with (
            _InCall(self),
            open(filename, "rb", buffering=0) as source,
            self.open(info, "w") as target,
        ):
            if not isinstance(target, MemberWriter):  # others get what zipfile gives them
                shutil.copyfileobj(source, target, 8 << 10)
                return
            while chunk := source.read(bite):
                target.write(chunk)
                if len(chunk) == size < bite:  # more was asked for, so this is the end
                    break

    def writestr(
        self,
        zinfo_or_arcname: str | zipfile.ZipInfo,
        data: Any,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        """Puts in a member with the contents `data`; see `zipfile.ZipFile.writestr`."""
        with _InCall(self):
            super().writestr(zinfo_or_arcname, data, compress_type, compresslevel)

    def mkdir(self, zinfo_or_directory_name: str | zipfile.ZipInfo, mode: int = 0o777) -> None:
        """Puts in a folder; see `zipfile.ZipFile.mkdir`.

        Raises:
            ValueError: the archive is closed, or the `ZipInfo` is not a folder's.
            TypeError: neither a name nor a `ZipInfo`.
        """
        given = zinfo_or_directory_name
        if not hooks.WRITING.are_in_place():
            super().mkdir(given, mode)
            return
        if isinstance(given, zipfile.ZipInfo):
            info = given
            if not info.is_dir():
                raise ValueError(
                    f"{info.filename!r} is not the name of a folder: it has no / at its end"
                )
        elif isinstance(given, str):
            info = zipfile.ZipInfo(given if given.endswith("/") else f"{given}/")
            info.external_attr = ((0o40000 | mode) & 0xFFFF) << 16 | ATTRIBUTE_FOLDER
            info.compress_size = info.CRC = 0
        else:
            raise TypeError(f"a folder's name or ZipInfo, not {type(given).__name__}")
        if self._writing:
            raise ValueError("cannot write a folder while a member is open for writing")
        if not self._is_ours(info):
            super().mkdir(info, mode)
            return
        with self._lock:
            self._writecheck(info)
            self._didModify = True
            file = self.go_to_end()
            info.header_offset = self.start_dir
            file.write(info.FileHeader(False))
            self.add(info)
            self.tell_progress(1, 0, info.filename)

    def _open_to_write(self, zinfo: zipfile.ZipInfo, force_zip64: bool = False) -> IO[bytes]:
        recipe = self._recipe(zinfo)
        if recipe is None:
            return super()._open_to_write(zinfo, force_zip64=force_zip64)
        if self._writing:
            raise ValueError("cannot open a member for writing while another one is")
        zinfo.CRC = zinfo.compress_size = 0
        zinfo.flag_bits = 0 if self._seekable else FLAG_DESCRIPTOR
        zinfo.external_attr = zinfo.external_attr or 0o600 << 16
        zip64 = force_zip64 or zinfo.file_size * 1.05 > zipfile.ZIP64_LIMIT
        self._writecheck(zinfo)
        self._didModify = True
        handle = MemberWriter(self, zinfo, recipe, zip64)
        zinfo.header_offset = self.start_dir if self._seekable else self.file.tell()
        if self._filePassed and not self.is_in_call:  # whoever has it may look at it
            handle.begin()
        self._handle = weakref.ref(handle)
        handle.is_opened = True
        return cast("IO[bytes]", handle)

    def _is_ours(self, info: zipfile.ZipInfo) -> bool:
        """Whether we put in a member, and not the standard library's own code."""
        return (
            self._allowZip64
            and type(info) is INFO
            and info.compress_type in (STORED, DEFLATED)
            and hooks.WRITING.are_in_place()
        )

    def _recipe(self, info: zipfile.ZipInfo) -> Recipe | None:
        """How a member is compressed; None if the standard library does it."""
        if not self._is_ours(info):
            return None
        codec = self._settings.codec
        if info.compress_type == STORED:
            return levels.choose_recipe(0, codec)
        level = _LEVEL.__get__(info)
        if level is None or level == -1:
            level = LEVEL
        if type(level) is not int or not 0 <= level <= 9:
            return None
        return _deflated(level, codec)

    def abandon_member(self) -> None:
        """Ends a member that is open for writing, without putting it in."""
        handle = self._handle()
        if handle is not None:
            handle.abandon()

    # What a member that is put in does to the archive

    @property
    def line_settings(self) -> tuple[int | None, int]:
        """Threads, and bytes in flight; see `parazip.workers.line.line_for`."""
        return self._settings.jobs, self._settings.memory

    def go_to_end(self) -> IO[bytes]:
        """The archive's file, where the next member begins. What stands there does not count."""
        file = self.file
        if self._seekable:
            self._cut_off_remains()
            file.seek(self.start_dir)
        else:
            self.start_dir = file.tell()
        self._has_remains = True
        return file

    def add(self, info: zipfile.ZipInfo) -> None:
        """From here on a member counts whose record was written."""
        # It counts once it is in the list, and only then the end moves: see `start_dir`.
        self._added = info, self.file.tell()
        try:
            self.filelist.append(info)
            self.NameToInfo[info.filename] = info
        except BaseException:
            self.NameToInfo.update((each.filename, each) for each in self.filelist)
            raise
        self.start_dir  # noqa: B018 # moves the end
        self._has_remains = False

    def _cut_off_remains(self) -> None:
        """Removes what an interrupted call may have left behind the last member."""
        if self._has_remains and self._seekable:
            with suppress(OSError, ValueError, AttributeError):  # then it is overwritten
                self.file.truncate(self.start_dir)
            self._has_remains = False

    def tell_progress(self, members: int, size: int, name: str) -> None:
        """So many members, and bytes of them, are in the archive now."""
        if not self._counter.is_heard:
            return
        self._counter.members_total += members
        self._counter.bytes_total += size
        self._counter.advance(members, size, self.file.tell() - self._begin, name)

    def close(self) -> None:
        """Writes the central directory and closes the file; see `zipfile.ZipFile.close`.

        Raises:
            OSError: something could not be written.
            ValueError: a member is still open for writing.
        """
        if self.file is not None and self._didModify and not self._writing:
            self._write_directory()
        super().close()

    def _write_directory(self) -> None:
        """Writes the central directory. After Ctrl-C the file stays open, and `close` does it."""
        if self.mode not in ("w", "x", "a"):
            return
        try:
            with self._lock:
                if self._seekable:
                    self._cut_off_remains()
                    self.file.seek(self.start_dir)
                elif self._has_remains:
                    self.start_dir = self.file.tell()
                self._has_remains = True
                self._write_end_record()
        except Exception:
            file, self.fp = self.file, None
            self._fpclose(file)
            raise
        self._didModify = False
        self._has_remains = False
