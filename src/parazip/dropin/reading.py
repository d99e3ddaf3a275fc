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
import stat
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar

from parazip.dropin.ahead import (
    STRETCH,
    DoubtError,
    StretchReader,
    has_restarts,
    is_plain,
    on_one_core,
    opened_by,
)
from parazip.dropin.member import STEP
from parazip.helper import helpers
from parazip.plan import BATCH_MEMBERS
from parazip.pool import Budget, Pool, usable_cpus, workers

_FEW = 200
_SMALL = 4 << 20

_RUN = 4 << 20

_MORE = 1.2
"""A member of so many shares is done sooner on all cores, though threads wait for the GIL."""

Call: TypeAlias = Callable[[zipfile.ZipInfo], object]
Reader: TypeAlias = Callable[[Any], Any]
_Member = TypeVar("_Member", bound="str | zipfile.ZipInfo")
_Made = TypeVar("_Made")


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
    known: dict[str, str] = {}
    for info in infos:
        parent, _, name = info.filename.rpartition("/")
        if name in _NO_STEPS or info.is_dir():
            steps = _steps(info.filename)
            name = steps.pop() if steps and not info.is_dir() else ""
            parent = "/".join(steps)
        alike = known.get(parent)
        if alike is None:
            steps = _steps(parent)
            found["/".join(steps)] = None
            kinds = [_kind(step) for step in steps]
            above.update("/".join(kinds[:i]) for i in range(1, len(kinds) + 1))
            alike = known[parent] = "".join(f"{kind}/" for kind in kinds)
        if name:
            alike += _kind(name)
            if alike in files:
                return None
            files.add(alike)
    return list(found) if files.isdisjoint(above) else None


_NO_STEPS = ("", ".", "..")
_ILLEGAL = str.maketrans('\\:<>|"?*', "/_______")


def _steps(name: str) -> list[str]:
    """The way from the folder to which all is extracted to where a member of that name is."""
    return [step for step in name.split("/") if step not in _NO_STEPS]


def _kind(step: str) -> str:
    """What is the same for names that a file system may take for the same."""
    return step.casefold().translate(_ILLEGAL).rstrip(" .")


def have_links(infos: Iterable[zipfile.ZipInfo], target: str, folders: Sequence[str]) -> bool:
    """Whether two members may be one file because of links that are there already.

    Args:
        infos: the members.
        target: the folder to which they are extracted.
        folders: where its folders are, as they are made.
    """
    places = [os.stat(folder) for folder in folders]
    if len({(place.st_dev, place.st_ino) for place in places}) < len(places):
        return True
    for info in infos:
        if not info.is_dir():
            with suppress(OSError):
                found = os.lstat(os.path.join(target, *_steps(info.filename)))
                if stat.S_ISLNK(found.st_mode) or found.st_nlink > 1:
                    return True
    return False


class Failure(NamedTuple):
    """What went wrong with a member, and which of them it was."""

    member: int
    error: Exception


def first_error(
    archive: zipfile.ZipFile,
    infos: Sequence[zipfile.ZipInfo],
    call: Call,
    jobs: int | None,
    memory: int,
    copies: bool,
) -> Failure | None:
    """Calls `call` for all members, and gives the first in their order that it failed for.

    Members that are more than their share of the work, and have restarts, come last, one after the
    other, each on all cores; before them the others, each on one.

    Args:
        archive: what the members are read from.
        infos: the members. Those after one that failed may be left out.
        call: what is done to each; it must not depend on their order, and opens it once.
        jobs: how many are worked on at once; None for the CPUs that this process may use.
        memory: bytes of a large member that may be in flight at once.
        copies: whether `call` writes as much as it reads, so that reading ahead pays.
    """
    jobs = jobs or usable_cpus()
    copies = copies and jobs > 1

    def alone(info: zipfile.ZipInfo) -> None:
        if info.file_size <= STEP:
            call(info)
        else:
            surely(call, info, lambda file: on_one_core(file, copies))

    if jobs == 1 or are_few(infos):
        return _in_turn(infos, range(len(infos)), alone)
    share = _MORE * sum([info.file_size for info in infos]) / jobs
    large = [
        index
        for index, info in enumerate(infos)
        if info.file_size > share and has_restarts(archive, info)
    ]
    others = set(range(len(infos))).difference(large)
    first = _by_members(archive, infos, others, alone, jobs) if others else None
    if first is not None:
        large = [index for index in large if index < first.member]
    return (_by_stretches(infos, large, call, jobs, memory) if large else None) or first


def _by_stretches(
    infos: Sequence[zipfile.ZipInfo], indexes: Iterable[int], call: Call, jobs: int, memory: int
) -> Failure | None:
    most = max(1, min(jobs + 4, memory // STRETCH))
    with workers(jobs + 1) as threads:  # as one or the other always waits for the GIL

        def reader(file: Any) -> Any:  # a name may stand for another member than it was for
            return StretchReader(file, threads, most) if is_plain(file) else file

        return _in_turn(infos, indexes, lambda info: surely(call, info, reader))


def surely(call: Callable[[_Member], _Made], member: _Member, reader: Reader) -> _Made:
    """Calls `call` with a reader of ours; once more without it if the member may be damaged.

    So what is an error, which one, and what is written before it, is as ever.
    """
    try:
        with opened_by(reader):
            return call(member)
    except DoubtError:
        return call(member)


def _by_members(
    archive: zipfile.ZipFile,
    infos: Sequence[zipfile.ZipInfo],
    indexes: Collection[int],
    call: Call,
    jobs: int,
) -> Failure | None:
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
        with closing(pool.run(_runs(infos, indexes), threads)) as results:
            for _, failure in results:
                if failure is not None and (first is None or failure.member < first.member):
                    first = failure
    return first


class _Run(NamedTuple):
    """Members that are worked on one after the other, in their order."""

    indexes: list[int]


def _runs(infos: Sequence[zipfile.ZipInfo], indexes: Collection[int]) -> Iterator[_Run]:
    """The largest members first, so that none of them is still at work when all else is done."""
    run: list[int] = []
    size = 0
    for index in sorted(indexes, key=lambda index: (-infos[index].file_size, index)):
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
