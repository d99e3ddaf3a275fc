"""The one place where parazip meets pex's inside.

pex writes each zip in `Chroot.zip` (module `pex.common`): it opens an archive with the module's
global `open_zip` and calls `write_deterministic` on it for every folder and file. Inside
`making_zips_fast` that global is ours. Our archive is a `ZipFileEx` of which only the writing is
replaced: it collects what pex puts in, and the zip is made of all that when pex closes it. If
`Chroot.zip` is the very method that `walk_chroot` was written after, it is ours as well, and the
zip is made while the walk goes on.

Dates and modes are what pex's own code would make them. But pex makes three system calls to learn
what kind of file it has, and we make one: with 13,000 files that saves half of what pex does before
it zips.

pex promises nothing about its inside. So `check_fit` looks first whether all is as in the releases
that are known (`KNOWN_RELEASES`), and says what is not.
"""

from __future__ import annotations

import inspect
import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

from parazip.errors import DateError, OutputError, ParazipError, SourceError
from parazip.format.records import ATTRIBUTE_FOLDER, pack_dos_date
from parazip.model import File, Member
from parazip.output import naming
from parazip.pex.limits import Zip64Error
from parazip.pex.walk import Addition, is_known, walk_chroot
from parazip.pex.zipper import ZipPlan, make_zip

KNOWN_RELEASES = ("2.60", "2.105")
"""The first and the last release of pex that parazip is known to fit into.

The extra `pex` in pyproject.toml asks for the first one or a newer one, and docs/pex.md names both.
Others are looked at in the same way, and `pex.outside` serves those that do not fit.
"""


class MisfitError(ParazipError):
    """This pex writes its zips in another way than the ones that parazip knows."""


def installed_version() -> tuple[int, ...]:
    """The version of the pex that is installed."""
    from pex.version import __version__ as version

    return tuple(int(number) for number in version.split(".") if number.isdigit())


def check_fit() -> None:
    """Makes sure that the pex that is installed is as `making_zips_fast` needs it.

    Raises:
        MisfitError: it is not; the message says what is different.
    """
    import pex.common as common
    from pex.version import __version__ as version

    check_module(common, version)


