"""Does one thing to many members, side by side: extracts them, or tests them.

Names, headers, passwords and what must not be extracted are left to `zipfile`'s own code: it runs,
as it is, for one member after the other, on threads or, where that pays, in helper processes. A
helper has the archive's file and is told of each member what the central directory says.

What happens does not depend on who was first: the error that is raised is that of the first member
in the order of the archive. Members behind it may have been extracted already.
"""

from __future__ import annotations

import io
import marshal
import os
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar
from weakref import ref

from parazip.codecs import libraries
from parazip.dropin.ahead import (
    DoubtError,
    StretchReader,
    has_restarts,
    is_plain,
    opening_with,
    read_on_one_core,
)
from parazip.dropin.member import STEP, WHOLE
from parazip.dropin.stock import Stock
from parazip.plan import BATCH_MEMBERS
from parazip.workers.helpers import running_helpers
from parazip.workers.line import Line, line_for
from parazip.workers.starting import FIRST_FILE

_RUN = 4 << 20

_MORE = 1.2
"""A member of so many shares is done sooner on all cores, though threads wait for the GIL."""

_MUCH = 256 << 20
"""Bytes from which on helpers pay that are started afresh, which takes 0.2 s."""

_PER_MEMBER = 25 << 10
"""Bytes that are inflated in the time that all else takes which is done for a member."""

