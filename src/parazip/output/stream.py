"""Where an archive's bytes go: an open binary file, or a name that appears when all is well.

Offsets are counted, never asked for: `Output.position` is where the bytes so far lead to.

An archive under a file name is written to a temporary file, which gets the name when it is complete
and is gone otherwise; see `naming`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import FileIO, RawIOBase
from typing import Protocol

from parazip.codecs.checksums import crc32
from parazip.errors import FileError, OutputError, SettingsError
from parazip.format.values import Buffer
from parazip.model import Piece, Range, Ticket, Uploaded
from parazip.output import existing, rights, syncing
from parazip.output.temporary import make_temporary
from parazip.sources import files, trust


class BinaryOutput(Protocol):
    """What an output must be able to do: a raw or buffered binary file in write mode."""

    def write(self, data: Buffer, /) -> int | None:
        """Takes bytes; says how many, if that may be less than all."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to a position."""

    def seekable(self) -> bool:
        """Whether it can go back to bytes that are written."""

    def tell(self) -> int:
        """The position it is at."""

    def truncate(self, size: int, /) -> int:
        """Cuts off what stands after the first `size` bytes."""

    def flush(self) -> None:
        """Keeps nothing back."""


class Pipe:
    """A binary file that is to be written from front to back, whatever it says that it can do.

    Standard output may be a file that is appended to, and devices claim to seek and do not.

    Args:
        file: where bytes go.
        name: what messages call it.
    """

    def __init__(self, file: BinaryOutput, name: str) -> None:
        self.file = file
        self.name = name


