"""What readers see in archives: names and contents, or that they refuse them.

A view is what would be in a folder to which all is extracted: the paths of files, each with a hash
of its contents, and with a mark in front of it if it is a link. Folders do not count. Readers that
only list members and read them know no links, and the last one of a name counts.

Each of those is a program in `programs`. It gets paths of archives on its standard input, and for
each tells a line: `NAME=HASH` of all members but folders, the name's bytes and the first 8 bytes of
the contents' SHA-256 in hexadecimal digits, or `refused`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from support.readers import pythons, run_reader

View: TypeAlias = Mapping[str, str] | None
"""Hashes by path; None if the reader refuses the archive, or a part of it."""

LINK = "link to "
"""The mark of a link in a view."""

_PROGRAMS = Path(__file__).resolve().parent / "programs"

_PATIENCE = 600
"""Seconds for a reader to read one archive."""


@dataclass(frozen=True)
class Reader:
    """A program that reads archives.

    Attributes:
        name: what tables call it.
        version: what it says of itself.
        knows_links: whether it makes links.
        view_all: what it sees in each of some archives.
    """

    name: str
    version: str
    knows_links: bool
    view_all: Callable[[Sequence[Path]], list[View]]


def find_readers() -> list[Reader]:
    """All that are at hand."""
    return [*_find_pythons("zipfile"), *_find_others(), *_find_extractors()]


def find_importers() -> list[Reader]:
    """The zipimport of each Python: it sees no archive that it cannot import from."""
    return list(_find_pythons("zipimport"))


# Readers that tell what they see


def _find_pythons(module: str) -> Iterator[Reader]:
    for name, reader in pythons().items():
        if name != "python2.7":
            command = [reader.command, "-I", str(_PROGRAMS / "view_by_zipfile.py"), module]
            yield Reader(f"{module} {name[6:]}", reader.version, False, _ask(command))


_CRATES = Path("/usr/share/cargo/registry")
"""Where Debian puts crates (librust-zip-dev, librust-sha2-dev)."""

_OF_DEBIAN = (
    "--offline",
    "--config=source.crates-io.replace-with='debian'",
    f"--config=source.debian.directory='{_CRATES}'",
)
_CARGO = (
    *(_OF_DEBIAN if _CRATES.is_dir() else ()),
    "--manifest-path",
    "view_by_rust/Cargo.toml",
)

_OTHERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Java ZipFile": (("java", "--version"), ("java", "ViewByJava.java", "ZipFile")),
    "Java ZipInputStream": (("java", "--version"), ("java", "ViewByJava.java", "ZipInputStream")),
    "Go": (("go", "version"), ("go", "run", "view_by_go.go")),
    "Perl Archive::Zip": (
        ("perl", "-MArchive::Zip", "-e", "print $Archive::Zip::VERSION"),
        ("perl", "view_by_perl.pl"),
    ),
    "yauzl": (
        ("node", "-p", "require('yauzl/package.json').version"),
        ("node", "view_by_node.js", "yauzl"),
    ),
    "fflate": (
        ("node", "-p", "require('fflate') && 'installed'"),
        ("node", "view_by_node.js", "fflate"),
    ),
    "libzip": (
        (sys.executable, "view_by_libzip.py", "--version"),
        (sys.executable, "view_by_libzip.py"),
    ),
    "Rust zip": (
        ("cargo", "tree", *_CARGO, "--depth", "0", "-p", "zip"),
        ("cargo", "run", "-q", "--release", *_CARGO),
    ),
    "PyPI": (
        (sys.executable, "-c", "import os; print(os.stat(os.environ['PYPI_CHECK']) and 'given')"),
        (sys.executable, "view_by_zipfile.py", "pypi"),
    ),
}
"""By name: a command that tells a version, and fails if the reader is not there; a program."""


def _find_others() -> Iterator[Reader]:
    for name, (ask, words) in _OTHERS.items():
        asked = run_reader(_locate(ask)) if shutil.which(ask[0]) else None
        if asked is not None and asked.returncode == 0:
            yield Reader(name, asked.stdout.splitlines()[-1].strip(), False, _ask(_locate(words)))


def _locate(words: Sequence[str]) -> list[str]:
    """A command with the paths of programs for their names."""
    return [str(_PROGRAMS / word) if (_PROGRAMS / word).exists() else word for word in words]


def _ask(command: Sequence[str]) -> Callable[[Sequence[Path]], list[View]]:
    def view_all(archives: Sequence[Path]) -> list[View]:
        done = subprocess.run(
            command,
            input="".join(f"{path}\n" for path in archives),
            capture_output=True,
            encoding="ascii",
            errors="replace",
            timeout=_PATIENCE + len(archives),
            check=False,
        )
        told = done.stdout.split("\n")[:-1]
        if done.returncode or len(told) != len(archives):
            raise RuntimeError(f"{' '.join(command)} does not tell all: {done.stderr[-500:]}")
        return [_parse(line) for line in told]

    return view_all


def _parse(line: str) -> View:
    """A view by paths as a folder has them; those that lead out of it, all leave out."""
    if line == "refused":
        return None
    found = {}
    for member in line.split():
        spelled, _, contents = member.partition("=")
        name = bytes.fromhex(spelled).decode("utf-8", "surrogateescape")
        steps = [step for step in name.split("/") if step not in ("", ".")]
        if ".." not in steps:
            found["/".join(steps)] = contents
    return found


# Readers that extract


_EXTRACTORS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "unzip": ("-v", ("unzip", "-o", "-qq", "{archive}"), 1),
    "7z": ("i", ("7z", "x", "-y", "-bso0", "-bsp0", "-bse0", "{archive}"), 1),
    "bsdtar": ("--version", ("bsdtar", "-xf", "{archive}"), 0),
    "bsdtar, stream": ("--version", ("bsdtar", "-xf", "-"), 0),
    "busybox unzip": ("--help", ("busybox", "unzip", "-o", "-q", "{archive}"), 0),
}
"""By name: an option that tells a version, a command, and up to which exit code it has read."""


def _find_extractors() -> Iterator[Reader]:
    for name, (ask, command, most) in _EXTRACTORS.items():
        if shutil.which(command[0]):
            lines = run_reader([command[0], ask]).stdout.strip().splitlines()
            yield Reader(name, lines[0].strip(), True, _extract(command, most))


def _extract(command: Sequence[str], most: int) -> Callable[[Sequence[Path]], list[View]]:
    def view(archive: Path) -> View:
        with tempfile.TemporaryDirectory() as folder, open(archive, "rb") as stream:
            try:
                done = subprocess.run(
                    [word.format(archive=archive) for word in command],
                    cwd=folder,
                    stdin=stream if command[-1] == "-" else subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},
                    timeout=_PATIENCE,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return None
            found = scan_folder(folder)
            return found if 0 <= done.returncode <= most else None

    def view_all(archives: Sequence[Path]) -> list[View]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(view, archives))

    return view_all


def scan_folder(folder: str) -> dict[str, str]:
    """What a folder holds, as a view."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
        for name in [*names, *folders]:
            path = os.path.join(parent, name)
            key = os.path.relpath(path, folder)
            if os.path.islink(path):
                found[key] = LINK + hash_contents(os.fsencode(os.readlink(path)))
            elif os.path.isfile(path):
                os.chmod(path, 0o600)
                found[key] = _hash_file(path)
    return found


def hash_contents(data: bytes) -> str:
    """What stands for contents in a view."""
    return hashlib.sha256(data).hexdigest()[:16]


def _hash_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def describe_version(reader: Reader) -> str:
    """The number in what a reader says of its version, for tables."""
    found = re.search(r"\d+(\.\d+)+", reader.version)
    return found[0] if found else reader.version
