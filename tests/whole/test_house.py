"""The page about the architecture tells of the rooms that are there, in the linter's order."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

from support.places import DOCS, ROOT

PACKAGE = ROOT / "src" / "parazip"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = [
    contract
    for contract in PROJECT["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
]
FOLDERS = [folder for contract in CONTRACTS for folder in contract.get("containers", ["parazip"])]


def split_layers(layers: list[str]) -> list[set[str]]:
    return [set(re.findall(r"\w+", layer.replace("parazip.", ""))) for layer in layers]


def tables() -> Iterator[list[set[str]]]:
    """The first columns of all tables of rooms on the page."""
    section = PAGE.partition("\n## The rooms\n")[2].partition("\n## ")[0]
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        rows = table.splitlines()[2:]
        yield [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in rows]


def rooms_in(folder: str) -> set[str]:
    """The modules and folders in a package."""
    path = PACKAGE.joinpath(*folder.split(".")[1:])
    names = {each.stem for each in path.iterdir() if each.suffix == ".py" or each.is_dir()}
    return names - {"__init__", "__pycache__", "py"}


def test_tables_have_the_layers_of_the_linter() -> None:
    assert list(tables()) == [split_layers(contract["layers"]) for contract in CONTRACTS]


@pytest.mark.parametrize(
    ("folder", "layers"),
    [(folder, contract["layers"]) for folder, contract in zip(FOLDERS, CONTRACTS, strict=True)],
)
def test_each_room_stands_in_a_layer(folder: str, layers: list[str]) -> None:
    assert set().union(*split_layers(layers)) == rooms_in(folder)


def test_the_drawing_is_made_of_its_text_and_shows_rooms_that_are_there() -> None:
    text = (DOCS / "way-of-the-data.dot").read_text(encoding="utf-8")
    text = re.sub(r"//.*", "", text)
    drawn = ElementTree.parse(DOCS / "way-of-the-data.svg").iter("{http://www.w3.org/2000/svg}text")
    shown = {element.text for element in drawn}
    folders = re.findall(r'subgraph cluster_(\w+) \{\s*label="\w+"[;\s]([^}]*)\}', text)
    assert {"sources", "engine", "output", "workers"} <= {name for name, _ in folders}
    for folder, rooms in folders:
        assert set(re.findall(r"\w+", rooms)) <= rooms_in(f"parazip.{folder}")
    labels = {part for label in re.findall(r'label="([^"]+)"', text) for part in label.split("\\n")}
    rooms = {room for _, names in folders for room in re.findall(r"\w+", names)}
    assert shown == labels | rooms
    assert "(way-of-the-data.svg)" in PAGE
