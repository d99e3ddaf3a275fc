"""`ZipFile`: the standard library's class, with the compressing done on all cores.

Everything that `zipfile` does well by itself is left to it: opening, the central directory, names,
passwords, reading. What is put in here is taken at the call, as `zipfile` takes it, for people
delete or change files right after `write`. Then it goes to `background`, and each call that puts
something in also writes to the file what has been finished meanwhile; `close` and whoever looks at
a result wait for the rest. Methods other than stored and deflated, and what else is not ours, go
through `zipfile`'s own code when all before them is written.

The file is written by the calling thread alone, under `zipfile`'s own lock.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext, suppress
from functools import cache
from typing import (
    IO,
    Any,
    Literal,
    NoReturn,
    Unpack,
    cast,
    overload,
)

from parazip import codecs
from parazip.dropin.background import Background, Batch, Packed, Piece, Task
from parazip.dropin.handle import WriteHandle
from parazip.dropin.pending import PendingInfo, Ticket, settle
from parazip.dropin.reading import (
    AheadReader,
    are_few,
    copies_here,
    copying,
    first_error,
    folders,
    hasten,
)
from parazip.dropin.stock import Appendable, Mode, Parallel, Readable, Stock, StrPath, Writable
from parazip.errors import SettingsError
from parazip.format.records import ATTRIBUTE_FOLDER, FLAG_DESCRIPTOR
from parazip.model import (
    DEFLATE_STORED,
    DEFLATED,
    MEMORY,
    STORE,
    STORED,
    Block,
    Buffer,
    CodecName,
    Recipe,
    Settings,
)
from parazip.progress import Counter, Sink

_CHUNK = 1 << 20
_BITE = 64 << 10
_DEFAULT_LEVEL = 6

_LEVEL: Any = vars(zipfile.ZipInfo)["_compresslevel"]
"""A slot, or from Python 3.13 on another name of one."""


class ZipFile(Stock):
    """A `zipfile.ZipFile` that compresses on all cores.

    Everything is as in `zipfile`, except that the compressed bytes are other ones, and that `write`
    and `writestr` return before their member is in the file. It is there when `close` returns, and
    when something of it is looked at that is not known sooner: its contents, or `CRC`,
    `compress_size` and `header_offset` of its `ZipInfo`. As in `zipfile`, reading is possible from
    many threads at once, writing from one at a time.

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
        jobs: how many threads work at most; None means the CPUs that this process may use.
        memory: bytes that may be in flight at once.
        progress: called with a `Progress` each time members were written.

    Raises:
        SettingsError: (a ValueError) a setting is out of its range.
        Exception: what `zipfile.ZipFile` raises.

    An error that is found behind a call (a full disk, above all) is raised by the next call that
    hands something over or waits, and by `close`, which ends the archive with all that is in it.
    """

    _behind: Background[Ticket] | None = None
    _half: Ticket | None = None
    _failure: BaseException | None = None
    _start = 0

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
            compression = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
            compresslevel = level or None
        self._settings = Settings(
            level=_DEFAULT_LEVEL if level is None else level, codec=codec, jobs=jobs, memory=memory
        )
        self._counter = Counter(progress)
        Stock.__init__(
            self,
            file,
            mode,
            compression,
            allowZip64,
            compresslevel,
            strict_timestamps=strict_timestamps,
            metadata_encoding=metadata_encoding,
        )
        self._begin = self._start

    @property
    def __class__(self) -> type:
        """As with any object. `zipfile.Path` gives an archive another class: it keeps ours, too."""
        return type(self)

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        if not issubclass(kind, ZipFile):
            ours: Any = type(self)
            kind = _both(kind, ours)
        object.__dict__["__class__"].__set__(self, kind)

    def write(
        self,
        filename: StrPath,
        arcname: StrPath | None = None,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        """Puts in a file or a folder, under the name `arcname`; see `zipfile.ZipFile.write`.

        The file has been read when this returns, and may be changed or deleted.

        Raises:
            OSError: the file cannot be read, or what was put in before cannot be written.
            ValueError: the archive is closed, or a handle of `open(name, "w")` is not.
        """
        if self._settings.codec == "zlib":  # its bites are part of what makes the bytes the same
            super().write(filename, arcname, compress_type, compresslevel)
            return
        if not self.fp:
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
        with open(filename, "rb", buffering=0) as source, self.open(info, "w") as target:
            while chunk := source.read(bite):
                target.write(chunk)
                if len(chunk) == size < bite:  # more was asked for, so this is the end
                    break

    def mkdir(self, zinfo_or_directory_name: str | zipfile.ZipInfo, mode: int = 0o777) -> None:
        """Puts in a folder; see `zipfile.ZipFile.mkdir`.

        Raises:
            ValueError: the archive is closed, or the `ZipInfo` is not a folder's.
            TypeError: neither a name nor a `ZipInfo`.
        """
        given = zinfo_or_directory_name
        if isinstance(given, zipfile.ZipInfo):
            info = given
            if not info.is_dir():
                raise ValueError(
                    f"{info.filename!r} is not the name of a folder: it has no / at its end"
                )
        elif isinstance(given, str):
            info = zipfile.ZipInfo(given if given.endswith("/") else f"{given}/")
            info.external_attr = ((0o40000 | mode) & 0xFFFF) << 16 | ATTRIBUTE_FOLDER
            info.CRC = 0
        else:
            raise TypeError(f"a folder's name or ZipInfo, not {type(given).__name__}")
        if self._writing:
            raise ValueError("cannot write a folder while a member is open for writing")
        if not self._is_ours(info):
            self._finish()
            super().mkdir(info, mode)
            return
        with self._lock:
            self._writecheck(info)
            self._didModify = True
            ticket = Ticket(self, info, zip64=False)
            self._written(ticket, lambda behind: behind.whole(ticket, STORE, [], 0))

    def _open_to_write(self, zinfo: zipfile.ZipInfo, force_zip64: bool = False) -> IO[bytes]:
        recipe = self._recipe(zinfo)
        if recipe is None:
            self._finish()
            return super()._open_to_write(zinfo, force_zip64=force_zip64)
        if self._writing:
            raise ValueError("cannot open a member for writing while another one is")
        zinfo.CRC = zinfo.compress_size = 0
        zinfo.flag_bits = 0 if self._seekable else FLAG_DESCRIPTOR
        zinfo.external_attr = zinfo.external_attr or 0o600 << 16
        zip64 = force_zip64 or zinfo.file_size * 1.05 > zipfile.ZIP64_LIMIT
        self._writecheck(zinfo)
        self._didModify = True
        ticket = Ticket(self, zinfo, zip64)
        self._writing = True
        return cast("IO[bytes]", WriteHandle(self, ticket, recipe))

    def _is_ours(self, info: zipfile.ZipInfo) -> bool:
        """Whether a member may be written behind the call."""
        if type(info) is PendingInfo:  # it is used for a second member
            settle(info)
        return (
            self._allowZip64
            and type(info) is zipfile.ZipInfo
            and info.compress_type in (STORED, DEFLATED)
        )

    def _recipe(self, info: zipfile.ZipInfo) -> Recipe | None:
        """How a member is compressed; None if the standard library does it."""
        if not self._is_ours(info):
            return None
        codec = self._settings.codec
        if info.compress_type == STORED:
            return codecs.recipe(0, codec)
        level = _LEVEL.__get__(info)
        if level is None or level == -1:
            level = _DEFAULT_LEVEL
        if type(level) is not int or not 0 <= level <= 9:
            return None
        if level == 0:
            return codecs.recipe(0, codec)._replace(whole=DEFLATE_STORED, block=DEFLATE_STORED)
        return codecs.recipe(level, codec)

    def _written(self, ticket: Ticket, put_in: Callable[[Background[Ticket]], None]) -> None:
        """A member's contents are complete."""
        info = ticket.info
        try:
            ticket.check_size()
            ticket.seal()
        except BaseException:
            self._finish()
            if self._half is ticket:
                self._take_back()
            raise
        finally:
            self._writing = False
        ticket.lend()
        self.filelist.append(info)
        self.NameToInfo[info.filename] = info
        self._counter.members_total += 1
        self._counter.bytes_total += ticket.size
        put_in(self._background)
        self._work()

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
        if mode == "r":
            hasten(file)
            if copies_here():
                return cast("IO[bytes]", AheadReader(file))
        return file

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
        extracted.
        """
        self._finish()
        chosen = list(self.namelist() if members is None else members)
        target = os.getcwd() if path is None else os.fspath(path)
        infos = self._apart(chosen, target)
        if infos is None:
            super().extractall(path, chosen, pwd)
            return

        def extract(info: zipfile.ZipInfo) -> None:
            with copying(info) if is_plain else nullcontext():
                self._extract_member(info, target, pwd)

        jobs = self._settings.jobs
        is_plain = jobs != 1 and type(self).open is ZipFile.open
        failure = first_error(self, infos, extract, jobs)
        if failure is not None:
            raise failure.error

    def testzip(self) -> str | None:
        """Reads all members, on all cores; gives the name of the first that is damaged, or None."""
        self._finish()

        def test(info: zipfile.ZipInfo) -> None:
            with self.open(info.filename) as file:
                while file.read(_CHUNK):
                    pass

        failure = first_error(self, self.filelist, test, self._settings.jobs)
        if failure is None:
            return None
        if isinstance(failure.error, zipfile.BadZipFile):
            return self.filelist[failure.member].filename
        raise failure.error

    def _apart(
        self, members: Sequence[str | zipfile.ZipInfo], target: str
    ) -> list[zipfile.ZipInfo] | None:
        """Members that can be extracted in any order, all folders made; None if it is in vain."""
        try:
            infos = [
                one if isinstance(one, zipfile.ZipInfo) else self.getinfo(one) for one in members
            ]
            found = None if are_few(infos) else folders(infos)
            for folder in found or ():
                self._extract_member(zipfile.ZipInfo(f"{folder}/"), target, None)
        except (KeyError, OSError, ValueError):  # in its turn it is found again
            return None
        return infos if found is not None else None

    # What goes on behind

    @property
    def _background(self) -> Background[Ticket]:
        if self._behind is None:
            self._behind = Background(self._settings.jobs, self._settings.memory)
        return self._behind

    def _work(self, until: Callable[[], bool] | None = None) -> None:
        """Hands new tasks to the workers and writes what they have finished.

        Args:
            until: what to wait for; by default for nothing but room in the budget.
        """
        behind = self._behind
        if behind is None or not (until or behind.has_new):
            return
        try:
            with closing(behind.results(until or (lambda: True))) as results:
                for task, result in results:
                    self._take(task, result)
        except BaseException as error:
            if not behind.at_rest:
                self._lose(error)
            raise

    def _finish(self) -> None:
        """Writes everything."""
        with self._lock:
            if self._behind is not None and not self._behind.is_idle:
                self._behind.end_batch()
                self._work(until=lambda: False)

    def settle(self, ticket: Ticket) -> None:
        """Waits until one member is written."""
        with self._lock:
            if self._behind is not None and not ticket.done:
                self._behind.end_batch()
                self._work(until=lambda: ticket.done)

    def _take(self, task: Task[Ticket], result: Packed | Block) -> None:
        if isinstance(task, Batch):
            self._take_batch(task, cast("Packed", result))
            last, members = task.members[-1].owner, len(task.members)
        else:
            self._take_block(task, cast("Block", result))
            last, members = task.owner, int(task.last)
        self._counter.advance(members, task.size, self._start - self._begin, last.info.filename)

    def _take_batch(self, batch: Batch[Ticket], result: Packed) -> None:
        pieces: list[Buffer] = []
        offset = self._start
        for (ticket, *_), (crc, packed) in zip(batch.members, result, strict=True):
            ticket.crc = crc
            ticket.compressed_size = len(packed)
            ticket.check_size()
            ticket.offset = offset
            header, descriptor = ticket.header, ticket.descriptor
            pieces += (header, packed, descriptor)
            offset += len(header) + len(packed) + len(descriptor)
        self._emit(b"".join(pieces))
        for ticket, *_ in batch.members:
            ticket.keep()

    def _take_block(self, piece: Piece[Ticket], block: Block) -> None:
        ticket = piece.owner
        if self._half is not ticket:
            self._half = ticket
            ticket.offset = self._start
            self._emit(ticket.header)
        for data in block.data:
            self._emit(data)
            ticket.compressed_size += len(data)
        ticket.grow(block.crc, block.size)
        if piece.last:
            ticket.check_size()
            if self._seekable:
                self._fp.seek(ticket.offset)
                self._fp.write(ticket.header)
            else:
                self._emit(ticket.descriptor)
            self._half = None
            ticket.keep()

    @property
    def _fp(self) -> IO[bytes]:
        assert self.fp is not None
        return self.fp

    def _emit(self, data: Any) -> None:
        if self._seekable:
            self._fp.seek(self._start)
        self._fp.write(data)
        self._start += len(data)

    @property
    def start_dir(self) -> int:
        """Where the next local file header begins, and in the end the central directory."""
        self._finish()
        return self._start

    @start_dir.setter
    def start_dir(self, offset: int) -> None:
        self._start = offset

    def _lose(self, error: BaseException) -> None:
        """Drops all that is not written, and remembers why."""
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.close()
        lost = [info for info in self.filelist if type(info) is PendingInfo]
        for info in lost:
            Ticket.of(info).lose()
        gone = set(map(id, lost))
        self.filelist[:] = [info for info in self.filelist if id(info) not in gone]
        self.NameToInfo.clear()
        self.NameToInfo.update((info.filename, info) for info in self.filelist)
        self._failure = self._failure or error
        self._take_back()

    def _raise_failure(self) -> NoReturn:
        """Tells once more why something was lost."""
        assert self._failure is not None
        raise self._failure

    def _take_back(self) -> None:
        """Forgets the half of a member that was written, and all that may stand behind it."""
        half, self._half = self._half, None
        if half is not None and self._seekable:
            self._start = half.offset
        with suppress(OSError, ValueError, AttributeError):  # then it is overwritten, or hidden
            if self._seekable:
                self._fp.truncate(self._start)
            else:
                self._start = self._fp.tell()

    def close(self) -> None:
        """Waits for all work, writes the central directory and closes the file.

        Raises:
            OSError: something could not be written. What is in the archive can be read.
            ValueError: a member is still open for writing.
        """
        if self.fp is None:
            return
        if not self._writing:
            try:
                self._finish()
            except BaseException as error:
                if self._behind is not None:
                    self._lose(error)
                self._failure = self._failure or error
        try:
            super().close()
        finally:
            if self.fp is None and self._behind is not None:
                self._behind.close()
                self._behind = None
        if self._failure is not None:
            self._raise_failure()


@cache
def _both(kind: type[Any], ours: type[Any]) -> type[Any]:
    """A class that is `kind` first and then `ours`."""
    return type(kind.__name__, (kind, ours), {"__module__": kind.__module__})


class PyZipFile(ZipFile, zipfile.PyZipFile):
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
        self._optimize = optimize
