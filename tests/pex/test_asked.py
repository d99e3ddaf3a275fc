"""What parazip understands of pex's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.pex.asked import PexOptions, read_options

CASES: dict[str, tuple[list[str], PexOptions]] = {
    "nothing": ([], PexOptions()),
    "a requirement": (["numpy"], PexOptions()),
    "an output": (["numpy", "-o", "a.pex"], PexOptions(output="a.pex")),
    "an output joined": (["-oa.pex"], PexOptions(output="a.pex")),
    "an output in full": (["--output-file=a.pex"], PexOptions(output="a.pex")),
    "an output shortened": (["--output", "a.pex"], PexOptions(output="a.pex")),
    "the last output": (["-o", "a", "-o", "b"], PexOptions(output="b")),
    "packed": (["--layout", "packed"], PexOptions(layout="packed")),
    "loose": (["--layout=loose"], PexOptions(layout="loose")),
    "no compression": (["--no-compress"], PexOptions(compress=False)),
    "no compression, otherwise": (["--not-compressed"], PexOptions(compress=False)),
    "no compression, again": (["--no-compression"], PexOptions(compress=False)),
    "compression after all": (["--no-compress", "--compressed"], PexOptions()),
    "check": (["--check", "error"], PexOptions(check="error")),
    "compiled": (["--compile"], PexOptions(compile=True)),
    "not compiled": (["--compile", "--no-compile"], PexOptions()),
    "a preamble": (["--preamble-file", "p.py"], PexOptions(preamble="p.py")),
    "whole wheels": (["--no-pre-install-wheels"], PexOptions(wheels=True)),
    "no whole wheels": (["--no-pre-install-wheels", "--pre-install-wheels"], PexOptions()),
    "native": (["--rc"], PexOptions(native=True)),
    "native by its other names": (["--native-runtime"], PexOptions(native=True)),
    "not native": (["--pexrc", "--no-rc"], PexOptions()),
    "a seed": (["--seed", "verbose", "-o", "a"], PexOptions(more="--seed", output="a")),
    "a seed alone": (["--seed"], PexOptions(more="--seed")),
    "no seed": (["--seed=none"], PexOptions()),
    "a scie": (["--scie", "eager"], PexOptions(more="--scie")),
    "a scie by its other name": (["--par=lazy"], PexOptions(more="--scie")),
    "about a scie": (["--scie-only", "--scie-pbs-release", "1"], PexOptions()),
    "others' values": (
        ["-r", "o", "-D", "x", "-f", "--layout=packed"],
        PexOptions(layout="packed"),
    ),
    "behind two dashes": (["--", "-o", "a.pex", "--layout", "loose"], PexOptions()),
    "what does not parse": (["-o"], PexOptions()),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_for(case: str) -> None:
    arguments, expected = CASES[case]
    assert read_options(arguments) == expected


def test_arguments_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "arguments").write_text("--layout\npacked\n--no-compress\n")
    assert read_options([f"@{tmp_path}/arguments"]) == PexOptions(layout="packed", compress=False)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (PexOptions(), ""),
        (PexOptions(layout="packed", compress=False), ""),
        (PexOptions(layout="loose"), "a loose PEX is not a zip"),
        (PexOptions(wheels=True), "whole wheels are stored as they are"),
        (PexOptions(native=True, layout="loose"), "--rc makes zips of its own"),
    ],
)
def test_what_pex_does_alone(asked: PexOptions, reason: str) -> None:
    assert asked.why_left_to_pex == reason
