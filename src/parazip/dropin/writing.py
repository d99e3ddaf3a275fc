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
from functools import cache
from typing import IO, Any, cast

from parazip.codecs import levels
from parazip.codecs.levels import DEFLATE_STORED, Recipe
from parazip.codecs.sizes import CUT_FAST
from parazip.codecs.table import CodecName
from parazip.dropin import hooks, inside
from parazip.dropin.arguments import StrPath
from parazip.dropin.handle import MemberWriter
from parazip.dropin.inside import INFO, StandardZipFile
from parazip.dropin.journal import HELD, Journal, PuttingIn
from parazip.engine.progress import Counter
from parazip.format.records import ATTRIBUTE_FOLDER, FLAG_DESCRIPTOR
from parazip.format.values import DEFLATED, STORED
from parazip.settings import LEVEL, Settings

_MOST_READ = 1 << 20
_LEAST_READ = 64 << 10
"""Bytes that are asked for at once of a file that is put in: one more than it has, within these."""


@cache
def _choose_deflating(level: int, codec: CodecName) -> Recipe:
    """How members are deflated."""
    recipe = levels.choose_recipe(level, codec)
    if level == 0:
        return recipe._replace(whole=DEFLATE_STORED, block=DEFLATE_STORED)
    if codec == "zlib":
        return recipe
    # Members are put in one after the other here, so more of them are worth all cores.
    return recipe._replace(cut=CUT_FAST)


class _DefaultJournal:
    """A journal for an archive whose `__init__` was never called; some programs have such ones."""

    def __get__(self, archive: Writing | None, kind: type) -> Journal:
        journal = Journal(Settings(), Counter(None))
        if archive is None:  # somebody looks at the class
            return journal
        return cast("Journal", vars(archive).setdefault("_parazip_journal", journal))


