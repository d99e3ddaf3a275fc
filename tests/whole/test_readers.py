"""Other people's readers judge our archives: none may complain, all must find the same."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import parazip
from parazip.output.stream import Pipe
from parazip.sources.selection import Symlinks
from support.readers import ENVIRONMENT, PYTHONS, Reader, programs, pythons, run_reader
from support.running import SHEBANG_PYTHON

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="the tree has modes and links"),
]

MIB = 1 << 20

MOMENT = (2021, 3, 4, 5, 6, 8)

MODULE = b"# coding: utf-8\nVALUE = 'imported from the archive'\n"

PACKAGED = b"VALUE = 'from a package'\n"

LINK, TARGET = "link to a folder", "folder/nested"


def lines(size: int) -> bytes:
    line = b"%08d of many lines that are like each other, but not the same\n"
    return b"".join(line % i for i in range(size // len(line % 0) + 1))[:size]


def make_files() -> dict[str, bytes]:
    noise = random.Random(1).randbytes
    return {
        "empty file": b"",
        "cut at all levels": lines(17 * MIB),
        "cut at low levels": lines(MIB + MIB // 2),
        "folder/nested/deeply/file.txt": b"some text, some text\n" * 10,
        "folder/nested/one byte": b"1",
        "name of \u00fcml\u00e4uts \u2603 \U0001f40d.txt": "\u2603".encode(),
        "noise.bin": noise(200_000),
        "noise of some size.bin": noise(MIB + 7),
        "module_in_zip.py": MODULE,
        "package_in_zip/__init__.py": PACKAGED,
        "script.sh": b"#!/bin/sh\nexit 0\n",
        "\u4e2d\u6587/\u6587\u4ef6": b"CJK",
    }


class Archive(NamedTuple):
    path: Path
    files: dict[str, bytes]
    folders: set[str]
    has_link: bool

    def digests(self) -> dict[str, str]:
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}


class Variant(NamedTuple):
    level: int = 6
    symlinks: Symlinks = "follow"
    script: bool = False
    pipe: bool = False


VARIANTS = {
    "level 0": Variant(level=0),
    "level 1": Variant(level=1),
    "level 6": Variant(),
    "links": Variant(symlinks="store"),
    "script": Variant(script=True),
    "pipe": Variant(level=1, pipe=True),
    "stored pipe": Variant(level=0, pipe=True),
}

STREAMED = [name for name, variant in VARIANTS.items() if not variant.script]
"""A reader that cannot seek has to find a local header at the very start."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readers") / "tree"
    for name, data in make_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        (root / name).chmod(0o644)
    (root / "script.sh").chmod(0o755)
    (root / "empty folder").mkdir()
    (root / "folder/also empty").mkdir()
    moment = time.mktime((*MOMENT, 0, 0, -1))
    for path in root.rglob("*"):
        os.utime(path, (moment, moment))
    return root


@pytest.fixture(scope="module")
def archives(tree: Path) -> Callable[[str], Archive]:
    """Makes each variant once."""
    (tree / LINK).symlink_to(TARGET)
    before = tree.parent / "before"
    before.write_bytes(b"# a prefix of some bytes\n" * 40)

    @functools.cache
    def make(name: str) -> Archive:
        variant = VARIANTS[name]
        path = tree.parent / f"{name}.zip"
        selection = parazip.Selection(
            directory=tree, symlinks=variant.symlinks, exclude=() if name == "links" else (LINK,)
        )
        settings = parazip.Settings(level=variant.level)
        if variant.pipe:
            with path.open("wb") as file:
                parazip.create(Pipe(file, "-"), ["."], settings, selection)
        else:
            parazip.create(
                path,
                ["."],
                settings,
                selection,
                prepend=before if variant.script else None,
                shebang="/usr/bin/env python3" if variant.script else None,
            )
        folders = {
            str(path.relative_to(tree)) + "/"
            for path in tree.rglob("*")
            if path.is_dir() and not path.is_symlink()
        }
        return Archive(path, make_files(), folders, name == "links")

    return make


@pytest.fixture(params=VARIANTS)
def archive(request: pytest.FixtureRequest, archives: Callable[[str], Archive]) -> Archive:
    return archives(request.param)


@pytest.fixture(params=STREAMED)
def streamed(request: pytest.FixtureRequest, archives: Callable[[str], Archive]) -> Archive:
    return archives(request.param)


def find_program(name: str) -> Reader:
    if name not in programs():
        pytest.skip(f"{name} is not installed")
    return programs()[name]


def find_python(name: str) -> Reader:
    if name not in pythons():
        pytest.skip(f"{name} is not installed")
    return pythons()[name]


def assert_no_complaint(done: subprocess.CompletedProcess[str]) -> None:
    """A reader that warns complains too."""
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower(), done.stdout


