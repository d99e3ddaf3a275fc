"""Which archive is meant, and which of its members: patterns that choose, and that leave out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from parazip.errors import ParazipError, SourceChangedError, SourceError
from parazip.format.names import normalize_name
from parazip.format.values import Entry
from parazip.model import File
from parazip.sources import archives, files
from parazip.sources.selection import make_exclusion, refuse_unmatched


def find_archive(path: str) -> File:
    """The file of an archive.

    Raises:
        SourceError: it is not there, or is no regular file that may be read.
    """
    if files.is_url(path):
        archive = files.find_remote(path)
        if archive is None:
            reason = f"cannot read {path}: it is a folder, not a file"
            raise SourceError(f"{reason}; name an archive", member=path, reason=reason)
        return archive
    try:
        descriptor = files.open_regular(path)
        try:
            return files.describe_file(path, os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except ParazipError:
        raise
    except OSError as error:
        raise SourceError.of(path or "''", error) from error


@contextmanager
def advising() -> Iterator[None]:
    """Errors of an archive in this block advise what can be done about an archive.

    Elsewhere a file that cannot be read, or changes, is one of many that are put in.
    """
    try:
        yield
    except SourceChangedError as error:
        raise type(error)(
            f"{error.reason}; try again when nothing writes to it",
            member=error.member,
            reason=error.reason,
        ) from error
    except SourceError as error:
        if not error.reason.endswith(", not a file"):
            raise
        raise type(error)(
            f"{error.reason}; name an archive, or - for standard input",
            member=error.member,
            reason=error.reason,
        ) from error


_TO_OTHERS = ("name-in-two-forms",)
"""Refusals of what other readers might make of an archive: here each name is the file it says."""


def read_members(archive: File) -> list[Entry]:
    """All members of an archive; raises what `read_entries` raises."""
    return archives.read_entries(archive, _TO_OTHERS)


def choose_entries(
    archive: File, members: tuple[str, ...], exclude: tuple[str, ...], verb: str, outcome: str
) -> Sequence[Entry]:
    """The members that are meant, in the order of the archive.

    Args:
        archive: its file.
        members: patterns of those that are meant; all are, if there are none.
        exclude: patterns of those that are not.
        verb: what is done with them, for messages.
        outcome: what has become of them then.

    Raises:
        NoSuchMemberError: a pattern of `members` matches nothing.
        SourceError, SourceChangedError, BadArchiveError: see `read_entries`.
    """
    entries: Sequence[Entry] = read_members(archive)
    if members:
        names = (entry.name for entry in entries)
        refuse_unmatched(archive.path, members, names, verb, outcome)
        is_meant = make_exclusion(members)
        entries = [entry for entry in entries if is_meant(_normalize(entry))]
    if exclude:
        is_left_out = make_exclusion(exclude)
        entries = [entry for entry in entries if not is_left_out(_normalize(entry))]
    return entries


def _normalize(entry: Entry) -> str:
    return normalize_name(entry.name) or entry.name
