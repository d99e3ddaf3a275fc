"""The one place where parazip meets pex's inside.

pex writes each zip in `Chroot.zip` (module `pex.common`): it opens an archive with the module's
global `open_zip` and calls `write_deterministic` on it for every folder and file. Inside `fast`
that global is ours. Our archive is a `ZipFileEx` of which only the writing is replaced: it
collects members instead of bytes and puts them in, all at once, when pex closes it. Dates and
modes come from pex's own code, save that of the three system calls that pex makes to learn a file's
kind we make one: with 13,000 files that is half of what pex does before it zips. Names come from
pex's code or, where that is the one that `walk` is a twin of, from there: most of the other half.

pex promises nothing about its inside, so `check` looks first whether everything is as it is
known to be (pex 2.50 to 2.105), and says what is not.
"""

from __future__ import annotations

import inspect
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from types import ModuleType
from typing import Any, Generic, TypeVar

from parazip import codecs, plan
from parazip.archive import assemble
from parazip.assembly import Means
from parazip.cache import Cache
from parazip.errors import BadArchiveError, ParazipError, SourceError
from parazip.format.records import ATTRIBUTE_FOLDER, dos_date
from parazip.model import File, Member, Report, Section, Settings
from parazip.pex.walk import is_known, walk
from parazip.pex.wheels import Distribution, distributions
from parazip.progress import Counter, Sink

_Item = TypeVar("_Item")


class SeamError(ParazipError):
    """This pex writes its zips in another way than the ones that parazip knows."""


def check(common: ModuleType, version: str) -> None:
    """Makes sure that `pex.common` is as `fast` needs it.

    Raises:
        SeamError: it is not; the message says what is different.
    """
    missing = next(_misfits(common), None)
    if missing is not None:
        raise SeamError(
            f"pex {version} does not fit: {missing}. parazip pex is made for pex 2.50 to 2.105; "
            "install one of these, or run pex itself"
        )


def _misfits(common: Any) -> Iterator[str]:
    for name in ("open_zip", "Chroot", "ZipFileEx", "ZipFileType", "DETERMINISTIC_DATETIME"):
        if not hasattr(common, name):
            yield f"pex.common has no {name}"
            return
    zip_code = getattr(getattr(common.Chroot, "zip", None), "__code__", None)
    if zip_code is None or "open_zip" not in zip_code.co_names:
        yield "Chroot.zip does not open archives with open_zip"
    method = getattr(common.ZipFileEx, "write_deterministic", None)
    if method is None:
        yield "ZipFileEx has no write_deterministic"
        return
    for name in ("filename", "arcname", "deterministic", "compress"):
        if name not in inspect.signature(method).parameters:
            yield f"ZipFileEx.write_deterministic takes no {name}"
    for name in ("DIRECTORY", "EXECUTABLE", "FILE"):
        if not hasattr(getattr(common.ZipFileType, name, None), "deterministic_mode"):
            yield f"ZipFileType.{name} has no deterministic_mode"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How zips are made, and what became of them.

    Attributes:
        settings: level, codec, jobs, memory.
        arguments: of pex.
        progress: told of each archive's progress.
        cache: where finished parts are looked for and kept, if anywhere.
        reports: what was made, with the distributions it was made of.
    """

    settings: Settings
    arguments: Sequence[str]
    progress: Sink | None
    cache: Cache | None
    reports: list[tuple[Report, list[Distribution]]] = field(default_factory=list)


@contextmanager
def fast(way: Way) -> Iterator[None]:
    """Inside this block pex writes its zips through parazip.

    Raises:
        SeamError: this pex does not fit.
    """
    import pex.common as common
    from pex.version import __version__ as version

    check(common, version)
    to_member = _member_maker(common)
    collector_type = _collector_type(common, to_member)
    open_zip = common.open_zip

    @contextmanager
    def open_fast(path: str, mode: str = "r", *args: Any, **kwargs: Any) -> Iterator[Any]:
        if mode not in ("w", "a"):
            with open_zip(path, mode, *args, **kwargs) as archive:
                yield archive
            return
        with _gone_on_error(path):
            collector = collector_type()
            yield collector
            _write(path, mode, collector.members, way)

    def zip_fast(
        chroot: Any,
        filename: str,
        mode: str = "w",
        deterministic: bool = False,
        exclude_file: Callable[[str], bool] = lambda _: False,
        strip_prefix: str | None = None,
        labels: Iterable[str] | None = None,
        compress: bool = True,
    ) -> None:
        entries = walk(
            common,
            chroot,
            exclude_file=exclude_file,
            strip_prefix=strip_prefix,
            labels=labels,
            compress=compress,
        )
        with _gone_on_error(filename):
            _write(filename, mode, (to_member(*each, deterministic) for each in entries), way)

    zip_method = common.Chroot.zip
    common.open_zip = open_fast
    if is_known(zip_method):
        common.Chroot.zip = zip_fast
    try:
        yield
    finally:
        common.open_zip = open_zip
        common.Chroot.zip = zip_method


@contextmanager
def _gone_on_error(path: str) -> Iterator[None]:
    """Removes pex's own temporary file if the block fails: what it has so far is of no use."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


