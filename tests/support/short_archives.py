"""A program that makes and reads short archives over and over, and tells what it holds more of.

    python short_archives.py FOLDER KIND=ROUNDS...

Of each kind of work it does so many rounds before the first look at what it holds, and as many
between that and the second. Prints what has grown by the kinds; nothing may.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import parazip
from parazip.dropin import members
from parazip.engine import plan, sections
from parazip.extraction import crew
from parazip.verification import verify
from parazip.workers import starting
from support import growth

TEXT = b"some text, to be deflated. " * 40

LARGE = bytes(range(256)) * (10 << 10)
"""More than is compressed in one piece."""

MOST_JOBS = 16


class StopError(Exception):
    """What a caller raises in the middle of a call."""


class Place:
    """Where a round works: files to put in, and paths that no other round uses meanwhile."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.selection = parazip.Selection(directory=folder)
        self.jobs = jobs
        self.settings = parazip.Settings(jobs=jobs)

    def path(self, name: str) -> Path:
        return self.folder / "made" / f"{os.getpid()}-{threading.get_ident()}-{name}"

    def create(self, path: Path, **options: Any) -> parazip.Report:
        return parazip.create(path, ["source"], self.settings, self.selection, **options)

    @contextlib.contextmanager
    def archive(self, name: str = "archive.zip") -> Iterator[Path]:
        """An archive for the time of a block."""
        path = self.path(name)
        self.create(path)
        try:
            yield path
        finally:
            path.unlink()


def stop_at(count: int, what: type[BaseException] = StopError) -> Callable[[object], None]:
    """What hears of progress, and raises the second time or so."""
    left = iter(range(count))

    def hear(_: object) -> None:
        if next(left, None) is None:
            raise what

    return hear


def commands(at: Place) -> None:
    with at.archive() as path:
        merged, folder = at.path("merged.zip"), at.path("folder")
        parazip.merge(merged, [path, ("again", at.source)], at.settings)
        parazip.update(merged, ["source"], at.settings, at.selection)
        parazip.delete(merged, ["again/**"], at.settings)
        assert parazip.verify(merged, at.settings).is_sound
        report = parazip.extract(merged, folder, settings=at.settings)
        assert report.members == len(list(parazip.list_members(merged)))
        shutil.rmtree(folder)
        merged.unlink()


def cache(at: Place) -> None:
    path = at.path("cached.zip")
    kept = parazip.Cache(at.path("cache"))
    members = [make_member(i) for i in range(5)]
    for recalled in 0, 5:
        report = parazip.write(path, members, at.settings, cache=kept)
        assert report.recalled == recalled
    path.unlink()
    shutil.rmtree(kept.folder)


def zip_file(at: Place) -> None:
    path, folder = at.path("written.zip"), at.path("folder")
    with parazip.ZipFile(path, "w", zipfile.ZIP_DEFLATED, jobs=at.jobs) as archive:
        for i in range(5):
            archive.writestr(f"{i}", TEXT)
        archive.write(at.source / "1", "file")
        archive.writestr("large", LARGE)
    with parazip.ZipFile(path, "a", zipfile.ZIP_DEFLATED, jobs=at.jobs) as archive:
        archive.mkdir("folder")
        with archive.open("more", "w") as member:
            member.write(LARGE)
    with parazip.ZipFile(path, jobs=at.jobs) as archive:
        assert archive.read("large") == LARGE
        with archive.open("more") as member:
            member.read(100)
            member.seek(10)
            assert member.read(10) == LARGE[10:20]
        assert archive.testzip() is None
        archive.extractall(folder)
    shutil.rmtree(folder)
    path.unlink()


