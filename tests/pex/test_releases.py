"""The releases of pex that parazip fits into: one constant, repeated by packaging and docs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from parazip.pex import mark
from parazip.pex.inside import KNOWN_RELEASES
from support.places import ROOT

FIRST, LAST = KNOWN_RELEASES

RANGE = re.compile(r"\b(2\.\d+) to (?:pex )?(2\.\d+)\b")
"""How a sentence names several releases."""


def test_the_extra_and_the_tests_ask_for_a_release_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["optional-dependencies"]["pex"] == [f"pex>={FIRST}"]
    assert f"pex>={FIRST}" in project["dependency-groups"]["dev"]


def test_the_page_about_pex_names_the_releases() -> None:
    text = (ROOT / "docs" / "pex.md").read_text(encoding="utf-8")
    assert (FIRST, LAST) in RANGE.findall(text)
    assert re.findall(r"installs pex (\S+) or newer", text) == [FIRST]
    assert f"before pex {'.'.join(map(str, mark._FIRST_WITH_PROPERTIES))}" in text


PAGES = [ROOT / "README.md", ROOT / "docs" / "pex.md", ROOT / "docs" / "architecture.md"]


@pytest.mark.parametrize(
    "path", [*PAGES, *ROOT.glob("src/parazip/pex/*.py")], ids=lambda path: str(path.name)
)
def test_no_page_and_no_module_names_other_releases(path: Path) -> None:
    assert {*RANGE.findall(path.read_text(encoding="utf-8"))} <= {(FIRST, LAST)}
