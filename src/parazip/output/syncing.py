"""Bytes and names that must outlive a loss of power."""

from __future__ import annotations

import os
from contextlib import suppress

from parazip.errors import OutputError

if os.name == "posix":
    import fcntl

    _TO_THE_DISK = getattr(fcntl, "F_FULLFSYNC", None)
    """On macOS fsync(2) leaves in the disk's own memory what it has sent there."""


def sync(descriptor: int) -> None:
    """Returns when a file that is open, or a folder, is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    if os.name == "posix" and _TO_THE_DISK is not None:
        with suppress(OSError):  # not all file systems have it
            fcntl.fcntl(descriptor, _TO_THE_DISK)
            return
    os.fsync(descriptor)


def refuse_unreadable(folder: str, name: str) -> None:
    """Refuses a folder whose names cannot be brought to the disk, as nobody may read it.

    Args:
        folder: its path.
        name: what messages call what is to be made in there.

    Raises:
        OutputError: it may not be read.
    """
    if os.name == "nt":
        return
    try:
        os.close(os.open(folder, os.O_RDONLY))
    except OSError as error:
        hint = f"{folder} must be readable for --sync; leave that out, or write elsewhere"
        raise OutputError.of(name, error, hint) from error


def sync_folder(path: str, name: str) -> None:
    """Returns when the names in a folder are on the disk, where the system has that (not Windows).

    Args:
        path: of the folder.
        name: what messages call the file in there that was made.

    Raises:
        OutputError: they cannot be written.
    """
    if os.name == "nt":
        return
    try:
        _sync_path(path)
    except OSError as error:
        hint = "it is complete, but a loss of power may lose it"
        raise OutputError.of(name, error, hint) from error


def sync_finished(path: str) -> None:
    """Returns when a file, or a folder with all it holds, and its name are on the disk.

    Raises:
        OutputError: it cannot be written.
    """
    folders = []
    try:
        if not os.path.isdir(path):
            _sync_path(path)
        else:
            for folder, _, files in os.walk(path, onerror=_raise):
                folders.append(folder)
                for name in files:
                    if not os.path.islink(found := os.path.join(folder, name)):
                        _sync_path(found)
    except OSError as error:
        raise OutputError.of(path, error, "a loss of power may lose it") from error
    for folder in (*folders, os.path.dirname(os.path.abspath(path))):
        sync_folder(folder, path)


def _raise(error: OSError) -> None:
    raise error


def _sync_path(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
