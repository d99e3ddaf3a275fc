"""The one place where parazip meets pex's inside.

pex writes each zip in `Chroot.zip` (module `pex.common`): it opens an archive with the module's
global `open_zip` and calls `write_deterministic` on it for every folder and file. Inside `fast`
that global is ours. Names, modes and dates still come from pex's own code: our archive is a
`ZipFileEx` of which only the writing is replaced, so it collects members instead of bytes and
puts them in, all at once, when pex closes it.

pex promises nothing about its inside, so `check` looks first whether everything is as it is
known to be (pex 2.50 to 2.105), and says what is not.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from parazip.archive import write
from parazip.errors import ParazipError, SourceError
from parazip.format.records import dos_date
from parazip.model import File, Member, Report, Settings
from parazip.progress import Sink


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
    for name in ("open_zip", "Chroot", "ZipFileEx"):
        if not hasattr(common, name):
            yield f"pex.common has no {name}"
            return
    zip_code = getattr(getattr(common.Chroot, "zip", None), "__code__", None)
    if zip_code is None or "open_zip" not in zip_code.co_names:
        yield "Chroot.zip does not open archives with open_zip"
    needed = {
        "write_deterministic": ("filename", "arcname", "deterministic", "compress"),
        "write_ex": ("filename", "arcname", "date_time", "file_mode", "compress"),
        "zip_info_from_file": ("filename", "arcname", "date_time", "file_mode", "compress"),
    }
    for name, parameters in needed.items():
        method = getattr(common.ZipFileEx, name, None)
        if method is None:
            yield f"ZipFileEx has no {name}"
            return
        lacking = [p for p in parameters if p not in inspect.signature(method).parameters]
        if lacking:
            yield f"ZipFileEx.{name} takes no {lacking[0]}"


@contextmanager
def fast(settings: Settings, progress: Sink | None, reports: list[Report]) -> Iterator[None]:
    """Inside this block pex writes its zips through parazip.

    Args:
        settings: level, codec, jobs, memory.
        progress: told of each archive's progress.
        reports: what was made is appended to it.

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
            reports.append(_write(path, mode, collector.members, settings, progress))
        except BaseException:
            with suppress(OSError):
                os.unlink(path)  # pex's own temporary file: what it has so far is of no use
            raise

    common.open_zip = open_fast
    try:
        yield
    finally:
        common.open_zip = open_zip


def _write(
    path: str, mode: str, members: list[Member], settings: Settings, progress: Sink | None
) -> Report:
    """Writes `members` to `path`; in mode "a" behind the shebang line that pex put there."""
    return write(path, members, settings, prepend=path if mode == "a" else None, progress=progress)


def _collector_type(common: Any) -> Any:
    """A `ZipFileEx` that writes nothing and remembers what was to be written."""

    class Collector(common.ZipFileEx):  # type: ignore[misc] # pex has no types
        def __init__(self) -> None:  # no super().__init__(): that opens a file
            self.fp = None  # what ZipFile.__del__ looks at
            self.members: list[Member] = []

        def write_ex(
            self,
            filename: str,
            arcname: str | None = None,
            date_time: Any = None,
            file_mode: int | None = None,
            digest: None = None,
            compress: bool = True,
        ) -> int:
            info, is_folder = self.zip_info_from_file(
                filename,
                arcname=arcname,
                date_time=date_time,
                file_mode=file_mode,
                compress=compress,
            )
            source = b"" if is_folder else _file(filename)
            date = dos_date(*info.date_time)
            member = Member(info.filename, source, info.external_attr, date, not compress)
            self.members.append(member)
            return member.size

    return Collector


def _file(path: str) -> File:
    """A file of pex's, without its change time: any pex that links to it meanwhile changes that."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
    return File(path, info.st_size, info.st_mtime_ns, info.st_ino)
