"""The one place where parazip meets pex's inside.

pex writes each zip in `Chroot.zip` (module `pex.common`): it opens an archive with the module's
global `open_zip` and calls `write_deterministic` on it for every folder and file. Inside `fast`
that global is ours. Our archive is a `ZipFileEx` of which only the writing is replaced: it
collects members instead of bytes and puts them in, all at once, when pex closes it. Names come
from pex's own code, and so do dates and modes, save that of the three system calls that pex makes
to learn a file's kind we make one: with 13,000 files that is half of what pex does before it zips.

pex promises nothing about its inside, so `check` looks first whether everything is as it is
known to be (pex 2.50 to 2.105), and says what is not.
"""

from __future__ import annotations

import inspect
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from parazip import codecs, files
from parazip.archive import assemble
from parazip.assembly import Means
from parazip.cache import Cache
from parazip.errors import BadArchiveError, ParazipError, SourceError
from parazip.format.records import ATTRIBUTE_FOLDER, dos_date
from parazip.model import Member, Report, Settings
from parazip.pex.wheels import Distribution, distributions, match
from parazip.plan import checked
from parazip.pool import usable_cpus, workers
from parazip.progress import Counter, Sink


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
    collector_type = _collector_type(common)
    open_zip = common.open_zip

    @contextmanager
    def open_fast(path: str, mode: str = "r", *args: Any, **kwargs: Any) -> Iterator[Any]:
        if mode not in ("w", "a"):
            with open_zip(path, mode, *args, **kwargs) as archive:
                yield archive
            return
        try:
            collector = collector_type()
            yield collector
            _write(path, mode, collector.members, way)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)  # pex's own temporary file: what it has so far is of no use
            raise

    common.open_zip = open_fast
    try:
        yield
    finally:
        common.open_zip = open_zip


def _write(path: str, mode: str, members: list[Member], way: Way) -> None:
    """Writes `members` to `path`; in mode "a" behind the shebang line that pex put there."""
    began = time.monotonic()
    prefix = _take(path) if mode == "a" else b""
    found = distributions(list(checked(members)), way.arguments)
    while True:
        try:
            report = _made(path, prefix, found, way)
            break
        except (BadArchiveError, SourceError) as error:  # of a wheel, which can be done without
            lost = [distribution for distribution in found if distribution.lose(error)]
            if not lost:
                raise
    way.reports.append((replace(report, seconds=time.monotonic() - began), found))


def _made(path: str, prefix: bytes, found: list[Distribution], way: Way) -> Report:
    """Makes one zip of distributions."""
    settings, cache = way.settings, way.cache
    counter = Counter(way.progress)
    for distribution in found:
        counter.count(distribution.members)
    recipe = codecs.recipe(settings.level, settings.codec)
    rest = codecs.recipe(min(settings.level + 1, 9) if settings.level else 0, settings.codec)
    sections = [distribution.section(recipe, rest, cache is not None) for distribution in found]
    missing = [
        distribution
        for distribution, section in zip(found, sections, strict=True)
        if cache is None or not section.key or cache.find(section.key) is None
    ]
    jobs = settings.jobs or usable_cpus()
    match(missing, jobs)
    with workers(max(1, jobs - 1)) as threads:  # while the archive is written
        wheels = {wheel for distribution in missing if (wheel := distribution.to_check)}
        hashes = {
            wheel: threads.submit(files.digest, wheel.archive)
            for wheel in sorted(wheels, key=lambda wheel: -wheel.archive.size)
        }

        def confirm() -> None:
            for distribution in found:  # also what was to be recalled and could not
                wheel = distribution.to_check
                if wheel is not None:
                    hashed = hashes.get(wheel)
                    wheel.check(hashed.result() if hashed else files.digest(wheel.archive))

        means = Means(
            recipe=recipe,
            jobs=settings.jobs,
            memory=settings.memory,
            cache=cache,
            confirm=confirm,
        )
        return assemble(path, sections, means, counter, prepend=prefix)


def _take(path: str) -> bytes:
    """What pex wrote to its temporary file; and no file any more, as replacing one is slow."""
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    return data


def _collector_type(common: Any) -> Any:
    """A `ZipFileEx` that writes nothing and remembers what was to be written."""
    kinds = common.ZipFileType
    folder_mode, program_mode, file_mode = (
        kind.deterministic_mode for kind in (kinds.DIRECTORY, kinds.EXECUTABLE, kinds.FILE)
    )
    fixed_date = dos_date(*common.DETERMINISTIC_DATETIME.timetuple()[:6])

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
            info = _stat(filename)
            mode = info.st_mode
            date = fixed_date
            is_folder = stat.S_ISDIR(mode)
            if not deterministic:
                date = dos_date(*time.localtime(info.st_mtime)[:6])
            elif is_folder:
                mode = folder_mode
            elif mode & 0o111 and os.access(filename, os.X_OK):
                mode = program_mode
            else:
                mode = file_mode
            name = os.path.normpath(arcname).replace(os.sep, "/")
            attributes = (mode & 0xFFFF) << 16
            if is_folder:
                member = Member(name + "/", b"", attributes | ATTRIBUTE_FOLDER, date)
            else:
                source = files.found(filename, info)._replace(ctime_ns=0)
                member = Member(name, source, attributes, date, not compress)
            self.members.append(member)

    return Collector


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
