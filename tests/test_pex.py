"""`parazip pex` against pex itself: the same PEX but for compressed bytes, and clear misfits."""

from __future__ import annotations

import dataclasses
import inspect
import os
import random
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from parazip import ParazipError, Report, Settings, SourceError, assembly
from parazip.pex import inside, zipper
from parazip.pex.inside import MisfitError

pytest.importorskip("pex.common", reason="pex is not installed")

import pex.common as common
from pex.version import __version__ as pex_version

from patience import HUNG

pytestmark = pytest.mark.once

STOCK = [sys.executable, "-m", "pex"]
FAST = [sys.executable, "-m", "parazip", "pex"]
UNMARKED = [*FAST, "--mark=none"]
EXACT = [*FAST, "--exact"]

VARIANTS: dict[str, list[str]] = {
    "plain": [],
    "packed": ["--layout", "packed"],
    "no-compress": ["--no-compress"],
    "system time": ["--use-system-time"],
    "sh-boot": ["--sh-boot"],
    "compile": ["--compile"],
    "venv": ["--venv", "prepend", "--venv-copies", "--include-tools"],
    "check": ["--check", "error", "--strip-pex-env", "--inject-args=-v", "--inject-env=A=1"],
    "script": ["-c", "thing", "--include-tools", "--no-strip-pex-env"],
    "packed, not compressed": ["--layout", "packed", "--no-compress"],
    "packed sh-boot": ["--layout=packed", "--sh-boot", "--venv", "append"],
    "loose": ["--layout", "loose"],
    "whole wheels": ["--no-pre-install-wheels"],
    "packed whole wheels": ["--layout", "packed", "--no-pre-install-wheels"],
}
PACKED = [name for name, options in VARIANTS.items() if "packed" in " ".join(options)]
ZIPAPPS = [name for name in VARIANTS if name not in (*PACKED, "loose")]
UNTOUCHED = ["loose", "whole wheels", "packed whole wheels"]


def environment(root: Path) -> dict[str, str]:
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


def run(
    command: list[str], *args: str | Path, root: Path, **more: Any
) -> subprocess.CompletedProcess[str]:
    env = {**environment(root), **more.pop("env", {})}
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


