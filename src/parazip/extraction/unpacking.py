"""Unpacks a batch of members into files; by a worker itself, or by a helper process that it asks.

Each file is made with one call that fails if anything stands there, with the permissions that it is
to have, and gets its contents, its time and its end. What replaces a file that is there is made
beside it, and takes its name when it is complete. So nothing is half written, but for what a
process leaves behind that is killed; `recover` takes that back.
"""

from __future__ import annotations

import errno
import marshal
import os
import struct
import time
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

from parazip.errors import OutputError, ParazipError, SourceError, note_member
from parazip.extraction import contents
from parazip.extraction.folder import TargetFolder
from parazip.extraction.model import Modes
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.records import LOCAL
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Buffer, Entry, Record
from parazip.model import File
from parazip.output import syncing
from parazip.sources import files
from parazip.sources.archives import locate_records, read_at, read_front
from parazip.workers.helpers import Helpers

Chunks: TypeAlias = Callable[[Entry, int, Read], Iterable[Buffer]]

BATCH = 4 << 20
"""Bytes of contents that are unpacked in one go, if there are that many small members."""

BATCH_MEMBERS = 256
"""The most members of a batch: with fewer, the price of handing it over shows."""

_CREATE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_AHEAD = 1 << 20
"""Bytes of the archive that are read at once: small members mostly stand in order."""

_MOST_HEADER = LOCAL.size + 0xFFFF
"""Bytes of a local header without its name, at most (APPNOTE 4.4.11)."""

_UTIME_BY_DESCRIPTOR = os.utime in os.supports_fd
_ANY_BIT_EXECUTES = 0o111 << 16
_TIMES_TAG = b"UT"
_TIMES = struct.Struct("<2sHBi")


class Item(NamedTuple):
    """A file that is to be made of a member.

    Attributes:
        path: where, below the target, with `/` between steps.
        entry: the member.
        replaces: whether a file stands there that is to be replaced.
    """

    path: str
    entry: Entry
    replaces: bool = False


class Place(NamedTuple):
    """From where to where.

    Attributes:
        archive: the file of the archive.
        target: the folder that files are made in.
        shown: what messages call it.
        modes: which permissions files get.
        token: what is in the names of unfinished files, and in no others.
        sync: whether each file is on the disk when it is made.
        keeps_times: whether files get the modification times of their members.
        by_name: see `TargetFolder`.
    """

    archive: File
    target: str
    shown: str
    modes: Modes
    token: str
    sync: bool = False
    keeps_times: bool = True
    by_name: bool = False


class Batch(NamedTuple):
    """Files that are made one after the other."""

    place: Place
    items: Sequence[Item]


def unpack(batch: Batch, helpers: Helpers, count: Callable[[int], object]) -> None:
    """Makes the files of a batch; asks a helper to do so, if there are any.

    Args:
        batch: which.
        helpers: who may be asked.
        count: is called with how many files were made, also before an error is raised.

    Raises:
        SourceError: the archive cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a member is damaged.
        OutputError: a file cannot be written.
    """
    if helpers.are_started and not batch.place.archive.is_remote:  # helpers reach no URLs
        answer = helpers.ask(_write_question(batch))
        if answer is not None:
            done = int.from_bytes(answer, "little")
            count(done)
            if done < len(batch.items):
                unpack_here(batch._replace(items=batch.items[done:]), count)
            return
        batch = recover(batch)  # it may have been killed at any moment
    unpack_here(batch, count)


def _write_question(batch: Batch) -> bytes:
    archive, *rest = batch.place
    return marshal.dumps((tuple(archive), rest, flatten_items(batch.items)))


def answer_question(question: bytes) -> bytes:
    """Does what a question asks; tells how many files were made before something went wrong."""
    archive, place, items = marshal.loads(question)
    unpacker = Unpacker(Place(File(*archive), *place))
    with suppress(Exception):
        unpacker.unpack(restore_items(items))
    return unpacker.done.to_bytes(8, "little")


def flatten_items(items: Sequence[Item]) -> list[Any]:
    """Items as plain tuples, which marshal takes."""
    return [
        (path, name, tuple(record), end, replaces) for path, (name, record, end), replaces in items
    ]


def restore_items(items: list[Any]) -> list[Item]:
    """What `flatten_items` made plain tuples of."""
    return [
        Item(path, Entry(name, Record(*record), end), replaces)
        for path, name, record, end, replaces in items
    ]


def unpack_here(batch: Batch, count: Callable[[int], object]) -> None:
    """Makes the files of a batch; see `unpack`."""
    unpacker = Unpacker(batch.place)
    try:
        unpacker.unpack(batch.items)
    finally:
        count(unpacker.done)


