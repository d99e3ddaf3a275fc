"""What is put in front of an archive's first record: a shebang line, bytes or a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TypeAlias

from parazip.engine.writer import ArchiveWriter
from parazip.errors import FileError, SettingsError, SourceError
from parazip.format.prefix import refuse_ambiguous_prefix
from parazip.format.refusals import Judge, Refusal

Prepended: TypeAlias = str | os.PathLike[str] | bytes
"""The path of a file that is put in front, or bytes."""

_CHUNK = 1 << 20
"""Bytes that are copied at a time."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What is put in front; see `check_prefix`.

    Attributes:
        prepended: bytes, or the path of a file that has them; None for none.
        shebang: what follows `#!` on a line before that; None for no such line.
    """

    prepended: Prepended | None = None
    shebang: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether anybody has asked for one; it may be empty all the same."""
        return not (self.prepended is None and self.shebang is None)

    @property
    def line(self) -> bytes:
        """The shebang line."""
        if self.shebang is None:
            return b""
        return b"#!" + os.fsencode(self.shebang.removeprefix("#!")) + b"\n"


def check_prefix(prepend: Prepended | None, shebang: str | None) -> Prefix:
    """What is to be put in front. What is no plain file is not opened to find out.

    Args:
        prepend: bytes, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.

    Raises:
        SettingsError: the shebang is none.
        SourceError: the file is missing or cannot be read.
    """
    if shebang is not None and (
        not shebang.removeprefix("#!").strip() or any(c in shebang for c in "\n\r\0")
    ):
        raise SettingsError(
            f"the shebang {shebang!r} is not one line that names a program, such as "
            "/usr/bin/env python3"
        )
    if prepend is not None and not isinstance(prepend, bytes):
        path = os.fspath(prepend)
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                open(path, "rb").close()
        except OSError as error:
            raise SourceError.of(path or "''", error) from error
        except ValueError as error:
            raise SourceError(f"cannot read {path!r}: {error}", member=path) from error
    return Prefix(prepend, shebang)


def write_prefix(writer: ArchiveWriter, prefix: Prefix) -> tuple[bool, list[str]]:
    """Writes what stands in front of the archive.

    Returns:
        Whether the archive is a script now, which begins with `#!`; and notes for people.

    Raises:
        SourceError: the file cannot be read.
    """
    line = prefix.line
    if not prefix.prepended:
        writer.write_prefix(line)
        return bool(line), []
    with _open_seekable(prefix.prepended) as file:
        notes = _find_misreadings(line, file)
        file.seek(0)
        begin = line + file.read(_CHUNK)
        writer.write_prefix(begin)
        while chunk := file.read(_CHUNK):
            writer.write_prefix(chunk)
    return begin.startswith(b"#!"), notes


@contextmanager
def _open_seekable(prepended: Prepended) -> Iterator[IO[bytes]]:
    """What is put in front, as a file that can seek: it is read twice."""
    if isinstance(prepended, bytes):
        yield BytesIO(prepended)
        return
    try:
        with open(prepended, "rb") as file:
            if file.seekable():
                yield file
                return
            from tempfile import TemporaryFile  # it loads much that is not needed elsewhere

            with TemporaryFile() as whole:
                while chunk := file.read(_CHUNK):
                    whole.write(chunk)
                yield whole
    except FileError:
        raise
    except OSError as error:
        raise SourceError.of(os.fspath(prepended), error) from error


def _find_misreadings(line: bytes, file: IO[bytes]) -> list[str]:
    """What another reader takes for a part of the archive, a sentence each.

    Args:
        line: stands in front of the file.
        file: what is put in front.
    """
    notes: list[str] = []

    def read(offset: int, length: int) -> bytes:
        piece = line[offset : offset + length]
        file.seek(max(0, offset - len(line)))
        return piece + file.read(length - len(piece))

    def note(refusal: Refusal) -> None:
        notes.append(
            "some readers take for a part of the archive what stands in front of it, at offset "
            f"{refusal.offset}; parazip merge and update refuse such archives [{refusal.id}]"
        )

    refuse_ambiguous_prefix(Judge("", note), len(line) + file.seek(0, os.SEEK_END), read)
    return notes
