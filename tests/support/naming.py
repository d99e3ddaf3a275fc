"""Archives whose last steps are refused."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.errors import OutputError
from parazip.output import stream as output_module
from parazip.output import temporary

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX files only")

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root may give files to others")

NOBODY = 12345

MEMBERS = {"a": b"first " * 50, "b/c": os.urandom(500)}

NAMES = errno.errorcode.__getitem__


def make_archive_at(path: Path, **options: Any) -> parazip.Report:
    members = [parazip.Member(n, d, 0o100644 << 16, 0x5264_28C4) for n, d in MEMBERS.items()]
    return parazip.write(path, members, **options)


def try_to_make_archive(path: Path) -> tuple[parazip.Report | None, OutputError | None]:
    """What came of it."""
    try:
        return make_archive_at(path), None
    except OutputError as error:
        return None, error


def is_right(path: str | os.PathLike[str]) -> bool:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()} == MEMBERS


def list_others(folder: Path) -> list[str]:
    """What else is in a folder than a.zip."""
    return sorted({*os.listdir(folder)} - {"a.zip"})


def refuse_call(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Lets the system refuse one kind of call."""

    def refused(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "O_TMPFILE":
        if not hasattr(os, "O_TMPFILE"):
            return
        opened = os.open

        def open_(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                refused()
            return opened(path, flags, mode, **options)

        patch.setattr(os, "open", open_)
    elif call == "truncate":

        class Uncut(io.FileIO):
            def truncate(self, size: int | None = None, /) -> int:
                raise OSError(number, os.strerror(number))

        patch.setattr(temporary, "FileIO", Uncut)
        patch.setattr(os, "truncate", refused)
    elif call == "copy_file_range":
        patch.setattr(output_module, "_copy_file_range", refused)
    elif hasattr(os, call):
        patch.setattr(os, call, refused)


def kept_file_of(error: OutputError) -> str:
    """The file that an error says holds all of the archive; its name is in the message."""
    assert error.kept
    assert f"all of it is in {error.kept}" in str(error)
    return error.kept


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    """This process without root's rights, if it has them."""
    if not IS_ROOT:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        make_archive_at(Path(folder, "a.zip"))  # imports what others may not be able to read
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