class Pair(NamedTuple):
    """What pex made and what parazip made of the same arguments, in two ways."""

    stock: Path
    fast: Path
    exact: Path
    said: str


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """Builds each variant once."""
    base = tmp_path_factory.mktemp("pex")
    (base / "wheels").mkdir()
    make_wheel(base / "wheels")
    sources = make_sources(base / "sources")
    built: dict[str, Pair] = {}

    def build(command: list[str], name: str, variant: str, root: str) -> tuple[Path, str]:
        folder = base / variant / name
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "app.pex"
        # Resolved beforehand, so that pex needs no pip; that of Python 3.12 is on the network.
        wheels = ["thing", "--no-pypi", "--pre-resolved-dists", str(base / "wheels")]
        options = VARIANTS[variant]
        entry = [] if "-c" in options else ["-e", "app"]
        args = [*options, *wheels, "-D", str(sources), *entry, "-o", str(target)]
        done = run(command, *args, root=base / root, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert os.listdir(folder) == ["app.pex"], "something was left behind"
        return target, done.stderr

    def get(variant: str) -> Pair:
        if variant not in built:
            stock, _ = build(STOCK, "stock", variant, "root")
            fast, said = build(UNMARKED, "fast", variant, "root")
            # Zips of a packed PEX are cached below PEX_ROOT: who comes second would copy the
            # first's. Times of installed files are those of the PEX_ROOT that they are in.
            other = "root" if variant in ZIPAPPS else "other"
            exact, _ = build(EXACT, "exact", variant, other)
            built[variant] = Pair(stock, fast, exact, said)
        return built[variant]

    return get


def told(info: zipfile.ZipInfo) -> tuple[Any, ...]:
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
                assert told(found)[:-1] == told(expected)[:-1]
                assert timeless(new.read(found)) == timeless(old.read(expected))
            else:
                assert told(found) == told(expected)
                assert new.read(found) == old.read(expected)
            if found.compress_type != expected.compress_type:
                assert found.compress_type == zipfile.ZIP_STORED, found.filename
                assert expected.compress_size > found.compress_size - found.file_size // 100


def is_generated_bytecode(name: str) -> bool:
    return name.endswith(".pyc")


def timeless(bytecode: bytes) -> bytes:
    """Bytecode without the time of its source (PEP 552): pex's own sources are new at each run."""
    return bytecode[:8] + bytecode[12:]


def before_the_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        first = min(info.header_offset for info in archive.infolist())
    return path.read_bytes()[:first]


def files(folder: Path) -> dict[str, bytes | str]:
    """What a folder holds: bytes, and where links point to."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("variant", [name for name in ZIPAPPS if name != "system time"])
def test_a_pex_is_the_same_member_by_member(pair: Callable[[str], Pair], variant: str) -> None:
    made = pair(variant)
    assert_same_zip(made.stock, made.fast)
    assert made.fast.stat().st_mode == made.stock.stat().st_mode


# What pex generates has the time of its run: with --use-system-time, and inside of bytecode.
@pytest.mark.parametrize(
    "variant", [name for name in VARIANTS if name not in ("system time", "compile")]
)
def test_an_exact_pex_is_stock_pex_to_the_byte(pair: Callable[[str], Pair], variant: str) -> None:
    made = pair(variant)
    if made.stock.is_dir():
        assert files(made.exact) == files(made.stock)
        assert len(files(made.exact)) > 4
    else:
        assert made.exact.read_bytes() == made.stock.read_bytes()
        assert made.exact.stat().st_mode == made.stock.stat().st_mode


@pytest.mark.parametrize("variant", ["no-compress", "packed, not compressed", *UNTOUCHED])
def test_without_compression_all_is_stock_pex_to_the_byte(
    pair: Callable[[str], Pair], variant: str
) -> None:
    made = pair(variant)
    if made.stock.is_dir():
        assert files(made.fast) == files(made.stock)
    else:
        assert made.fast.read_bytes() == made.stock.read_bytes()


@pytest.mark.parametrize("variant", UNTOUCHED)
def test_what_pex_does_alone_is_said(pair: Callable[[str], Pair], variant: str) -> None:
    (line,) = pair(variant).said.splitlines()
    assert line.startswith("parazip: pex alone makes this PEX: ")


@pytest.mark.parametrize("variant", ["plain", "no-compress", "compile", "system time"])
def test_the_shebang_is_the_same(pair: Callable[[str], Pair], variant: str) -> None:
    made = pair(variant)
    assert before_the_zip(made.fast).startswith(b"#!")
    assert before_the_zip(made.fast) == before_the_zip(made.stock)


def test_the_shell_script_before_the_zip_is_the_same(pair: Callable[[str], Pair]) -> None:
    made = pair("sh-boot")
    script = before_the_zip(made.fast)
    assert script.startswith(b"#!/bin/sh\n")
    assert len(script) > 1_000
    assert script == before_the_zip(made.stock)


def test_the_tree_has_all_kinds_of_members(pair: Callable[[str], Pair]) -> None:
    """So that the comparisons of this file compare something."""
    with zipfile.ZipFile(pair("plain").fast) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    assert infos["pkg/n\u00e4me.txt"].flag_bits == 0x800
    assert infos["pkg/run.sh"].external_attr >> 16 == stat.S_IFREG | 0o755
    assert infos["pkg/"].external_attr == (stat.S_IFDIR | 0o755) << 16 | 0x10
    assert infos["pkg/__init__.py"].file_size == 0
    assert infos["pkg/noise.bin"].compress_type == zipfile.ZIP_STORED
    assert infos["pkg/large.txt"].compress_type == zipfile.ZIP_DEFLATED
    assert infos["pkg/large.txt"].file_size > 1 << 20
    assert {info.date_time for info in infos.values()} == {(1980, 1, 1, 0, 0, 0)}


def test_no_compress_stores_all(pair: Callable[[str], Pair]) -> None:
    with zipfile.ZipFile(pair("no-compress").fast) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_compile_puts_bytecode_in(pair: Callable[[str], Pair]) -> None:
    with zipfile.ZipFile(pair("compile").fast) as archive:
        assert any(name.endswith(".pyc") for name in archive.namelist())


def test_system_time_is_the_files_own(pair: Callable[[str], Pair]) -> None:
    made = pair("system time")
    with zipfile.ZipFile(made.stock) as old, zipfile.ZipFile(made.fast) as new:
        assert new.testzip() is None
        assert new.namelist() == old.namelist()
        stock = {info.filename: info for info in old.infolist()}
        fast = {info.filename: info for info in new.infolist()}
    ours = [name for name in fast if name.startswith(("pkg/", "app.py"))]
    assert len(ours) >= 7
    for name in fast:
        # What pex generates has the time of its run; folders are made by the run, too.
        if (name in ours or name.startswith(".deps/")) and not name.endswith("/"):
            assert told(fast[name]) == told(stock[name])
    files = [name for name in ours if not name.endswith("/")]
    assert {fast[name].date_time[0] for name in files} == {2020}


@pytest.mark.parametrize("variant", ["packed", "packed, not compressed", "packed sh-boot"])
def test_a_packed_pex_is_the_same_file_by_file(pair: Callable[[str], Pair], variant: str) -> None:
    made = pair(variant)
    found = sorted(path.relative_to(made.fast) for path in made.fast.rglob("*"))
    assert found == sorted(path.relative_to(made.stock) for path in made.stock.rglob("*"))
    zips = 0
    for path in found:
        stock, fast = made.stock / path, made.fast / path
        assert stock.is_symlink() == fast.is_symlink()
        if zipfile.is_zipfile(fast):
            zips += 1
            assert_same_zip(stock, fast)
        elif fast.is_file():
            assert fast.read_bytes() == stock.read_bytes()
            assert fast.stat().st_mode == stock.stat().st_mode
    assert zips == 2  # the wheel and pex's own bootstrap


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pex_boots_with_an_empty_cache(
    pair: Callable[[str], Pair], variant: str, tmp_path: Path
) -> None:
    pex = str(pair(variant).fast)
    command = [pex] if variant == "sh-boot" else [sys.executable, pex]
    expected = "main thing\n" if variant == "script" else "app thing\n"
    # The shell script of sh-boot looks for a Python of this version by its name.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    done = run(command, root=tmp_path / "root", env={"PATH": path})
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_a_packed_pex_leaves_no_zips_of_ours_where_pex_would_take_them(
    tmp_path: Path,
) -> None:
    make_wheel(tmp_path)
    root = tmp_path / "root"
    wheels = ["thing", "--no-pypi", "--pre-resolved-dists", str(tmp_path), "--layout=packed"]
    assert run(FAST, *wheels, "-o", tmp_path / "fast.pex", root=root).returncode == 0
    assert [*root.glob("packed_wheels/**/*.whl"), *root.glob("bootstrap_zips/**/*")] == []
    assert run(EXACT, *wheels, "-o", tmp_path / "exact.pex", root=root).returncode == 0
    (kept,) = (path for path in root.glob("packed_wheels/**/*.whl") if path.is_file())
    (told,) = tmp_path.glob("exact.pex/.deps/*")
    assert told.read_bytes() == kept.read_bytes()


def test_a_summary_tells_what_was_made(pair: Callable[[str], Pair]) -> None:
    made = pair("plain")
    with zipfile.ZipFile(made.fast) as archive:
        count = len(archive.infolist())
    assert made.said.splitlines()[-1].startswith(f"{made.fast}: {count:,} members, ")
    packed = pair("packed").said.splitlines()[-1]
    assert "2 zips: " in packed


# The command line is pex's own


def test_the_version_is_that_of_pex(tmp_path: Path) -> None:
    done = run(FAST, "--version", root=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{pex_version}\n")


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["--no-pypi", "./no-such-1.0-py3-none-any.whl", "-o", "out.pex"],
        ["--no-pypi", "--layout", "flat", "-o", "out.pex"],
    ],
    ids=" ".join,
)
def test_what_pex_refuses_is_refused_in_its_words(tmp_path: Path, args: list[str]) -> None:
    stock = run(STOCK, *args, root=tmp_path / "root", cwd=tmp_path)
    fast = run(FAST, *args, root=tmp_path / "root", cwd=tmp_path)
    assert fast.returncode == stock.returncode != 0
    words = [done.stderr.splitlines()[-1].rpartition("error: ")[2] for done in (stock, fast)]
    assert words[0] == words[1] != ""
    assert os.listdir(tmp_path) in ([], ["root"])


@pytest.mark.parametrize(
    "args", [["--", "-c", "print(6 * 7)"], ["--no-pypi", "--", "-c", "print(6 * 7)"]], ids=" ".join
)
def test_what_follows_two_dashes_goes_to_the_program(tmp_path: Path, args: list[str]) -> None:
    stock = run(STOCK, *args, root=tmp_path / "root")
    fast = run(FAST, *args, root=tmp_path / "root")
    assert (stock.returncode, stock.stdout) == (0, "42\n")
    assert (fast.returncode, fast.stdout) == (0, "42\n"), fast.stderr


# When something goes wrong inside


@pytest.fixture
def chroot(tmp_path: Path) -> Any:
    """A pex's chroot with some files, as `PEXBuilder` fills it."""
    chroot = common.Chroot(str(tmp_path / "chroot"))
    chroot.write(b"print(1)\n" * 100, "__main__.py")
    chroot.write(b"data", "pkg/data.txt")
    return chroot


def zip_it(chroot: Any, path: Path, mode: str = "a", **more: Any) -> list[Report]:
    """What `PEXBuilder._build_zipapp` does, inside the seam."""
    way = dataclasses.replace(plain_way(), settings=Settings(jobs=1), reports=[])
    if mode == "a":
        path.write_bytes(b"#!/usr/bin/env python\n")
    with inside.making_zips_fast(way):
        chroot.zip(str(path), mode=mode, deterministic=True, **more)
    return [report for report, _ in way.reports]


def plain_way() -> zipper.ZipPlan:
    return zipper.ZipPlan(settings=Settings(), arguments=(), progress=None, cache=None)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_chroot_is_zipped_as_pex_does(chroot: Any, tmp_path: Path, mode: str) -> None:
    expected = tmp_path / "stock.zip"
    if mode == "a":
        expected.write_bytes(b"#!/usr/bin/env python\n")
    chroot.zip(str(expected), mode=mode, deterministic=True)
    (report,) = zip_it(chroot, tmp_path / "fast.zip", mode)
    assert_same_zip(expected, tmp_path / "fast.zip")
    assert before_the_zip(expected) == before_the_zip(tmp_path / "fast.zip")
    assert report.members == 3
    assert report.archive == str(tmp_path / "fast.zip")


def test_archives_that_are_read_are_none_of_our_business(chroot: Any, tmp_path: Path) -> None:
    zip_it(chroot, tmp_path / "out.zip")
    way = plain_way()
    with inside.making_zips_fast(way), common.open_zip(str(tmp_path / "out.zip")) as made:
        assert made.namelist() == ["__main__.py", "pkg/", "pkg/data.txt"]
    assert way.reports == []


def test_the_seam_is_closed_afterwards(chroot: Any, tmp_path: Path) -> None:
    before = common.open_zip
    with inside.making_zips_fast(plain_way()):
        assert common.open_zip is not before
    assert common.open_zip is before
    with pytest.raises(KeyboardInterrupt), inside.making_zips_fast(plain_way()):
        raise KeyboardInterrupt
    assert common.open_zip is before


@pytest.mark.parametrize("error", [SourceError("no"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_an_error_while_writing_leaves_no_file_and_an_open_zip_of_pex_s_own(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> Report:
        raise error

    before = common.open_zip
    monkeypatch.setattr(zipper, "assemble", fail)
    with pytest.raises(type(error)):
        zip_it(chroot, tmp_path / "out.pex~")
    assert common.open_zip is before
    assert os.listdir(tmp_path) == ["chroot"]


def test_a_file_that_vanishes_leaves_no_file(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assemble = assembly.assemble

    def late(*args: Any, **more: Any) -> Report:
        os.unlink(os.path.join(chroot.chroot, "pkg/data.txt"))
        return assemble(*args, **more)

    monkeypatch.setattr(zipper, "assemble", late)
    with pytest.raises(SourceError, match=r"cannot read .*pkg/data.txt: No such file"):
        zip_it(chroot, tmp_path / "out.pex~")
    assert os.listdir(tmp_path) == ["chroot"]
    assert threading.active_count() == 1


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_an_error_inside_pex_is_told_clearly_and_leaves_no_pex(
    tmp_path: Path, existing: bool
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    if existing:
        (work / "out.pex").write_bytes(b"old pex")
    sources = make_sources(tmp_path / "sources")
    code = (
        "import sys, parazip.pex.zipper as zipper\n"
        "from parazip import SourceChangedError\n"
        "def fail(*args, **more):\n"
        "    raise SourceChangedError('app.py changed while it was read')\n"
        "zipper.assemble = fail\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "pex"]
    args = ["--no-pypi", "-D", str(sources), "-e", "app", "-o", str(work / "out.pex")]
    done = run(command, *args, root=tmp_path / "root")
    assert done.returncode == 1
    assert "app.py changed while it was read" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(work) == (["out.pex"] if existing else [])
    if existing:
        assert (work / "out.pex").read_bytes() == b"old pex"


# When this pex does not fit


def method(*parameters: str) -> Callable[..., None]:
    """A function with these parameters."""
    kinds = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in parameters
    ]

    def made(*_: object, **__: object) -> None: ...

    made.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined] # what check looks at
    return made


def opens_with_open_zip() -> None:
    open_zip()  # type: ignore[name-defined] # noqa: F821 - only its name counts


def opens_otherwise() -> None:
    zipfile.ZipFile("x")


WRITE_DETERMINISTIC = ("self", "filename", "arcname", "digest", "deterministic", "compress")


def fake(**changes: Any) -> ModuleType:
    """A `pex.common` that fits but for `changes`; None leaves a name out."""
    kinds = {
        name: changes.pop(name, SimpleNamespace(deterministic_mode=0))
        for name in ("DIRECTORY", "EXECUTABLE", "FILE")
    }
    writes = changes.pop("write_deterministic", method(*WRITE_DETERMINISTIC))
    zips = changes.pop("zip", opens_with_open_zip)
    names = {
        "open_zip": lambda: None,
        "DETERMINISTIC_DATETIME": None,
        "Chroot": type("Chroot", (), {"zip": zips} if zips else {}),
        "ZipFileEx": type("ZipFileEx", (), {"write_deterministic": writes} if writes else {}),
        "ZipFileType": SimpleNamespace(**kinds),
        **changes,
    }
    missing = [name for name, value in changes.items() if value is None]
    return cast(
        "ModuleType",
        SimpleNamespace(**{name: value for name, value in names.items() if name not in missing}),
    )


def without(parameters: tuple[str, ...], name: str) -> Callable[..., None]:
    return method(*(each for each in parameters if each != name))


MISFITS: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: None}, f"pex.common has no {name}")
        for name in ("open_zip", "Chroot", "ZipFileEx", "ZipFileType", "DETERMINISTIC_DATETIME")
    ),
    ({"zip": None}, "Chroot.zip does not open archives with open_zip"),
    ({"zip": opens_otherwise}, "Chroot.zip does not open archives with open_zip"),
    ({"zip": len}, "Chroot.zip does not open archives with open_zip"),
    ({"write_deterministic": None}, "ZipFileEx has no write_deterministic"),
    *(
        (
            {"write_deterministic": without(WRITE_DETERMINISTIC, lost)},
            f"ZipFileEx.write_deterministic takes no {lost}",
        )
        for lost in WRITE_DETERMINISTIC
        if lost not in ("self", "digest")
    ),
    *(
        ({name: SimpleNamespace()}, f"ZipFileType.{name} has no deterministic_mode")
        for name in ("DIRECTORY", "EXECUTABLE", "FILE")
    ),
]


KNOWN = " to ".join(inside.KNOWN_RELEASES)


@pytest.mark.parametrize(
    ("changes", "misfit"), MISFITS, ids=[f"{row[1]} {i}" for i, row in enumerate(MISFITS)]
)
def test_a_pex_that_does_not_fit_is_refused_clearly(changes: dict[str, Any], misfit: str) -> None:
    with pytest.raises(MisfitError) as caught:
        inside.check_module(fake(**changes), "9.9")
    message = str(caught.value)
    assert message == f"pex 9.9 does not fit: {misfit} (parazip is made for pex {KNOWN})"
    assert isinstance(caught.value, ParazipError)


def test_a_pex_that_fits_is_taken() -> None:
    inside.check_module(fake(), "9.9")
    inside.check_fit()


def shim(folder: Path, **files: str) -> dict[str, str]:
    """An environment in which `pex` is a package of these modules; `__` stands for a slash."""
    for name, text in {"pex/__init__": "", **files}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"PYTHONPATH": str(folder)}


def test_no_pex_at_all_is_told_clearly(tmp_path: Path) -> None:
    env = shim(tmp_path / "shim", **{"pex/__init__": "raise ModuleNotFoundError('pex')"})
    done = run(FAST, "--version", root=tmp_path / "root", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("parazip: pex is not installed here; install parazip[pex]")
    assert "Traceback" not in done.stderr
