"""Helpers take part in a search: they list folders, and look at files and their names.

All that the walk does for a small file takes much longer than handing it on. So as soon as there
are helpers, the walk leaves the rest to them: they give `Pack`s of members, which go to the next
helper as they are. What is guaranteed:

* What is found is what the walk would have found here, in the same order.
* A helper tells of nothing that cannot be put in, and of nothing that people should hear. An entry
  where it meets such a thing it gives back, and this process searches that. What is beyond its
  share it gives back, too, for the next one. So errors need no way back.
* Names are judged by the helper that finds them. In one folder with all it holds, two that are
  alike to some system are entries of one folder, or lie below such. So who lists a folder with
  entries that are alike hands out nothing of it.

`may_help` says where this does: wherever names, dates and what is left out depend on nothing but
the path, and no program stands between this process and the system.
"""

from __future__ import annotations

import datetime
import marshal
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType
from typing import Any, NamedTuple, TypeAlias

from parazip.codecs.sizes import BLOCK
from parazip.engine.plan import BATCH_MEMBERS, check_names
from parazip.errors import ParazipError
from parazip.format.names import make_decoder
from parazip.format.values import Buffer
from parazip.model import Found, Member, Pack
from parazip.sources import contents, files
from parazip.sources.findings import Findings
from parazip.sources.obstacles import find_inode
from parazip.sources.selection import Selection
from parazip.sources.walk import Search, search_share
from parazip.workers.line import Lane, Line

_PACKED = 2 * BATCH_MEMBERS
"""The most members of a pack: as small as they are, twice as many as a task's else."""

SHARE = 2 * _PACKED
"""So many members are a share: some 10 ms of work, of which question and answer take a hundredth.
"""

_MOST = 2 * SHARE
"""Members after which a helper gives back what it has not come to."""

_COST = 512 << 10
"""Bytes that the answer to a share takes, unless names are very long."""

Answer: TypeAlias = list[Found | Search]


class SearchTask(NamedTuple):
    """What a helper is to search.

    Attributes:
        searches: its share, or more than that.
        how: the selection and all else that counts, as plain values.
    """

    searches: tuple[Search, ...]
    how: tuple[Any, ...]


def may_help(selection: Selection, paths: object, names: object) -> bool:
    """Whether helpers may search for an archive of these `paths` and `names`."""
    return (
        isinstance(paths, list | tuple)
        and len(paths) == 1
        and names == ()
        and not files.is_url(os.fspath(paths[0]))
        and not (selection.ignore or selection.store or selection.align)
        and make_decoder() is None
        and all(isinstance(each, BuiltinFunctionType) for each in (os.scandir, os.stat, os.lstat))
    )


class Searchers:
    """Those who search for one archive, once there are helpers.

    Args:
        selection: what to leave out, names and dates.
        archive: where the archive will be; it must not be among its own sources.
    """

    def __init__(self, selection: Selection, archive: str | int | None) -> None:
        self._how = _flatten_selection(selection), find_inode(archive)
        self._lane: Lane[SearchTask, Answer] | None = None
        self._most = 0
        self._are_started: Callable[[], bool] = lambda: False

    def are_ready(self) -> bool:
        """Whether they can be asked."""
        return self._are_started()

    @contextmanager
    def working(
        self,
        line: Line,
        function: Callable[[SearchTask], Answer],
        are_started: Callable[[], bool],
        count: int,
    ) -> Iterator[None]:
        """Has helpers search until the end of the block.

        Args:
            line: where they stand.
            function: has one of them do a task.
            are_started: whether there are any yet.
            count: how many there will be.
        """
        with line.open_lane(function, lambda task: _COST) as lane:
            self._lane, self._most, self._are_started = lane, 2 * count, are_started
            yield

    def search(
        self, left: Iterable[Search], search_here: Callable[[Search], Iterator[Member]]
    ) -> Iterator[Found]:
        """What is found in what the walk has left, in order.

        Args:
            left: that, in order.
            search_here: searches what was given back.
        """
        lane = self._lane
        if lane is None:
            return
        queue = _Queue(left, self._how, self._most)
        answers: Generator[tuple[SearchTask, Answer], None, None] = lane.through(queue)
        while queue.items:
            head = queue.items[0]
            if isinstance(head, Member | Pack):
                queue.items.popleft()
                yield head
            elif isinstance(head, Search) and head.is_odd:
                queue.items.popleft()
                yield from search_here(head)
            elif isinstance(head, SearchTask) and queue.take_answer(head):
                continue
            else:  # asks ahead, as far as that goes, and waits for the first answer
                queue.note_answer(*next(answers))


