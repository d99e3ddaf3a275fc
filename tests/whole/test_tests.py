"""The tests themselves: they stand in rooms, no file is long, and nothing is written twice."""

from __future__ import annotations

import ast
from collections import defaultdict

from support.places import TESTS

MOST_LINES = 600
TREES = {
    path.relative_to(TESTS).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(TESTS.rglob("*.py"))
}


def test_each_test_stands_in_a_room() -> None:
    assert [name for name in TREES if "/" not in name] == ["conftest.py"]


def test_no_file_is_long() -> None:
    lengths = {name: (TESTS / name).read_bytes().count(b"\n") for name in TREES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_file_imports_a_test() -> None:
    """What two files of tests use stands in `support`, or is a fixture in a `conftest`."""
    files = [name.rpartition("/")[2].removesuffix(".py") for name in TREES]
    tests = {name for name in files if name.startswith("test_")} | {"conftest"}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
            elif isinstance(node, ast.Import):
                imported = [one.name for one in node.names]
            else:
                continue
            parts = {part for module in imported for part in module.split(".")}
            assert not parts & tests, name


def test_nothing_is_written_twice() -> None:
    """No function or class of the same name and body is defined in two files."""
    written = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                body = node.body[bool(ast.get_docstring(node)) :]
                written[node.name, ast.dump(ast.Module(body, []))].append(name)
    assert [(name, files) for (name, _), files in written.items() if len(files) > 1] == []
