"""What is told of members that are not aligned, and of options that make no sense."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from parazip.cli import commands
from parazip.errors import SettingsError
from parazip.model import Header, Member
from support.layout import DATE, DEFLATED, FILE, assert_aligned, find_members_in


def test_what_is_compressed_and_so_not_aligned_is_told(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    chosen = Selection(directory=tree, align=((64, "*.jar"), (4, "noise")))
    report = parazip.create(target, ["."], None, chosen)
    assert report.aligned == 1
    (note,) = report.notes
    assert note.startswith("compressed members are not aligned: 2 of the 3 that were to be")
    report = parazip.create(target, ["."], None, replace(chosen, store=("*.jar",)))
    assert (report.aligned, report.notes) == (3, ())


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """The command, in this process."""
    from contextlib import nullcontext

    monkeypatch.setattr(commands, "_taking_kill_for_interrupt", nullcontext)
    monkeypatch.chdir(tmp_path)

    def called(*args: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["parazip", *args])
        with pytest.raises(SystemExit) as done:
            commands.main()
        assert isinstance(done.value.code, int)
        return done.value.code, capfd.readouterr().err

    return called


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3", "power of two"),
        ("0", "power of two"),
        ("64K", "power of two"),
        ("65536:*.so", "align *.so to 65536 bytes"),
        ("9" * 10_000, "power of two"),
        ("*.so", "--align *.so is not a number of bytes"),
        ("*.so:4", "write it like 4, 64:*.npy"),
        ("4:", "--align 4: is not a number"),
        ("-4", "--align -4 is not a number"),
        ("4.5", "--align 4.5 is not a number"),
        ("", "--align  is not a number"),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("command", ["create", "merge"])
@pytest.mark.usefixtures("tree")
def test_what_nothing_can_be_aligned_to_is_told(
    call: Callable[..., tuple[int, str]], command: str, text: str, told: str
) -> None:
    code, error = call(command, f"--align={text}", "a.zip", "t")
    assert code == 2
    assert told in error
    assert not Path("a.zip").exists()


@pytest.mark.parametrize("command", ["create", "merge"])
@pytest.mark.usefixtures("tree")
def test_the_options_of_the_command(call: Callable[..., tuple[int, str]], command: str) -> None:
    top = "t/" if command == "create" else ""
    code, error = call(
        command, "--store", "*.jar", "--store=a.txt", "--align", "8", "--align=1k:lib/*:x",
        "--align", "1K:one.jar", "a.zip", "t",
    )  # fmt: skip
    assert code == 0, error
    assert "compressed members are not aligned: 2 of the 1" in error
    found = find_members_in(Path("a.zip").read_bytes())
    assert_aligned(found[f"{top}lib/one.jar"], 1024)
    assert_aligned(found[f"{top}a.txt"], 8)
    assert found[f"{top}large.txt"].method == DEFLATED
    code, error = call(command, "--align", "8", "a.zip", "t")
    assert code == 0
    assert "compressed members are not aligned: " in error
    code, error = call(command, "-q", "--align", "8", "a.zip", "t")
    assert (code, error) == (0, "")


@pytest.mark.parametrize("align", [3, -4, 1 << 16])
def test_members_that_are_told_one_by_one_are_checked_too(align: int) -> None:
    members = [Member("a", b"", FILE, DATE, False, align)]
    with pytest.raises(SettingsError, match=f"align a to {align} bytes"):
        parazip.write(io.BytesIO(), members)


def test_a_single_pattern_is_no_list() -> None:
    with pytest.raises(TypeError, match=r"store is a tuple of patterns, not the single '\*\.so'"):
        Selection(store="*.so")  # type: ignore[arg-type] # the mistake is the point
    for wrong in ((64, "*.npy"), ("64:*.npy",), ((64, 64),)):
        with pytest.raises(TypeError, match="align is a tuple of pairs such as"):
            Selection(align=wrong)  # type: ignore[arg-type] # the mistake is the point


def test_a_header_weighs_what_it_holds() -> None:
    assert len(Header(b"12345", 64)) == 5
