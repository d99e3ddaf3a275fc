"""`ZipFile`: the standard library's class, with compressing and inflating done on all cores.

Everything that `zipfile` does well by itself is left to it: opening, the central directory, names,
passwords, what must not be extracted. Writing members is in `writing`; here is what reads them.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from typing import IO, Any, Literal, Unpack, cast, overload
from weakref import ref

from parazip.codecs.table import CodecName
from parazip.dropin import hooks, inside
from parazip.dropin.ahead import open_reader, read_on_one_core
from parazip.dropin.arguments import Appendable, Mode, Parallel, Readable, StrPath, Writable
from parazip.dropin.inside import INFO, StandardZipFile
from parazip.dropin.journal import Journal
from parazip.dropin.member import WHOLE, replace_reader
from parazip.dropin.members import ExtractJob, Failure, Job, MemberJobs, TestJob, call_with_fallback
from parazip.dropin.sources import can_reread
from parazip.dropin.standing_in import is_override, override_methods
from parazip.dropin.targets import are_few, have_links, list_target_folders
from parazip.dropin.writing import Writing
from parazip.engine.progress import Counter, Sink
from parazip.errors import SettingsError
from parazip.settings import LEVEL, Settings
from parazip.workers.budget import MEMORY

_COLLECTIONS: tuple[type, ...] = (
    list,
    tuple,
    set,
    frozenset,
    dict,
    type({}.keys()),
    type({}.values()),
)
"""What gives all members at once. Others may show progress, or make room, between two of them."""


class ZipFile(Writing, metaclass=inside.HookMeta):
    """A `zipfile.ZipFile` that compresses on all cores.

    Everything is as in `zipfile`, except that the compressed bytes differ. As there, many threads
    may read at once, and one at a time may write.

    Args:
        file: a path, or a binary file; see `zipfile.ZipFile`.
        mode: "r", "w", "x" or "a".
        compression: `ZIP_STORED` (the default), `ZIP_DEFLATED`, or another method, which the
            standard library then compresses with, on one core.
        allowZip64: if False, all is left to the standard library, on one core.
        compresslevel: what `ZIP_DEFLATED` takes, 0 to 9; 6 if it is None. One scale over all
            codecs, see `docs/levels.md`.
        strict_timestamps: see `zipfile.ZipFile`.
        metadata_encoding: see `zipfile.ZipFile`.
        level: 0 (store) to 9 (smallest); in place of `compression` and `compresslevel`.
        codec: "auto", "zlib", "zlib-ng", "isal" or "libdeflate". With "zlib" the archive is to the
            byte what `zipfile` makes, as long as no member has more than 16 MiB.
        jobs: how many threads work at most; None means those that all archives of the process
            share, one for each CPU that it may use.
        memory: bytes that may be in flight at once; the default is shared by all archives, too.
        progress: called with a `Progress` each time members were written.

    Raises:
        SettingsError: (a ValueError) a setting is out of its range.
        Exception: what `zipfile.ZipFile` raises.
    """

    @overload
    def __init__(
        self,
        file: StrPath | IO[bytes],
        mode: Mode = "r",
        compression: int = ...,
        allowZip64: bool = ...,  # noqa: N803 # as zipfile has it
        compresslevel: int | None = ...,
        *,
        strict_timestamps: bool = ...,
        metadata_encoding: str | None = ...,
        **settings: Unpack[Parallel],
    ) -> None: ...
    @overload
    def __init__(
        self,
        file: StrPath | Readable,
        mode: Literal["r"] = "r",
        compression: int = ...,
        allowZip64: bool = ...,  # noqa: N803
        compresslevel: int | None = ...,
        *,
        strict_timestamps: bool = ...,
        metadata_encoding: str | None = ...,
        **settings: Unpack[Parallel],
    ) -> None: ...
    @overload
    def __init__(
        self,
        file: StrPath | Writable,
        mode: Literal["w", "x"],
        compression: int = ...,
        allowZip64: bool = ...,  # noqa: N803
        compresslevel: int | None = ...,
        *,
        strict_timestamps: bool = ...,
        metadata_encoding: None = ...,
        **settings: Unpack[Parallel],
    ) -> None: ...
    @overload
    def __init__(
        self,
        file: StrPath | Appendable,
        mode: Literal["a"],
        compression: int = ...,
        allowZip64: bool = ...,  # noqa: N803
        compresslevel: int | None = ...,
        *,
        strict_timestamps: bool = ...,
        metadata_encoding: None = ...,
        **settings: Unpack[Parallel],
    ) -> None: ...
    def __init__(
        self,
        file: Any,
        mode: Mode = "r",
        compression: int = zipfile.ZIP_STORED,
        allowZip64: bool = True,  # noqa: N803
        compresslevel: int | None = None,
        *,
        strict_timestamps: bool = True,
        metadata_encoding: str | None = None,
        level: int | None = None,
        codec: CodecName = "auto",
        jobs: int | None = None,
        memory: int = MEMORY,
        progress: Sink | None = None,
    ) -> None:
        if level is not None:
            if compresslevel is not None:
                raise SettingsError("level and compresslevel say the same thing; give one of them")
            if compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise SettingsError("level says how to deflate; give no other compression with it")
            compression = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
            compresslevel = level or None
        settings = Settings(
            level=LEVEL if level is None else level, codec=codec, jobs=jobs, memory=memory
        )
        # The archive before is forgotten, as `__init__` may be called again.
        self._parazip_journal = Journal(settings, Counter(progress))
        StandardZipFile.__init__(
            self,
            file,
            mode,
            compression,
            allowZip64,
            compresslevel,
            strict_timestamps=strict_timestamps,
            metadata_encoding=metadata_encoding,
        )
        self._parazip_journal.begin(self)

    _parazip_plain_file: ref[Any] | None = None
    """The archive's file, if it was found to be one that can be read in any order."""

    @property
    def __class__(self) -> type:
        """The class. If `zipfile.Path` sets it to a class of its own, ours stays a base."""
        return type(self)

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        if ZipFile not in kind.__mro__:
            ours: Any = vars(type(self)).get("_ours", type(self))
            kind = ours if kind in ours.__mro__ else _derive_from_both(kind, ours)
        object.__dict__["__class__"].__set__(self, kind)

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        """While this class stands in `zipfile`, those of the one it replaced count as its own."""
        standard = STANDS_FOR.get(cls)
        if standard and vars(zipfile).get(cls.__name__) is cls and issubclass(kind, standard):
            return True
        return cast("bool", NotImplemented)  # as `abc` has it

    # What is read

    def open(
        self,
        name: str | zipfile.ZipInfo,
        mode: Literal["r", "w"] = "r",
        pwd: bytes | None = None,
        *,
        force_zip64: bool = False,
    ) -> IO[bytes]:
        """Opens a member for reading, or a new one for writing; see `zipfile.ZipFile.open`.

        A new member is compressed while it is written, in blocks on all cores, in bounded memory.
        """
        file = super().open(name, mode, pwd, force_zip64=force_zip64)
        if mode != "r":
            return file
        if hooks.INFLATING.are_in_place():
            replace_reader(file, self._parazip_can_reread())
        return open_reader(file)

    def _parazip_can_reread(self) -> bool:
        """Whether members may be read in any order, and twice. It is asked for each of them."""
        file: Any = self._parazip_file
        if self._parazip_plain_file is None or self._parazip_plain_file() is not file:
            if self.mode != "r" or not can_reread(file):
                return False
            self._parazip_plain_file = ref(file)
        return True

    def extract(
        self, member: str | zipfile.ZipInfo, path: StrPath | None = None, pwd: bytes | None = None
    ) -> str:
        """Extracts a member, and gives its new path; see `zipfile.ZipFile.extract`."""
        info = member if isinstance(member, zipfile.ZipInfo) else self.getinfo(member)
        call = super().extract
        if info.file_size <= WHOLE or not self._parazip_reads_plainly():
            return call(info, path, pwd)
        writes_beside = self._parazip_journal.settings.jobs != 1
        return call_with_fallback(
            lambda one: call(one, path, pwd),
            info,
            lambda file: read_on_one_core(file, writes_beside),
        )

    def extractall(
        self,
        path: StrPath | None = None,
        members: Iterable[str | zipfile.ZipInfo] | None = None,
        pwd: bytes | None = None,
    ) -> None:
        """Extracts members on all cores; see `zipfile.ZipFile.extractall`.

        Raises:
            OSError: a file cannot be written.
            BadZipFile: a member is damaged.

        The error is that of the first member that has one; of those after it some may have been
        extracted. Where `members` is an iterator, it is asked for one after the other is extracted.
        """
        are_known = members is None or type(members) in _COLLECTIONS
        if not (are_known and self._parazip_reads_plainly() and hooks.EXTRACTING.are_in_place()):
            super().extractall(path, members, pwd)
            return
        chosen = list(self.namelist() if members is None else members)
        target = os.getcwd() if path is None or path == "" else os.fspath(path)
        infos = None
        if isinstance(target, str):
            infos = self._parazip_prepare_extracting(chosen, target)
        if infos is None:
            super().extractall(path, chosen, pwd)
            return
        files = [info for info in infos if not info.is_dir()]  # folders are made
        failure = self._parazip_find_first_failure(files, ExtractJob(target, pwd))
        if failure is not None:
            raise failure.error

    def testzip(self) -> str | None:
        """Reads all members, on all cores; gives the name of the first that is damaged, or None."""
        if not self._parazip_reads_plainly():
            return super().testzip()
        infos = self.filelist
        if are_few(infos) or not _are_plain(infos):
            return super().testzip()
        failure = self._parazip_find_first_failure(infos, TestJob())
        if failure is None:
            return None
        if isinstance(failure.error, zipfile.BadZipFile):
            return infos[failure.member].filename
        raise failure.error

    def _parazip_find_first_failure(
        self, infos: Sequence[zipfile.ZipInfo], job: Job
    ) -> Failure | None:
        settings = self._parazip_journal.settings
        return MemberJobs(self, infos, job, settings.jobs, settings.memory).find_first_failure()

    def _parazip_reads_plainly(self) -> bool:
        """Whether reading is as defined here, from a file that can be read in any order.

        What others define may count on the order, the thread and the process.
        """
        if not (can_reread(self._parazip_file) and hooks.TESTING.are_in_place()):
            return False
        return not any(
            name in vars(self) or any(_defines(kind, name) for kind in type(self).__mro__)
            for name in inside.CALLED_PER_MEMBER
        )

    def _parazip_prepare_extracting(
        self, members: Sequence[str | zipfile.ZipInfo], target: str
    ) -> list[zipfile.ZipInfo] | None:
        """Makes all folders, so that members can be extracted in any order; None if they cannot."""
        try:
            infos = [
                one if isinstance(one, zipfile.ZipInfo) else self.getinfo(one) for one in members
            ]
            if are_few(infos) or not _are_plain(infos):
                return None
            folders = list_target_folders(infos)
            if folders is None:
                return None
            is_new = not os.path.isdir(target) or not os.listdir(target)
            paths = [self._parazip_make_folder(folder, target) for folder in folders]
            return infos if is_new or not have_links(infos, target, paths) else None
        except OSError as error:
            if error.errno is None:  # not the system's, but a time limit's, by a signal handler
                raise
            return None  # the standard library comes to it in its turn, and raises it
        except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError):
            return None

    def _parazip_make_folder(self, folder: str, target: str) -> str:
        """Makes a folder of the archive, and gives its path; "" is the target itself."""
        if folder:
            return inside.extract_member(self, zipfile.ZipInfo(f"{folder}/"), target, None)
        os.makedirs(target, exist_ok=True)
        return target