class Unpacker:
    """Makes files, one after the other.

    Args:
        place: from where to where.
        chunks: gives the contents of a large member; see `contents.chunks`.

    Attributes:
        done: how many were made.
    """

    def __init__(self, place: Place, chunks: Chunks = contents.chunks) -> None:
        self.done = 0
        self._place = place
        self._chunks = chunks
        self._judge = Judge(place.archive.path)

    def unpack(self, items: Sequence[Item]) -> None:
        """Makes files of members."""
        archive = self._place.archive
        pieces = locate_records(archive, [item.entry for item in items])
        with files.open_unchanged(archive, pieces=pieces) as file:
            self.unpack_from(partial(read_at, file), items)

    def unpack_from(self, read: Read, items: Sequence[Item]) -> None:
        """Makes files of members of an archive that is open.

        Args:
            read: gives its bytes.
            items: the files.
        """
        with TargetFolder(self._place.target, self._place.by_name) as folder:
            self._unpack(read, items, _FileMaker(self._place, folder))

    def _unpack(self, read: Read, items: Sequence[Item], maker: _FileMaker) -> None:
        before = self.done
        try:
            self._unpack_in_turn(read, items, maker)
        except MemoryError as error:
            place = self._place.archive.path
            note_member(error, f"{items[self.done - before].entry.name} in {place}")
            raise

    def _unpack_in_turn(self, read: Read, items: Sequence[Item], maker: _FileMaker) -> None:
        judge = self._judge
        is_remote = self._place.archive.is_remote
        piece, base = b"", 0  # what was read of the archive, and where that begins
        for item in items:
            _, entry, _ = item
            _, record, end = entry
            raw, _, _, date, _, compressed_size, size, _, offset = record
            if size > contents.AT_ONCE or compressed_size > contents.AT_ONCE:
                self._unpack_large(item, read, maker)
                self.done += 1
                continue
            # Each call less here shows in the time that small files take: no more is done for them
            # than this, and what `_FileMaker.make` does.
            at = offset - base
            if at < 0 or end - base > len(piece):
                length = _MOST_HEADER + len(raw) + compressed_size
                length = min(length, end - offset) if is_remote else max(_AHEAD, length)
                piece, base, at = read(offset, length), offset, 0
            front = piece[at : end - base]
            begin = find_data_offset(judge, entry, front, read) - offset
            compressed = front[begin : begin + compressed_size]
            data: Buffer = compressed
            if size or compressed_size:
                data = contents.inflate(judge, entry, compressed)
            is_plain = begin == LOCAL.size + len(raw)
            when = read_dos_date(date) if is_plain else find_time(record, front[:begin])
            maker.make(item, (data,), when)
            self.done += 1

    def _unpack_large(self, item: Item, read: Read, maker: _FileMaker) -> None:
        entry = item.entry
        front = read_front(read, entry)
        begin = find_data_offset(self._judge, entry, front, read)
        when = find_time(entry.record, front[: begin - entry.record.offset])

        def read_here(offset: int, length: int) -> bytes:
            try:
                return read(offset, length)
            except SourceError:
                raise
            except OSError as error:  # no error of the file that is made
                raise SourceError.of(self._place.archive.path, error) from error

        if entry.record.method in (STORED, DEFLATED):
            with suppress(contents.DoubtError):
                maker.make(item, self._chunks(entry, begin, read_here), when)
                return
        maker.make(item, contents.judged_chunks(self._judge, entry, begin, read_here), when)


