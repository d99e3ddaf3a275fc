"""Tools that nobody here wrote, under `parazip run`: their archives hold what they always hold."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.places import ROOT

pytestmark = pytest.mark.once


def run_tool(arguments: list[str], cwd: Path, *, replaced: bool) -> None:
    command = [sys.executable, "-m", *(["parazip", "run", "-m"] if replaced else []), *arguments]
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "1700000000",
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read_members(folder: Path) -> dict[str, Any]:
    """What the one archive in a folder holds."""
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as archive:
        return {
            made.filename: (made.date_time, made.external_attr, archive.read(made))
            for made in archive.infolist()
        }


def copy_distribution(name: str, target: Path) -> Path:
    """The files of an installed distribution, as if its wheel had been unpacked."""
    for file in importlib.metadata.distribution(name).files or ():
        if ".." not in file.parts and not file.name.endswith(".pyc"):
            to = target / file
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), to)
    return target


def compare_archives(arguments: list[str], cwd: Path) -> dict[str, Any]:
    """Runs a tool in both ways; it writes into the folder that stands for `OUT`."""
    made = []
    for replaced in False, True:
        out = cwd / f"out-{replaced}"
        out.mkdir()
        run_tool([each.replace("OUT", str(out)) for each in arguments], cwd, replaced=replaced)
        made.append(read_members(out))
    assert made[0] == made[1]
    assert len(made[0]) > 1
    return made[0]


def test_wheel_pack_and_unpack(tmp_path: Path) -> None:
    folder = copy_distribution("click", tmp_path / "click")
    made = compare_archives(["wheel", "pack", str(folder), "-d", "OUT"], tmp_path)
    assert "click/core.py" in made
    (wheel,) = (tmp_path / "out-True").iterdir()
    run_tool(
        ["wheel", "unpack", str(wheel), "-d", str(tmp_path / "again")], tmp_path, replaced=True
    )
    (again,) = (tmp_path / "again").iterdir()
    assert (again / "click" / "core.py").read_bytes() == made["click/core.py"][2]


def test_shiv(tmp_path: Path) -> None:
    folder = copy_distribution("click", tmp_path / "site")
    compare_archives(
        ["shiv", "--reproducible", "--site-packages", str(folder), "-o", "OUT/app"], tmp_path
    )


def test_zipapp(tmp_path: Path) -> None:
    folder = copy_distribution("click", tmp_path / "app")
    (folder / "__main__.py").write_text("import click; print(click.__name__)")
    compare_archives(["zipapp", str(folder), "-c", "-o", "OUT/app.pyz"], tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "out-True" / "app.pyz")], capture_output=True, check=True
    )
    assert done.stdout.strip() == b"click"


def test_make_archive(tmp_path: Path) -> None:
    copy_distribution("click", tmp_path / "tree")
    (tmp_path / "make.py").write_text(
        "import shutil, sys\nshutil.make_archive(sys.argv[1], 'zip', 'tree')"
    )
    compare_archives(["make", "OUT/made"], tmp_path)


def test_hatchling(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in "pyproject.toml", "README.md", "LICENSE":
        shutil.copy2(ROOT / name, tmp_path)
    made = compare_archives(["hatchling", "build", "-t", "wheel", "-d", "OUT"], tmp_path)
    assert "parazip/__init__.py" in made


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is about Linux")
def test_auditwheel_repair(tmp_path: Path) -> None:
    folder = copy_distribution("isal", tmp_path / "isal")
    (about,) = folder.glob("*.dist-info/WHEEL")
    kept = [line for line in about.read_text().split("\n") if line and "Tag:" not in line]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    about.write_text("\n".join([*kept, f"Tag: {python}-{python}-linux_{os.uname().machine}", ""]))
    (tmp_path / "wheels").mkdir()
    run_tool(
        ["wheel", "pack", str(folder), "-d", str(tmp_path / "wheels")], tmp_path, replaced=False
    )
    (wheel,) = (tmp_path / "wheels").iterdir()
    made = compare_archives(["auditwheel", "repair", str(wheel), "-w", "OUT"], tmp_path)
    assert any(name.endswith(".so") for name in made)
