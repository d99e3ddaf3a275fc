"""The one place where parazip meets pex's inside.

pex writes each zip in `Chroot.zip` (module `pex.common`): it opens an archive with the module's
global `open_zip` and calls `write_deterministic` on it for every folder and file. Inside
`making_zips_fast` that global is ours. Our archive is a `ZipFileEx` of which only the writing is
replaced: it remembers what pex puts in, and the zip is made of all that when pex closes it. Where
`Chroot.zip` is the method that `walk_chroot` is a twin of, it is ours as well, and the zip is made
as the walk goes on.

Dates and modes are what pex's own code would make them, but of the three system calls that pex
makes to learn a file's kind we make one: with 13,000 files that is half of what pex does before it
zips.

pex promises nothing about its inside, so `check_fit` looks first whether everything is as it is
known to be (pex 2.60 to 2.105), and says what is not.
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
from typing import Any

from parazip import naming
from parazip.errors import DateError, ParazipError, SourceError
from parazip.format.records import ATTRIBUTE_FOLDER, pack_dos_date
from parazip.model import File, Member
from parazip.pex.walk import Entry, is_known, walk_chroot
from parazip.pex.zipper import Zip64Error, ZipPlan, make_zip


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
        raise MisfitError(
            f"pex {version} does not fit: {missing} (parazip is made for pex 2.60 to 2.105)"
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
def making_zips_fast(way: ZipPlan) -> Iterator[None]:
    """Inside this block pex writes its zips through parazip.

    Raises:
        MisfitError: this pex does not fit.
    """
    check_fit()
    import pex.common as common
    import pex.pex_builder as pex_builder
    from pex.variables import ENV

    to_member = _member_maker(common)
    collector_type = _collector_type(common)
    open_zip = common.open_zip

    def write(path: str, mode: str, entries: Callable[[], Iterable[Entry]]) -> None:
        """Writes a zip; in mode "a" behind the shebang line that pex put there."""
        prefix = _take(path) if mode == "a" else b""
        try:
            members = (to_member(*entry) for entry in entries())
            make_zip(path, path.removesuffix("~"), prefix, members, way)
        except Zip64Error as error:
            way.note(f"pex itself zips {path.removesuffix('~')}: {error}")
            with open(path, "wb") as file:
                file.write(prefix)
            with open_zip(path, "a", zipfile.ZIP_DEFLATED) as archive:
                for source, name, compress, deterministic in entries():
                    archive.write_deterministic(
                        filename=source,
                        arcname=name,
                        deterministic=deterministic,
                        compress=compress,
                    )

    @contextmanager
    def open_fast(path: str, mode: str = "r", *args: Any, **kwargs: Any) -> Iterator[Any]:
        if mode not in ("w", "a"):
            with open_zip(path, mode, *args, **kwargs) as archive:
                yield archive
            return
        collector = collector_type()
        yield collector
        write(path, mode, lambda: collector.entries)

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
        entries = partial(
            walk_chroot,
            common,
            chroot,
            deterministic=deterministic,
            exclude_file=exclude_file,
            strip_prefix=strip_prefix,
            labels=labels,
            compress=compress,
        )
        write(filename, mode, entries)

    def build(builder: Any, path: str, *args: Any, **kwargs: Any) -> None:
        """Leaves nothing half done beside the PEX."""
        try:
            build_pex(builder, path, *args, **kwargs)
        except BaseException as error:
            if not naming.leaves_file_behind(error):
                _remove(f"{path}~")
            raise

    def rename(source: str, target: str) -> None:
        """Loses no PEX at the last step."""
        naming.move_finished(source, target, target)

    def make_executable(path: str) -> None:
        """The same; where it is refused, people can still start a PEX by `python PEX`."""
        try:
            last_steps["chmod_plus_x"](path)
        except OSError as error:
            name = path.removesuffix("~")
            way.note(f"{name} cannot be made executable: {error.strerror or error}")

    def build_packed(builder: Any, dirname: str, *args: Any, **kwargs: Any) -> None:
        """Keeps zips of other bytes than pex's from its PEX_ROOT: it takes those for its own."""
        os.makedirs(dirname, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(
                prefix=".parazip-", dir=dirname, ignore_cleanup_errors=True
            ) as root,
            ENV.patch(PEX_ROOT=root),
        ):
            build_packedapp(builder, dirname, *args, **kwargs)

    zip_method = common.Chroot.zip
    builder = pex_builder.PEXBuilder
    build_pex, build_packedapp = builder.build, builder._build_packedapp
    common.open_zip = open_fast
    if is_known(zip_method):
        common.Chroot.zip = zip_fast
    builder.build = build
    if not way.exact:
        builder._build_packedapp = build_packed
    ours = {"chmod_plus_x": make_executable, "safe_rename": rename}
    last_steps = {name: vars(pex_builder)[name] for name in ours.keys() & vars(pex_builder).keys()}
    vars(pex_builder).update({name: ours[name] for name in last_steps})
    try:
        yield
    finally:
        vars(pex_builder).update(last_steps)
        common.open_zip = open_zip
        common.Chroot.zip = zip_method
        builder.build = build_pex
        builder._build_packedapp = build_packedapp


def _collector_type(common: Any) -> Any:
    """A `ZipFileEx` that writes nothing and remembers what was to be written."""

    class Collector(common.ZipFileEx):  # type: ignore[misc] # pex has no types
        def __init__(self) -> None:  # no super().__init__(): that opens a file
            self.fp = None  # what ZipFile.__del__ looks at
            self.entries: list[Entry] = []

        def write_deterministic(
            self,
            filename: str,
            arcname: str,
            digest: None = None,
            deterministic: bool = True,
            compress: bool = True,
        ) -> None:
            name = os.path.normpath(arcname)
            self.entries.append(Entry(filename, name, compress, deterministic))

    return Collector


def _remove(path: str) -> None:
    """Removes a file, or a folder with all it holds, as far as it is there and can be removed."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        os.unlink(path)


def _take(path: str) -> bytes:
    """What pex wrote to its temporary file; and no file any more, as replacing one is slow."""
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
    """A file's own date; what zipfile cannot express either is told as zipfile tells it."""
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
