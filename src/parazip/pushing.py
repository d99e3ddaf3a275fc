"""Makes an object of S3 equal to an archive that is here, and sends only what has changed.

`pieces` tells from both directories what looks the same. That is copied inside the store, into the
parts of a multipart upload, and all else is sent into the others. What the store tells of a part
that it has copied (its CRC-32, its MD5) is held against the bytes that are here. If they are not
the same, or if it tells nothing, the part is sent after all. So each byte of the archive is read
once, whatever is sent. The object appears when all parts are proven, and only if the one that was
copied from still stands there.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from parazip.engine.progress import Counter, Sink
from parazip.errors import BadArchiveError, SourceChangedError, SourceError, hide_secrets
from parazip.extraction.choice import advising, find_archive
from parazip.model import File, SentPart
from parazip.output import places
from parazip.output.multipart import CopiedPart, Digest, Multipart, Standing, is_of_change
from parazip.output.pieces import Run, plan_runs
from parazip.output.upload import MOST_ON_THE_WAY, PART, Transfers, aborting, explaining_errors
from parazip.sources import archives, files

_COPIES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What it took to make an object equal to an archive.

    Attributes:
        archive: the archive's path.
        url: the object's, without a password.
        size: bytes that both have.
        sent: bytes that were sent. If something looked the same and turned out not to be, they are
            among them.
        copied: bytes that the store has copied from the object that stood there. If nothing was
            sent or copied, the object has the archive's size and CRC-32 already.
        requests: by which the object was looked up and made. Those by which its directory was read
            are some three more.
        seconds: from the first look at the archive to the end.
        notes: what people may want to know besides, a sentence each.
    """

    archive: str
    url: str
    size: int
    sent: int
    copied: int
    requests: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def is_needless(self) -> bool:
        """Whether the object was equal to the archive already."""
        return not self.sent + self.copied


def push(archive: str | os.PathLike[str], url: str, *, progress: Sink | None = None) -> PushReport:
    """Makes the object at a URL equal to an archive, and sends only what has changed.

    What both have, in runs of 5 MiB and more, the store copies from the object that is there. If
    there is none, or if it is no archive, all is sent. The object is replaced in one step when all
    is right.

    Args:
        archive: the archive's path.
        url: where it goes: `s3://bucket/name`.
        progress: called with a `Progress` each time a part was sent or copied. Its bytes are those
            of the archive, as they are compressed.

    Raises:
        SourceError: the archive cannot be read, or what stands at the URL cannot.
        SourceChangedError: one of the two changed meanwhile; the object is as it was, or as
            somebody else has made it.
        BadArchiveError: the file is no archive.
        OutputError: the URL is not one of S3, or the store does not take the archive.
    """
    began = time.monotonic()
    store = places.open_multipart(url)
    with aborting(store), advising():
        task = _plan(archive, url, store)
        pushing = _Pushing(task, Counter(progress))
        if task.runs:
            pushing.push()
    notes = (*task.notes, *pushing.notes)
    return _make_report(task, pushing.sent, pushing.copied, notes, began)


def preview_push(archive: str | os.PathLike[str], url: str) -> PushReport:
    """What `push` would send and have copied, if all that looks the same is; writes nothing.

    The store is asked for what is there. Raises what `push` raises.

    Args:
        archive: the archive's path.
        url: where it would go.
    """
    began = time.monotonic()
    store = places.open_multipart(url)
    with advising():
        task = _plan(archive, url, store)
    copied = sum(run.length for run in task.runs if run.is_copied)
    sent = sum(run.length for run in task.runs) - copied
    return _make_report(task, sent, copied, task.notes, began)


def _make_report(
    task: _Task, sent: int, copied: int, notes: tuple[str, ...], began: float
) -> PushReport:
    return PushReport(
        archive=task.file.path,
        url=task.name,
        size=task.file.size,
        sent=sent,
        copied=copied,
        requests=task.store.requests,
        seconds=time.monotonic() - began,
        notes=notes,
    )


class _Task(NamedTuple):
    """What has to be done.

    Attributes:
        file: the archive.
        name: what messages call the object.
        store: makes it.
        standing: the object that is there, if any.
        offsets: where the archive's records begin, in order.
        runs: its parts; none if the object is equal to it.
        notes: what people may want to know.
    """

    file: File
    name: str
    store: Multipart
    standing: Standing | None
    offsets: Sequence[int]
    runs: Sequence[Run]
    notes: tuple[str, ...]


def _plan(archive: str | os.PathLike[str], url: str, store: Multipart) -> _Task:
    file, name = _find_archive(archive), hide_secrets(url)
    layout = archives.read_layout(file)
    offsets = [record.offset for record in layout.records]
    with explaining_errors(name):
        standing = store.watch()
    if standing is not None and _has_contents(standing, file):
        return _Task(file, name, store, standing, offsets, (), ())
    old = None
    notes: tuple[str, ...] = ()
    if standing is not None and file.size > PART:
        there = File(url, standing.size, 0, 0, version=standing.etag)
        try:
            old = archives.read_layout(there)
        except BadArchiveError:
            notes = (f"what stands at {name} is no archive, so all is sent",)
    return _Task(file, name, store, standing, offsets, plan_runs(layout, old), notes)


