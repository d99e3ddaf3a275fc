"""What the strict reader refuses, by its ids.

Archives are made byte by byte (`odd_archives`), each odd in one thing. Each of the classes in which
readers are known to disagree has its variants here.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import parazip
from parazip.format.refusals import REFUSALS
from support.archive_parts import refuse_merge
from support.refused_archives import CASES, CHECKED, CHECKED_CASES, REFUSED


@pytest.mark.parametrize("check_crc", [False, True])
@pytest.mark.parametrize(("rule", "case"), CASES)
def test_what_is_wrong_is_refused_by_its_id(
    tmp_path: Path, rule: str, case: str, check_crc: bool
) -> None:
    error = refuse_merge(tmp_path, REFUSED[rule][case](), check_crc=check_crc)
    assert error.id == rule, error
    told = re.escape(f"{tmp_path}/s.zip {REFUSALS[rule].verdict}: ")
    advice = re.escape(f"; {REFUSALS[rule].advice} [{rule}]")
    assert re.fullmatch(
        rf"{told}.+ at offset \d+: expected .+, found .+{advice}", str(error), re.DOTALL
    )
    assert error.archive == str(tmp_path / "s.zip")


@pytest.mark.parametrize(("rule", "case"), CHECKED_CASES)
def test_contents_that_are_wrong_are_refused_if_they_are_checked(
    tmp_path: Path, rule: str, case: str
) -> None:
    data = CHECKED[rule][case]()
    assert refuse_merge(tmp_path, data, check_crc=True).id == rule
    output = io.BytesIO()
    parazip.merge(output, [tmp_path / "s.zip"])  # without being asked nobody looks
    assert output.getvalue()
