"""PEXes under `parazip run`: they start Python anew, first when they have unpacked themselves."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pex.common", reason="pex is not installed")

from support.pexes import STOCK, make_wheel, run_pex

pytestmark = pytest.mark.once

NO_WARNINGS = {"PEX_EMIT_WARNINGS": "0"}
"""pex warns of a PEX_ROOT that is too long for first lines, in which it stands."""

APP = """
import sys, thing
def main():
    print(thing.NAME, sys.argv, __name__)
    return 3
"""


def make_app(folder: Path) -> None:
    """A wheel with a console script, which needs the wheel of `make_wheel`."""
    info = "app-1.dist-info"
    contents = {
        "app.py": APP,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: app\nVersion: 1\nRequires-Dist: thing\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nrun-app = app:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "app-1-py3-none-any.whl", "w") as archive:
        for name, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


@pytest.mark.parametrize("kind", [[], ["--venv"], ["--layout", "loose"]], ids=str)
def test_a_pex_runs_as_under_python(tmp_path: Path, kind: list[str]) -> None:
    make_wheel(tmp_path)
    make_app(tmp_path)
    pex = tmp_path / "app.pex"
    wheels: list[str | Path] = ["--no-pypi", "--pre-resolved-dists", tmp_path, "app"]
    built = run_pex([*STOCK, *kind], *wheels, "-c", "run-app", "-o", pex, root=tmp_path / "root")
    assert built.returncode == 0, built.stderr
    told = {}
    for name, words in {
        "python": [],
        "run": ["-m", "parazip", "run"],
        "children": ["-m", "parazip", "run", "--children"],
    }.items():
        root = tmp_path / f"root of {name}"
        for turn in "first", "second":
            done = run_pex([sys.executable, *words], pex, "x", "--y", root=root, env=NO_WARNINGS)
            told[name, turn] = done.returncode, done.stdout, done.stderr
    code, said, _ = told["python", "first"]
    assert (code, said.startswith("thing [")) == (3, True), told
    for name in "run", "children":
        for turn in "first", "second":
            assert told[name, turn] == told["python", turn]