def abandoned(at: Place) -> None:
    """Objects that nobody closes: when they are gone, so is all that they had."""
    with at.archive() as path:
        reading = parazip.ZipFile(path, jobs=at.jobs)
        reading.open(reading.namelist()[-1]).read(1)
        del reading
        written = at.path("abandoned.zip")
        writing = parazip.ZipFile(written, "w", zipfile.ZIP_DEFLATED, jobs=at.jobs)
        member = writing.open("large", "w")
        for _ in range(2):
            member.write(LARGE)
        # The archive first: it waits for its member, which holds it.
        del writing, member
        written.unlink()
        shown = parazip.list_members(path)
        next(iter(shown))
        del shown


def errors(at: Place) -> None:
    """Whatever ends a call in the middle."""
    new = at.path("new.zip")
    for what in StopError, KeyboardInterrupt, SystemExit:
        with contextlib.suppress(what):
            at.create(new, progress=stop_at(0, what))
    with contextlib.suppress(parazip.SourceError):
        parazip.create(new, [at.source, at.folder / "nothing"], at.settings)
    with contextlib.suppress(parazip.OutputError):
        at.create(Path("/dev/full"))
    with at.archive() as path:
        for what in StopError, KeyboardInterrupt:
            with contextlib.suppress(what):
                parazip.merge(new, [path], at.settings, progress=stop_at(0, what))
            with contextlib.suppress(what):
                parazip.update(path, [at.source / "1"], at.settings, progress=stop_at(0, what))
            with contextlib.suppress(what):
                parazip.verify(path, at.settings, progress=stop_at(0, what))
            folder = at.path("stopped")
            with contextlib.suppress(what):
                parazip.extract(path, folder, settings=at.settings, progress=stop_at(0, what))
            shutil.rmtree(folder, ignore_errors=True)
        damaged(at, path)
    with contextlib.suppress(StopError):
        parazip.write(new, fail_midway(), at.settings)
    with (
        contextlib.suppress(StopError),
        parazip.ZipFile(new, "w", zipfile.ZIP_DEFLATED, jobs=at.jobs) as archive,
        archive.open("large", "w") as member,
    ):
        member.write(LARGE)
        raise StopError
    new.unlink()
    with contextlib.suppress(OSError), parazip.ZipFile("/dev/full", "w", jobs=at.jobs) as archive:
        archive.writestr("large", LARGE)
    assert not new.exists()


def make_member(number: int) -> parazip.Member:
    return parazip.Member(f"{number}", TEXT, 0o644 << 16, 1 << 21)


def fail_midway() -> Iterator[parazip.Member]:
    for i in range(20):
        yield make_member(i)
    raise StopError


def damaged(at: Place, path: Path) -> None:
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo("source/large").header_offset + 100] ^= 0xFF
    path.write_bytes(data)
    assert not parazip.verify(path, at.settings).is_sound
    with contextlib.suppress(parazip.BadArchiveError):
        parazip.extract(path, at.path("damaged"), settings=at.settings)
    with contextlib.suppress(parazip.BadArchiveError):
        parazip.merge(at.path("merged.zip"), [path], at.settings, check_crc=True)
    with parazip.ZipFile(io.BytesIO(data), jobs=at.jobs) as archive:
        for call in archive.testzip, partial(archive.extractall, at.path("damaged")):
            with contextlib.suppress(zlib.error):
                call()
                raise AssertionError("not told")
    shutil.rmtree(at.path("damaged"))
    for cut in 10, len(data) // 2, len(data) - 10:
        path.write_bytes(data[:cut])
        with contextlib.suppress(zipfile.BadZipFile):
            parazip.ZipFile(path, jobs=at.jobs)
        with contextlib.suppress(parazip.BadArchiveError):
            parazip.extract(path, at.path("damaged"), settings=at.settings)
        assert not parazip.verify(path, at.settings).is_sound


def threads(at: Place) -> None:
    """All of it from several threads at once."""
    kinds = [commands, zip_file, errors, commands, zip_file]
    with ThreadPoolExecutor(len(kinds)) as side_by_side:
        list(side_by_side.map(lambda kind: kind(at), kinds))


