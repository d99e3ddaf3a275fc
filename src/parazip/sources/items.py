"""What a program hands in one by one becomes members: paths, bytes, and what it iterates over."""

from __future__ import annotations

import datetime
import errno
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, runtime_checkable

from parazip.errors import SettingsError, SourceError
from parazip.format.names import ReaderJudge, explain_unstorable
from parazip.format.records import ATTRIBUTE_FOLDER
from parazip.format.values import Buffer
from parazip.model import Contents, Feed, Member
from parazip.sources import files
from parazip.sources.contents import find_file
from parazip.sources.dates import find_fixed_date, make_date_policy, write_date
from parazip.sources.findings import Findings
from parazip.sources.selection import Selection
from parazip.sources.walk import find_members, is_same


@runtime_checkable
class Readable(Protocol):
    """A binary file, as far as it is read here."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


Given: TypeAlias = Buffer | os.PathLike[str] | Readable | Iterable[Buffer] | AsyncIterable[Buffer]
"""What a member may be made of."""

Item: TypeAlias = Member | str | os.PathLike[str]
"""A member, or the path of a file or folder that is put in as `create` puts it in."""

_PIECE = 1 << 20
"""Bytes that a file is asked for at a time."""


def make_member(
    name: str,
    contents: Given,
    *,
    size: int | None = None,
    date: datetime.datetime | None = None,
    mode: int | None = None,
    store: bool = False,
) -> Member:
    """A member of an archive that is to be made, for `stream`, `astream` and `write`.

    Args:
        name: its name in the archive, with `/` between folders; a folder's ends with `/`.
        contents: bytes; or the path of a file (a `Path`, not a string); or what gives bytes: a
            binary file that is open, an iterable, or, for `astream`, an async iterable. That is
            read once, from where it stands, when the member's turn comes.
        size: how many bytes an iterable gives, if that is known. A member of 4 GiB and more needs
            it, and so does `content_length`.
        date: when it was changed, in local time as it is to be shown. None takes a file's own, or
            this moment; and SOURCE_DATE_EPOCH, if the environment has it.
        mode: its permissions, such as 0o755, or what `stat` says of a file or folder. None takes a
            file's own; or 0o644, and 0o755 for a folder.
        store: whether it is not compressed, whatever the settings say.

    Raises:
        TypeError: nothing of that type can be put in.
        MemberNameError: the name cannot be stored, or leads out of the archive.
        DateError: the date is not in 1980 to 2107.
        SettingsError: the mode or the size is none, or not that of the contents.
        SourceError: there is no such file.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a member is a string, not {name!r}")
    _check_name(name)
    size = _check_whole(name, "size", size, 1 << 63)
    mode = _check_whole(name, "mode", mode, 1 << 16)
    is_folder = name.endswith("/")
    kind = stat.S_IFDIR if is_folder else stat.S_IFREG
    if mode is not None and stat.S_IFMT(mode) not in (0, kind):
        raise SettingsError(f"{name} cannot have the mode {mode:#o}, which is of another kind")
    permissions = (0o755 if is_folder else 0o644) if mode is None else stat.S_IMODE(mode)
    if not isinstance(date, datetime.datetime | None):
        raise TypeError(f"the date of {name} is a datetime, not {date!r}")
    fixed = find_fixed_date(date)
    source: Contents
    if isinstance(contents, os.PathLike):
        path = os.fspath(contents)
        info = _look_at_file(path)
        if size not in (None, info.st_size):
            raise SettingsError(f"{path} has {info.st_size:,} bytes, and not {size:,}")
        source = files.describe_file(path, info)
        if fixed is None:
            fixed = make_date_policy("keep")(path, info)
        if mode is None:
            permissions = stat.S_IMODE(info.st_mode)
    else:
        source = _find_source(name, contents, size)
    if is_folder and not _is_empty(source):
        raise SettingsError(f"{name} is the name of a folder, which has no contents")
    return Member(
        name,
        b"" if is_folder else source,
        (kind | permissions) << 16 | (ATTRIBUTE_FOLDER if is_folder else 0),
        write_date(datetime.datetime.now()) if fixed is None else fixed,
        store,
    )


