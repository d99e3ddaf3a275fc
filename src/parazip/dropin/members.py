"""Extracts or tests many members, side by side.

Plain members become files without zipfile (`plain`). All others, with names, headers, passwords
and what must not be extracted, are left to `zipfile`'s own code: it runs, as it is, for one member
after the other, on threads or, where that pays, in helper processes. A helper has the archive's
file, and gets what the central directory says of its members.

Timing has no say in the result: the error that is raised is that of the first member, in the order
of the archive, that has one. Members behind it may have been extracted already.
"""

from __future__ import annotations

import io
import marshal
import os
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

from parazip.codecs import libraries
from parazip.dropin import inside
from parazip.dropin.ahead import (
    DoubtError,
    StretchReader,
    has_restarts,
    is_plain,
    opening_with,
    read_on_one_core,
)
from parazip.dropin.inside import INFO_FIELDS
from parazip.dropin.member import STEP, WHOLE
from parazip.dropin.plain import PlainMembers, can_be_plain, make_files_here
from parazip.workers.helpers import running_helpers
from parazip.workers.line import Line, line_for
from parazip.workers.starting import FIRST_FILE

_GROUP_SIZE = 4 << 20
"""Bytes of contents in a group: many groups to a worker, and few questions to a helper."""

_GROUP_MEMBERS = 256
"""The most members in a group: with fewer the price of a question shows."""

_LARGE_SHARE = 1.2
"""A member of so many shares is done sooner on all cores, though threads wait for the GIL."""

_WORTH_HELPERS = 256 << 20
"""Bytes from which on helpers pay that are started afresh, which takes 0.2 s."""

_PER_MEMBER = 25 << 10
"""Bytes that are inflated in the time that all else takes which is done for a member."""

_READ_SIZE = 1 << 20
"""Bytes that are asked for at once of a member that is tested."""

