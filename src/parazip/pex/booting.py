"""How a PEX is started, and the pex that it brings along for that."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from parazip.errors import ParazipError
from parazip.extraction.extract import extract
from parazip.extraction.model import Extraction

BOOTSTRAP = ".bootstrap"
"""The folder of pex in a PEX; in a packed one, a zip of that name."""

_MOST_FIRST_LINE = 4096


@contextmanager
def unpacked_bootstrap(pex: str) -> Iterator[str]:
    """The folder of the pex that a PEX brings along.

    Left in the PEX, it would read the PEX's whole directory again for each of a dozen packages.

    Args:
        pex: its path, a file or a folder.

    Yields:
        The folder's path. It is gone at the end, unless it is the PEX's own.

    Raises:
        ParazipError: what the PEX holds cannot be read.
    """
    found = os.path.join(pex, BOOTSTRAP)
    if os.path.isdir(found):
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="parazip-") as folder:
        if os.path.isfile(found):
            extract(found, folder)
        else:
            extract(pex, folder, Extraction(members=(f"{BOOTSTRAP}/",), strip_components=1))
        yield folder


def start(
    pex: str,
    python: str | None,
    args: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Starts a PEX by its own code.

    Args:
        pex: its path.
        python: a Python to start it with; None for that of its first line.
        args: what it gets as arguments.
        environment: in which it is started.
        folder: where it is laid out, to start it from there. Its first line still counts.

    Returns:
        How it ended, with its standard output. Its standard error is that of this process.

    Raises:
        ParazipError: it cannot be started.
    """
    program = os.path.join(pex, "__main__.py") if os.path.isdir(pex) else pex
    interpreter = [python] if python else _read_interpreter(program)
    command = [*interpreter, folder or program] if interpreter else [program]
    try:
        return subprocess.run(
            [*command, *args], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    except OSError as error:
        raise ParazipError(
            f"cannot start {program}: {error.strerror or error}; name a Python with --python",
            member=pex,
        ) from error


def _read_interpreter(program: str) -> list[str]:
    """The Python that the first line of a program names; none if that is a shell, which finds one.

    A system takes all that follows the first word for one argument.
    """
    with open(program, "rb") as file:
        line = file.readline(_MOST_FIRST_LINE).strip()
    words = os.fsdecode(line[2:]).split(maxsplit=1) if line.startswith(b"#!") else []
    return words if words and os.path.basename(words[0]) != "sh" else []
