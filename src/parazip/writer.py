"""The only room that touches the output: offsets, header patching, zip64, central directory.

Offsets are counted, never asked for: `Output.position` is the number of bytes written.

A part is written as it comes; its offsets are shifted to where it landed. A member that comes
block by block has a header before its CRC and compressed size are known. On an output that can
seek, the header's place is reserved and filled in afterwards. On one that cannot, the header
announces a data descriptor (APPNOTE 4.3.9) that follows the data.

An archive under a file name is written to a temporary file beside it, which gets the name when it
is complete and is gone otherwise.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Protocol

from parazip.errors import OutputError
from parazip.format.records import (
    FLAG_DESCRIPTOR,
    LIMIT_32,
    central_header,
    data_descriptor,
    end_records,
    local_header,
    shift,
)
from parazip.model import DEFLATED, Block, Buffer, Part, Record


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


class Output:
    """An open output, its name for messages, and the position that the bytes so far lead to.

    Args:
        file: where bytes go, from its current position on.
        name: what messages call it.
        descriptor: of the file, if it is parazip's own.
    """

    def __init__(self, file: BinaryOutput, name: str, descriptor: int | None = None) -> None:
        self._file = file
        self._descriptor = descriptor
        self.name = name
        self.seekable = file.seekable()
        self.position = file.tell() if self.seekable else 0

    def write(self, data: Buffer) -> None:
        """Writes all of `data`; raw files may take it in several bites."""
        self._write(data)
        self.position += len(data)

    def patch(self, position: int, data: bytes) -> None:
        """Writes `data` over what stands at `position`."""
        with _told(self.name):
            self._file.seek(position)
            self._write(data)
            self._file.seek(self.position)

    def rewind(self, position: int) -> None:
        """Takes back all that was written after `position`."""
        with _told(self.name):
            self._file.seek(position)
            self._file.truncate(position)
        self.position = position

    def flush(self) -> None:
        """Hands everything to the operating system."""
        with _told(self.name):
            self._file.flush()

    def make_executable(self) -> None:
        """Lets everyone execute the file who may read it; other outputs have no such right."""
        descriptor = self._descriptor
        if descriptor is not None and hasattr(os, "fchmod"):
            with _told(self.name):
                mode = os.fstat(descriptor).st_mode
                os.fchmod(descriptor, mode | (mode & 0o444) >> 2)

    def _write(self, data: Buffer) -> None:
        with _told(self.name):
            written = self._file.write(data)
            if written is None or written == len(data):
                return
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[self._file.write(rest) or 0 :]


class ArchiveWriter:
    """Writes one archive: prefix, then parts and cut members in order, then `finish`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._central: list[bytes] = []
        self._opened: _OpenMember | None = None
        self._members = 0

    def prefix(self, data: bytes) -> None:
        """Bytes in front of the archive; all offsets count them."""
        self._output.write(data)

    def part(self, part: Part) -> None:
        """A finished part, wherever it came from."""
        base = self._output.position
        self._output.write(part.data)
        directory, count = shift(part.directory, base)
        self._central.append(directory)
        self._members += count

    def begin(self, record: Record) -> None:
        """Begins a member that comes block by block.

        CRC, compressed size and offset of `record` are not known yet and filled in here.
        """
        opened = _OpenMember(record, self._output)
        self._output.write(local_header(opened.record, opened.zip64))
        opened.data_position = self._output.position
        self._opened = opened

    def block(self, block: Block) -> None:
        """The next block of the member that was begun."""
        for chunk in block.data:
            self._output.write(chunk)

    def end(self, crc: int) -> int | None:
        """Ends the member that was begun; gives its compressed size in bytes.

        None says that deflate did not make it smaller, on an output that can seek: the member
        is taken back, and the caller puts it in again as stored.
        """
        opened = self._opened
        assert opened is not None
        self._opened = None
        output = self._output
        size = output.position - opened.data_position
        record = opened.record._replace(crc=crc, compressed_size=size, offset=opened.position)
        if not output.seekable:
            output.write(data_descriptor(record, opened.zip64))
        elif record.method == DEFLATED and size >= record.size:
            output.rewind(opened.position)
            return None
        else:
            output.patch(opened.position, local_header(record, opened.zip64))
        self._central.append(central_header(record))
        self._members += 1
        return size

    def finish(self) -> None:
        """Writes the central directory and the end records."""
        output = self._output
        begin = output.position
        for chunk in self._central:
            output.write(chunk)
        output.write(end_records(self._members, output.position - begin, begin))
        output.flush()