class Output:
    """An open output, its name for messages, and the position that the bytes so far lead to.

    Args:
        file: where bytes go, from its current position on.
        name: what messages call it.
        descriptor: of the file, if it is parazip's own: one without a buffer, that can be read.
        place: for messages, the folder of the file, if it is not the one that its name tells.

    Attributes:
        is_executable: whether all who may read the file are to have the right to execute it. The
            caller of parazip's own files sees to that.
        notes: what went wrong without harm, a sentence each.

    Raises:
        OutputError: the file is opened for appending: its headers could not be filled in.
    """

    def __init__(
        self,
        file: BinaryOutput | Pipe,
        name: str,
        descriptor: int | None = None,
        place: str = "",
    ) -> None:
        self._file = file.file if isinstance(file, Pipe) else file
        self.descriptor = descriptor
        self.is_executable = False
        self.notes: list[str] = []
        self._reading = threading.Lock()
        self._hint = f"it is made in {place}, as its folder takes no new file" if place else ""
        self.name = name
        with self.explaining_errors():
            self.seekable = not isinstance(file, Pipe) and file.seekable()
            self.position = self._file.tell() if self.seekable else 0
        if self.seekable and "a" in str(getattr(file, "mode", "")):
            raise OutputError(
                f"cannot write {name}: it is open for appending; open it with mode 'wb' or 'r+b'",
                member=name,
            )

    def write(self, data: Buffer) -> None:
        """Writes all of `data`; raw files may take it in several bites."""
        with self.explaining_errors():
            self._write(data)
        self.position += len(data)

    def copy(self, piece: Range) -> None:
        """Writes a piece of a file; the system moves the bytes itself, where it can.

        Raises:
            SourceError: the file cannot be read, or is not what it was when it was found.
        """
        with files.open_unchanged(piece.file, pieces=[_locate(piece)]) as source:
            is_local = isinstance(source, FileIO)
            moved = self._copy_in_system(source.fileno(), piece) if is_local else 0
            for chunk in _read_chunks(source, piece, moved):
                self.write(chunk)

    def copy_checked(self, piece: Range, opener: files.Opener = files.open_regular) -> int:
        """Writes a piece of a file, and gives the CRC-32 of what was written; see `copy`.

        Args:
            piece: what is written.
            opener: what opens its file.
        """
        crc = 0
        with files.open_unchanged(piece.file, opener, [_locate(piece)]) as source:
            for chunk in _read_chunks(source, piece, 0):
                self.write(chunk)
                crc = crc32(chunk, crc)
        return crc

    def read_back(self, offset: int, length: int) -> Iterator[bytes]:
        """What was written to parazip's own file, from `offset` on, in chunks.

        Threads may do so side by side, but not while something is written.
        """
        for start in range(offset, offset + length, _CHUNK):
            yield self._read_at(start, min(_CHUNK, offset + length - start))

    def _read_at(self, offset: int, length: int) -> bytes:
        assert isinstance(self._file, FileIO)
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, offset)
        with self._reading:
            self._file.seek(offset)
            data = self._file.read(length) or b""
            self._file.seek(self.position)
        return data

    def _copy_in_system(self, source: int, piece: Range) -> int:
        """Copies within the system as much as it will; gives the number of bytes."""
        if _copy_file_range is None or self.descriptor is None:
            return 0
        moved = 0
        with suppress(OSError):  # other file system, none that can, no room: writing will tell
            device = os.fstat(source).st_dev
            if os.major(device) or device != os.fstat(self.descriptor).st_dev:
                return 0
            while moved < piece.length:
                count = _copy_file_range(
                    source, self.descriptor, piece.length - moved, piece.offset + moved
                )
                if not count:
                    break
                moved += count
        self.position += moved
        return moved

    def patch(self, position: int, data: bytes) -> None:
        """Writes `data` over what stands at `position`."""
        with self.explaining_errors():
            self._file.seek(position)
            self._write(data)
            self._file.seek(self.position)

    def rewind(self, position: int) -> None:
        """Takes back all that was written after `position`.

        Where the system refuses to cut it off, most of it is written over, and what is left of it
        stays behind when the file is done.
        """
        with self.explaining_errors():
            self._file.seek(position)
            try:
                self._file.truncate(position)
            except OSError:
                if self.descriptor is None:
                    raise
        self.position = position

    def hold(self, length: int) -> None:
        """Says that all from here on may be taken back, and the next bytes be written over.

        An output that sends its bytes away keeps these until `let_go`. Others need not know.

        Args:
            length: how many bytes may be written over; at least one.
        """

    def let_go(self) -> None:
        """Says that what is written now stays."""

    @property
    def gives_back(self) -> bool:
        """Whether it can be read what was written, so that the cache can keep it."""
        return self.descriptor is not None

    def start_copy(self) -> None:
        """Keeps in memory what is written from here on, where it could not be read back later."""

    def take_copy(self) -> bytes | None:
        """What was written since `start_copy`; None if it can be read back, or is too long."""
        return None

    def share(self) -> Sharing | None:
        """How others may send parts of the archive; None where its bytes have to come here."""
        return None

    def accept(self, piece: Uploaded) -> None:
        """Takes note of bytes that others have sent."""
        raise TypeError(f"nobody else writes to {self.name}")

    def flush(self) -> None:
        """Hands everything to the operating system."""
        with self.explaining_errors():
            self._file.flush()

    def explaining_errors(self) -> AbstractContextManager[None]:
        """Errors of the system in this block are told with the output's name."""
        return _explaining_errors(self.name, self._hint)

    def _write(self, data: Buffer) -> None:
        written = self._write_some(data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[self._write_some(rest) :]

    def _write_some(self, data: Buffer) -> int:
        written = self._file.write(data)
        if written is not None:
            return written
        if isinstance(self._file, RawIOBase):  # it would have had to wait, and must not
            raise BlockingIOError(errno.EAGAIN, "it is set not to wait for its reader")
        return len(data)


class Sharing(Protocol):
    """How those who make an archive's bytes elsewhere send them by themselves."""

    @property
    def size(self) -> int:
        """How many bytes of contents the next one of them should get."""

    def leave_room(self, size: int) -> None:
        """Says that so many bytes of contents, or some more, are written here."""

    def give_ticket(self, size: int) -> Ticket | None:
        """The right to send so many bytes of contents, which come next.

        Returns:
            None if there are as many parts as others may send.
        """

    def give_back(self, ticket: Ticket) -> None:
        """Says, when its turn comes, that a ticket is not used: its bytes are written here."""

    def has_place(self, ticket: Ticket) -> bool:
        """Whether what is written here lets a part of others follow."""


def read_range(piece: Range) -> Iterator[memoryview]:
    """What a piece of a file holds, each chunk only until the next is asked for.

    Raises:
        SourceError: the file cannot be read, or is not what it was when it was found.
    """
    with files.open_unchanged(piece.file, pieces=[_locate(piece)]) as source:
        yield from _read_chunks(source, piece, 0)


def _locate(piece: Range) -> Piece:
    return piece.offset, piece.offset + piece.length


def _read_chunks(source: RawIOBase, piece: Range, start: int) -> Iterator[memoryview]:
    """What `piece` holds from `start` on, each chunk only until the next is asked for."""
    view = memoryview(bytearray(min(_CHUNK, piece.length - start)))
    while start < piece.length:
        chunk = view[: piece.length - start]
        yield files.fill_view(piece.file, source, piece.offset + start, chunk)
        start += len(chunk)


_CHUNK = 1 << 20
"""Less means more waiting for the GIL after each call."""

# Where the file system has a disk of its own, the system copies ranges that do not begin on a page
# a third slower than reading and writing does. Network and layered ones may not have to move them.
_copy_file_range: Callable[[int, int, int, int], int] | None = getattr(os, "copy_file_range", None)


@contextmanager
def open_replacement(
    path: str,
    standing: existing.ExistingFile | None = None,
    inspect: Callable[[str], object] | None = None,
    sync: bool = False,
) -> Iterator[Output]:
    """An output that becomes `path` when the block ends well, and vanishes when it does not.

    What stood under that name before stays until then, and hands on its rights (no set-ID bits). A
    link is followed: the file it points to is replaced. What cannot be replaced is written over
    when all is done. Something that exists and is no regular file (a pipe, `/dev/null`) is written
    to as it is.

    Args:
        path: where.
        standing: what has to stand there until then, if not anything may.
        inspect: called with a path under which the complete file can be read, before it becomes
            `path`; what it raises keeps it from that.
        sync: whether all of it is on the disk when the block ends: first its bytes, then its name.

    Raises:
        SettingsError: it cannot be inspected or synced, as it is no regular file.
        SourceChangedError: something else stands there, and stays.
        OutputError: the folder does not exist, is not writable, or the disk is full. What fails
            when the archive is complete leaves it where the error says.
    """
    target, old = resolve_output_path(path)
    if standing is not None:
        old = standing.check()
    if old is not None and not stat.S_ISREG(old.st_mode):
        refuse_no_file(path, inspects=inspect is not None, syncs=sync)
        with _open_special(path) as output:
            yield output
        return
    if sync:
        syncing.refuse_unreadable(os.path.dirname(target), path)
    with _explaining_errors(path):
        temporary = make_temporary(target, old, path)
    try:
        file, place = temporary.file, "" if temporary.is_beside else temporary.folder
        output = Output(file, path, file.fileno(), place)
        yield output
        size, is_executable = output.position, output.is_executable
        if inspect is not None:
            inspect(temporary.open_path)
        with output.explaining_errors():
            if standing is None:
                temporary.become(target, old, size, is_executable, path, sync=sync)
            else:
                with standing.locked():
                    old = standing.check()
                    check = standing.check
                    temporary.become(target, old, size, is_executable, path, check, sync)
        output.notes = temporary.notes
        if output.is_executable and os.name == "posix" and not os.stat(target).st_mode & 0o111:
            output.notes.append(f"{path} is not executable: the system refuses to make it so")
    finally:
        temporary.discard()


def resolve_output_path(path: str) -> tuple[str, os.stat_result | None]:
    """The absolute path, without links, where an archive named `path` goes, and what stands there.

    Raises:
        OutputError: there can be no archive.
    """
    if not path or "\0" in path:
        raise OutputError(f"cannot write the archive: {path!r} is not a path", member=path)
    with _explaining_errors(path, "write elsewhere"):
        target = trust.resolve_trusted(path)
        try:
            old = os.stat(path)
        except FileNotFoundError:
            old = None
    folder = os.path.dirname(target)
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it", member=path)
    if old is not None and stat.S_ISSOCK(old.st_mode):
        raise OutputError(f"cannot write {path}: it is a socket; name a file", member=path)
    if not os.path.isdir(folder):
        raise OutputError(
            f"cannot write {path}: the folder {folder} does not exist; make it first",
            member=path,
            errno=errno.ENOENT,
        )
    return target, old


def refuse_unwritable(path: str, *, inspects: bool = False, syncs: bool = False) -> None:
    """Refuses what `open_replacement` would refuse, as far as is known without writing anything.

    Args:
        path: where.
        inspects: whether it would be read back.
        syncs: whether it would be on the disk.

    Raises:
        OutputError: there can be no archive.
        SettingsError: it cannot be read back or synced, as it is no regular file.
    """
    target, old = resolve_output_path(path)
    with _explaining_errors(path):
        if old is None or stat.S_ISREG(old.st_mode):
            rights.refuse_unwritable(target, old, path)
        else:
            refuse_no_file(path, inspects=inspects, syncs=syncs)
            rights.refuse_special(path)


def refuse_no_file(name: str, *, inspects: bool, syncs: bool) -> None:
    """Refuses an output that is no regular file, where one is needed.

    Args:
        name: what messages call it.
        inspects: whether it is to be read back.
        syncs: whether it is to be on the disk.

    Raises:
        SettingsError: it is one of the two.
    """
    if inspects:
        raise SettingsError(f"{name} cannot be read back, as it is no file; name one")
    if syncs:
        raise SettingsError(f"{name} cannot be synced to a disk, as it is no file; name one")


@contextmanager
def _open_special(name: str) -> Iterator[Output]:
    with _explaining_errors(name):
        file = FileIO(name, "wb")
    try:
        yield Output(Pipe(file, name), name)
        with _explaining_errors(name):
            file.close()
    finally:
        with suppress(OSError):
            file.close()


@contextmanager
def _explaining_errors(name: str, hint: str = "") -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise OutputError.of(name, error, hint) from error
