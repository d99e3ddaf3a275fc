"""What people read: lines that fit, links that lead somewhere, words with one meaning."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

MODULES = sorted(
    path
    for room in ("src", "tests", "benchmarks", "neighbours", "readers", "fuzz")
    for path in (ROOT / room).rglob("*.py")
)

WIDEST = 120

PRAGMAS = ("# type: ignore", "# noqa")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Lines


def can_break(line: str) -> bool:
    """A row of a table cannot, nor what has no blank, such as a link."""
    return not line.startswith("|") and " " in line.strip()


def prose_in(source: str) -> Iterator[tuple[int, str]]:
    """The lines of a module's comments and docstrings, with their numbers."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(PRAGMAS):
            yield token.start[0], token.line.rstrip("\n")
    for node in ast.walk(ast.parse(source)):
        # Docstrings, and the texts below constants and fields.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                yield number, lines[number - 1]


def too_wide(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(number, line) for number, line in lines if len(line) > WIDEST and can_break(line)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_line_of_a_page_is_too_wide(page: Path) -> None:
    assert too_wide(enumerate(read(page).splitlines(), 1).__iter__()) == []


def test_no_line_of_a_comment_or_docstring_is_too_wide() -> None:
    sources = {named(path): read(path) for path in MODULES}
    wide = {
        name: too_wide(prose_in(source))
        for name, source in sources.items()
        if max(map(len, source.splitlines()), default=0) > WIDEST
    }
    assert {name: lines for name, lines in wide.items() if lines} == {}


def test_lines_that_are_too_wide_are_found() -> None:
    text = "word " * 30
    source = f'"""Head.\n\n{text}\n"""\n\nx = 1  # {text}\ny = "{text}"\n'
    assert [number for number, _ in too_wide(prose_in(source))] == [6, 3]


# Links and names


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.*)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_pages_and_headings_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def targets() -> set[str]:
    """What `make` can be asked for."""
    listed = re.findall(
        r"^([a-z][a-z-]*)(?: [a-z][a-z-]*)*:(?!=)", read(ROOT / "Makefile"), re.MULTILINE
    )
    return set(listed)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_a_page_makes_can_be_made(page: Path) -> None:
    asked = re.findall(r"(?:`|^    )make ((?:[a-z][a-z-]*(?: |\b))+)", read(page), re.MULTILINE)
    words = {word for words in asked for word in words.split()}
    assert words - targets() - {"app"} == set()  # app.pex is made by users of `parapex`


def test_the_glossary_has_each_word_once_and_is_found() -> None:
    words = re.findall(r"^\| ([a-z, ]+) \|", read(ROOT / "docs" / "glossary.md"), re.MULTILINE)
    words = [word for word in words if word != "word"]
    assert len(words) > 30
    assert len(words) == len(set(words))
    for page in "docs/architecture.md", "CONTRIBUTING.md":
        assert "glossary.md" in read(ROOT / page)


def test_contributors_are_told_of_files_that_are_there() -> None:
    text = read(ROOT / "CONTRIBUTING.md")
    paths = set(
        re.findall(
            r"`((?:src|tests|docs|benchmarks|neighbours|readers|fuzz|\.github)/[\w./-]+)`", text
        )
    )
    assert len(paths) > 9
    assert {path for path in paths if not (ROOT / path).exists()} == set()
