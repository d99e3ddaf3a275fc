"""Archives by parazip, one for each feature of what it writes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import parazip
from parazip import Selection, Settings

_WORDS = b"".join(b"line %d of some text\n" % number for number in range(20_000))
_NOISE = random.Random(5).randbytes(5 << 20)
_GIB = 1 << 30
_DESCRIPTOR = 8
"""The flag of members that are followed by a data descriptor (APPNOTE 4.4.4)."""


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    source = folder / "source"
    for name, data in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return source


def _create(folder: Path, files: dict[str, bytes], level: int = 6, **selected: object) -> Path:
    source = _write(folder, files)
    selection = Selection(directory=source, **selected)  # type: ignore[arg-type]
    archive = folder / "a.zip"
    parazip.create(archive, sorted(os.listdir(source)), Settings(level=level), selection)
    return archive


FILES = {"m.py": b"NAME = 'm'\n" * 50, "d/text.txt": _WORDS, "d/noise.bin": _NOISE[:9000]}


def _make_stored(folder: Path) -> Path:
    return _create(folder, FILES, level=0)


def _make_deflated(folder: Path) -> Path:
    return _create(folder, FILES)


def _make_with_empty(folder: Path) -> Path:
    _write(folder, {"empty": b"", "d/empty": b""})
    (folder / "source" / "folder").mkdir()
    return _create(folder, {**FILES, "empty": b"", "d/empty": b""})


def _make_with_utf8(folder: Path) -> Path:
    return _create(folder, {"m.py": b"1", "d\u00e9/\u4e2d\u6587.txt": _WORDS, "\U0001f600": b"2"})


def _make_with_links(folder: Path) -> Path:
    source = _write(folder, FILES)
    os.symlink("m.py", source / "link")
    os.symlink("../m.py", source / "d" / "up")
    return _create(folder, FILES, symlinks="store")


def _make_with_prefix(folder: Path) -> Path:
    source = _write(folder, FILES)
    selection = Selection(directory=source)
    archive = folder / "a.zip"
    parazip.create(archive, ["m.py", "d"], selection=selection, shebang="/usr/bin/env python3")
    return archive


def _make_in_a_stream(folder: Path) -> Path:
    source = _write(folder, {**FILES, "large.txt": _WORDS * 40})
    archive = folder / "a.zip"
    with open(archive, "wb") as output:
        command = [sys.executable, "-m", "parazip", "create", "-C", str(source), "-"]
        _pipe([*command, "m.py", "d", "large.txt"], output.fileno())
    with zipfile.ZipFile(archive) as made:
        if not any(info.flag_bits & _DESCRIPTOR for info in made.infolist()):
            raise RuntimeError("no member has a data descriptor")
    return archive


def _pipe(command: list[str], target: int) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 20):
            os.write(target, piece)
    if process.returncode:
        raise RuntimeError(f"{command} failed")


def _make_streamed(folder: Path) -> Path:
    """Members whose sizes nobody knows before they were sent."""
    contents = {**FILES, "large.txt": _WORDS * 40, "noise": _NOISE * 4, "empty": b""}
    _write(folder, contents)
    members = [
        parazip.make_member(name, iter([data[:1000], data[1000:]]))
        for name, data in contents.items()
    ]
    archive = folder / "a.zip"
    archive.write_bytes(b"".join(parazip.stream(members)))
    return archive


def _make_in_blocks(folder: Path) -> Path:
    return _create(folder, {"m.py": b"1", "large.txt": _WORDS * 50, "noise": _NOISE})


def _make_aligned(folder: Path) -> Path:
    return _create(folder, FILES, level=0, align=((4096, "*"),))


def _make_copied(folder: Path) -> Path:
    _write(folder, FILES)
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as other:
        for name, data in FILES.items():
            with other.open(name, "w", force_zip64=True) as member:
                member.write(data)
    parazip.merge(folder / "a.zip", [folder / "b.zip"])
    return folder / "a.zip"


def _make_updated(folder: Path) -> Path:
    archive = _create(folder, {**FILES, "old": b"old"})
    (folder / "source" / "m.py").write_bytes(FILES["m.py"] + b"# newer\n")
    parazip.update(archive, ["m.py"], selection=Selection(directory=folder / "source"))
    parazip.delete(archive, ["old"])
    (folder / "source" / "old").unlink()
    return archive


def _make_many(count: int) -> Callable[[Path], Path]:
    return lambda folder: _create(
        folder, {"m.py": b"1", **{str(number): b"" for number in range(count - 1)}}
    )


def _make_large(level: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        source = _write(folder, {"m.py": b"1", "z": b"behind"})
        with open(source / "large", "wb") as file:
            file.truncate(4 * _GIB + 1)
        selection = Selection(directory=source)
        archive = folder / "a.zip"
        parazip.create(archive, ["m.py", "large", "z"], Settings(level=level), selection)
        return archive

    return make


FEATURES: dict[str, Callable[[Path], Path]] = {
    "stored": _make_stored,
    "deflated": _make_deflated,
    "empty members and folders": _make_with_empty,
    "names in UTF-8": _make_with_utf8,
    "links": _make_with_links,
    "a first line": _make_with_prefix,
    "data descriptors": _make_in_a_stream,
    "streamed": _make_streamed,
    "members cut into blocks": _make_in_blocks,
    "aligned": _make_aligned,
    "copied from an archive": _make_copied,
    "updated": _make_updated,
    "65,535 members": _make_many(65_535),
    "65,536 members": _make_many(65_536),
    "over 4 GiB, deflated": _make_large(6),
    "over 4 GiB, stored": _make_large(0),
}
"""By what tables call it: makes the archive in an empty folder, and gives its path.

What is in the folder `source` then is what readers have to see.
"""