_EMPTY_ARCHIVE = b"PK\5\6" + bytes(18)


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Extracts a member.

    Attributes:
        target: the folder to which all are extracted.
        pwd: for those that are encrypted.
        copies: whether as much is written as is read, so that reading ahead pays.
    """

    target: str
    pwd: bytes | None
    copies: ClassVar[bool] = True

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        """Does it to one member."""
        archive._extract_member(info, self.target, self.pwd)


@dataclass(frozen=True, slots=True)
class TestJob:
    """Reads a member, which compares its CRC-32; see `ExtractJob`."""

    copies: ClassVar[bool] = False

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        """Does it to one member."""
        with archive.open(info.filename) as file:
            while file.read(_CHUNK):
                pass


_CHUNK = 1 << 20

Job: TypeAlias = ExtractJob | TestJob


class Failure(NamedTuple):
    """What went wrong with a member, and which of them it was."""

    member: int
    error: Exception


@dataclass(frozen=True, slots=True)
class MemberJobs:
    """What is done to members of an archive.

    Attributes:
        archive: what they are read from: a plain file, as they are read in any order.
        infos: the members. Those after one that failed may be left out.
        what: what is done to each; it must not depend on their order, and opens it once.
        jobs: how many are worked on at once; None for the CPUs that this process may use.
        memory: bytes in flight at once.
    """

    archive: Stock
    infos: Sequence[zipfile.ZipInfo]
    what: Job
    jobs: int | None
    memory: int

    def first_error(self) -> Failure | None:
        """Does it to all of them, and gives the first in their order that it failed for.

        Members that are more than their share of the work, and have restarts, come last, one after
        the other, each on all cores; before them the others, each on one.
        """
        infos = self.infos
        line = line_for(self.jobs, self.memory)
        if line.jobs == 1:
            return self._in_turn(range(len(infos)), self._alone)
        share = _MORE * sum([info.file_size for info in infos]) / line.jobs
        large = [
            index
            for index, info in enumerate(infos)
            if info.file_size > share and has_restarts(self.archive, info)
        ]
        others = set(range(len(infos))).difference(large)
        first = self._by_members(others, line) if others else None
        if first is not None:
            large = [index for index in large if index < first.member]
        return (self._by_stretches(large, line) if large else None) or first

    def _alone(self, info: zipfile.ZipInfo) -> None:
        _do_alone(self.archive, info, self.what)

    def _by_stretches(self, indexes: Iterable[int], line: Line) -> Failure | None:
        def reader(file: Any) -> Any:  # a name may stand for another member than it was for
            return StretchReader(file, line) if is_plain(file) else file

        def call(info: zipfile.ZipInfo) -> None:
            call_with_fallback(partial(self.what.do, self.archive), info, reader)

        return self._in_turn(indexes, call)

    def _by_members(self, indexes: Collection[int], line: Line) -> Failure | None:
        first: Failure | None = None

        def run(run: _Run) -> Failure | None:
            indexes = [index for index in run.indexes if first is None or index < first.member]
            if crew and crew.ask(self._question(indexes)) is not None:
                return None
            return self._in_turn(indexes, self._alone)

        lane = line.open_lane(run, cost=lambda run: run.cost, weight=lambda _: 0)
        with lane, self._crew(indexes, line.jobs) as crew:
            if crew is not None:
                crew.start()
            for _, failure in lane.through(_runs(self.infos, indexes)):
                if failure is not None and (first is None or failure.member < first.member):
                    first = failure
        return first

    def _crew(self, indexes: Collection[int], jobs: int) -> Any:
        """Helpers, where so much is to be done that they are worth their start."""
        file = self.archive.fp
        size = sum([self.infos[index].file_size + _PER_MEMBER for index in indexes])
        if size < _MUCH or file is None or isinstance(file, io.BytesIO):
            return nullcontext()
        return running_helpers(
            f"{__name__}:{answer.__name__}",
            jobs,
            1,
            libraries.find_library_folders(),
            [file.fileno()],
        )

    def _question(self, indexes: Iterable[int]) -> bytes:
        """What a helper is to do; empty, which it has no answer to, if that cannot be told."""
        infos = [self.infos[index] for index in indexes]
        if isinstance(self.what, TestJob):  # by its name, which may stand for another member
            infos = [self.archive.getinfo(info.filename) for info in infos]
        told = [[getattr(info, name, None) for name in _SLOTS] for info in infos]
        what = self.what
        extract = (what.target, what.pwd) if isinstance(what, ExtractJob) else None
        encoding = self.archive.metadata_encoding
        try:
            return marshal.dumps((extract, self.archive.pwd, encoding, told))
        except ValueError:  # somebody's own kind of text or number
            return b""

    def _in_turn(self, indexes: Iterable[int], call: Any) -> Failure | None:
        for index in indexes:
            try:
                call(self.infos[index])
            except Exception as error:
                return Failure(index, error)
        return None


_SLOTS: tuple[str, ...] = tuple(zipfile.ZipInfo.__slots__)


_Member = TypeVar("_Member", bound="str | zipfile.ZipInfo")
_Made = TypeVar("_Made")


def call_with_fallback(
    call: Callable[[_Member], _Made], member: _Member, reader: Callable[[Any], Any]
) -> _Made:
    """Calls `call` with a reader of ours; once more without it if the member may be damaged.

    So what is an error, which one, and what is written before it, is as ever.
    """
    try:
        with opening_with(reader):
            return call(member)
    except DoubtError:
        return call(member)


def _do_alone(archive: Any, info: zipfile.ZipInfo, what: Job) -> None:
    """Does it on one core."""
    if info.file_size <= STEP:
        what.do(archive, info)
    else:
        call_with_fallback(
            partial(what.do, archive), info, partial(read_on_one_core, copies=what.copies)
        )


class _Run(NamedTuple):
    """Members that are worked on one after the other, in their order.

    Attributes:
        indexes: which.
        cost: bytes that they may need, one at a time.
    """

    indexes: list[int]
    cost: int


def _runs(infos: Sequence[zipfile.ZipInfo], indexes: Collection[int]) -> Iterator[_Run]:
    """The largest members first, so that none of them is still at work when all else is done."""
    run: list[int] = []
    size = largest = 0
    for index in sorted(indexes, key=lambda index: (-infos[index].file_size, index)):
        run.append(index)
        size += infos[index].file_size
        largest = max(largest, infos[index].file_size)
        if size >= _RUN or len(run) == BATCH_MEMBERS:
            yield _Run(sorted(run), 3 * min(largest, WHOLE))
            run, size, largest = [], 0, 0
    if run:
        yield _Run(sorted(run), 3 * min(largest, WHOLE))


def answer(question: bytes) -> bytes:
    """What a helper does."""
    from parazip.dropin.zip_file import ZipFile

    extract, pwd, encoding, told = marshal.loads(question)
    what = _HelpersTest() if extract is None else ExtractJob(*extract)
    with ZipFile(io.BytesIO(_EMPTY_ARCHIVE), metadata_encoding=encoding) as archive:
        file = archive.fp = io.BufferedReader(_Archive())
        archive._plain_file = ref(file)
        archive.pwd = pwd
        for values in told:
            info = zipfile.ZipInfo.__new__(zipfile.ZipInfo)
            for name, value in zip(_SLOTS, values, strict=True):
                if value is not None:
                    setattr(info, name, value)
            _do_alone(archive, info, what)
    return b""


class _HelpersTest(TestJob):
    """In a helper a member is known by what is told of it, not by its name."""

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        with archive.open(info) as file:
            while file.read(_CHUNK):
                pass


class _Archive(io.RawIOBase):
    """The archive's file, read without moving the position that the program's own file shares."""

    def __init__(self) -> None:
        self._size = os.fstat(FIRST_FILE).st_size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        base = (0, self._position, self._size)[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        count = os.preadv(FIRST_FILE, [buffer], self._position)
        self._position += count
        return count
