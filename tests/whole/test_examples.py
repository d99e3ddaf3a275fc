"""The examples on all pages do what they say: those of Python and those of a shell."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import parazip
from parazip.cli.commands import parazip as command_line
from parazip.cli.run.request import Request
from support.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

PREPARED = ["selection.md", "update.md"]
"""Pages whose `$ parazip ...` are run; the archives of the others are too large for a test."""

# What the examples need


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, newline="\n")


def prepare_readme() -> None:
    for name in "app.py", "data/one.csv", "data/two.csv":
        write(f"build/{name}", "1,2,3,4\n" * 500)
    parazip.create("app.zip", ["build"])
    write("vendor.py", "import app\n")
    parazip.create("vendor.zip", ["vendor.py"])


def prepare_selection() -> None:
    write("src/main.py", "x = 1\n" * 200)
    write("src/main.pyc", "compiled")
    write("src/.gitignore", "*.pyc\n")
    parazip.create("app.zip", ["src"], selection=parazip.Selection(ignore=True))
    write("src/main.py", "x = 2\n" * 200)
    write("README.md", "Read this.\n")


def prepare_update() -> None:
    for name in "README.md", "tests/test_main.py", "src/main.py":
        write(name, "x = 1\n" * 200)
    parazip.create("app.zip", ["README.md", "tests", "src"])
    write("src/main.py", "x = 2\n" * 200)
    write("src/new.py", "y = 1\n")


def prepare_refusals() -> None:
    """Makes an archive whose comment holds the end of another one."""
    write("a", "a")
    parazip.create("old.zip", ["a"])
    whole = Path("old.zip").read_bytes()
    end = whole[-22:]
    Path("old.zip").write_bytes(whole[:-2] + len(end).to_bytes(2, "little") + end)


def prepare_streaming() -> None:
    write("photos/one.txt", "".join(map(str, range(5000))))


PREPARE: dict[str, Callable[[], None]] = {
    "README.md": prepare_readme,
    "selection.md": prepare_selection,
    "update.md": prepare_update,
    "refusals.md": prepare_refusals,
    "streaming.md": prepare_streaming,
}

# Python


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")],
    ids=lambda p: p.name,
)
def test_python(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.name in PREPARE:
        PREPARE[page.name]()
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried > 0
    assert failed == 0


# The shell


def shell_lines(page: Path) -> list[str]:
    """What stands in blocks of code and is typed; `$` in front of it is the prompt."""
    lines = re.findall(r"^ {4,}(?:\$ )?(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [line for line in lines if re.search(r"(^|\| |[A-Z]=\S+ )parazip ", line)]


def words_of(line: str) -> list[str]:
    """The arguments of the one `parazip` in a line; what the shell would put in is one word."""
    line = re.sub(r"\$\([^)]*\)", "word", line)
    words = shlex.split(line[line.index("parazip ") :], comments=True)
    return words[1 : words.index("|") if "|" in words else None]


def parse(group: click.Group, context: click.Context, words: list[str]) -> str:
    """The name of the command, if its line can be read; click raises otherwise."""
    place = next(i for i, word in enumerate(words) if group.get_command(context, word))
    name, rest = words[place], words[place + 1 :]
    known = {option for one in group.params for option in one.opts}
    assert {word for word in words[:place] if word.startswith("-")} <= known
    command = group.get_command(context, name)
    assert command is not None
    if isinstance(command, click.Group):
        return parse(command, click.Context(command, parent=context, info_name=name), rest)
    if name == "run":
        assert Request.read(rest) is not None
    command.make_context(name, list(rest), context)
    return name


LINES = sorted({(page.name, line) for page in PAGES for line in shell_lines(page)})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_lines_can_be_read(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(command_line, click.Context(command_line), words_of(line))


@pytest.mark.parametrize("line", ["create", "create --no-such a b", "delete a", "run", "cache x"])
def test_lines_that_are_wrong_are_found(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError, StopIteration)):
        parse(command_line, click.Context(command_line), line.split())


@pytest.mark.skipif(sys.platform == "win32", reason="pex needs POSIX")
def test_options_of_pex_are_parazips_or_its_own() -> None:
    """`parazip pex` hands on what it does not know, so reading its lines finds no fault."""
    command = command_line.get_command(click.Context(command_line), "pex")
    assert command is not None
    known = {option for one in command.params for option in one.opts}
    known |= set(re.findall(r"--[a-z][a-z-]*", help_of_pex()))
    text = "\n".join(line for page, line in LINES if words_of(line)[:1] == ["pex"])
    assert "--explain" in text
    assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", text)) - known == set()


def help_of_pex() -> str:
    pytest.importorskip("pex")
    asked = subprocess.run(
        [sys.executable, "-m", "pex", "--help"], capture_output=True, text=True, check=True
    )
    return asked.stdout


COMMANDS = set(command_line.list_commands(click.Context(command_line)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_prose_names_are_there(page: Path) -> None:
    named = re.findall(r"`parazip ([a-z]+)\b", page.read_text(encoding="utf-8"))
    assert set(named) - COMMANDS == set()


# The shell, with what it prints


def shown(page: str) -> list[tuple[str, str]]:
    """The commands of a page that have a prompt, and what they print below."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^    \$ (.*)\n((?: {4}(?!\$ ).*\n)*)", text, re.MULTILINE)
    return [(line, re.sub(r"^ {4}", "", printed, flags=re.MULTILINE)) for line, printed in found]


def without_figures(printed: str) -> str:
    """Times, and sizes that the codecs' versions may change, say nothing here."""
    return re.sub(r"-> .*", "-> ...", printed)


@pytest.mark.parametrize(
    ("page", "line", "printed"), [(page, *one) for page in PREPARED for one in shown(page)]
)
def test_what_is_printed(
    page: str, line: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PREPARE[page]()
    done = subprocess.run(
        [sys.executable, "-m", "parazip", *words_of(line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert without_figures(done.stdout) == without_figures(printed)


def test_a_refusal_reads_as_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare_refusals()
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.merge("all.zip", ["old.zip"])
    page = (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8")
    pattern = re.sub(r"[0-9]+", "[0-9]+", r"\s+".join(map(re.escape, str(caught.value).split())))
    assert re.search(pattern, page)