class _FileMaker:
    """Makes a file of a member's contents.

    Args:
        place: where.
        folder: the target, open.
    """

    def __init__(self, place: Place, folder: TargetFolder) -> None:
        self._folder = folder
        self._shown = place.shown
        self._token = place.token
        self._syncs = place.sync
        self._sets_times = place.keeps_times and _UTIME_BY_DESCRIPTOR
        self._sets_times_later = place.keeps_times and not _UTIME_BY_DESCRIPTOR
        self._find_mode = _MODES[place.modes]
        self._above: str | None = None  # the folder of the last file, and how to reach it
        self._at: int | None = None
        self._front = ""

    def make(self, item: Item, data: Iterable[Buffer], when: int) -> None:
        """Makes a file.

        Args:
            item: where, and of which member.
            data: its contents.
            when: the modification time that it gets, in nanoseconds since 1970.

        Raises:
            OutputError: it cannot be written.
        """
        path, entry, replaces = item
        above, _, name = path.rpartition("/")
        try:
            if above != self._above:
                self._enter(above)
            made = self._front + (make_name(item, self._token) if replaces else name)
            mode = self._find_mode(entry.record.attributes)
            try:
                descriptor = os.open(made, _CREATE, mode, dir_fd=self._at)
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                self._folder.close_some()
                self._enter(above)
                descriptor = os.open(made, _CREATE, mode, dir_fd=self._at)
            at = self._at
            try:
                try:
                    for piece in data:
                        count = os.write(descriptor, piece)
                        while count < len(piece):  # a disk that is nearly full takes some of it
                            piece = memoryview(piece)[count:]
                            count = os.write(descriptor, piece)
                    if self._sets_times:
                        os.utime(descriptor, ns=(when, when))
                    if self._syncs:
                        syncing.sync(descriptor)
                finally:
                    os.close(descriptor)
                if self._sets_times_later:
                    os.utime(made, ns=(when, when))
                if replaces:
                    os.replace(made, self._front + name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with suppress(OSError):
                    os.unlink(made, dir_fd=at)
                raise
        except OSError as error:
            if isinstance(error, ParazipError):
                raise
            raise explain_unwritten(self._shown, path, error) from error

    def _enter(self, above: str) -> None:
        self._above = None  # if it cannot be entered
        self._at, self._front = self._folder.enter(above)
        self._above = above


def explain_unwritten(shown: str, path: str, error: OSError) -> OutputError:
    """The error of a file below a folder that cannot be made there."""
    hint = ""
    if isinstance(error, FileExistsError):
        hint = "it was not there when extracting began"
    elif error.errno in (errno.ELOOP, errno.ENOTDIR):
        hint = "a folder on the way is none, or a link; extract to where it leads"
    return OutputError.of(os.path.join(shown, *path.split("/")), error, hint)


def make_name(item: Item, token: str) -> str:
    """What a file is called until it is complete and replaces another one."""
    return f".{token}-{crc32(item.path.encode(errors='surrogatepass')):08x}"


def recover(batch: Batch) -> Batch:
    """Takes back what is unfinished of a batch; gives it with the files that are there by now.

    That is for one that may have ended at any moment, as a process was killed.
    """
    items = []
    with TargetFolder(batch.place.target) as folder:
        for item in batch.items:
            above, slash, _ = item.path.rpartition("/")
            made = above + slash + make_name(item, batch.place.token)
            with suppress(OSError):
                if item.replaces and folder.find(made):
                    folder.remove(made)
                elif not item.replaces and (info := folder.find(item.path)):
                    if info.st_size == item.entry.record.size:
                        item = item._replace(replaces=True)
                    else:
                        folder.remove(item.path)
            items.append(item)
    return batch._replace(items=items)


def _keep_mode(attributes: int) -> int:
    return attributes >> 16 & 0o777


def _normalize_mode(attributes: int) -> int:
    return 0o777 if attributes & _ANY_BIT_EXECUTES else 0o666


def _choose_none(attributes: int) -> int:
    return 0o666


_MODES: dict[Modes, Callable[[int], int]] = {
    "keep": _keep_mode,
    "normal": _normalize_mode,
    "none": _choose_none,
}


def find_time(record: Record, header: bytes) -> int:
    """When a member was last changed, in nanoseconds since 1970.

    An extended timestamp (0x5455, as Info-ZIP writes it) is in UTC; without one the MS-DOS date
    counts, which is in local time (APPNOTE 4.4.6).

    Args:
        record: what the directory says of the member.
        header: its local header.
    """
    extra = header[LOCAL.size + len(record.name) :]
    if extra and _TIMES_TAG in extra:
        found = _find_extended_time(extra)
        if found is not None:
            return found
    return read_dos_date(record.date)


def _find_extended_time(extra: bytes) -> int | None:
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2sH", extra, at)
        if (
            tag == _TIMES_TAG
            and length >= 5
            and at + _TIMES.size <= len(extra)
            and extra[at + 4] & 1
        ):
            return int(_TIMES.unpack_from(extra, at)[3]) * 10**9
        at += 4 + length
    return None


@lru_cache(maxsize=4096)
def read_dos_date(date: int) -> int:
    """A MS-DOS date and time of this place, in nanoseconds since 1970."""
    day, clock = date >> 16, date & 0xFFFF
    fields = (
        1980 + (day >> 9), day >> 5 & 15, day & 31,
        clock >> 11, clock >> 5 & 63, 2 * (clock & 31),
        0, 0, -1,
    )  # fmt: skip
    return int(time.mktime(fields)) * 10**9


def find_entry_time(archive: str, entry: Entry, read: Read) -> int:
    """`find_time` of a member without contents; holds its record against the directory.

    Raises:
        BadArchiveError: they disagree.
    """
    front = read_front(read, entry)
    begin = find_data_offset(Judge(archive), entry, front, read)
    return find_time(entry.record, front[: begin - entry.record.offset])


def read_contents(archive: File, entries: Iterable[Entry]) -> Iterator[Iterator[Buffer]]:
    """The contents of one member after the other, in chunks; raises what `unpack` raises."""
    judge = Judge(archive.path)
    entries = list(entries)
    with files.open_unchanged(archive, pieces=locate_records(archive, entries)) as file:

        def read(offset: int, length: int) -> bytes:
            # Chunks are asked for outside of this block, where nobody knows whose error it is.
            try:
                return read_at(file, offset, length)
            except SourceError:
                raise
            except OSError as error:
                raise SourceError.of(archive.path, error) from error

        for entry in entries:
            begin = find_data_offset(judge, entry, read_front(read, entry), read)
            yield contents.judged_chunks(judge, entry, begin, read)