def check_7z(done: subprocess.CompletedProcess[str], archive: Archive) -> None:
    """7z warns of each archive that has something in front, those of `zipapp` included."""
    if VARIANTS[archive.path.stem].script:
        assert done.stdout.count("The archive is open with offset") == 2
        said = re.sub(
            r"WARNING:\n.*\nThe archive is open with offset\n"
            r"|Warning: The archive is open with offset\n"
            r"|Archives with Warnings: 1\n",
            "",
            done.stdout,
        )
        done = subprocess.CompletedProcess(done.args, done.returncode, said)
    assert_no_complaint(done)
    assert "Everything is Ok" in done.stdout


def check_extracted(folder: Path, archive: Archive, *, links: bool = True) -> None:
    """What was taken out is what was put in: files, folders and, if `links`, links."""
    found = [path for path in folder.rglob("*") if path != folder / LINK]
    files = {str(path.relative_to(folder)): path for path in found if path.is_file()}
    assert files.keys() == archive.files.keys()
    for name, data in archive.files.items():
        assert files[name].read_bytes() == data, name
    assert {str(p.relative_to(folder)) + "/" for p in found if p.is_dir()} == archive.folders
    link = folder / LINK
    assert os.path.lexists(link) == archive.has_link
    if archive.has_link:
        assert (os.readlink(link) if links else link.read_text()) == TARGET


def check_modes_and_times(folder: Path, archive: Archive) -> None:
    moment = time.mktime((*MOMENT, 0, 0, -1))
    for name in archive.files:
        info = (folder / name).stat()
        assert stat.S_IMODE(info.st_mode) == (0o755 if name == "script.sh" else 0o644), name
        assert info.st_mtime == moment, name


def test_zipfile_finds_everything(archive: Archive, tree: Path) -> None:
    with zipfile.ZipFile(archive.path) as read:
        assert read.testzip() is None
        infos = {info.filename: info for info in read.infolist()}
        links = {LINK} if archive.has_link else set()
        assert infos.keys() == archive.files.keys() | archive.folders | links
        assert len(infos) == len(read.infolist())
        for name, data in archive.files.items():
            assert read.read(name) == data
        for name, info in infos.items():
            assert info.date_time == MOMENT or name == LINK
            assert info.external_attr >> 16 == os.lstat(tree / name.rstrip("/")).st_mode
            assert info.is_dir() == (name in archive.folders) == bool(info.external_attr & 0x10)
            assert (info.create_system, info.extra, info.comment) == (3, b"", b"")


def test_members_are_made_as_the_variant_says(archive: Archive) -> None:
    """The variants would show little if they were all alike."""
    variant = VARIANTS[archive.path.stem]
    with zipfile.ZipFile(archive.path) as read:
        infos = {info.filename: info for info in read.infolist()}
        first = min(info.header_offset for info in infos.values())
    cut = {
        name
        for name, data in archive.files.items()
        if len(data) > (16 * MIB if variant.level == 6 else MIB)
    }
    described = {name for name, info in infos.items() if info.flag_bits & 8}
    deflated = {name for name, info in infos.items() if info.compress_type == 8}
    assert described == (cut if variant.pipe else set())
    assert ("cut at low levels" in deflated) == (variant.level > 0 or variant.pipe)
    assert ("noise of some size.bin" in deflated) == variant.pipe
    assert "noise.bin" not in deflated
    assert (first > 0) == variant.script
    assert archive.path.read_bytes().startswith(b"#!" if variant.script else b"PK\3\4")


def test_unzip_finds_no_error(archive: Archive) -> None:
    assert_no_complaint(run_reader([find_program("unzip").command, "-t", archive.path]))


def test_unzip_extracts_what_was_put_in(archive: Archive, tmp_path: Path) -> None:
    assert_no_complaint(
        run_reader([find_program("unzip").command, "-q", archive.path, "-d", tmp_path])
    )
    check_extracted(tmp_path, archive)
    check_modes_and_times(tmp_path, archive)


def test_7z_finds_no_error(archive: Archive) -> None:
    check_7z(run_reader([find_program("7z").command, "t", archive.path]), archive)


def test_7z_extracts_what_was_put_in(archive: Archive, tmp_path: Path) -> None:
    check_7z(run_reader([find_program("7z").command, "x", f"-o{tmp_path}", archive.path]), archive)
    check_extracted(tmp_path, archive)
    check_modes_and_times(tmp_path, archive)


def test_bsdtar_extracts_what_was_put_in(archive: Archive, tmp_path: Path) -> None:
    assert_no_complaint(run_reader([find_program("bsdtar").command, "-xf", archive.path], tmp_path))
    check_extracted(tmp_path, archive)
    check_modes_and_times(tmp_path, archive)


