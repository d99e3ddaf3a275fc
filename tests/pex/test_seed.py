"""`parazip seed`: what it makes is what a first boot makes, whatever the layout."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from parazip.pex import seeding
from support.pexes import STOCK, make_pex_environment, make_wheel, run_pex

pytestmark = pytest.mark.once

SEED = [sys.executable, "-m", "parazip", "seed"]

LAYOUTS = {
    "zipapp": [],
    "sh-boot": ["--sh-boot"],
    "packed": ["--layout", "packed"],
    "loose": ["--layout", "loose"],
    "venv": ["--venv"],
    "packed venv": ["--layout", "packed", "--venv"],
    "wheel files": ["--no-pre-install-wheels"],
}


def build(folder: Path, *options: str) -> Path:
    """A PEX of two distributions and a source of its own."""
    wheels = folder / "wheels"
    wheels.mkdir()
    make_wheel(wheels)
    make_other_wheel(wheels)
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("import thing, other\nprint(thing.NAME, other.NAME)\n")
    pex = folder / "app.pex"
    args: list[str | Path] = ["--no-pypi", "--pre-resolved-dists", wheels, "thing", "other"]
    args += ["-D", folder / "src", "-m", "app", "-o", pex, *options]
    done = run_pex(STOCK, *args, root=folder / "root of the build")
    assert done.returncode == 0, done.stderr
    return pex


def make_other_wheel(folder: Path) -> None:
    info = "other-2.dist-info"
    contents = {
        "other/__init__.py": "NAME = 'other'\n",
        "other/run.sh": "#!/bin/sh\n",
        "other/empty": "",
        "caf\u00e9.txt": "text\n" * 1000,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "other-2-py3-none-any.whl", "w") as archive:
        for name, text in {**contents, f"{info}/RECORD": record}.items():
            made = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            mode = 0o755 if name.endswith(".sh") else 0o644
            made.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(made, text)


def describe(root: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """All below a PEX_ROOT: mode, and contents or target."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for parent, folders, names in os.walk(root):
        folders[:] = [folder for folder in folders if folder != "__pycache__"]
        for name in [*folders, *names]:
            path = Path(parent, name)
            if name.endswith((".lck", ".pyc")):
                continue
            mode = path.lstat().st_mode
            what: bytes | str | None = None
            if stat.S_ISLNK(mode):
                what = os.readlink(path)
            elif stat.S_ISREG(mode):
                what = path.read_bytes()
            found[str(path.relative_to(root))] = mode, what
    return found