def in_copy(work: Callable[[], object]) -> None:
    """Does some work in a copy of this process; it is to leave nothing open there, either."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def forks(at: Place) -> None:
    """The program forks before, in the middle of and after a call; both sides go on."""
    in_copy(partial(zip_file, at))

    def fork_once(_: object) -> None:
        if next(first, False):
            in_copy(partial(commands, at))

    first = iter([True])
    path = at.path("forked.zip")
    at.create(path, progress=fork_once)
    with parazip.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED, jobs=at.jobs) as archive:
        member = archive.open("large", "w")
        member.write(LARGE)
        member.write(LARGE)

        def go_on() -> None:
            member.write(LARGE)
            member.close()
            archive.close()

        in_copy(go_on)
        go_on()
    path.unlink()
    in_copy(partial(zip_file, at))


def processes(at: Place) -> None:
    """Work in processes that multiprocessing starts, in each of its ways."""
    for way in "fork", "spawn", "forkserver":
        context: Any = multiprocessing.get_context(way)
        process = context.Process(target=commands, args=(at,))
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()


@contextlib.contextmanager
def worthy_helpers() -> Iterator[None]:
    """In this block helpers pay from the first member on."""
    fewer = {sections: ["_MANY_TASKS"], plan: ["_MANY"], members: ["_WORTH_HELPERS"]}
    for module in crew, verify:
        fewer[module] = ["_WORTH_FORKED", "_WORTH_FRESH"]
    before = {module: {name: vars(module)[name] for name in fewer[module]} for module in fewer}
    for module in fewer:
        vars(module).update(dict.fromkeys(fewer[module], 0))
    try:
        yield
    finally:
        for module, values in before.items():
            vars(module).update(values)


@worthy_helpers()
def helpers(at: Place) -> None:
    """Helpers that are started afresh; one is killed, and one call ends in the middle."""
    at = Place(at.folder, 2)
    commands(at)
    with at.archive() as path:
        folder = at.path("folder")
        with contextlib.suppress(StopError):
            parazip.extract(path, folder, settings=at.settings, progress=stop_at(0))
        shutil.rmtree(folder, ignore_errors=True)
        parazip.extract(path, folder, settings=at.settings, progress=lambda _: kill_children())
        shutil.rmtree(folder)
        with parazip.ZipFile(path, jobs=2) as archive:
            archive.extractall(folder)
        shutil.rmtree(folder)


def kill_children() -> None:
    for pid in growth.list_children():
        os.kill(pid, signal.SIGKILL)


def forked_helpers(at: Place) -> None:
    """As the command has them: copies of this process."""
    starting.may_fork = True
    try:
        helpers(at)
    finally:
        starting.may_fork = False


KINDS: dict[str, Callable[[Place], None]] = {
    kind.__name__: kind
    for kind in (
        commands, cache, zip_file, abandoned, errors, threads, forks, processes, helpers,
        forked_helpers,
    )
}  # fmt: skip


def find_growth(folder: Path, rounds: int, kind: str) -> list[str]:
    """What has grown between the middle and the end."""

    def work_and_look() -> growth.Held:
        for number in range(rounds):
            KINDS[kind](Place(folder, 1 + number % MOST_JOBS))
        return growth.look(folder / "made", Path(tempfile.gettempdir()))

    middle, end = work_and_look(), work_and_look()
    return growth.compare(middle, end, rounds)


def main() -> None:
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, since 3.12
    for name in "made", "source":
        (folder / name).mkdir()
    for i in range(7):
        (folder / "source" / f"{i}").write_bytes(TEXT * i)
    (folder / "source" / "large").write_bytes(LARGE)
    tracemalloc.start()
    growth.look()  # keeps something itself, for the first time
    asked = [word.partition("=") for word in sys.argv[2:]]
    grown = {kind: find_growth(folder, int(rounds), kind) for kind, _, rounds in asked}
    print(json.dumps(grown))


if __name__ == "__main__":
    main()
