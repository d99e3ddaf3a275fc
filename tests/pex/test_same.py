"""`parazip pex` against pex itself: the same PEX but for compressed bytes."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.pexes import (
    EXACT,
    FAST,
    STOCK,
    UNMARKED,
    assert_same_zip,
    describe_member,
    list_files,
    make_sources,
    make_wheel,
    read_before_the_zip,
    run_pex,
)

pytest.importorskip("pex.common", reason="pex is not installed")

pytestmark = pytest.mark.once

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
        done = run_pex(command, *args, root=base / root, cwd=folder)
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
        assert list_files(made.exact) == list_files(made.stock)
        assert len(list_files(made.exact)) > 4
    else:
        assert made.exact.read_bytes() == made.stock.read_bytes()
        assert made.exact.stat().st_mode == made.stock.stat().st_mode


@pytest.mark.parametrize("variant", ["no-compress", "packed, not compressed", *UNTOUCHED])
def test_without_compression_all_is_stock_pex_to_the_byte(
    pair: Callable[[str], Pair], variant: str
) -> None:
    made = pair(variant)
    if made.stock.is_dir():
        assert list_files(made.fast) == list_files(made.stock)
    else:
        assert made.fast.read_bytes() == made.stock.read_bytes()


@pytest.mark.parametrize("variant", UNTOUCHED)
def test_what_pex_does_alone_is_said(pair: Callable[[str], Pair], variant: str) -> None:
    (line,) = pair(variant).said.splitlines()
    assert line.startswith("parazip: pex alone makes this PEX: ")


@pytest.mark.parametrize("variant", ["plain", "no-compress", "compile", "system time"])
def test_the_shebang_is_the_same(pair: Callable[[str], Pair], variant: str) -> None:
    made = pair(variant)
    assert read_before_the_zip(made.fast).startswith(b"#!")
    assert read_before_the_zip(made.fast) == read_before_the_zip(made.stock)


def test_the_shell_script_before_the_zip_is_the_same(pair: Callable[[str], Pair]) -> None:
    made = pair("sh-boot")
    script = read_before_the_zip(made.fast)
    assert script.startswith(b"#!/bin/sh\n")
    assert len(script) > 1_000
    assert script == read_before_the_zip(made.stock)


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
            assert describe_member(fast[name]) == describe_member(stock[name])
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
    done = run_pex(command, root=tmp_path / "root", env={"PATH": path})
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_a_packed_pex_leaves_no_zips_of_ours_where_pex_would_take_them(
    tmp_path: Path,
) -> None:
    make_wheel(tmp_path)
    root = tmp_path / "root"
    wheels = ["thing", "--no-pypi", "--pre-resolved-dists", str(tmp_path), "--layout=packed"]
    assert run_pex(FAST, *wheels, "-o", tmp_path / "fast.pex", root=root).returncode == 0
    assert [*root.glob("packed_wheels/**/*.whl"), *root.glob("bootstrap_zips/**/*")] == []
    assert run_pex(EXACT, *wheels, "-o", tmp_path / "exact.pex", root=root).returncode == 0
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