def check_module(common: ModuleType, version: str) -> None:
    """The same of a `pex.common` of some version."""
    missing = next(_misfits(common), None)
    if missing is not None:
        first, last = KNOWN_RELEASES
        raise MisfitError(
            f"pex {version} does not fit: {missing} (parazip is made for pex {first} to {last})"
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


@contextmanager
def making_zips_fast(zip_plan: ZipPlan) -> Iterator[None]:
    """Inside this block pex writes its zips through parazip.

    Raises:
        MisfitError: this pex does not fit.
    """
    check_fit()
    import pex.common as common
    import pex.pex_builder as pex_builder

    write_zip = _make_zip_writer(common, zip_plan)
    ours: list[_Replacement] = [(common, "open_zip", _make_open_zip(common, write_zip))]
    if is_known(common.Chroot.zip):
        ours.append((common.Chroot, "zip", _make_zip_method(common, write_zip)))
    builder = pex_builder.PEXBuilder
    ours.append((builder, "build", _make_build(builder)))
    if not zip_plan.exact:
        ours.append((builder, "_build_packedapp", _make_build_packedapp(builder)))
    ours += _make_last_steps(pex_builder, zip_plan)
    theirs = [(owner, name, getattr(owner, name)) for owner, name, _ in ours]
    try:
        for owner, name, value in ours:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in theirs:
            setattr(owner, name, value)


_Replacement: TypeAlias = tuple[Any, str, Any]
"""A module or class of pex, the name of an attribute, and what takes its place."""

_ZipWriter: TypeAlias = Callable[[str, str, Callable[[], Iterable[Addition]]], None]
"""Writes a zip: its path, the mode in which pex opens it, and what gives all that goes in."""


def _make_zip_writer(common: Any, zip_plan: ZipPlan) -> _ZipWriter:
    to_member = _member_maker(common)
    open_zip = common.open_zip

    def write_zip(path: str, mode: str, list_additions: Callable[[], Iterable[Addition]]) -> None:
        """In mode "a" the zip stands behind the shebang line that pex has written there."""
        prefix = _take_contents(path) if mode == "a" else b""
        name = path.removesuffix("~")
        try:
            members = (to_member(*addition) for addition in list_additions())
            make_zip(path, name, prefix, members, zip_plan)
        except Zip64Error as error:
            zip_plan.note(f"pex itself zips {name}: {error}")
            with open(path, "wb") as file:
                file.write(prefix)
            with open_zip(path, "a", zipfile.ZIP_DEFLATED) as archive:
                for source, arcname, compress, deterministic in list_additions():
                    archive.write_deterministic(
                        filename=source,
                        arcname=arcname,
                        deterministic=deterministic,
                        compress=compress,
                    )

    return write_zip


def _make_open_zip(common: Any, write_zip: _ZipWriter) -> Callable[..., Any]:
    """`open_zip` that collects what is to be written, and writes it all at the end."""
    open_zip = common.open_zip
    collector_type = _collector_type(common)

    @contextmanager
    def open_fast(path: str, mode: str = "r", *args: Any, **kwargs: Any) -> Iterator[Any]:
        if mode not in ("w", "a"):
            with open_zip(path, mode, *args, **kwargs) as archive:
                yield archive
            return
        collector = collector_type()
        yield collector
        write_zip(path, mode, lambda: collector.additions)

    return open_fast


def _make_zip_method(common: Any, write_zip: _ZipWriter) -> Callable[..., None]:
    """`Chroot.zip` that writes while the walk over the files goes on."""

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
        walk = partial(
            walk_chroot,
            common,
            chroot,
            deterministic=deterministic,
            exclude_file=exclude_file,
            strip_prefix=strip_prefix,
            labels=labels,
            compress=compress,
        )
        write_zip(filename, mode, walk)

    return zip_fast


def _make_build(builder: Any) -> Callable[..., None]:
    """`PEXBuilder.build` that leaves nothing half done beside the PEX."""
    build = builder.build

    def build_cleanly(builder: Any, path: str, *args: Any, **kwargs: Any) -> None:
        try:
            build(builder, path, *args, **kwargs)
        except BaseException as error:
            if not naming.leaves_file_behind(error):
                _remove(f"{path}~")
            is_told = isinstance(error, ParazipError)
            if isinstance(error, OSError) and error.filename is None and not is_told:
                raise OutputError.of(path, error) from error
            raise

    return build_cleanly


def _make_build_packedapp(builder: Any) -> Callable[..., None]:
    """`PEXBuilder._build_packedapp` that keeps our zips out of the PEX_ROOT.

    pex would take them for its own, and put them into other PEXes.
    """
    from pex.variables import ENV

    build = builder._build_packedapp

    def build_apart(builder: Any, dirname: str, *args: Any, **kwargs: Any) -> None:
        os.makedirs(dirname, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(
                prefix=".parazip-", dir=dirname, ignore_cleanup_errors=True
            ) as root,
            ENV.patch(PEX_ROOT=root),
        ):
            build(builder, dirname, *args, **kwargs)

    return build_apart


def _make_last_steps(pex_builder: Any, zip_plan: ZipPlan) -> list[_Replacement]:
    """The steps after zipping, as far as this pex has them, so that none of them loses the PEX."""

    def rename(source: str, target: str) -> None:
        naming.move_finished(source, target, target)

    def make_executable(path: str) -> None:
        try:
            chmod_plus_x(path)
        except OSError as error:  # people can still start it by `python PEX`
            name = path.removesuffix("~")
            zip_plan.note(f"{name} cannot be made executable: {error.strerror or error}")

    chmod_plus_x: Any = getattr(pex_builder, "chmod_plus_x", None)
    ours = {"chmod_plus_x": make_executable, "safe_rename": rename}
    return [(pex_builder, name, ours[name]) for name in ours if hasattr(pex_builder, name)]


def _collector_type(common: Any) -> Any:
    """A `ZipFileEx` that writes nothing and remembers what was to be written."""

    class Collector(common.ZipFileEx):  # type: ignore[misc] # pex has no types
        def __init__(self) -> None:  # no super().__init__(): that opens a file
            self.fp = None  # what ZipFile.__del__ looks at
            self.additions: list[Addition] = []

        def write_deterministic(
            self,
            filename: str,
            arcname: str,
            digest: None = None,
            deterministic: bool = True,
            compress: bool = True,
        ) -> None:
            name = os.path.normpath(arcname)
            self.additions.append(Addition(filename, name, compress, deterministic))

    return Collector


def _remove(path: str) -> None:
    """Removes a file, or a folder with all it holds, as far as it is there and can be removed."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        os.unlink(path)


def _take_contents(path: str) -> bytes:
    """What pex wrote to its temporary file, which is removed: replacing a file is slow."""
    with open(path, "rb") as file:
        data = file.read()
    with suppress(OSError):
        os.unlink(path)
    return data


def _member_maker(common: Any) -> Callable[[str, str, bool, bool], Member]:
    """What makes a member of an `Entry`, as `write_deterministic` does."""
    kinds = common.ZipFileType
    folder_mode, program_mode, file_mode = (
        kind.deterministic_mode for kind in (kinds.DIRECTORY, kinds.EXECUTABLE, kinds.FILE)
    )
    fixed_date = pack_dos_date(*common.DETERMINISTIC_DATETIME.timetuple()[:6])

    def member(path: str, arcname: str, compress: bool, deterministic: bool) -> Member:
        info = _stat(path)
        mode = info.st_mode
        date = fixed_date
        is_folder = stat.S_ISDIR(mode)
        if not deterministic:
            date = _own_date(path, info)
        elif is_folder:
            mode = folder_mode
        elif mode & 0o111 and os.access(path, os.X_OK):
            mode = program_mode
        else:
            mode = file_mode
        name = arcname if os.sep == "/" else arcname.replace(os.sep, "/")
        attributes = (mode & 0xFFFF) << 16
        if is_folder:
            return Member(name + "/", b"", attributes | ATTRIBUTE_FOLDER, date, True)
        # Without the change time: hard links that other PEXes make change it.
        file = File(path, info.st_size, info.st_mtime_ns, info.st_ino)
        return Member(name, file, attributes, date, not compress)

    return member


def _own_date(path: str, info: os.stat_result) -> int:
    """A file's own date.

    Raises:
        DateError: zipfile cannot express it either; the message begins as zipfile's.
    """
    try:
        moment = time.localtime(info.st_mtime)
    except (OverflowError, OSError, ValueError):
        year = 0 if info.st_mtime < 0 else 9999
    else:
        year = moment.tm_year
        if 1980 <= year <= 2107:
            return pack_dos_date(*moment[:6])
    limit = "before 1980" if year < 1980 else "after 2107"
    raise DateError(
        f"ZIP does not support timestamps {limit}, and {path} has one; touch the file, or do "
        "without --use-system-time",
        member=path,
    )


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
