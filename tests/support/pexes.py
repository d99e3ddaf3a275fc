"""PEXes by pex and by parazip, and what they are made of."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from parazip import Settings
from parazip.pex import zipper
from support.patience import HUNG

STOCK = [sys.executable, "-m", "pex"]

FAST = [sys.executable, "-m", "parazip", "pex"]

UNMARKED = [*FAST, "--mark=none"]

EXACT = [*FAST, "--exact"]


def write_pex_program(path: Path) -> str:
    """A program that is pex, for a Python that may be another one; gives its path."""
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pex "$@"\n')
    path.chmod(0o755)
    return str(path)


def make_pex_environment(root: Path) -> dict[str, str]:
    """No network, no configuration from outside, and caches of the test's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {
        **kept,
        "PEX_ROOT": str(root),
        "PEX_IGNORE_RCFILES": "1",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run_pex(
    command: list[str], *args: str | Path, root: Path, **more: Any
) -> subprocess.CompletedProcess[str]:
    env = {**make_pex_environment(root), **more.pop("env", {})}
    return subprocess.run(
        [*command, *(str(arg) for arg in args)],
        env=env,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
        **more,
    )


def make_wheel(folder: Path) -> None:
    """A wheel with a module, a script and data that do not shrink."""
    info = "thing-1.0.dist-info"
    files = {
        "thing/__init__.py": b"NAME = 'thing'\n\n\ndef main():\n    print('main', NAME)\n",
        "thing/data/noise.bin": random.Random(1).randbytes(70_000),
        "thing/data/empty": b"",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\nthing = thing:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)


def make_sources(folder: Path) -> Path:
    """A module and files of all kinds, at fixed times."""
    files = {
        "app.py": b"import thing\n\n\nprint('app', thing.NAME)\n",
        "pkg/__init__.py": b"",
        "pkg/text.txt": b"many words of text\n" * 3_000,
        "pkg/large.txt": b"".join(b"%d lines of text\n" % i for i in range(100_000)),
        "pkg/noise.bin": random.Random(2).randbytes(5_000),
        "pkg/n\u00e4me.txt": b"not ASCII",
        "pkg/run.sh": b"#!/bin/sh\n",
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "pkg/run.sh").chmod(0o755)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


def describe_member(info: zipfile.ZipInfo) -> tuple[Any, ...]:
    """All that an archive says of a member but for its compression and its place."""
    return (
        info.filename,
        info.date_time,
        info.external_attr,
        info.internal_attr,
        info.flag_bits,
        info.create_system,
        info.create_version,
        info.extract_version,
        info.extra,
        info.comment,
        info.file_size,
        info.CRC,
    )


def assert_same_zip(stock: Path, fast: Path) -> None:
    with zipfile.ZipFile(stock) as old, zipfile.ZipFile(fast) as new:
        assert new.testzip() is None
        assert new.namelist() == old.namelist()
        assert new.comment == old.comment
        for expected, found in zip(old.infolist(), new.infolist(), strict=True):
            if is_generated_bytecode(expected.filename):
                assert describe_member(found)[:-1] == describe_member(expected)[:-1]
                assert without_times(new.read(found)) == without_times(old.read(expected))
            else:
                assert describe_member(found) == describe_member(expected)
                assert new.read(found) == old.read(expected)
            if found.compress_type != expected.compress_type:
                assert found.compress_type == zipfile.ZIP_STORED, found.filename
                assert expected.compress_size > found.compress_size - found.file_size // 100


def is_generated_bytecode(name: str) -> bool:
    return name.endswith(".pyc")


def without_times(bytecode: bytes) -> bytes:
    """Bytecode without the time of its source (PEP 552): pex's own sources are new at each run."""
    return bytecode[:8] + bytecode[12:]


def read_before_the_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        first = min(info.header_offset for info in archive.infolist())
    return path.read_bytes()[:first]


def list_files(folder: Path) -> dict[str, bytes | str]:
    """What a folder holds: bytes, and where links point to."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def plain_way() -> zipper.ZipPlan:
    return zipper.ZipPlan(settings=Settings(), arguments=(), progress=None, cache=None)


NAME = "thing-1.0-py3-none-any.whl"

INFO = "thing-1.0.dist-info"

MODULE = b"".join(b"NUMBER_%d = %d\n" % (i, i * i) for i in range(3_000))

FILES = {
    "thing/__init__.py": b"NAME = 'thing'\n\n\ndef main():\n    print('main', NAME)\n" * 20,
    "thing/module.py": MODULE,
    "thing/large.txt": b"".join(b"%x" % (i * i) for i in range(200_000)),
    "thing/empty.py": b"",
    "thing-1.0.data/scripts/tool": b"#!python\n" + b"print('tool')\n" * 30,
    "thing-1.0.data/data/share/thing.txt": b"shared words\n" * 500,
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": b"[console_scripts]\nthing = thing:main\n",
}


def make_deflated_wheel(
    folder: Path,
    method: int = zipfile.ZIP_DEFLATED,
    level: int = 9,
    files: dict[str, bytes] = FILES,
) -> Path:
    folder.mkdir(exist_ok=True)
    record = "".join(f"{name},,\n" for name in [*files, f"{INFO}/RECORD"])
    path = folder / NAME
    with zipfile.ZipFile(path, "w", method, compresslevel=level) as archive:
        for name, data in {**files, f"{INFO}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path