class _Queue:
    """What is still to be searched, and what was found in it; gives tasks, a few ahead.

    Attributes:
        items: in the order of the archive; a task stands for what its answer has.
    """

    def __init__(self, left: Iterable[Search], how: tuple[Any, ...], most: int) -> None:
        self.items: deque[Found | Search | SearchTask] = deque(left)
        self._how = how
        self._most = most
        self._asked = 0
        self._answers: dict[int, Answer] = {}
        # What a folder holds, as far as that is known.
        self._folders, self._in_folders = 1, SHARE // _FIRST

    def __iter__(self) -> _Queue:
        return self

    def __next__(self) -> SearchTask:
        """The next task, from the front on; none if enough are on their way."""
        if self._asked < self._most:
            for at, item in enumerate(self.items):
                if isinstance(item, Search) and not item.is_odd:
                    self.items.rotate(-at)
                    task = SearchTask(tuple(self._take_share()), self._how)
                    self.items.appendleft(task)
                    self.items.rotate(at)
                    self._asked += 1
                    return task
        raise StopIteration

    def _take_share(self) -> Iterator[Search]:
        """Takes what stands in front, up to so much that it is likely to be a share."""
        expected = 0
        while expected < SHARE and self.items:
            item = self.items[0]
            if not isinstance(item, Search) or item.is_odd:
                return
            self.items.popleft()
            count = 0
            while count < len(item.names) and expected < SHARE:
                is_folder = item.names[count].endswith("/")
                expected += self._in_folders // self._folders if is_folder else 1
                count += 1
            yield item._replace(names=item.names[:count])
            if count < len(item.names):
                self.items.appendleft(item._replace(names=item.names[count:]))

    def note_answer(self, task: SearchTask, answer: Answer) -> None:
        """Notes what was found, until it is its turn."""
        self._asked -= 1
        self._answers[id(task)] = answer
        stems = {search.stem for search in task.searches}
        back = [item for item in answer if isinstance(item, Search) and item.stem in stems]
        asked, left = _count_entries(task.searches), _count_entries(back)
        members = sum(item.members for item in answer if isinstance(item, Pack))
        self._folders += asked[0] - left[0]
        self._in_folders += max(0, members - (asked[1] - left[1]))

    def take_answer(self, task: SearchTask) -> bool:
        """Puts what was found in the place of the task in front; False if that is not known yet."""
        answer = self._answers.pop(id(task), None)
        if answer is None:
            return False
        self.items.popleft()
        self.items.extendleft(reversed(answer))
        return True


_FIRST = 16
"""So many folders are asked for as long as nobody knows how much they hold."""


def _count_entries(searches: Iterable[Search]) -> tuple[int, int]:
    """How many folders there are, and how many other entries."""
    folders = entries = 0
    for each in searches:
        entries += len(each.names)
        folders += sum([name.endswith("/") for name in each.names])
    return folders, entries - folders


# In a helper.


def search(task: SearchTask) -> Answer:
    """What a helper finds, what it leaves, and what is to be searched where it was asked for."""
    flat, inode = task.how
    selection = _restore_selection(flat)
    found = _search_clean(task.searches, selection, inode)
    if found is None:  # entry by entry, so that nothing is given back without need
        found = []
        for each in task.searches:
            for at, name in enumerate(each.names):
                if len(found) >= _MOST:
                    found.append(each._replace(names=each.names[at:]))
                    break
                single = each._replace(names=(name,))
                clean = _search_clean((single,), selection, inode)
                found += [single._replace(is_odd=True)] if clean is None else clean
    return list(_pack(found))