_EMPTY_ARCHIVE = b"PK\5\6" + bytes(18)


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Extracts a member.

    Attributes:
        target: the folder to which all are extracted.
        pwd: for those that are encrypted.
        writes: whether as much is written as is read, so that reading ahead pays.
    """

    target: str
    pwd: bytes | None
    writes: ClassVar[bool] = True

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        """Does the job for one member."""
        inside.extract_member(archive, info, self.target, self.pwd)


@dataclass(frozen=True, slots=True)
class TestJob:
    """Reads a member, which compares its CRC-32; see `ExtractJob`."""

    writes: ClassVar[bool] = False

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        """Does the job for one member."""
        with archive.open(info.filename) as file:
            while file.read(_READ_SIZE):
                pass


Job: TypeAlias = ExtractJob | TestJob


class Failure(NamedTuple):
    """What went wrong with a member, and which of them it was."""

    member: int
    error: Exception


@dataclass(frozen=True, slots=True)
class MemberJobs:
    """A job for members of an archive.

    Attributes:
        archive: what they are read from: a plain file, as they are read in any order.
        infos: the members. Those after one that failed may be left out.
        job: what is done for each. It must not depend on their order, and opens the member once.
        jobs: how many are worked on at once; None for the CPUs that this process may use.
        memory: bytes in flight at once.
    """

    archive: zipfile.ZipFile
    infos: Sequence[zipfile.ZipInfo]
    job: Job
    jobs: int | None
    memory: int

    def find_first_failure(self) -> Failure | None:
        """Does the job for all of them; gives the failure of the first one, in order, that has one.

        Members that are more than their share of the work, and have restarts, come last, one after
        the other, each on all cores; before them the others, each on one.
        """
        infos = self.infos
        line = line_for(self.jobs, self.memory)
        if line.jobs == 1:
            return self._do_in_turn(range(len(infos)), self._do_on_one_core)
        share = _LARGE_SHARE * sum([info.file_size for info in infos]) / line.jobs
        large = [
            index
            for index, info in enumerate(infos)
            if info.file_size > share and has_restarts(self.archive, info)
        ]
        others = set(range(len(infos))).difference(large)
        first = self._do_groups(others, line) if others else None
        if first is not None:
            large = [index for index in large if index < first.member]
        return (self._do_by_stretches(large, line) if large else None) or first

    def _do_on_one_core(self, info: zipfile.ZipInfo) -> None:
        _do_on_one_core(self.archive, info, self.job)

    def _do_by_stretches(self, indexes: Iterable[int], line: Line) -> Failure | None:
        def choose_reader(file: Any) -> Any:
            # That the member has restarts is no reason to trust the one that is opened: where two
            # have one name, the name may open the other.
            return StretchReader(file, line) if is_plain(file) else file

        def do(info: zipfile.ZipInfo) -> None:
            call_with_fallback(partial(self.job.do, self.archive), info, choose_reader)

        return self._do_in_turn(indexes, do)

    def _find_plain_members(self) -> PlainMembers:
        job = self.job
        if isinstance(job, ExtractJob) and can_be_plain(self.archive):
            return PlainMembers(self.archive, self.infos, job.target)
        return PlainMembers(self.archive, (), "")

    def _do_groups(self, indexes: Collection[int], line: Line) -> Failure | None:
        first: Failure | None = None
        plain = self._find_plain_members()

        def do_group(group: _Group) -> Failure | None:
            # Groups do not follow the order of the archive. So after a failure the others go on,
            # but for the members behind it: an earlier one may still fail, and then is the first.
            indexes: Sequence[int] = [
                index for index in group.indexes if first is None or index < first.member
            ]
            indexes = plain.make_files(indexes, helpers)
            if not indexes or (helpers and helpers.ask(self._make_question(indexes)) is not None):
                return None
            # No answer: a member has failed there, or there is no helper. It is done here, which
            # raises what zipfile raises, on the thread of whoever asked.
            return self._do_in_turn(indexes, self._do_on_one_core)

        lane = line.open_lane(do_group, cost=lambda group: group.cost, weight=lambda _: 0)
        with lane, self._find_helpers(indexes, line.jobs) as helpers:
            if helpers is not None:
                helpers.start()
            for _, failure in lane.through(_make_groups(self.infos, indexes)):
                if failure is not None and (first is None or failure.member < first.member):
                    first = failure
        return first

    def _find_helpers(self, indexes: Collection[int], jobs: int) -> Any:
        """Helpers, where so much is to be done that they are worth their start."""
        file = self.archive.fp
        size = sum([self.infos[index].file_size + _PER_MEMBER for index in indexes])
        if size < _WORTH_HELPERS or file is None or isinstance(file, io.BytesIO):
            return nullcontext()
        return running_helpers(
            f"{__name__}:{answer.__name__}",
            jobs,
            8,
            libraries.find_library_folders(),
            [file.fileno()],
        )

    def _make_question(self, indexes: Iterable[int]) -> bytes:
        """What a helper is asked to do; empty, which it cannot answer, if that cannot be said."""
        job = self.job
        infos = [self.infos[index] for index in indexes]
        if isinstance(job, TestJob):  # it opens a member by its name, which may be another's
            infos = [self.archive.getinfo(info.filename) for info in infos]
        values = [[getattr(info, name, None) for name in INFO_FIELDS] for info in infos]
        extract = (job.target, job.pwd) if isinstance(job, ExtractJob) else None
        encoding: str | None = getattr(self.archive, "metadata_encoding", None)
        try:
            return marshal.dumps((extract, self.archive.pwd, encoding, values))
        except ValueError:  # somebody's own kind of text or number
            return b""

    def _do_in_turn(
        self, indexes: Iterable[int], do: Callable[[zipfile.ZipInfo], None]
    ) -> Failure | None:
        for index in indexes:
            try:
                do(self.infos[index])
            except Exception as error:
                return Failure(index, error)
        return None


_Member = TypeVar("_Member", bound="str | zipfile.ZipInfo")
_Result = TypeVar("_Result")


def call_with_fallback(
    call: Callable[[_Member], _Result], member: _Member, reader: Callable[[Any], Any]
) -> _Result:
    """Calls `call` with a reader of ours; once more without it if the member may be damaged.

    So errors, and what is written before them, are as with zipfile.
    """
    try:
        with opening_with(reader):
            return call(member)
    except DoubtError:
        return call(member)


def _do_on_one_core(archive: Any, info: zipfile.ZipInfo, job: Job) -> None:
    if info.file_size <= STEP:
        job.do(archive, info)
    else:
        call_with_fallback(
            partial(job.do, archive), info, partial(read_on_one_core, writes=job.writes)
        )


class _Group(NamedTuple):
    """Members that are worked on one after the other, in their order.

    Attributes:
        indexes: which.
        cost: bytes that they may need, one at a time.
    """

    indexes: list[int]
    cost: int


def _make_groups(infos: Sequence[zipfile.ZipInfo], indexes: Collection[int]) -> Iterator[_Group]:
    """The largest members first, so that none of them is still at work when all else is done.

    Small ones stay in the order of the archive, in which they are read.
    """
    group: list[int] = []
    size = largest = 0

    def rank(index: int) -> tuple[int, int]:
        info = infos[index]
        is_small = info.file_size <= _READ_SIZE
        return (0 if is_small else -info.file_size, info.header_offset if is_small else index)

    for index in sorted(indexes, key=rank):
        group.append(index)
        size += infos[index].file_size
        largest = max(largest, infos[index].file_size)
        if size >= _GROUP_SIZE or len(group) == _GROUP_MEMBERS:
            yield _Group(sorted(group), 3 * min(largest, WHOLE))
            group, size, largest = [], 0, 0
    if group:
        yield _Group(sorted(group), 3 * min(largest, WHOLE))


def answer(question: bytes) -> bytes:
    """Does in a helper what a question asks; the answer is empty, as the work is all."""
    warnings.simplefilter("ignore")  # the program itself has been told
    from parazip.dropin.zip_file import open_in_helper

    asked = marshal.loads(question)
    if len(asked) == 2:
        target, items = asked
        return make_files_here(target, items, _read_shared_archive)
    extract, pwd, encoding, members = asked
    job = _TestJobInHelper() if extract is None else ExtractJob(*extract)
    # An archive without members: each question brings those that it is about, so that no helper
    # has to read the whole directory.
    with open_in_helper(io.BytesIO(_EMPTY_ARCHIVE), encoding, _SharedArchive()) as archive:
        archive.pwd = pwd
        for values in members:
            info = zipfile.ZipInfo.__new__(zipfile.ZipInfo)
            for name, value in zip(INFO_FIELDS, values, strict=True):
                if value is not None:
                    setattr(info, name, value)
            _do_on_one_core(archive, info, job)
    return b""


def _read_shared_archive(offset: int, length: int) -> bytes:
    return os.pread(FIRST_FILE, length, offset)


class _TestJobInHelper(TestJob):
    """In a helper the archive knows no names, so a member is opened by its `ZipInfo`."""

    def do(self, archive: Any, info: zipfile.ZipInfo) -> None:
        with archive.open(info) as file:
            while file.read(_READ_SIZE):
                pass


class _SharedArchive(io.RawIOBase):
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
