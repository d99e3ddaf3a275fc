"""What cannot be run here: workflows and forms are YAML, and what they name is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from support.places import ROOT

yaml = pytest.importorskip("yaml")

WORKFLOWS = ROOT / ".github" / "workflows"

FILES = [ROOT / ".pre-commit-config.yaml", *sorted((ROOT / ".github").rglob("*.yml"))]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(workflow: str) -> dict[str, Any]:
    found = load(WORKFLOWS / workflow)["jobs"]
    assert isinstance(found, dict)
    return found


def scripts() -> list[str]:
    """What the steps of all workflows run."""
    steps = [
        step
        for path in sorted(WORKFLOWS.glob("*.yml"))
        for job in jobs(path.name).values()
        for step in job["steps"]
    ]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    return [step["run"] for step in steps if "run" in step]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_yaml(path: Path) -> None:
    assert isinstance(load(path), dict)


def test_what_workflows_make_can_be_made() -> None:
    asked = {name for script in scripts() for name in re.findall(r"\bmake ([a-z-]+)", script)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"unit", "pexes", "coverage", "odd"} <= asked
    for name in asked:
        assert re.search(rf"^{name}( [a-z-]+)*:", makefile, re.MULTILINE), name


def test_files_that_workflows_and_forms_name_are_there() -> None:
    assert any(script.startswith(".ci/run") for script in scripts())
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    named = re.findall(r"(?<![\w/])(\.ci/\w+|[A-Z]+\.md|pyproject\.toml)\b", text)
    assert "SECURITY.md" in named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_jobs_that_wait_wait_for_jobs_that_are_there() -> None:
    for path in WORKFLOWS.glob("*.yml"):
        for job in jobs(path.name).values():
            assert job.get("needs", next(iter(jobs(path.name)))) in jobs(path.name)


def test_three_systems_and_each_python_are_tried() -> None:
    matrix = jobs("ci.yml")["unit"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    classified = {name.rpartition(" ")[2] for name in project["classifiers"] if ":: 3." in name}
    assert classified | {"3.14", "3.14t"} == {*matrix["python"]}


def test_the_release_is_named_as_the_page_about_it_says() -> None:
    page = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    publish = jobs("release.yml")["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert f"environment `{publish['environment']}`" in re.sub(r"\s+", " ", page)