class Writing(StandardZipFile):
    """See above."""

    # What zipfile's own code, and people, look at. The values are where zipfile keeps them, for an
    # archive that it opened may be given this class.

    @property
    def _parazip_file(self) -> IO[bytes]:
        """The archive's file; None once it is closed, as with zipfile."""
        own = vars(self)
        # A derived class may keep it elsewhere, by an `fp` of its own.
        found: Any = own["fp"] if "fp" in own else getattr(self, "fp", None)
        return found  # type: ignore[no-any-return] # `cast` would cost a call

    @property
    def fp(self) -> IO[bytes] | None:
        """The archive's file, with all in it that was written to the archive; None once closed."""
        member = self._parazip_journal.member()
        if member is not None and member.state.is_written_out:
            member.show()
        return vars(self).get("fp")

    @fp.setter
    def fp(self, file: Any) -> None:
        vars(self)["fp"] = file

    @property
    def start_dir(self) -> int:
        """Where the next local file header begins, and in the end the central directory."""
        if self._parazip_journal.added is not None:
            self._parazip_journal.move_end(self)
        return vars(self).get("start_dir", 0)  # type: ignore[no-any-return] # see `file`

    @start_dir.setter
    def start_dir(self, offset: int) -> None:
        self._parazip_journal.added = None
        vars(self)["start_dir"] = offset

    @property
    def _parazip_has_open_member(self) -> bool:
        """Whether a member is open for writing, one of ours or one that zipfile writes."""
        member = self._parazip_journal.member()
        # A member whose object is gone is open no more, even if its end was interrupted.
        is_ours = member is not None and member.state.is_open
        return is_ours or bool(vars(self).get(inside.WRITING_FLAG))

    @_parazip_has_open_member.setter
    def _parazip_has_open_member(self, is_open: bool) -> None:
        vars(self)[inside.WRITING_FLAG] = is_open

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
        # The pieces in which zipfile reads are part of what makes the bytes the same with zlib.
        if self._parazip_journal.settings.codec == "zlib" or not hooks.READING_FILES.are_in_place():
            with PuttingIn(self._parazip_journal):
                super().write(filename, arcname, compress_type, compresslevel)
            return
        if not self._parazip_file:
            raise ValueError("cannot write to an archive that was closed")
        if self._parazip_has_open_member:
            raise ValueError("cannot write to an archive while a member of it is open for writing")
        info = zipfile.ZipInfo.from_file(
            filename, arcname, strict_timestamps=inside.is_strict_about_dates(self)
        )
        if info.is_dir():
            info.CRC = 0
            self.mkdir(info)
            return
        info.compress_type = self.compression if compress_type is None else compress_type
        inside.LEVEL.__set__(info, self.compresslevel if compresslevel is None else compresslevel)
        size = info.file_size
        size_asked = min(_MOST_READ, max(_LEAST_READ, size + 1))
        with (
            PuttingIn(self._parazip_journal),
            open(filename, "rb", buffering=0) as source,
            self.open(info, "w") as target,
        ):
            if not isinstance(target, MemberWriter):  # others get what zipfile gives them
                shutil.copyfileobj(source, target, 8 << 10)
                return
            while chunk := source.read(size_asked):
                target.write(chunk)
                if len(chunk) == size < size_asked:  # more was asked for, so this is the end
                    break

    def writestr(
        self,
        zinfo_or_arcname: str | zipfile.ZipInfo,
        data: Any,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        """Puts in a member with the contents `data`; see `zipfile.ZipFile.writestr`."""
        with PuttingIn(self._parazip_journal):
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
        if self._parazip_has_open_member:
            raise ValueError("cannot write a folder while a member is open for writing")
        if not self._parazip_is_ours(info):
            super().mkdir(info, mode)
            return
        with inside.get_lock(self):
            inside.get_check(self)(info)
            inside.set_modified(self, True)
            file = self._parazip_journal.go_to_end(self)
            info.header_offset = self.start_dir
            file.write(info.FileHeader(False))
            self._parazip_journal.add(self, info)
            self._parazip_journal.tell_progress(self, 1, 0, info.filename)

    def _parazip_open_member(self, zinfo: zipfile.ZipInfo, force_zip64: bool = False) -> IO[bytes]:
        """Opens a new member; zipfile's own way for those that are not compressed by us."""
        recipe = self._parazip_choose_recipe(zinfo)
        if recipe is None:
            return inside.get_opener(super())(zinfo, force_zip64=force_zip64)
        if self._parazip_has_open_member:
            raise ValueError("cannot open a member for writing while another one is")
        is_seekable = inside.is_seekable(self)
        zinfo.CRC = zinfo.compress_size = 0
        zinfo.flag_bits = 0 if is_seekable else FLAG_DESCRIPTOR
        zinfo.external_attr = zinfo.external_attr or 0o600 << 16
        zip64 = force_zip64 or zinfo.file_size * 1.05 > zipfile.ZIP64_LIMIT
        inside.get_check(self)(zinfo)
        inside.set_modified(self, True)
        journal = self._parazip_journal
        member = MemberWriter(self, journal, zinfo, recipe, zip64)
        zinfo.header_offset = self.start_dir if is_seekable else self._parazip_file.tell()
        journal.member = weakref.ref(member)
        member.state = HELD
        if inside.was_given_file(self) and not journal.is_in_call:
            # Whoever gave the file may look at it, and expects to find the header there.
            try:
                member.begin()
            except BaseException:
                member.abandon()
                raise
        return member  # type: ignore[return-value] # it has what is needed of a file

    def _parazip_is_ours(self, info: zipfile.ZipInfo) -> bool:
        """Whether we put in a member, and not the standard library's own code."""
        return (
            inside.allows_zip64(self)
            and type(info) is INFO
            and info.compress_type in (STORED, DEFLATED)
            and hooks.WRITING.are_in_place()
        )

    def _parazip_choose_recipe(self, info: zipfile.ZipInfo) -> Recipe | None:
        """How a member is compressed; None if the standard library does it."""
        if not self._parazip_is_ours(info):
            return None
        codec = self._parazip_journal.settings.codec
        if info.compress_type == STORED:
            return levels.choose_recipe(0, codec)
        level = inside.LEVEL.__get__(info)
        if level is None or level == -1:
            level = LEVEL
        if type(level) is not int or not 0 <= level <= 9:
            return None
        return _choose_deflating(level, codec)

    def close(self) -> None:
        """Writes the central directory and closes the file; see `zipfile.ZipFile.close`.

        Raises:
            OSError: something could not be written.
            ValueError: a member is still open for writing.
        """
        if (
            self._parazip_file is not None
            and inside.is_modified(self)
            and not self._parazip_has_open_member
        ):
            self._parazip_write_directory()
        super().close()

    def _parazip_write_directory(self) -> None:
        """Writes the central directory. After Ctrl-C the file stays open, and `close` does it."""
        if self.mode not in ("w", "x", "a"):
            return
        try:
            with inside.get_lock(self):
                self._parazip_journal.write_directory(self)
        except Exception:
            file, self.fp = self._parazip_file, None
            inside.close_file(self, file)
            raise

    _parazip_journal = _DefaultJournal()


inside.install_overrides(
    Writing, vars(Writing)["_parazip_open_member"], vars(Writing)["_parazip_has_open_member"]
)