def seed(pex: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_pex(SEED, pex, "--python", sys.executable, *options, root=root)


def boot(pex: Path, root: Path) -> str:
    program = pex / "__main__.py" if pex.is_dir() else pex
    done = run_pex([sys.executable], program, root=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_makes_what_a_first_boot_makes(tmp_path: Path, layout: str) -> None:
    pex = build(tmp_path, *LAYOUTS[layout])
    root = tmp_path / "root"
    assert boot(pex, root) == "thing other\n"
    stock = describe(root)
    assert stock
    root.rename(tmp_path / "root of stock")  # its path is in what is made
    done = seed(pex, root)
    assert done.returncode == 0, done.stderr
    assert describe(root) == stock
    assert boot(pex, root) == "thing other\n"
    assert describe(root) == stock, "the first boot had something left to do"


def test_it_says_what_it_made(tmp_path: Path) -> None:
    import json

    pex = build(tmp_path)
    done = seed(pex, tmp_path / "root", "--json")
    told = json.loads(done.stdout)
    assert told["members"] > 8
    assert Path(told["folder"], "PEX-INFO").is_file()
    assert Path(told["pex_root"]) == tmp_path / "root"
    again = json.loads(seed(pex, tmp_path / "root", "--json").stdout)
    assert (again["members"], again["bytes"]) == (0, 0)


def list_root(root: Path) -> dict[str, tuple[int, int]]:
    """All below a PEX_ROOT but the times of last use, with sizes and times of modification."""
    paths = [path for path in root.rglob("*") if path.name != ".last-access"]
    stats = {str(path): path.lstat() for path in paths}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.mark.parametrize("python", [sys.executable, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "loose"])
def test_a_check_tells_what_is_to_be_made_and_makes_nothing(
    tmp_path: Path, layout: str, python: str | None
) -> None:
    pex = build(tmp_path, *LAYOUTS[layout])
    root = tmp_path / "root"
    where = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        args = ["--python", python, *options] if python else options
        return run_pex(SEED, pex, *args, root=root, env={"PATH": where})

    before = run("--check")
    assert before.returncode == 1
    assert before.stderr.startswith(f"{pex}: {root}")
    assert before.stderr.endswith(" is still to be made\n")
    assert not root.exists()
    made = run()
    assert made.returncode == 0, made.stderr
    at_first = list_root(root)
    after = run("--check")
    assert after.returncode == 0
    assert after.stderr.endswith(" is there\n")
    assert [path for path, what in list_root(root).items() if at_first.get(path) != what] == []


@pytest.mark.parametrize("layout", ["zipapp", "sh-boot", "packed", "venv"])
def test_a_check_believes_what_a_first_boot_made(tmp_path: Path, layout: str) -> None:
    import json

    pex = build(tmp_path, *LAYOUTS[layout])
    root = tmp_path / "root"
    told = json.loads(seed(pex, root, "--check", "--json").stdout)
    assert told["is_done"] is False
    boot(pex, root)
    assert Path(told["folder"]).is_dir()
    assert json.loads(seed(pex, root, "--check", "--json").stdout) == {**told, "is_done": True}


def test_a_loose_pex_has_nothing_to_make(tmp_path: Path) -> None:
    pex = build(tmp_path, "--layout", "loose")
    done = seed(pex, tmp_path / "root", "--check")
    assert (done.returncode, done.stderr) == (0, f"{pex}: {pex} is there\n")


def test_a_check_refuses_what_it_cannot_ask(tmp_path: Path) -> None:
    pex = build(tmp_path, "--layout", "loose")
    source = pex / ".bootstrap" / "pex" / "pex_boot.py"
    source.write_text(source.read_text().replace("__PEX_ENTRY_POINT__", "__ANOTHER__"))
    done = seed(pex, tmp_path / "root", "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be asked without starting it" in done.stderr
    done = seed(pex, tmp_path / "root", "--check", "--compile")
    assert done.returncode == 2


def test_another_root_may_be_named(tmp_path: Path) -> None:
    pex = build(tmp_path)
    done = seed(pex, tmp_path / "not this", "--pex-root", str(tmp_path / "this one"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "this one" / "installed_wheels").is_dir()
    assert not (tmp_path / "not this" / "installed_wheels").exists()


def test_bytecode_is_compiled_where_it_is_asked_for(tmp_path: Path) -> None:
    pex = build(tmp_path)
    done = seed(pex, tmp_path / "root", "--compile")
    assert done.returncode == 0, done.stderr
    compiled = {path.name.split(".")[0] for path in (tmp_path / "root").rglob("*.pyc")}
    assert {"app", "__init__"} <= compiled


@pytest.mark.parametrize("layout", ["zipapp", "packed"])
def test_a_damaged_distribution_is_told_and_nothing_is_laid_out(
    tmp_path: Path, layout: str
) -> None:
    pex = build(tmp_path, *LAYOUTS[layout])
    archive = pex if pex.is_file() else next((pex / ".deps").glob("thing*"))
    with zipfile.ZipFile(archive) as read:
        info = next(one for one in read.infolist() if one.filename.endswith("noise.bin"))
    data = bytearray(archive.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    archive.write_bytes(data)
    done = seed(pex, tmp_path / "root")
    assert done.returncode == 1
    assert "noise.bin" in done.stderr
    assert "was not laid out" in done.stderr
    assert not [*(tmp_path / "root").glob("unzipped_pexes/*/*/PEX-INFO")]
    assert not [*(tmp_path / "root").glob("installed_wheels/*/*/thing*")]


def test_what_is_no_pex_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no PEX")
    done = seed(tmp_path / "text", tmp_path / "root")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    done = seed(tmp_path / "nothing", tmp_path / "root")
    assert done.returncode == 1
    assert "No such file" in done.stderr


class Another:
    """A `pex.layout` of another release."""

    @staticmethod
    def _ensure_distributions_installed(layout: object, everything: object) -> None:
        pass


def test_another_pex_extracts_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seeding.find_misfit(Another) == (
        "its function _ensure_distributions_installed is another one"
    )
    assert seeding.find_misfit(object()) != ""
    from pex import layout

    assert seeding.find_misfit(layout) == ""


def test_two_at_once_make_one(tmp_path: Path) -> None:
    pex = build(tmp_path)
    root = tmp_path / "root"
    command = [*SEED, str(pex), "--python", sys.executable]
    env = make_pex_environment(root)
    running = [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert boot(pex, root) == "thing other\n"
    assert [*root.rglob("*.work")] == []
