"""What a command says when the archive is made and standard output takes no report of it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FULL = "/dev/full"

pytestmark = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="this system has no /dev/full"
)


@pytest.mark.parametrize("command", ["create", "merge", "update"])
def test_full_standard_output_does_not_hide_that_the_archive_is_made(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "d").mkdir()
    source = "d" if command == "merge" else "a"
    arguments = [sys.executable, "-m", "parazip", command, "--json", "a.zip", source]
    with open(FULL, "wb") as full:
        done = subprocess.run(arguments, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said == (
        "parazip: cannot write to standard output: No space left on device; a.zip is complete\n"
    )
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None
