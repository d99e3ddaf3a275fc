"""The tests themselves: they stand in rooms, no file is long, and nothing is written twice."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

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


def find_programs(tree: ast.AST) -> Iterator[ast.Module]:
    """The programs in string constants that import parazip."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.search(r"^\s*from parazip", text, re.MULTILINE):
            with suppress(SyntaxError):  # a part of a program
                yield ast.parse(textwrap.dedent(text))


def list_missing_names(program: ast.Module) -> Iterator[str]:
    modules: dict[str, object] = {}
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("parazip"):
            for name in [each for each in node.names if each.name != "*"]:
                found = find_name(str(node.module), name.name)
                if found is None:
                    yield f"{node.module}.{name.name}"
                modules[name.asname or name.name] = found
    for node in ast.walk(program):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = modules.get(node.value.id)
            if owner is not None and not hasattr(owner, node.attr):
                yield f"{node.value.id}.{node.attr}"


def find_name(module: str, name: str) -> object:
    """What `from module import name` gives; None if it fails."""
    try:
        found: object = getattr(importlib.import_module(module), name, None)
        return importlib.import_module(f"{module}.{name}") if found is None else found
    except ImportError:
        return None


def test_programs_in_texts_use_names_that_are_there() -> None:
    """No type checker reads them, and many a test passes if such a program fails at once."""
    programs = [(file, program) for file, tree in TREES.items() for program in find_programs(tree)]
    assert len(programs) > 20
    wrong = [(file, name) for file, each in programs for name in list_missing_names(each)]
    assert wrong == []