class _OpenMember:
    """A member whose blocks are being written."""

    def __init__(self, record: Record, output: Output) -> None:
        self.position = output.position
        self.data_position = 0
        if output.seekable:
            self.zip64 = record.size >= LIMIT_32
            self.record = record
        else:
            self.zip64 = _bound(record.size) >= LIMIT_32
            self.record = record._replace(flags=record.flags | FLAG_DESCRIPTOR)


def _bound(size: int) -> int:
    """The most bytes that deflate makes of `size`, blocks joined by sync flushes."""
    return size + size // 256 + 64


@contextmanager
def replacing(path: str) -> Iterator[Output]:
    """An output that becomes `path` when the block ends well, and vanishes when it does not.

    What stood under that name before stays until then. A link is followed: the file it points
    to is replaced. Something that exists and is no regular file (a pipe, `/dev/null`) is
    written to as it is.

    Raises:
        OutputError: the folder does not exist, is not writable, or the disk is full.
    """
    target = os.path.realpath(path)
    with _told(path):
        try:
            mode = os.stat(target).st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it", member=path)
    if not stat.S_ISREG(mode):
        with _open_special(target, path) as output:
            yield output
        return
    temporary = os.path.join(os.path.dirname(target), f".parazip-{os.urandom(4).hex()}.tmp")
    with _told(path):
        file = _open_temporary(temporary)
    try:
        with file:
            yield Output(file, path, file.fileno())
            with _told(path):
                _give_name(file, temporary)
        with _told(path):
            os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _open_temporary(path: str) -> FileIO:
    """A new file to be `path` later on; without a name until then, where the system can do that.

    Linux can: what has no name is gone when the process is killed, even by SIGKILL.
    """
    if hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES):
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        with suppress(OSError):  # not every file system can
            return FileIO(os.open(os.path.dirname(path), flags, 0o666), "wb")
    return FileIO(path, "xb")


def _give_name(file: FileIO, path: str) -> None:
    if not isinstance(file.name, str):
        # Without a folder's descriptor Python calls link(2), which does not follow links; the
        # one given here is not used, as the path is absolute.
        descriptor = file.fileno()
        os.link(f"{_OPEN_FILES}/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


_OPEN_FILES = "/proc/self/fd"


@contextmanager
def _open_special(target: str, name: str) -> Iterator[Output]:
    with _told(name):
        file = FileIO(target, "wb")
    with file:
        yield Output(Pipe(file, name), name)


class Pipe:
    """A binary file that is written from front to back, whatever it says that it can do.

    Standard output may be a file that is appended to, and devices claim to seek and do not.
    """

    def __init__(self, file: BinaryOutput, name: str) -> None:
        self.name = name
        self.write = file.write
        self.seek = file.seek
        self.tell = file.tell
        self.truncate = file.truncate
        self.flush = file.flush

    def seekable(self) -> bool:
        """Never."""
        return False


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _output_error(name, error) from error


def _output_error(name: str, error: OSError) -> OutputError:
    if isinstance(error, BrokenPipeError):
        told = OutputError(f"cannot write {name}: whoever reads it has gone", member=name)
    elif isinstance(error, FileNotFoundError):
        told = OutputError(
            f"cannot write {name}: the folder {os.path.dirname(name)} does not exist; make it "
            "first",
            member=name,
        )
    elif error.errno == errno.ENOSPC:
        told = OutputError(
            f"cannot write {name}: the disk is full; make room or write elsewhere", member=name
        )
    else:
        return OutputError.of(name, error)
    told.errno = error.errno
    return told
