"""What a PEX is made of, and what pex does with the finished one: the same as stock pex's."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from parazip import Member, MemberNameError, Settings, SourceChangedError
from parazip.pex import zipper
from support.pexes import (
    EXACT,
    FAST,
    FILES,
    NAME,
    STOCK,
    UNMARKED,
    assert_same_zip,
    make_deflated_wheel,
    make_sources,
    run_pex,
    write_pex_program,
)
from support.running import SHEBANG_PYTHON

pytestmark = pytest.mark.once


class Made(NamedTuple):
    """What a command left in its folder, and what it said there."""

    folder: Path
    out: str
    err: str

    @property
    def pex(self) -> Path:
        return self.folder / "app.pex"


class WorkWithInputs:
    """Inputs of all kinds; each command makes its PEX in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_deflated_wheel(folder / "wheels")
        make_sources(folder / "sources")
        (folder / "script.py").write_text("import thing\nprint('script', thing.NAME)\n")
        self.env: dict[str, str] = {}

    def resolved(self, *args: str) -> list[str]:
        return ["--no-pypi", "--pre-resolved-dists", str(self.folder / "wheels"), "thing", *args]

    def make(self, name: str, command: list[str], *args: str, root: str = "") -> Made:
        folder = self.folder / name
        folder.mkdir()
        # Both write to the same path, as pex tells it and remembers PEXes by it.
        target = self.folder / "out"
        target.mkdir()
        done = run_pex(
            [*command, "-o", str(target / "app.pex"), *args],
            root=self.folder / (root or "root"),
            cwd=self.folder,
            env=self.env,
        )
        assert done.returncode == 0, done.stderr
        folder.rmdir()
        target.rename(folder)
        return Made(folder, done.stdout, done.stderr)


@pytest.fixture
def work(tmp_path: Path) -> WorkWithInputs:
    return WorkWithInputs(tmp_path)


def sources_alone(work: WorkWithInputs) -> list[str]:
    return ["-D", "sources", "-e", "app"]


def a_script(work: WorkWithInputs) -> list[str]:
    return work.resolved("--exe", "script.py")


def a_repository(work: WorkWithInputs) -> list[str]:
    done = run_pex(
        STOCK, *work.resolved("-o", "all.pex"), root=work.folder / "root", cwd=work.folder
    )
    assert done.returncode == 0, done.stderr
    return ["--pex-repository", "all.pex", "thing", "-c", "thing"]


def a_lock(work: WorkWithInputs) -> list[str]:
    if sys.version_info >= (3, 12):
        pytest.skip("the pip in pex does not run on this Python, and others are on the network")
    pex3 = [sys.executable, "-m", "pex.cli"]
    create = ["lock", "create", "--no-pypi", "-f", "wheels", "thing", "-o", "thing.lock"]
    done = run_pex(pex3, *create, root=work.folder / "root", cwd=work.folder)
    assert done.returncode == 0, done.stderr
    return ["--lock", "thing.lock", "-D", "sources", "-e", "app"]


@pytest.mark.parametrize("inputs", [sources_alone, a_script, a_repository, a_lock])
def test_a_pex_of_it_is_the_same(
    work: WorkWithInputs, inputs: Callable[[WorkWithInputs], list[str]]
) -> None:
    args = inputs(work)
    stock = work.make("stock", STOCK, *args)
    fast = work.make("fast", UNMARKED, *args)
    exact = work.make("exact", EXACT, *args)
    assert_same_zip(stock.pex, fast.pex)
    assert exact.pex.read_bytes() == stock.pex.read_bytes()
    assert stock.out == fast.out == exact.out