def _check_name(name: str) -> None:
    """Refuses a name that `stream` would refuse when its turn comes."""
    key = name.rstrip("/")
    if error := explain_unstorable(key, "choose another"):
        raise error
    findings = Findings()
    ReaderJudge(findings, "choose another").judge([key])
    findings.finish()


def _check_whole(name: str, what: str, value: int | None, limit: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"the {what} of {name} is a whole number, not {value!r}")
    if not 0 <= value < limit:
        raise SettingsError(f"{value} cannot be the {what} of {name}: 0 to {limit - 1:,} can")
    return value


def _is_empty(source: Contents) -> bool:
    """Whether there is nothing in a source; reads one that can be iterated over."""
    if isinstance(source, Feed):
        return not isinstance(source.chunks, AsyncOnly) and not any(source.chunks)
    return source == b""


def _look_at_file(path: str) -> os.stat_result:
    try:
        info = os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"cannot read {path}: it is not a regular file", member=path)
    return info


def _find_source(name: str, contents: Given, size: int | None) -> Contents:
    if isinstance(contents, bytes | bytearray | memoryview):
        data = bytes(contents)
        if size not in (None, len(data)):
            raise SettingsError(f"{name} has {len(data):,} bytes, and not {size:,}")
        return data
    if isinstance(contents, str):
        raise TypeError(f"{name} is to be made of bytes: encode the text, or name a file by a Path")
    if isinstance(contents, AsyncIterable):  # first: its `read`, if it has one, is async, too
        return Feed(AsyncOnly(name, contents), size)
    if isinstance(contents, Readable):
        return Feed(_Once(name, _read_pieces(name, contents)), size)
    if isinstance(contents, Iterator):
        return Feed(_Once(name, contents), size)
    if isinstance(contents, Iterable):
        return Feed(contents, size)
    raise TypeError(f"{name} cannot be made of {contents!r:.60}")


def _read_pieces(name: str, file: Readable) -> Iterator[bytes]:
    """What a file holds; of a pipe what there is, as more may be long in coming."""
    read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)
    while piece := read(_PIECE):
        yield piece
    if piece is None:
        raise BlockingIOError(errno.EAGAIN, f"{name} is made of a file that does not wait for more")


class _Once:
    """An iterator, which would give nothing if it were asked a second time."""

    def __init__(self, name: str, chunks: Iterator[Buffer]) -> None:
        self._name = name
        self._chunks: Iterator[Buffer] | None = chunks

    def __iter__(self) -> Iterator[Buffer]:
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            raise _explain_second_time(self._name)
        return chunks


class AsyncOnly:
    """Bytes of an async iterable, which only `astream` can wait for."""

    def __init__(self, name: str, contents: AsyncIterable[Buffer]) -> None:
        self._name = name
        self._contents = contents
        self._is_begun = False

    def __iter__(self) -> Iterator[Buffer]:
        raise TypeError(f"{self._name} is made by an async iterable: use astream")

    def begin(self) -> AsyncIterator[Buffer]:
        """What gives the bytes.

        Raises:
            SourceError: it has given them before.
        """
        iterator = aiter(self._contents)
        if iterator is self._contents and self._is_begun:
            raise _explain_second_time(self._name)
        self._is_begun = True
        return iterator


def _explain_second_time(name: str) -> SourceError:
    return SourceError(
        f"cannot put in {name} a second time: what it is made of was read; make another member",
        member=name,
    )


def are_one(first: Member, second: Member) -> bool:
    """Whether two members of one name are one file that was named twice, or one folder."""
    is_folder = first.name.endswith("/")
    return (is_folder or find_file(first.source) is not None) and is_same(first, second)


def gather_items(
    items: Iterable[Item], selection: Selection, findings: Findings
) -> Iterator[Member]:
    """The members that items stand for, one item after the other, until there is a problem.

    Args:
        items: members and paths.
        selection: what is left out of folders, names and dates of what paths stand for.
        findings: hear of problems, of what is skipped and of what people should know.

    Raises:
        TypeError: an item is neither.
    """
    for item in items:
        if isinstance(item, Member):
            yield item
        elif isinstance(item, str | os.PathLike):
            yield from find_members([item], selection, findings=findings)
        else:
            raise TypeError(f"a member or a path is needed, not {item!r:.60}; see make_member")
        if findings.problems:
            return
