"""Options that the documentation names are there, and those that are there are named."""

from __future__ import annotations

import re
from dataclasses import fields

import click
import pytest

from parazip import Report
from parazip.cli.change import delete, update
from parazip.cli.commands import parazip
from parazip.cli.create import create
from parazip.cli.extract import extract, list_command
from parazip.cli.merge import merge
from parazip.cli.push import push
from parazip.cli.verify import verify
from support.places import DOCS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

SECTIONS = {
    "create": (create, "The zip command"),
    "merge": (merge, "Merging archives"),
    "update": (update, "Changing archives"),
    "delete": (delete, "Changing archives"),
    "extract": (extract, "Extracting and listing"),
    "list": (list_command, "Extracting and listing"),
    "verify": (verify, "Verifying"),
    "push": (push, "Pushing archives"),
}

FOREIGN = {
    "--clamp-mtime": "GNU tar's",
    "--exclude-standard": "git's",
    "--out": "Info-ZIP's",
    "--cache-dir": "parazip's own, in front of the command",
    "--cache-size": "the same",
    "--pex-binary": "of parazip pex",
    "--layout": "of pex",
}
"""Options that the pages name, and that none of these commands has."""


def options_of(command: click.Command) -> list[click.Option]:
    """What the help page shows, but --help."""
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert shown
    return shown


def section_of_readme(title: str) -> str:
    begin = README.index(f"\n## {title}\n")
    return README[begin : README.index("\n## ", begin + 1)]


def rows_for(name: str) -> str:
    """The rows of a section's table that are about one command, where it is about two."""
    text = section_of_readme(SECTIONS[name][1])
    rows = [line for line in text.splitlines() if line.startswith("| `-")]
    others = [f"of `{other}`" for other in SECTIONS if other != name]
    return "\n".join(row for row in rows if not any(other in row for other in others))


def named_in(text: str) -> set[str]:
    """The options that stand in code, such as `-x` or `--skip special`, or in our examples."""
    code = "\n".join(re.findall(r"`[^`\n]+`|^    parazip [^|$\n]*", text, re.MULTILINE))
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", code))


@pytest.mark.parametrize("name", SECTIONS)
def test_the_readme_names_each_option_that_the_help_page_shows(name: str) -> None:
    text = rows_for(name)
    named = named_in(text)
    missing = [one.opts for one in options_of(SECTIONS[name][0]) if not named & {*one.opts}]
    assert missing == []


def test_the_readme_tells_each_choice_of_create() -> None:
    text = rows_for("create") + section_of_readme("The zip command")
    for option in options_of(create):
        if isinstance(option.type, click.Choice) and option.metavar is None:
            for choice in option.type.choices:
                assert re.search(rf"\b{re.escape(choice)}\b", text), (option.opts, choice)


@pytest.mark.parametrize("name", SECTIONS)
def test_each_option_that_a_row_of_the_readme_names_is_there(name: str) -> None:
    command = SECTIONS[name][0]
    known = {text for one in command.params for text in one.opts} | {*FOREIGN}
    rows = [line.split(" | ")[0] for line in rows_for(name).splitlines()]
    assert named_in("\n".join(rows)) - known == set()


@pytest.mark.parametrize(
    "page", ["selection.md", "recipes.md", "file-systems.md", "update.md", "levels.md"]
)
def test_each_option_that_a_page_names_is_there(page: str) -> None:
    known = {*FOREIGN, "--help", "--version"}
    for command in (create, merge, update, delete, parazip):
        known |= {text for one in command.params for text in one.opts}
    text = (DOCS / page).read_text(encoding="utf-8")
    long = {option for option in named_in(text) if option.startswith("--")}
    assert long - known == set()


def test_the_page_about_json_names_each_key_of_a_report() -> None:
    text = (DOCS / "selection.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text[text.index("## JSON") :]))
    assert {field.name for field in fields(Report)} - {"sections"} <= named