def says(pex: list[str], root: Path) -> str:
    done = run_pex(pex, root=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("verbose", []),
        pytest.param("args", ["--venv"], marks=pytest.mark.slow),
        pytest.param("args", ["--layout", "packed"], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_seeded_pex_is_where_stock_pex_has_it(
    work: WorkWithInputs, kind: str, options: list[str]
) -> None:
    if "--venv" in options and " " in str(work.folder):
        pytest.skip(
            "no system finds an interpreter whose path has a space by a script's first line"
        )
    args = work.resolved(*options, "-D", "sources", "-e", "app", "--seed", kind)
    stock = work.make("stock", STOCK, *args, root="root")
    (work.folder / "root").rename(work.folder / "stock root")
    fast = work.make("fast", UNMARKED, *args, root="root")
    assert fast.out == stock.out != ""
    (work.folder / "fast/app.pex").rename(work.folder / "out")  # where seeds of packed ones point
    if kind == "args":
        folder = str(work.folder)  # may have a space, which pex does not quote
        args = [arg.replace("\0", folder) for arg in fast.out.replace(folder, "\0").split()]
        assert says(args, work.folder / "root") == "app thing\n"
    else:
        told = json.loads(fast.out)
        assert says([told["python"], told["pex"]], work.folder / "root") == "app thing\n"


SCIENCE = """#!{python}
import hashlib, os, shutil, sys
arguments = sys.argv[1:]
if "--version" in arguments:
    print({version!r})
    sys.exit()
files = dict(each.split("=", 1) for each in arguments if "=" in each)
target = arguments[arguments.index("--dest-dir") + 1]
shutil.copy(files["pex"], os.path.join(target, "packed by science"))
shutil.copy(arguments[-1], os.path.join(target, "manifest"))
open(os.path.join(target, "app"), "w").close()
"""
"""A program that stands for science, which is not to be had without the network."""


@pytest.mark.parametrize("style", ["eager", "lazy"])
def test_a_scie_is_made_of_the_same_pex(work: WorkWithInputs, style: str) -> None:
    science_of_pex = pytest.importorskip("pex.scie.science", reason="this pex makes no scies")
    program = work.folder / "science"
    version = science_of_pex.MIN_SCIENCE_VERSION.raw
    program.write_text(SCIENCE.format(python=SHEBANG_PYTHON, version=str(version)))
    program.chmod(0o755)
    args = ["--scie", style, "--scie-science-binary", str(program), "-D", "sources", "-e", "app"]
    stock, fast, exact = (
        work.make(name, command, *work.resolved(*args))
        for name, command in (("stock", STOCK), ("fast", UNMARKED), ("exact", EXACT))
    )
    names = ["app", "app.pex", "manifest", "packed by science"]
    for made in (stock, fast, exact):
        assert sorted(os.listdir(made.folder)) == names
        packed = made.folder / "packed by science"
        assert packed.read_bytes() == made.pex.read_bytes()
        assert made.out == stock.out
    assert (fast.folder / "manifest").read_bytes() == (stock.folder / "manifest").read_bytes()
    assert_same_zip(stock.pex, fast.pex)
    assert exact.pex.read_bytes() == stock.pex.read_bytes()


PEXRC = """#!{python}
import sys
if "--version" in sys.argv:
    print("pexrc", {version!r})
    sys.exit()
with open(sys.argv[-1], "rb") as file, open(sys.argv[-1][:-4] + ".pexrc", "wb") as made:
    made.write(file.read() + b"native")
"""
"""The same for pexrc, which puts native code into a PEX."""


def test_a_native_runtime_is_left_to_pex(work: WorkWithInputs) -> None:
    pexrc_of_pex = pytest.importorskip("pex.rc.pexrc", reason="this pex knows no native runtime")
    program = work.folder / "pexrc"
    version = pexrc_of_pex.MIN_PEXRC_VERSION.raw
    program.write_text(PEXRC.format(python=SHEBANG_PYTHON, version=str(version)))
    program.chmod(0o755)
    args = work.resolved("--rc", "--pexrc-binary", str(program), "-D", "sources", "-e", "app")
    stock, fast = work.make("stock", STOCK, *args), work.make("fast", FAST, *args)
    assert fast.err == "parazip: pex alone makes this PEX: --rc makes zips of its own\n"
    assert fast.pex.read_bytes() == stock.pex.read_bytes()
    assert fast.pex.read_bytes().endswith(b"native")


@pytest.mark.parametrize("way", ["inside", "outside"])
def test_bytecode_is_stored_where_pex_stores_it(work: WorkWithInputs, way: str) -> None:
    """pex stores what it compiles itself, and compresses what came compiled."""
    bytecode = b"not much of a bytecode\n" * 50
    make_deflated_wheel(work.folder / "wheels", files={**FILES, "thing/old.pyc": bytecode})
    (work.folder / "sources/pkg/alone.pyc").write_bytes(bytecode)
    program = write_pex_program(work.folder / "pex")
    options = ["--pex-binary", program] if way == "outside" else []
    args = work.resolved("--compile", "-D", "sources", "-e", "app")
    stock, exact = work.make("stock", STOCK, *args), work.make("exact", [*EXACT, *options], *args)

    def told(pex: Path) -> list[tuple[str, int, int]]:
        with zipfile.ZipFile(pex) as archive:
            return [
                (info.filename, info.compress_type, info.file_size) for info in archive.filelist
            ]

    assert told(exact.pex) == told(stock.pex)
    methods = {name: method for name, method, _ in told(stock.pex) if name.endswith(".pyc")}
    assert methods[f".deps/{NAME}/thing/old.pyc"] == zipfile.ZIP_DEFLATED
    assert methods["pkg/alone.pyc"] == zipfile.ZIP_DEFLATED
    assert zipfile.ZIP_STORED in methods.values()


SMALL = """
from parazip.__main__ import main
from parazip.pex import limits
limits.LIMIT_32 = 400_000
main()
"""
"""parazip with a limit that a PEX is above while each of its files is below it."""


def test_an_exact_pex_that_needs_zip64_for_its_place_is_left_to_pex(work: WorkWithInputs) -> None:
    stock = work.make("stock", STOCK)
    exact = work.make("exact", [sys.executable, "-c", SMALL, "pex", "--exact"])
    assert f"pex itself zips {work.folder}/out/app.pex: it takes over 4 GiB\n" in exact.err
    assert exact.pex.read_bytes() == stock.pex.read_bytes()
    assert os.listdir(exact.folder) == ["app.pex"]


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0, "before 1980"), (5_000_000_000, "after 2107")], ids=str
)
def test_a_time_that_zip_does_not_have_is_told_in_pex_terms(
    work: WorkWithInputs, seconds: int, limit: str
) -> None:
    (work.folder / "src").mkdir()
    (work.folder / "src" / "old.py").write_text("")
    os.utime(work.folder / "src" / "old.py", (seconds, seconds))
    done = run_pex(FAST, "-D", work.folder / "src", "-o", work.folder / "a.pex",
               "--use-system-time", root=work.folder / "root")  # fmt: skip
    assert done.returncode == 1
    assert f"ZIP does not support timestamps {limit}" in done.stderr
    assert "old.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (work.folder / "a.pex").exists()


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["bad\udcff.py"], "UTF-8; rename the file or keep it out of what --sources-directory"),
        (["a.py", "a.py"], "the name a.py: .*; leave one out, or rename one$"),
    ],
    ids=["not UTF-8", "twice"],
)
def test_a_name_that_cannot_be_stored_is_told_in_pex_terms(
    tmp_path: Path, names: list[str], advice: str
) -> None:
    way = zipper.ZipPlan(settings=Settings(), arguments=[], progress=None, cache=None)
    members = [Member(name, b"", 0o100644 << 16, 33 << 16) for name in names]
    with pytest.raises(MemberNameError, match=advice) as caught:
        zipper.make_zip(str(tmp_path / "a.pex"), "a.pex", b"", members, way)
    assert "--exclude" not in str(caught.value)
    assert "--prefix" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_each_zip_is_read_back_if_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, list[str]]] = []

    def require(path: str, settings: Settings, name: str) -> None:
        read.append((name, zipfile.ZipFile(path).namelist()))
        assert not (tmp_path / "a.pex").exists()

    monkeypatch.setattr(zipper, "require_sound", require)
    member = Member("a.py", b"", 0o100644 << 16, 33 << 16)
    for verify in (False, True):
        way = zipper.ZipPlan(
            settings=Settings(), arguments=[], progress=None, cache=None, verify=verify
        )
        path = tmp_path / "a.pex"
        path.unlink(missing_ok=True)
        zipper.make_zip(str(path), "the PEX", b"", [member], way)
    assert read == [("the PEX", ["a.py"])]


def test_a_file_that_changes_is_told_in_pex_terms() -> None:
    advice = "f changed while it was read: it grew; or leave it out with --exclude"
    told = zipper._in_pex_terms(SourceChangedError(advice, member="f"))
    assert str(told) == (
        "f changed while it was read: it grew; run pex again when nothing writes to it"
    )
    assert isinstance(told, SourceChangedError)
    assert told.member == "f"