def _find_archive(archive: str | os.PathLike[str]) -> File:
    path = os.fspath(archive)
    if files.is_url(path):
        name = hide_secrets(path)
        raise SourceError(
            f"cannot push {name}: it is a URL; name an archive on this system", member=name
        )
    return find_archive(path)


def _has_contents(standing: Standing, file: File) -> bool:
    """Whether an object has the bytes of a file, by its size and CRC-32."""
    if standing.size != file.size or not standing.crc:
        return False
    return standing.has(file.size, files.crc32_of_file(file))


class _Pushing:
    """An archive on its way.

    Args:
        task: what has to be done.
        counter: is told of it.

    Attributes:
        sent: bytes that were sent.
        copied: bytes of parts that were copied, and are proven.
        notes: what people may want to know.
    """

    def __init__(self, task: _Task, counter: Counter) -> None:
        self.sent = self.copied = 0
        self.notes: list[str] = []
        self._task = task
        self._counter = counter
        self._counter.members_total = len(task.offsets)
        self._counter.bytes_total = task.file.size
        self._on_the_way = Transfers()
        self._may_copy = True
        self._digests: dict[int, Digest] = {}  # of parts that are being copied
        self._unproven: list[int] = []
        self._parts: dict[int, SentPart] = {}

    def push(self) -> None:
        """Lets the object appear."""
        task = self._task
        if task.file.size <= PART:
            (run,) = task.runs
            data = self._read(run)
            with self._explaining_errors():
                task.store.put(data)
            self.sent = run.length
            self._count(run)
            return
        for number, run in enumerate(task.runs, 1):
            if run.is_copied and self._may_copy:
                self._copy(number, run)
            else:
                self._send(number, run)
        self._settle(0)
        self._send_unproven()
        with files.open_unchanged(task.file):
            pass  # it is still what all parts were read of
        with self._explaining_errors():
            task.store.complete([self._parts[number] for number in sorted(self._parts)])

    def _send_unproven(self) -> None:
        """Sends what was copied in vain, in the places of the copies."""
        runs, name = self._task.runs, self._task.name
        for number in self._unproven:
            self._send(number, runs[number - 1])
        self._settle(0)
        if not self._may_copy:
            self.notes.append(
                f"the store of {name} copies no ranges, or does not tell what it has copied, so "
                "all was sent"
            )
        elif self._unproven:
            size = sum(runs[number - 1].length for number in self._unproven)
            self.notes.append(
                f"{size:,} bytes looked the same by both directories and were not, and were sent"
            )

    def _send(self, number: int, run: Run) -> None:
        self._settle(MOST_ON_THE_WAY - run.length)
        data = self._read(run)
        self._on_the_way.add(self._task.store.send(number, data), run.length)
        self.sent += run.length

    def _copy(self, number: int, run: Run) -> None:
        share = MOST_ON_THE_WAY // _COPIES_AT_ONCE
        self._settle(MOST_ON_THE_WAY - share)
        standing, begin = self._task.standing, run.source
        assert standing is not None
        assert begin is not None
        copying = self._task.store.copy(number, standing, begin, begin + run.length)
        self._on_the_way.add(copying, share)
        self._digests[number] = Digest.of(self._read(run))

    def _settle(self, most: int) -> None:
        """Waits until no more than `most` bytes are on the way, and looks at what has come."""
        arriving = self._on_the_way.take(most)
        while True:
            with self._explaining_errors():
                part = next(arriving, None)
            if part is None:
                return
            self._take(part)

    def _take(self, part: SentPart | CopiedPart) -> None:
        run = self._task.runs[part.number - 1]
        if isinstance(part, CopiedPart):
            proven = part.prove(self._digests.pop(part.number))
            if proven is None:
                self._unproven.append(part.number)
                self._may_copy = self._may_copy and part.is_comparable
                return
            self.copied += run.length
            part = proven
        self._parts[part.number] = part
        self._count(run)

    def _count(self, run: Run) -> None:
        offsets, file = self._task.offsets, self._task.file
        members = bisect_left(offsets, run.end) - bisect_left(offsets, run.begin)
        self._counter.advance(members, run.length, self.sent, file.path)

    def _read(self, run: Run) -> bytearray:
        """The bytes of a part; the archive must be what it was when it was found."""
        data = bytearray(run.length)
        with files.open_unchanged(self._task.file) as opened:
            files.fill_view(self._task.file, opened, run.begin, memoryview(data))
        return data

    @contextmanager
    def _explaining_errors(self) -> Iterator[None]:
        name = self._task.name
        with explaining_errors(name):
            try:
                yield
            except Exception as error:
                if not is_of_change(error):
                    raise
                raise SourceChangedError(
                    f"{name} was changed by somebody else meanwhile, and stays so", member=name
                ) from error
