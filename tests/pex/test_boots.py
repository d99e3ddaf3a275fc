"""PEXes that parazip made, under every Python at hand and in the hands of pex's other tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from support.patience import HUNG
from support.pexes import FAST, make_pex_environment, run_pex

pytestmark = pytest.mark.once

VERSIONS = ["2.7", *(f"3.{minor}" for minor in range(6, 16))]

ENDS = ("2.7", "3.6", "3.13")
"""On these all kinds of PEXes are started, on all others one kind."""

SAYS = "import sys, old\nsys.stdout.write('app %s\\n' % old.NAME)\n"

WHEEL = "old-1.0-py2.py3-none-any.whl"


def python_of(version: str) -> str:
    """A Python of this version; one that cannot be started is none."""
    candidates = [
        *Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"),
        Path(f"/usr/bin/python{version}"),
        Path(f"/usr/local/bin/python{version}"),
    ]
    found = next((str(path) for path in candidates if path.exists()), "")
    if not found:
        pytest.skip(f"python{version} is not installed")
    return found


def make_old_wheel(folder: Path) -> None:
    """A wheel for any Python, deflated as wheels are, with code and data."""
    info = "old-1.0.dist-info"
    contents = {
        "old/__init__.py": "import pkgutil\n"
        "NAME = pkgutil.get_data('old', 'name').decode('ascii')\n",
        "old/name": "old",
        "old/words.txt": "many words of text\n" * 5_000,
        "old/cli.py": "def main():\n    import old\n    print('cli ' + old.NAME)\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: old\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nold = old.cli:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


KINDS: dict[str, list[str]] = {
    "zipapp": [],
    "packed": ["--layout", "packed"],
    "venv": ["--venv", "prepend", "--include-tools"],
    "exact": ["--exact"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One PEX of each kind, in a folder whose name has spaces and letters that are not ASCII."""
    base = tmp_path_factory.mktemp("boots")
    folder = base / "f\u00f6lder with spaces \u0394"
    (folder / "src").mkdir(parents=True)
    (folder / "src/app.py").write_text(SAYS)
    make_old_wheel(folder)
    pexes: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in pexes:
            path = folder / f"{kind} app.pex"
            wheels = ["--no-pypi", "--pre-resolved-dists", str(folder), "old"]
            inputs = [*wheels, "-D", str(folder / "src"), "-m", "app", "-o", str(path)]
            # Not this Python's own first line: who starts it names the Python.
            done = run_pex(FAST, *KINDS[kind], *inputs, root=base / "root")
            assert done.returncode == 0, done.stderr
            pexes[kind] = path
        return pexes[kind]

    return get


def boot(python: str, pex: Path, root: Path, *args: str, **env: str) -> Any:
    return subprocess.run(
        [python, str(pex), *args],
        env={**make_pex_environment(root), "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        timeout=HUNG,
        check=False,
    )


def assert_says(done: Any, text: str) -> None:
    assert (done.returncode, done.stdout) == (0, f"{text}\n".encode()), done.stderr.decode()


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        (version, kind)
        for version in VERSIONS
        for kind in KINDS
        if version in ENDS or kind == "zipapp"
    ],
)
def test_a_pex_starts_and_imports(
    built: Callable[[str], Path], tmp_path: Path, version: str, kind: str
) -> None:
    pex = built(kind)
    if version == "2.7" and kind in ("packed", "venv"):  # pex cannot do these from such a folder
        copied = tmp_path / "app.pex"
        shutil.copytree(pex, copied) if pex.is_dir() else shutil.copy(pex, copied)
        pex = copied
    assert_says(boot(python_of(version), pex, tmp_path / "root"), "app old")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8", "3.13"])
def test_a_pex_starts_through_a_link(
    built: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    link = tmp_path / "link \u00e9"
    link.symlink_to(built("zipapp"))
    assert_says(boot(python_of(version), link, tmp_path / "root"), "app old")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8", "3.13"])
def test_a_pex_that_is_unzipped_starts(
    built: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    with zipfile.ZipFile(built("venv")) as archive:
        archive.extractall(tmp_path / "unzipped app")
    assert_says(boot(python_of(version), tmp_path / "unzipped app", tmp_path / "root"), "app old")


def test_a_program_of_a_pex_is_found(built: Callable[[str], Path], tmp_path: Path) -> None:
    done = boot(sys.executable, built("zipapp"), tmp_path, PEX_SCRIPT="old")
    assert_says(done, "cli old")


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.12", "3.13"])
def test_its_tools_make_a_venv(built: Callable[[str], Path], tmp_path: Path, version: str) -> None:
    python, venv = python_of(version), tmp_path / "venv"
    done = boot(python, built("venv"), tmp_path / "root", "venv", str(venv), PEX_TOOLS="1")
    assert done.returncode == 0, done.stderr.decode()
    assert_says(boot(str(venv / "bin/python"), venv / "pex", tmp_path / "root"), "app old")


def test_pex_tools_reads_it(built: Callable[[str], Path], tmp_path: Path) -> None:
    tools = [os.path.join(os.path.dirname(sys.executable), "pex-tools"), str(built("zipapp"))]
    done = run_pex([*tools, "info"], root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["distributions"]) == [WHEEL]
    done = run_pex([*tools, "repository", "extract", "-f", str(tmp_path / "wheels")], root=tmp_path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "wheels" / WHEEL) as archive:
        assert archive.read("old/name") == b"old"


@pytest.mark.parametrize("kind", ["zipapp", "packed"])
def test_pex3_makes_a_venv_of_it(built: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    pex3 = os.path.join(os.path.dirname(sys.executable), "pex3")
    venv = tmp_path / "venv"
    args = ["venv", "create", "--pex-repository", str(built(kind)), "-d", str(venv)]
    done = run_pex([pex3, *args], root=tmp_path / "root")
    assert done.returncode == 0, done.stderr
    done = run_pex([str(venv / "bin/python"), "-c", "import old; print(old.NAME)"], root=tmp_path)
    assert (done.returncode, done.stdout) == (0, "old\n"), done.stderr


@pytest.mark.parametrize("kind", ["zipapp", "packed"])
def test_it_serves_as_repository(built: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    pex = tmp_path / "again.pex"
    for command in (FAST, [sys.executable, "-m", "pex"]):
        args = ["--pex-repository", str(built(kind)), "old", "-c", "old", "-o", str(pex)]
        done = run_pex(command, *args, root=tmp_path / "root")
        assert done.returncode == 0, done.stderr
        assert_says(boot(sys.executable, pex, tmp_path / "other root"), "cli old")