def _search_clean(
    searches: Iterable[Search], selection: Selection, inode: int
) -> list[Member | Search] | None:
    """What is found, and what is left; None if there is anything to be said of it."""
    findings = Findings()
    members, left = search_share(searches, selection, findings, _MOST)
    try:
        for member in check_names(members, findings, is_one_tree=True):
            file = contents.find_file(member.source)
            if file is not None and file.inode == inode:
                return None
    except ParazipError:
        return None
    return [*members, *left] if findings.is_empty else None


def _pack(found: Iterable[Member | Search]) -> Iterator[Found | Search]:
    """The same; members that need not be cut in packs of as many as a task has."""
    batch: list[Member] = []
    size = 0
    for item in found:
        is_large = isinstance(item, Search) or item.size > BLOCK
        more = 0 if isinstance(item, Search) else item.size
        if batch and (is_large or size + more > BLOCK or len(batch) == _PACKED):
            yield contents.pack_members(batch)
            batch, size = [], 0
        if isinstance(item, Search) or is_large:
            yield item
        else:
            batch.append(item)
            size += more
    if batch:
        yield contents.pack_members(batch)


# On the way to a helper, and back.


def flatten_search(task: SearchTask) -> tuple[Any, ...]:
    """A task as plain values, with what a helper has to agree on."""
    return [tuple(each) for each in task.searches], task.how, _describe_surroundings()


def restore_search(flat: tuple[Any, ...]) -> SearchTask:
    """The task that `flatten_search` made plain values of.

    Raises:
        ValueError: paths or times mean something else here.
    """
    searches, how, surroundings = flat
    if surroundings != _describe_surroundings():
        raise ValueError(f"this is {_describe_surroundings()}, not {surroundings}")
    return SearchTask(tuple(Search(*each) for each in searches), how)


def _describe_surroundings() -> tuple[object, ...]:
    """All that has a say in what is found, and that a program may change any time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return files.find_current_folder(), epoch, time.timezone, time.altzone, time.tzname


_MEMBER, _SEARCH, _PACK = "member", "search", "pack"


def write_found(answer: Answer) -> bytes:
    """What was found as plain bytes."""
    flat: list[tuple[Any, ...]] = []
    for item in answer:
        if isinstance(item, Pack):
            flat.append((_PACK, *item))
        elif isinstance(item, Search):
            flat.append((_SEARCH, *item))
        else:
            flat.append((_MEMBER, *contents.flatten_members([item], {})))
    return marshal.dumps(flat, contents.FORMAT)


def read_found(answer: Buffer) -> Answer:
    """What a helper has found."""
    found: Answer = []
    for tag, *values in marshal.loads(answer):
        if tag == _PACK:
            found.append(Pack(*values))
        elif tag == _SEARCH:
            found.append(Search(*values))
        else:
            found += contents.restore_members(values, [])
    return found


def _flatten_selection(selection: Selection) -> tuple[Any, ...]:
    """What counts of a selection as plain values."""
    moment: object = selection.timestamp
    if isinstance(moment, datetime.datetime):
        moment = tuple(moment.timetuple()[:6])
    return (
        selection.patterns,
        selection.folder_prefix,
        selection.symlinks,
        selection.modes,
        selection.skip,
        selection.changes,
        moment,
    )


def _restore_selection(flat: tuple[Any, ...]) -> Selection:
    exclude, prefix, symlinks, modes, skip, changes, moment = flat
    return Selection(
        exclude=exclude,
        prefix=prefix,
        symlinks=symlinks,
        modes=modes,
        skip=skip,
        changes=changes,
        timestamp=datetime.datetime(*moment) if isinstance(moment, tuple) else moment,
    )
