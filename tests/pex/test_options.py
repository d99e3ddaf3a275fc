"""The command lines of `parazip pex` and `parapex`: which options are whose."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip import SettingsError
from parazip.cli import commands as command_line
from parazip.engine.cache import Cache
from parazip.pex import command, inside, opt_in, zipper
from parazip.settings import MIB, Settings
from support.pexes import FAST, STOCK, make_sources, run_pex

pytest.importorskip("pex.common", reason="pex is not installed")

pytestmark = pytest.mark.once

PARAPEX = [sys.executable, "-c", "from parazip.__main__ import parapex; parapex()"]

ON = "--use-feature=parallel-zip"


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Any, zipper.ZipPlan]]:
    """Runs `parazip pex` with a pex that only tells its arguments; gives them, and the way."""
    told: list[Any] = []
    fast = inside.making_zips_fast

    def watched(way: zipper.ZipPlan) -> Any:
        told.append(way)
        return fast(way)

    monkeypatch.setattr(inside, "making_zips_fast", watched)
    monkeypatch.setattr(command, "load_command", lambda: lambda: told.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path))

    def call(*arguments: str) -> tuple[list[str], zipper.ZipPlan]:
        told.clear()
        with (
            command_line.parazip.make_context(
                "parazip", ["pex", "--mark=none", *arguments]
            ) as context,
            pytest.raises(SystemExit) as end,
        ):
            command_line.parazip.invoke(context)
        assert end.value.code == 0
        way, forwarded = told
        assert list(way.arguments) == forwarded
        return forwarded, way

    return call


FORWARDED: dict[str, tuple[list[str], list[str]]] = {
    "nothing": ([], []),
    "all of pex's": (["-o", "out.pex", "numpy", "-vvv"], ["-o", "out.pex", "numpy", "-vvv"]),
    "short ones with values": (["-rhello.txt", "-hx", "-j4"], ["-rhello.txt", "-hx", "-j4"]),
    "in between": (["a", "--zip-level", "9", "-o", "b", "--zip-jobs=3"], ["a", "-o", "b"]),
    "explain alone": (["--explain", "numpy", "--no-cache"], ["numpy"]),
    "explain with a value": (["--explain=json", "numpy"], ["numpy"]),
    "what begins alike": (["--exact-match", "--zip-safe"], ["--exact-match", "--zip-safe"]),
    "the feature": (["--use-feature", "parallel-zip", ON, "x"], ["x"]),
    "behind two dashes": (["--", "--zip-level", "77"], ["--", "--zip-level", "77"]),
    "two dashes twice": (["x", "--", "a", "--", "--explain"], ["x", "--", "a", "--", "--explain"]),
    "with values of its own": (["--python=3", "-D", "."], ["--python=3", "-D", "."]),
}


@pytest.mark.parametrize("case", FORWARDED)
def test_what_is_not_ours_goes_to_pex_in_its_order(
    called: Callable[..., tuple[list[str], zipper.ZipPlan]], case: str
) -> None:
    given, expected = FORWARDED[case]
    assert called(*given)[0] == expected


def test_settings_are_what_was_asked_for(
    called: Callable[..., tuple[list[str], zipper.ZipPlan]],
) -> None:
    _, way = called()
    assert way.settings == Settings()
    assert isinstance(way.cache, Cache)
    options = ["--zip-level=1", "--zip-codec=zlib", "--zip-jobs=2", "--zip-memory=64M"]
    _, way = called(*options, "--no-cache")
    assert way.settings == Settings(level=1, codec="zlib", jobs=2, memory=64 * MIB)
    assert way.cache is None
    assert not way.verify
    assert called("--verify")[1].verify


def test_pex_has_none_of_our_names(tmp_path: Path) -> None:
    theirs = set(re.findall(r"--[a-z][a-z-]*", run_pex(STOCK, "-h", root=tmp_path).stdout))
    assert {"--output-file", "--sh-boot", "--lock"} <= theirs
    ours = {name for parameter in command.pex.params for name in parameter.opts}
    assert {"--zip-level", "--explain"} <= ours
    assert not ours & theirs


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--zip-level", "0"], "0 is not in the range 1<=x<=9"),
        (["--zip-level"], "requires an argument"),
        (["--zip-codec", "brotli"], "'brotli' is not one of 'auto'"),
        (["--zip-jobs", "0"], "0 is not in the range"),
        (["--zip-memory", "lots"], "'lots' is not a size"),
        (["--zip-memory", "1K"], "memory must be 1 MiB or more"),
        (["--zip-progress", "loud"], "'loud' is not one of"),
        (["--explain=xml"], "'xml' is not one of"),
        (["--use-feature=serial-zip"], "is not 'parallel-zip'"),
    ],
    ids=" ".join,
)
def test_bad_values_are_told_before_pex_runs(tmp_path: Path, args: list[str], said: str) -> None:
    done = run_pex(FAST, "-o", "out.pex", *args, root=tmp_path / "root", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_tells_our_options_and_how_to_see_those_of_pex(tmp_path: Path) -> None:
    ours = run_pex(FAST, "--help", root=tmp_path)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert "--zip-level" in ours.stdout
    assert "-h shows them" in " ".join(ours.stdout.split())
    stock_help = run_pex(STOCK, "-h", root=tmp_path)
    theirs = run_pex(FAST, "-h", root=tmp_path)
    assert theirs.returncode == stock_help.returncode == 0
    assert "--sh-boot" in theirs.stdout
    assert "--zip-level" not in theirs.stdout


def build_by_command(
    command: list[str], folder: Path, name: str, *args: str, **more: Any
) -> tuple[Path, str]:
    sources = folder / "sources"
    if not sources.exists():
        make_sources(sources)
    pex = folder / name
    arguments = ["--no-pypi", "-D", str(sources), "-e", "app", "-o", str(pex), *args]
    done = run_pex(command, *arguments, root=folder / "root", **more)
    assert done.returncode == 0, done.stderr
    return pex, done.stderr


def test_levels_make_smaller_archives_of_what_is_not_copied(tmp_path: Path) -> None:
    sizes = []
    for level in (1, 6, 9):
        path, said = build_by_command(
            FAST, tmp_path, f"{level}.pex", "--no-cache", f"--zip-level={level}"
        )
        assert " members, " in said
        sizes.append(path.stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_no_progress_is_no_summary_either(tmp_path: Path) -> None:
    assert build_by_command(FAST, tmp_path, "quiet.pex", "--zip-progress=none")[1] == ""


def test_progress_can_be_json(tmp_path: Path) -> None:
    _, said = build_by_command(FAST, tmp_path, "json.pex", "--zip-progress", "json")
    assert said.splitlines()[-1].startswith('{"event": "done"')


def test_parapex_is_pex_until_it_is_asked_to_be_more(tmp_path: Path) -> None:
    stock_pex, _ = build_by_command(STOCK, tmp_path, "stock.pex")
    with zipfile.ZipFile(stock_pex) as archive:
        stock_names = archive.namelist()
    for name, env in [("plain", {}), ("empty", {"PARAPEX_USE_FEATURE": ""})]:
        path, said = build_by_command(PARAPEX, tmp_path, f"{name}.pex", env=env)
        assert " members" not in said
        assert path.read_bytes() == stock_pex.read_bytes()
    for name, args, env in [
        ("option", [ON], {}),
        ("two words", ["--use-feature", "parallel-zip"], {}),
        ("variable", [], {"PARAPEX_USE_FEATURE": "parallel-zip"}),
    ]:
        path, said = build_by_command(PARAPEX, tmp_path, f"{name}.pex", *args, env=env)
        assert " members" in said
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == stock_names
            assert "parallel_zip" in json.loads(archive.read("PEX-INFO"))["build_properties"]


def test_parapex_may_itself_be_a_pex(tmp_path: Path) -> None:
    """As build tools keep it that fetch pex as one file: Pants calls its `pex3` by PEX_SCRIPT."""
    if sys.prefix == sys.base_prefix:
        pytest.skip("there is no virtual environment to make it of")
    source = Path(command_line.__file__).parents[2]
    needs = ["isal", "zlib-ng", "deflate", "click", "platformdirs", "rich", "pathspec", "pex"]
    tool = tmp_path / "tool.pex"
    made = run_pex(
        [*STOCK, "-P", f"parazip@{source}", "--venv-repository", sys.prefix, *needs],
        *("-e", "parazip.__main__:parapex", "--inject-env", "PARAPEX_USE_FEATURE=parallel-zip"),
        *("-o", tool),
        root=tmp_path / "root",
    )
    if "--venv-repository" in made.stderr:
        pytest.skip("this pex cannot take a virtual environment as it is")
    assert made.returncode == 0, made.stderr
    make_sources(tmp_path / "sources")
    command = [sys.executable, str(tool)]
    args = ["-D", str(tmp_path / "sources"), "-o", str(tmp_path / "a.pex")]
    fast = run_pex(command, *args, root=tmp_path / "root")
    assert fast.returncode == 0, fast.stderr
    assert "a.pex: " in fast.stderr
    with zipfile.ZipFile(tmp_path / "a.pex") as archive:
        assert b"parallel_zip" in archive.read("PEX-INFO")
    expected = run_pex(STOCK, "--version", root=tmp_path / "root")
    pex3 = run_pex(command, "--version", root=tmp_path / "root", env={"PEX_SCRIPT": "pex3"})
    assert (pex3.returncode, pex3.stdout) == (0, expected.stdout), pex3.stderr


def test_parapex_refuses_other_features_in_its_variable(tmp_path: Path) -> None:
    env = {"PARAPEX_USE_FEATURE": "serial-zip"}
    done = run_pex(PARAPEX, "--version", root=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "parazip: PARAPEX_USE_FEATURE=serial-zip is not a feature; set it to parallel-zip, or "
        "unset it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "variable", "wanted"),
    [
        ([], "", False),
        (["-o", "x"], "parallel-zip", True),
        ([ON], "", True),
        (["a", "--use-feature", "parallel-zip"], "", True),
        (["--use-feature"], "", False),
        (["--use-feature=other"], "", False),
        (["--", ON], "", False),
        (["--use-feature", "--", "parallel-zip"], "", False),
    ],
)
def test_when_parallel_zip_is_wanted(arguments: list[str], variable: str, wanted: bool) -> None:
    environment = {"PARAPEX_USE_FEATURE": variable} if variable else {}
    assert opt_in.wants_parallel_zip(arguments, environment) == wanted


def test_another_variable_value_is_an_error() -> None:
    with pytest.raises(SettingsError, match="parallel-zip"):
        opt_in.wants_parallel_zip([], {"PARAPEX_USE_FEATURE": "1"})
