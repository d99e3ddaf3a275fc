"""Programs under Python and under `parazip run`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHEBANG_PYTHON = sys.executable if " " not in sys.executable else os.path.realpath(sys.executable)
"""This Python for a first line, which has no spaces: else the one without packages of ours."""

PARAZIP = ["-m", "parazip", "run"]

PARAZIP_RUN = [sys.executable, *PARAZIP]


def start_program(
    command: Sequence[str], cwd: Path, given: str = "given", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def compare_runs(
    cwd: Path,
    words: Sequence[str],
    options: Sequence[str] = (),
    given: str = "given",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program with and without parazip; all that can be seen from outside is the same."""
    commands = [[sys.executable, *options, *before, *words] for before in ([], PARAZIP)]
    with ThreadPoolExecutor() as side_by_side:
        python, ours = side_by_side.map(
            lambda words: start_program(words, cwd, given, env), commands
        )
    assert without_addresses(ours.stdout) == without_addresses(python.stdout)
    assert without_addresses(ours.stderr) == without_addresses(python.stderr)
    assert ours.returncode == python.returncode
    return ours


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)


OWN = ["click", "rich", "platformdirs", "pathspec", "isal", "zlib_ng", "deflate", "colorama"]
OWN += ["queue", "logging", "platform", "inspect", "dataclasses", "concurrent", "signal", "string"]
OWN += ["textwrap", "linecache", "tokenize", "ast", "dis", "copy", "gzip", "heapq", "selectors"]

IMPORTS = f"import io, zipfile, {', '.join(OWN)}\n"
IMPORTS += "".join(f"assert {name}.version == 'mine', {name}\n" for name in OWN)
IMPORTS += """
file = io.BytesIO()
with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
    for i in range(300):
        archive.writestr(str(i), b"contents" * i * 100)
    with archive.open("large", "w") as member:
        member.write(b"contents" * 1_000_000)
with zipfile.ZipFile(file) as archive:
    print(archive.testzip(), len(archive.read("large")), archive.extractall("extracted"))
print(type(archive).__module__)
"""

OURS = "parazip.dropin.zip_file"
