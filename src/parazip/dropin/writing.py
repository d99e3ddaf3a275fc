"""How members get into an archive: at the call, compressed behind it, written by later calls.

What is put in is taken at the call, as `zipfile` takes it, for people delete or change files right
after `write`. Then it goes to `background`, and each call that puts something in also writes to the
file what has been finished meanwhile; `close` and whoever looks at a result wait for the rest.
Methods other than stored and deflated, and what else is not ours, go through `zipfile`'s own code
when all before them is written.

The file is written by the calling thread alone, under `zipfile`'s own lock.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from typing import IO, Any, NoReturn, cast

from parazip import codecs
from parazip.dropin import hooks
from parazip.dropin.background import Background, Batch, Packed, Piece, Task
from parazip.dropin.handle import WriteHandle
from parazip.dropin.pending import INFO, PendingInfo, Ticket, settle
from parazip.dropin.stock import Stock, StrPath
from parazip.format.records import ATTRIBUTE_FOLDER, FLAG_DESCRIPTOR
from parazip.model import (
    DEFLATE_STORED,
    DEFLATED,
    LEVEL,
    STORE,
    STORED,
    Block,
    Buffer,
    Recipe,
    Settings,
)
from parazip.progress import Counter

_CHUNK = 1 << 20
_BITE = 64 << 10

_LEVEL: Any = vars(INFO)["compress_level" if "compress_level" in vars(INFO) else "_compresslevel"]
"""The slot, which Python 3.13 made public."""


class Writing(Stock):
    """The half of `ZipFile` that writes."""

    # As with zipfile, there are archives that `__init__` was never called for.
    _settings = Settings()
    _counter = Counter(None)
    _begin = 0
    _behind: Background[Ticket] | None = None
    _half: Ticket | None = None
    _failure: BaseException | None = None

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
        # With zlib, the bites in which zipfile reads are part of what makes the bytes the same.
        if self._settings.codec == "zlib" or not hooks.READING_FILES.are_in_place():
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
            if not isinstance(target, WriteHandle):  # others are given what zipfile gives them
                shutil.copyfileobj(source, target, 8 << 10)
                return
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
        if not hooks.WRITING.are_in_place():
            self._finish()
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
            return codecs.recipe(0, codec)
        level = _LEVEL.__get__(info)
        if level is None or level == -1:
            level = LEVEL
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
        try:
            self._emit(b"".join(pieces))
        except OSError:
            self._salvage(batch, pieces)
            raise
        for ticket, *_ in batch.members:
            ticket.keep()

    def _salvage(self, batch: Batch[Ticket], pieces: list[Buffer]) -> None:
        """Writes one member after the other, as long as there is room."""
        if self._seekable:
            for i, (ticket, *_) in enumerate(batch.members):
                self._emit(b"".join(pieces[3 * i : 3 * i + 3]))
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
    def _start(self) -> int:
        """What zipfile calls `start_dir`, kept where it keeps it: an archive may be made by it."""
        return cast("int", vars(self).get("start_dir", 0))

    @_start.setter
    def _start(self, offset: int) -> None:
        vars(self)["start_dir"] = offset

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

    def _forget(self) -> None:
        """Has done with the archive before, as `__init__` may be called again."""
        if self._behind is not None:
            self._finish()
            self._behind.close()
        self._behind = self._half = self._failure = None

    def _leave(self) -> None:
        """Leaves the file to the process that this one was forked from."""
        file, self.fp = self.fp, None
        with suppress(AttributeError, OSError):  # so that nothing that is buffered here follows
            cast("Any", file).raw.close()

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
            super().close()
            return
        if self._behind is not None and self._behind.is_elsewhere:
            self._leave()
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
