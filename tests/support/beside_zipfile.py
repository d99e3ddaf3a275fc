"""Reads archives in every way, by `zipfile` and by ours: each call has to tell the same."""

from __future__ import annotations

import io
import random
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import parazip
from parazip.codecs import inflating
from support.damage import BZIP2, MIB, PASSWORD
from support.paths import list_below

STEPS = (-1, 1, 4, 100, 4096, 5000, 65_536, 70_000, MIB)

CALLS = 600
"""How many calls of one kind are compared; a member may take many more."""


class Told(NamedTuple):
    """What a call told: a value, or an error of a kind."""

    value: object = None
    error: type[Exception] | None = None
    message: str = ""


def outcome_of(call: Callable[[], object]) -> Told:
    try:
        return Told(call())
    except Exception as error:
        return Told(None, type(error), str(error))


class Odd:
    """A file of which nothing is known: it can do what `zipfile` asks for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read = self._file.read
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.seekable = self._file.seekable


class Derived(io.BytesIO):
    pass


# From what an archive is read


def open_memory(data: bytes, folder: Path) -> Any:
    return io.BytesIO(data)


def open_derived(data: bytes, folder: Path) -> Any:
    return Derived(data)


def open_odd(data: bytes, folder: Path) -> Any:
    return Odd(data)


def write_path(data: bytes, folder: Path) -> Any:
    made = folder / "made.zip"
    made.write_bytes(data)
    return made


SOURCES = (open_memory, write_path, open_derived, open_odd)

# Ways of reading one member: what each call tells

Way = Callable[[IO[bytes], random.Random], Iterator[Callable[[], object]]]


def by_read(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = made.choice(STEPS)
    for _ in range(CALLS):
        yield lambda: file.read(step)


def by_read_of_any_size(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    for _ in range(60):
        step = made.choice([*STEPS, made.randint(0, 200_000)])
        yield partial(file.read, step)
        yield file.tell


def by_its_size(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = max(0, file._orig_file_size + made.choice([-1, 0, 0, 1, 100]))
    for _ in range(4):
        yield lambda: file.read(step)


def by_read1(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = made.choice(STEPS)
    for _ in range(CALLS):
        yield lambda: file.read1(step)


def by_lines(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    limit = made.choice([-1, -1, 7, 5000])
    readline = file.readline
    for _ in range(CALLS):
        yield lambda: readline(limit)
        if made.random() < 0.02:
            yield lambda: file.read(70_000)


def by_iterating(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    lines = iter(file)
    for _ in range(CALLS):
        yield lambda: next(lines)
    yield lambda: file.readlines()


def by_readinto(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    name = made.choice(["readinto", "readinto1"])
    step = made.choice([1, 100, 4096, 70_000, MIB])
    for _ in range(CALLS):
        yield partial(_filled, getattr(file, name), step)


def _filled(readinto: Any, size: int) -> tuple[bytes, bool]:
    """What was read, and whether anything was written behind it."""
    target = bytearray(size)
    count = readinto(target)
    return bytes(target[:count]), any(target[count:])


def by_text(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    lines = io.TextIOWrapper(file, "latin-1")
    for _ in range(CALLS):
        yield lines.readline
    yield lines.read


def by_buffered(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    buffered = io.BufferedReader(file, made.choice([512, 8192, MIB]))
    for _ in range(60):
        yield partial(buffered.read, made.choice(STEPS))


def by_copying(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    target = io.BytesIO()
    yield lambda: shutil.copyfileobj(file, target)
    yield target.getvalue
    yield file.read


def back_and_forth(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    """Any calls in any order; some are made through methods that were taken before."""
    size = file._orig_file_size
    bound = {name: getattr(file, name) for name in ("read", "read1", "readline", "peek", "tell")}
    for _ in range(80):
        step = made.choice([*STEPS, 70_000, 65_536, made.randint(0, 3000)])
        to = made.choice(
            [0, size // 2, min(size, 200_000), made.randint(-5, min(size, 999_999) + 5)]
        )
        whence = made.choice([0, 0, 1, 2])
        name = made.choice(["read", "read", "read", "read1", "readline", "peek", "seek", "tell"])
        if name == "seek":
            yield partial(file.seek, to, whence)
        elif name == "tell":
            yield bound[name]
        else:
            yield partial(made.choice([bound[name], getattr(file, name)]), step)


WAYS: tuple[Way, ...] = (
    by_read,
    by_read,
    by_read_of_any_size,
    by_its_size,
    by_read1,
    by_lines,
    by_iterating,
    by_readinto,
    by_text,
    by_buffered,
    by_copying,
    back_and_forth,
    back_and_forth,
)


class Opens(Protocol):
    """A class of archives, or what makes one."""

    def __call__(self, file: Any, /) -> zipfile.ZipFile: ...


def one_core(file: Any) -> zipfile.ZipFile:
    return parazip.ZipFile(file, jobs=1)


def two_cores(file: Any) -> zipfile.ZipFile:
    return parazip.ZipFile(file, jobs=2)


def is_empty(value: object) -> bool:
    """Whether a call gave nothing. Bytes and text are not compared, of which Python may warn."""
    return (isinstance(value, bytes | str) and not value) or value == (b"", False)


def read_in_a_way(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    """What each call tells, up to some calls after an error."""
    made = random.Random(seed)
    source = made.choice(SOURCES)
    password = made.choice([None, PASSWORD, PASSWORD, b"wrong"])
    opened = outcome_of(lambda: kind(source(data, folder)))
    if opened.error is not None:
        yield opened
        return
    archive: Any = opened.value
    with archive:
        for info in archive.infolist():
            way, script = made.choice(WAYS), random.Random(made.random())
            got = outcome_of(partial(archive.open, info, pwd=password))
            if got.error is not None:
                yield got
                continue
            file: Any = got.value
            after = 0
            for call in way(file, script):
                answer = outcome_of(call)
                yield answer
                after += answer.error is not None or is_empty(answer.value)
                if after == 4 or (answer.error and info.compress_type == BZIP2):
                    break  # libbz2 may end the process if it is asked for more after an error
            yield outcome_of(file.close)


def read_as_a_whole(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    """The methods of the archive itself, and of paths; what is on disk after them."""
    made = random.Random(seed)
    source = made.choice(SOURCES)
    opened = outcome_of(lambda: kind(source(data, folder)))
    if opened.error is not None:
        yield opened
        return
    archive: Any = opened.value
    with archive:
        if made.random() < 0.5:
            archive.setpassword(made.choice([PASSWORD, b"wrong"]))
        for info in archive.infolist():
            yield outcome_of(partial(archive.read, info))
            yield outcome_of(partial(archive.extract, info, folder / "one"))
        yield outcome_of(archive.testzip)
        yield outcome_of(lambda: archive.extractall(folder / "all"))
        yield outcome_of(lambda: archive.extractall(folder / "all", reversed(archive.namelist())))
        archive.filename = archive.filename or "made.zip"  # a path's error has it in its message
        for info in archive.infolist():
            member: Any = zipfile.Path(archive, info.filename)
            yield outcome_of(member.read_bytes)
            yield outcome_of(partial(member.read_text, "latin-1"))
    yield Told(list_below(folder))


def compare_reading(read: Any, kind: Opens, data: bytes, seed: int) -> list[Told]:
    """What both tell, which is the same."""
    seen = []
    for each in zipfile.ZipFile, kind:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, "here")
            here.mkdir()
            answers = list(read(each, data, here, seed))
            seen.append([_without(answer, folder) for answer in answers])
    for i, (theirs, ours) in enumerate(zip(*seen, strict=False)):
        assert theirs == ours, f"seed {seed}, call {i}"
    assert len(seen[0]) == len(seen[1]), f"seed {seed}"
    return seen[0]


def _without(answer: Told, folder: str) -> Told:
    value = answer.value
    if isinstance(value, str):
        value = value.replace(folder, "")
    return answer._replace(value=value, message=answer.message.replace(folder, ""))


def compare_inflating(raw: bytes, made: random.Random) -> str:
    """What zlib says is wrong with a stream, which zlib-ng says too, in the same call."""
    zlibs, ours = zlib.decompressobj(-15), inflating.StepInflater()
    start = 0
    while not zlibs.eof and (start < len(raw) or zlibs.unconsumed_tail):
        step = made.choice([1, 4096, 5000, 65_536, MIB, made.randint(1, 70_000)])
        most = made.choice([step, max(step, 4096), 257, 258, 4096])
        data = zlibs.unconsumed_tail + raw[start : start + step]
        start += step
        theirs = outcome_of(partial(zlibs.decompress, data, most))
        assert outcome_of(partial(ours.decompress, data, most)) == theirs
        if theirs.error:
            return theirs.message
        assert (ours.eof, ours.unconsumed_tail) == (zlibs.eof, zlibs.unconsumed_tail)
    assert ours.flush() == zlibs.flush()
    return ""
