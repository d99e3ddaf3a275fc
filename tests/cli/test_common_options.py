"""How the options of commands reach what the commands call."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import click
import pytest

from parazip import Selection, Settings
from parazip.cli.change import delete, update
from parazip.cli.create import create
from parazip.cli.merge import merge
from parazip.cli.options import CommonOptions

COMMANDS = {"create": create, "merge": merge, "update": update, "delete": delete}

DEFAULTS: dict[str, Any] = {"progress": "none", "quiet": False, "dry_run": False, "as_json": False}


def field_names(*kinds: type[CommonOptions | Selection | Settings]) -> list[str]:
    return [field.name for kind in kinds for field in fields(kind)]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_a_field_or_a_parameter_of_its_command(name: str) -> None:
    command = COMMANDS[name]
    assert command.callback is not None
    parameters = set(inspect.signature(command.callback).parameters)
    taken = {*field_names(CommonOptions, Selection, Settings), *parameters}
    names = {one.name for one in command.params if one.expose_value}
    assert names - taken == set()


def test_no_two_fields_have_one_name() -> None:
    names = field_names(CommonOptions, Selection, Settings)
    assert len(names) == len(set(names))


def test_values_reach_the_fields_of_their_names() -> None:
    with click.Context(create):
        common = CommonOptions.read({**DEFAULTS, "ignore": True, "jobs": 3, "shebang": "python"})
    assert common.selection == Selection(ignore=True)
    assert common.settings == Settings(jobs=3)
    assert common.shebang == "python"


def test_a_value_that_no_field_takes_is_refused() -> None:
    with click.Context(create), pytest.raises(TypeError, match="colour"):
        CommonOptions.read({**DEFAULTS, "colour": "red"})
