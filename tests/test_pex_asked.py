"""What parazip understands of pex's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.pex.asked import Asked, read_options

CASES: dict[str, tuple[list[str], Asked]] = {
    "nothing": ([], Asked()),
    "a requirement": (["numpy"], Asked()),
    "an output": (["numpy", "-o", "a.pex"], Asked(output="a.pex")),
    "an output joined": (["-oa.pex"], Asked(output="a.pex")),
    "an output in full": (["--output-file=a.pex"], Asked(output="a.pex")),
    "an output shortened": (["--output", "a.pex"], Asked(output="a.pex")),
    "the last output": (["-o", "a", "-o", "b"], Asked(output="b")),
    "packed": (["--layout", "packed"], Asked(layout="packed")),
    "loose": (["--layout=loose"], Asked(layout="loose")),
    "no compression": (["--no-compress"], Asked(compress=False)),
    "no compression, otherwise": (["--not-compressed"], Asked(compress=False)),
    "no compression, again": (["--no-compression"], Asked(compress=False)),
    "compression after all": (["--no-compress", "--compressed"], Asked()),
    "check": (["--check", "error"], Asked(check="error")),
    "compiled": (["--compile"], Asked(compile=True)),
    "not compiled": (["--compile", "--no-compile"], Asked()),
    "a preamble": (["--preamble-file", "p.py"], Asked(preamble="p.py")),
    "whole wheels": (["--no-pre-install-wheels"], Asked(wheels=True)),
    "no whole wheels": (["--no-pre-install-wheels", "--pre-install-wheels"], Asked()),
    "native": (["--rc"], Asked(native=True)),
    "native by its other names": (["--native-runtime"], Asked(native=True)),
    "not native": (["--pexrc", "--no-rc"], Asked()),
    "a seed": (["--seed", "verbose", "-o", "a"], Asked(more="--seed", output="a")),
    "a seed alone": (["--seed"], Asked(more="--seed")),
    "no seed": (["--seed=none"], Asked()),
    "a scie": (["--scie", "eager"], Asked(more="--scie")),
    "a scie by its other name": (["--par=lazy"], Asked(more="--scie")),
    "about a scie": (["--scie-only", "--scie-pbs-release", "1"], Asked()),
    "others' values": (
        ["-r", "o", "-D", "x", "-f", "--layout=packed"],
        Asked(layout="packed"),
    ),
    "behind two dashes": (["--", "-o", "a.pex", "--layout", "loose"], Asked()),
    "what does not parse": (["-o"], Asked()),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_for(case: str) -> None:
    arguments, expected = CASES[case]
    assert read_options(arguments) == expected


def test_arguments_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "arguments").write_text("--layout\npacked\n--no-compress\n")
    assert read_options([f"@{tmp_path}/arguments"]) == Asked(layout="packed", compress=False)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Asked(), ""),
        (Asked(layout="packed", compress=False), ""),
        (Asked(layout="loose"), "a loose PEX is no zip"),
        (Asked(wheels=True), "whole wheels are stored as they are"),
        (Asked(native=True, layout="loose"), "--rc makes zips of its own"),
    ],
)
def test_what_pex_does_alone(asked: Asked, reason: str) -> None:
    assert asked.untouched == reason
