"""The public names: what type checkers are told and what is loaded are written down apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import parazip


def test_type_checkers_are_told_of_the_names_that_are_there() -> None:
    tree = ast.parse(Path(parazip.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: f"{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert told == {name: f"parazip.{home}" for name, home in vars(parazip)["_HOMES"].items()}


def test_all_names_are_sorted_and_the_version_is_among_them() -> None:
    assert dir(parazip) == sorted({*vars(parazip)["_HOMES"], "__version__"})


def test_a_name_is_loaded_when_it_is_first_used() -> None:
    code = (
        "import sys, parazip; assert 'parazip.engine.archive' not in sys.modules; "
        "parazip.create; assert 'parazip.engine.archive' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_of_them_come_with_a_star() -> None:
    names: dict[str, object] = {}
    exec("from parazip import *", names)
    assert {*dir(parazip)} <= names.keys()
