"""Reads members faster than the standard library's own code, and many at once.

Names, headers, passwords and what must not be extracted are left to that code: it runs, as it is,
for one member after the other, on threads or, where that is possible, in forked helpers. Only what
inflates and counts the CRC-32 is ours.

What happens does not depend on who was first: the error that is raised is that of the first member
in the order of the archive. Members behind it may have been extracted already.
"""

from __future__ import annotations

import io
import marshal
import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import IO, Any, NamedTuple, TypeAlias, cast

from parazip import codecs
from parazip.helper import helpers
from parazip.model import DEFLATED
from parazip.plan import BATCH_MEMBERS
from parazip.pool import Budget, Pool, usable_cpus, workers

_FEW = 200
_SMALL = 4 << 20

_RUN = 4 << 20
_AHEAD = 1 << 20

Call: TypeAlias = Callable[[zipfile.ZipInfo], object]


class MemberReader(zipfile.ZipExtFile):
    """A member that is inflated by ISA-L, at twice the speed of zlib."""

    def _update_crc(self, newdata: bytes) -> None:
        reader = cast("Any", self)
        expected = reader._expected_crc
        if expected is None:
            return
        crc = reader._running_crc = codecs.crc32(newdata, reader._running_crc)
        if reader._eof and crc != expected:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self.name!r}")


def hasten(file: Any) -> None:
    """Makes a reader of the standard library's a `MemberReader`, if it is one that we know."""
    if type(file) is zipfile.ZipExtFile:
        reader: Any = file
        reader.__class__ = MemberReader
        if reader._compress_type == DEFLATED:
            reader._decompressor = codecs.Inflater()


class AheadReader:
    """A member of which a thread inflates the next bytes while the last ones are written.

    It has what copying a file takes, no more. Writing takes nearly as long as inflating, so a
    large member is done in two thirds of the time.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._thread = workers(1)
        self._next = self._thread.submit(file.read, _AHEAD)

    def __enter__(self) -> AheadReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        data = self._next.result()
        if data:
            self._next = self._thread.submit(self._file.read, _AHEAD)
        return data


class _Here(threading.local):
    """Whether this thread is about to copy a large member out of an archive."""

    copies = False


_here = _Here()


def copies_here() -> bool:
    """Whether what this thread opens next is copied to a file, so that `AheadReader` will do."""
    copies, _here.copies = _here.copies, False
    return copies


@contextmanager
def copying(info: zipfile.ZipInfo) -> Iterator[None]:
    """In this block a member is copied to a file, by this thread."""
    _here.copies = info.file_size > _SMALL
    try:
        yield
    finally:
        _here.copies = False


def are_few(infos: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether one thread is done with the members before others have begun."""
    return len(infos) <= _FEW and sum([info.file_size for info in infos]) <= _SMALL


def folders(infos: Iterable[zipfile.ZipInfo]) -> list[str] | None:
    """The folders that the members are extracted to; None if their order counts there.

    It counts where two of them may be one file, or one is a file and another's folder; also where
    just Windows, or a file system that does not tell capitals apart, takes two names for the same.
    """
    found: dict[str, None] = {}
    files: set[str] = set()
    above: set[str] = set()
    for info in infos:
        parts = [part for part in info.filename.split("/") if part not in ("", ".", "..")]
        inner = parts if info.is_dir() else parts[:-1]
        found["/".join(inner)] = None
        alike = [part.casefold().translate(_ILLEGAL).rstrip(" .") for part in parts]
        above.update("/".join(alike[:i]) for i in range(1, len(inner) + 1))
        if not info.is_dir():
            name = "/".join(alike)
            if name in files:
                return None
            files.add(name)
    return [folder for folder in found if folder] if files.isdisjoint(above) else None


_ILLEGAL = str.maketrans('\\:<>|"?*', "/_______")


class Failure(NamedTuple):
    """What went wrong with a member, and which of them it was."""

    member: int
    error: Exception


def first_error(
    archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], call: Call, jobs: int | None
) -> Failure | None:
    """Calls `call` for all members, and gives the first in their order that it failed for.

    Args:
        archive: what the members are read from.
        infos: the members. Those after one that failed may be left out.
        call: what is done to each; it must not depend on their order.
        jobs: how many are worked on at once; None for the CPUs that this process may use.
    """
    jobs = jobs or usable_cpus()
    if jobs == 1 or are_few(infos):
        return _in_turn(infos, range(len(infos)), call)
    first: Failure | None = None
    is_own = False

    def serve(question: bytes) -> bytes:
        nonlocal is_own
        if not is_own:
            _reopen(archive)
            is_own = True
        for index in marshal.loads(question):
            call(infos[index])
        return b""

    def run(task: _Run) -> Failure | None:
        indexes = [index for index in task.indexes if first is None or index < first.member]
        if crew and crew.ask(marshal.dumps(indexes)) is not None:
            return None
        return _in_turn(infos, indexes, call)

    pool: Pool[_Run, Failure | None] = Pool(
        run, Budget(2 * jobs), cost=lambda _: 1, weight=lambda _: 0
    )
    count = jobs if _can_reopen(archive) else 0
    with pool.interrupts_held(), helpers(serve, count, 1) as crew, workers(jobs) as threads:
        crew.start()
        with closing(pool.run(_runs(infos), threads)) as results:
            for _, failure in results:
                if failure is not None and (first is None or failure.member < first.member):
                    first = failure
    return first


class _Run(NamedTuple):
    """Members that are worked on one after the other, in their order."""

    indexes: list[int]


def _runs(infos: Sequence[zipfile.ZipInfo]) -> Iterator[_Run]:
    """The largest members first, so that none of them is still at work when all else is done."""
    run: list[int] = []
    size = 0
    for index in sorted(range(len(infos)), key=lambda index: -infos[index].file_size):
        run.append(index)
        size += infos[index].file_size
        if size >= _RUN or len(run) == BATCH_MEMBERS:
            yield _Run(sorted(run))
            run, size = [], 0
    if run:
        yield _Run(sorted(run))


def _in_turn(
    infos: Sequence[zipfile.ZipInfo], indexes: Iterable[int], call: Call
) -> Failure | None:
    for index in indexes:
        try:
            call(infos[index])
        except Exception as error:
            return Failure(index, error)
    return None


def _can_reopen(archive: zipfile.ZipFile) -> bool:
    """Whether a forked copy can read on its own, without moving the file's position for all."""
    file = archive.fp
    return type(file) is io.BytesIO or isinstance(getattr(file, "raw", None), io.FileIO)


def _reopen(archive: zipfile.ZipFile) -> None:
    """In a forked copy: the same file once more, with a position of its own. Only on Linux."""
    file = archive.fp
    assert file is not None
    if type(file) is not io.BytesIO:
        shared = file.fileno()
        position = os.lseek(shared, 0, os.SEEK_CUR)
        own = os.open(f"/proc/self/fd/{shared}", os.O_RDONLY)
        os.dup2(own, shared)
        os.close(own)
        os.lseek(shared, position, os.SEEK_SET)