def _are_plain(infos: Iterable[zipfile.ZipInfo]) -> bool:
    """Whether all are of zipfile's class. What a derived one does when it is used, nobody knows."""
    return all(type(info) is INFO for info in infos)


def _defines(kind: type, name: str) -> bool:
    """Whether a class has a method of its own that is neither ours nor the standard library's."""
    method = vars(kind).get(name)
    if method is None:
        return False
    return kind not in PyZipFile.__mro__ or not (
        is_override(method) or hooks.is_original(name, method)
    )


@cache
def _derive_from_both(kind: type[Any], ours: type[Any]) -> type[Any]:
    """A class that is `kind` first and then `ours`."""
    return type(kind.__name__, (kind, ours), {"__module__": kind.__module__, "_ours": ours})


class PyZipFile(ZipFile, inside.StandardPyZipFile):
    """A `zipfile.PyZipFile` that compresses on all cores; see `ZipFile`."""

    def __init__(
        self,
        file: StrPath | IO[bytes],
        mode: Mode = "r",
        compression: int = zipfile.ZIP_STORED,
        allowZip64: bool = True,  # noqa: N803 # as zipfile has it
        optimize: int = -1,
        **settings: Unpack[Parallel],
    ) -> None:
        ZipFile.__init__(self, file, mode, compression, allowZip64, **settings)
        inside.set_optimization(self, optimize)


def open_in_helper(empty: IO[bytes], metadata_encoding: str | None, raw: io.RawIOBase) -> ZipFile:
    """An archive of no members, in whose file any member can be read that one is told of.

    Args:
        empty: an empty archive.
        metadata_encoding: see `zipfile.ZipFile`.
        raw: the file, whose bytes may be read in any order, and twice.
    """
    archive = ZipFile(empty, metadata_encoding=metadata_encoding)
    file: Any = io.BufferedReader(raw)
    archive.fp = file
    archive._parazip_plain_file = ref(file)
    return archive


STANDS_FOR: dict[type, type] = {ZipFile: StandardZipFile, PyZipFile: inside.StandardPyZipFile}

override_methods(Writing, Writing)
for _kind, _standard in STANDS_FOR.items():
    override_methods(_kind, _kind, _standard)
inside.warn_of_misfits()
