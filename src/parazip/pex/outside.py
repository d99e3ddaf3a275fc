"""The way out: pex by its command line alone, where parazip does not fit into its inside.

pex is asked for the same PEX without compression, in a folder beside the wanted place. Then its
zips are made anew: members are compressed, or copied out of the wheels that they came from. What
stands in front of a zip and beside it stays as it is. At the end the PEX gets its name. This takes
a copy more than inside, and serves any pex: another release, one for another interpreter, a PEX or
a scie of pex.

What pex does with a finished PEX (`--seed`, `--scie`) it would do with the one that is not
compressed. So such PEXes are left to pex alone.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress

import platformdirs

from parazip.errors import OutputError, ParazipError, SourceError
from parazip.format.values import STORED, Entry
from parazip.model import Contents, File, Member
from parazip.output import naming
from parazip.pex.asked import PexOptions
from parazip.pex.info import read_pex_info
from parazip.pex.limits import Zip64Error
from parazip.pex.mark import insert_arguments
from parazip.pex.wheels import BOOTSTRAP, DEPS
from parazip.pex.zipper import ZipPlan, make_zip
from parazip.sources import archives, files


def ask_version(pex: Sequence[str]) -> tuple[int, ...]:
    """The version of a pex that is run by a command line.

    Raises:
        ParazipError: it cannot be run, or does not tell.
    """
    command = " ".join(pex)
    try:
        done = subprocess.run(
            [*pex, "--version"], stdout=subprocess.PIPE, text=True, check=False, errors="replace"
        )
    except OSError as error:
        raise ParazipError(f"cannot run {command}: {error.strerror or error}") from error
    version = done.stdout.strip()
    try:
        return tuple(int(number) for number in version.split("."))
    except ValueError as error:
        raise ParazipError(
            f"{command} is not pex: {command} --version says {version[:80]!r}, not a version"
        ) from error


def explain_refusal(version: Sequence[int], exact: bool) -> str:
    """Why that pex must make its PEX alone; empty if parazip can make the zips anew."""
    if tuple(version) < _FIRST_WITH_CHECK:
        return "it is too old to know --check"
    if exact and tuple(version) < _FIRST_TO_STORE_FOLDERS:
        return "it is so old that it compresses even folders"
    return ""


_FIRST_WITH_CHECK = (2, 1, 150)
_FIRST_TO_STORE_FOLDERS = (2, 50)


def run_unchanged(pex: Sequence[str], arguments: Sequence[str]) -> int:
    """Runs pex as it is; gives its exit code."""
    return subprocess.run([*pex, *arguments], check=False).returncode


def build_from_stored(
    pex: Sequence[str], arguments: Sequence[str], asked: PexOptions, zip_plan: ZipPlan
) -> int:
    """Builds a PEX as `arguments` ask for; gives pex's exit code.

    Args:
        pex: what runs pex.
        arguments: of pex.
        asked: what they ask for: an output, of a kind that holds zips to be compressed.
        zip_plan: how its zips are made.

    Raises:
        ParazipError: the PEX cannot be written, or what pex made cannot be read.
    """
    folder = os.path.dirname(os.path.abspath(asked.output))
    try:
        os.makedirs(folder, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".parazip-", dir=folder)
    except OSError as error:
        raise OutputError.of(asked.output, error) from error
    try:
        code = _build_in(temporary, pex, arguments, asked, zip_plan)
    except BaseException as error:
        if not naming.leaves_file_behind(error):
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(temporary, ignore_errors=True)
    return code


def _build_in(
    temporary: str,
    pex: Sequence[str],
    arguments: Sequence[str],
    asked: PexOptions,
    zip_plan: ZipPlan,
) -> int:
    target = os.path.join(temporary, os.path.basename(asked.output))
    plain = ["--no-compress", "--check", "none", "-o", target]
    done = subprocess.run(
        [*pex, *insert_arguments(arguments, plain)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, end="")
        return done.returncode
    name = _check_single(os.listdir(temporary))  # {platform} is filled in now
    made = os.path.join(temporary, name)
    final = os.path.join(os.path.dirname(asked.output), os.path.basename(made))
    try:
        _remake_pex(made, final, asked, zip_plan)
    except Zip64Error as error:
        zip_plan.note(f"pex itself zips {final}: {error}")
        return run_unchanged(pex, arguments)
    _move_into_place(made, final)
    print(done.stdout.replace(made, final), end="")
    return 0


def _check_single(names: list[str]) -> str:
    """The only name in a list.

    Raises:
        ParazipError: there are others, or none.
    """
    if len(names) != 1:
        raise ParazipError(f"pex made {', '.join(sorted(names)) or 'nothing'} instead of one PEX")
    return names[0]


def _remake_pex(made: str, final: str, asked: PexOptions, zip_plan: ZipPlan) -> None:
    """Makes the zips of a PEX anew."""
    zip_plan.folders.update(_find_installed(made, asked))
    if not os.path.isdir(made):
        _remake_zip(made, final, asked, zip_plan)
        return
    for path in (os.path.join(made, BOOTSTRAP), *glob.glob(f"{glob.escape(made)}/{DEPS}/*")):
        if os.path.isfile(path) and zipfile.is_zipfile(path):
            _remake_zip(path, os.path.join(final, os.path.relpath(path, made)), asked, zip_plan)


def _remake_zip(path: str, name: str, asked: PexOptions, zip_plan: ZipPlan) -> None:
    """Makes a zip anew, at the same place and with what stands in front of it."""
    new = f"{path}~"
    try:
        file = files.describe_file(path, os.stat(path))
        entries = archives.read_entries(file)
        with open(path, "rb") as opened:
            prefix = opened.read(min((entry.record.offset for entry in entries), default=0))
        with zipfile.ZipFile(path) as archive:
            attributes = [info.external_attr for info in archive.infolist()]
        members = _list_members(file, entries, attributes, asked)
        make_zip(new, name, prefix, members, zip_plan)
        with suppress(OSError):
            shutil.copymode(path, new)
        naming.move_finished(new, path, name)
    except OSError as error:
        raise error if isinstance(error, ParazipError) else SourceError.of(path, error) from error


def _list_members(
    file: File, entries: list[Entry], attributes: list[int], asked: PexOptions
) -> Iterator[Member]:
    """What a zip of pex holds. Old releases leave the file type out of attributes; so do we."""
    names = {entry.name for entry in entries}
    with files.open_unchanged(file) as opened:
        for entry, attributes_of_pex in zip(entries, attributes, strict=True):
            name, record, _ = entry
            is_folder = name.endswith("/")
            source: Contents = b""
            if not is_folder:
                if record.method != STORED:
                    raise ParazipError(f"pex has compressed {name} in spite of --no-compress")
                source = archives.locate_stored(file, opened, entry)
            store = is_folder or (asked.compile and _is_bytecode_of_pex(name, names))
            yield Member(name, source, attributes_of_pex, record.date, store)


def _is_bytecode_of_pex(name: str, names: Container[str]) -> bool:
    """Whether pex stores it, even where it compresses all else: what it has compiled itself."""
    is_beside_source = name.endswith(".pyc") and name[:-1] in names
    return is_beside_source and not name.startswith(f"{DEPS}/")


def _find_installed(made: str, asked: PexOptions) -> dict[str, str]:
    """The folders in which distributions are installed, by name, as far as there are any."""
    roots = [
        os.path.expanduser(asked.root or os.environ.get("PEX_ROOT") or ""),  # as pex does
        os.path.expanduser("~/.pex"),
        platformdirs.user_cache_dir("pex", appauthor=False),
    ]
    found: dict[str, str] = {}
    for name, fingerprint in (read_pex_info(made).get("distributions") or {}).items():
        for root in filter(None, roots):
            inside = glob.escape(os.path.join(str(fingerprint), str(name)))
            pattern = os.path.join(glob.escape(root), "installed_wheels", "*", inside)
            for folder in glob.glob(pattern, include_hidden=True):
                found.setdefault(str(name), folder)
    return found


def _move_into_place(made: str, final: str) -> None:
    """Gives a PEX its name, as pex does: what stood there, file or folder, is gone then.

    A file is replaced in one step. A folder cannot be: it is put aside first, so that it can be put
    back.

    Raises:
        OutputError: it cannot be done. The PEX stays where it is, and the error says where.
    """
    aside = f"{made}~"
    is_folder = os.path.isdir(final) and not os.path.islink(final)
    if is_folder or (os.path.isdir(made) and os.path.lexists(final)):
        try:
            os.replace(final, aside)
        except OSError as error:
            raise naming.describe_kept_file(made, final, error) from error
    try:
        naming.move_finished(made, final, final)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(final):
            with suppress(OSError):  # then it stays beside the new one
                os.replace(aside, final)
        raise