def test_bsdtar_extracts_from_a_pipe_what_was_put_in(streamed: Archive, tmp_path: Path) -> None:
    """It reads local headers and descriptors, as the directory comes too late."""
    command = find_program("bsdtar").command
    data = streamed.path.read_bytes()
    done = subprocess.run(
        [command, "-xf", "-"], cwd=tmp_path, input=data, capture_output=True, check=False,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    check_extracted(tmp_path, streamed, links=False)


def test_java_lists_what_was_put_in(archive: Archive) -> None:
    done = run_reader([find_program("jar").command, "tf", archive.path])
    assert_no_complaint(done)
    links = {LINK} if archive.has_link else set()
    assert set(done.stdout.splitlines()) == archive.files.keys() | archive.folders | links


def test_java_extracts_what_was_put_in(archive: Archive, tmp_path: Path) -> None:
    assert_no_complaint(run_reader([find_program("jar").command, "xf", archive.path], tmp_path))
    check_extracted(tmp_path, archive, links=False)


def test_java_extracts_from_a_stream_what_was_put_in(streamed: Archive, tmp_path: Path) -> None:
    """`java.util.zip.ZipInputStream` takes no descriptor after a member that is stored."""
    assert_no_complaint(
        run_reader([find_program("jar").command, "x"], tmp_path, stdin=streamed.path)
    )
    check_extracted(tmp_path, streamed, links=False)


READ_ALL = """
import hashlib, json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
digests = {}
for info in archive.infolist():
    digests[info.filename] = hashlib.sha256(archive.read(info)).hexdigest()
print(json.dumps(digests))
"""

IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import module_in_zip, package_in_zip
assert type(module_in_zip.__loader__).__name__ == "zipimporter", module_in_zip.__loader__
print(module_in_zip.VALUE + ", " + package_in_zip.VALUE)
"""


@pytest.mark.parametrize("name", PYTHONS)
def test_python_reads_and_imports_what_was_put_in(name: str, archive: Archive) -> None:
    command = find_python(name).command
    done = run_reader([command, "-c", READ_ALL, archive.path])
    assert_no_complaint(done)
    folders = dict.fromkeys(archive.folders, hashlib.sha256(b"").hexdigest())
    links = {LINK: hashlib.sha256(TARGET.encode()).hexdigest()} if archive.has_link else {}
    assert json.loads(done.stdout) == {**archive.digests(), **folders, **links}
    done = run_reader([command, "-c", IMPORT, archive.path])
    assert_no_complaint(done)
    assert done.stdout == "imported from the archive, from a package\n"


@pytest.fixture(scope="module", params=[65_535, 65_536])
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """As many members as there may be without zip64, and one more."""
    count: int = request.param
    path = tmp_path_factory.mktemp("many") / f"{count}.zip"
    attributes, date = 0o100644 << 16, 0x5264_28C4
    modules = {"module_in_zip.py": MODULE, "package_in_zip/__init__.py": PACKAGED}
    named = {**{f"m/{i:x}": b"" for i in range(count - len(modules))}, **modules}
    members = [parazip.Member(name, data, attributes, date) for name, data in named.items()]
    assert parazip.write(path, members).members == count
    yield path
    path.unlink()


@pytest.mark.parametrize("name", PYTHONS)
def test_python_imports_from_an_archive_of_many_members(name: str, many: Path) -> None:
    """zipimport understands zip64 from 3.13 on; it opens 65,535 members everywhere."""
    reader = find_python(name)
    version = tuple(int(number) for number in reader.version.split("."))
    if many.stem == "65536" and version < (3, 13):
        pytest.skip("zipimport before 3.13 knows no zip64")
    done = run_reader([reader.command, "-c", IMPORT, many])
    assert_no_complaint(done)
    assert done.stdout == "imported from the archive, from a package\n"


@pytest.mark.parametrize(
    "command", [("unzip", "-tq"), ("7z", "t"), ("bsdtar", "-tf")], ids="-".join
)
def test_program_reads_an_archive_of_many_members(command: tuple[str, str], many: Path) -> None:
    done = run_reader([find_program(command[0]).command, command[1], many])
    assert_no_complaint(done)
    if command[0] == "bsdtar":
        assert len(done.stdout.splitlines()) == int(many.stem)


def test_python_runs_a_script_archive(tmp_path: Path) -> None:
    path = tmp_path / "app"
    source = b"import sys; print('ran', *sys.argv[1:])\n"
    member = parazip.Member("__main__.py", source, 0o100644 << 16, 0x5264_28C4)
    parazip.write(path, [member], shebang=SHEBANG_PYTHON)
    assert run_reader([path, "here"]).stdout == "ran here\n"


def test_zipfile_appends_to_our_archive() -> None:
    file = io.BytesIO()
    member = parazip.Member("ours", lines(2 * MIB), 0o100644 << 16, 0x5264_28C4)
    parazip.write(file, [member], parazip.Settings(level=1))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("theirs", b"appended")
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["ours", "theirs"]
        assert archive.read("ours") == member.source
