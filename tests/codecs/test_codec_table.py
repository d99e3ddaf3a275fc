"""The table of codecs: its entries are right, and all else follows from an entry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from parazip.codecs.libraries import LIBRARIES
from parazip.codecs.table import CODEC_NAMES, CODECS, CodecName


def test_type_checkers_know_the_names_of_the_table() -> None:
    assert get_args(CodecName) == CODEC_NAMES == ("auto", *CODECS)


@pytest.mark.parametrize("name", CODECS)
def test_an_entry_says_what_its_library_can_do(name: CodecName) -> None:
    codec, library = CODECS[name], LIBRARIES[name]
    assert codec.makes_blocks is (library.block is not None)
    assert len(codec.levels) == 10
    assert list(codec.levels) == sorted(codec.levels)
    assert library.version


FIFTH = """
import sys
from parazip.codecs import table

table.CODECS["fifth"] = table.CODECS["zlib"]._replace(levels=(0, 9, 9, 9, 9, 9, 9, 9, 9, 9))
table.CODEC_NAMES += ("fifth",)
from parazip.__main__ import main

sys.argv[0] = "parazip"
main()
"""


def run_with_fifth(*arguments: str | Path) -> str:
    command = [sys.executable, "-c", FIFTH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_commands_and_their_help_take_a_codec_that_is_added(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("some text, " * 1000 * number)
    told = run_with_fifth(
        "create", tmp_path / "a.zip", "-C", tmp_path, "0.txt", "1.txt", "2.txt", "--codec", "fifth",
        "--json",
    )  # fmt: skip
    assert '"fifth 9"' in told
    assert "fifth" in run_with_fifth("create", "--help")