class _Remembered(Generic[_Item]):
    """Items that can be gone through again, though they are found only once."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self.found: list[_Item] = []
        self._items = items

    def __iter__(self) -> Iterator[_Item]:
        yield from self.found
        for item in self._items:
            self.found.append(item)
            yield item


def _write(path: str, mode: str, members: Iterable[Member], way: Way) -> None:
    """Writes `members` to `path`; in mode "a" behind the shebang line that pex put there."""
    began = time.monotonic()
    prefix = _take(path) if mode == "a" else b""
    members = plan.checked(members)
    first = list(islice(members, plan.PEEK))
    found = _Remembered(distributions(chain(first, members), way.arguments))
    while True:
        try:
            report = _made(path, prefix, found, way, plan.wants_help(first))
            break
        except (BadArchiveError, SourceError) as error:  # of a wheel, which can be done without
            lost = [distribution for distribution in found.found if distribution.lose(error)]
            if not lost:
                raise
    way.reports.append((replace(report, seconds=time.monotonic() - began), found.found))


def _made(
    path: str, prefix: bytes, found: Iterable[Distribution], way: Way, helped: bool
) -> Report:
    """Makes one zip of distributions."""
    level, codec = way.settings.level, way.settings.codec
    recipe = codecs.recipe(level, codec)
    rest = codecs.recipe(min(level + 1, 9) if level else 0, codec)
    counter = Counter(way.progress)

    def sections() -> Iterator[Section]:
        for distribution in found:
            counter.count(distribution.members)
            yield distribution.section(recipe, rest, way.cache is not None)

    means = Means(
        recipe=recipe,
        jobs=way.settings.jobs,
        memory=way.settings.memory,
        cache=way.cache,
        helped=helped,
    )
    return assemble(path, sections(), means, counter, prepend=prefix)


def _take(path: str) -> bytes:
    """What pex wrote to its temporary file; and no file any more, as replacing one is slow."""
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    return data


def _member_maker(common: Any) -> Callable[[str, str, bool, bool], Member]:
    """What makes a member of a path, a name, whether to compress, and whether to be deterministic.

    It does what `write_deterministic` does with them; the name is a normal path.
    """
    kinds = common.ZipFileType
    folder_mode, program_mode, file_mode = (
        kind.deterministic_mode for kind in (kinds.DIRECTORY, kinds.EXECUTABLE, kinds.FILE)
    )
    fixed_date = dos_date(*common.DETERMINISTIC_DATETIME.timetuple()[:6])

    def member(path: str, arcname: str, compress: bool, deterministic: bool) -> Member:
        info = _stat(path)
        mode = info.st_mode
        date = fixed_date
        is_folder = stat.S_ISDIR(mode)
        if not deterministic:
            date = dos_date(*time.localtime(info.st_mtime)[:6])
        elif is_folder:
            mode = folder_mode
        elif mode & 0o111 and os.access(path, os.X_OK):
            mode = program_mode
        else:
            mode = file_mode
        name = arcname if os.sep == "/" else arcname.replace(os.sep, "/")
        attributes = (mode & 0xFFFF) << 16
        if is_folder:
            return Member(name + "/", b"", attributes | ATTRIBUTE_FOLDER, date)
        # Without the change time: hard links that other PEXes make change it.
        file = File(path, info.st_size, info.st_mtime_ns, info.st_ino)
        return Member(name, file, attributes, date, not compress)

    return member


def _collector_type(common: Any, to_member: Callable[[str, str, bool, bool], Member]) -> Any:
    """A `ZipFileEx` that writes nothing and remembers what was to be written."""

    class Collector(common.ZipFileEx):  # type: ignore[misc] # pex has no types
        def __init__(self) -> None:  # no super().__init__(): that opens a file
            self.fp = None  # what ZipFile.__del__ looks at
            self.members: list[Member] = []

        def write_deterministic(
            self,
            filename: str,
            arcname: str,
            digest: None = None,
            deterministic: bool = True,
            compress: bool = True,
        ) -> None:
            name = os.path.normpath(arcname)
            self.members.append(to_member(filename, name, compress, deterministic))

    return Collector


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
