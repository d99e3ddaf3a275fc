"""The mark: how a PEX says that its bytes are not those that pex alone makes of the same inputs.

A mark is made by pex's own command line, so any pex and every layout can have one. The files that
it needs, if any, lie in a temporary folder while pex runs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

from parazip.errors import SourceError
from parazip.version import __version__

MarkKind: TypeAlias = Literal["build-property", "sentinel", "none"]
MARK_KINDS: tuple[MarkKind, ...] = ("build-property", "sentinel", "none")

PROPERTY = "parallel_zip"
"""The key in the build properties of PEX-INFO."""

SENTINEL = ".parallel-zip"
"""The name of an empty file at the root of a PEX."""

SILENCE = "PARAZIP_NO_WARNING"
"""A variable: if it is set, a PEX that would warn when it starts does not."""

_WARNING = """\
def _parazip_warn():
    import os, sys
    told, pid = "_PARAZIP_WARNED", str(os.getpid())  # pex may start a PEX again in the same process
    if not os.environ.get({silence!r}) and os.environ.get(told) != pid and sys.stderr:
        os.environ[told] = pid
        sys.stderr.write({line!r})


_parazip_warn()
del _parazip_warn
"""
"""Code in front of a PEX's own. It must suit all Pythons that can start a PEX, from 2.7 on."""


def describe_mark(pex_info: dict[str, Any], has_sentinel: bool) -> str:
    """The mark of a PEX, for people."""
    properties = pex_info.get("build_properties")
    mark = properties.get(PROPERTY) if isinstance(properties, dict) else None
    if isinstance(mark, dict):
        tool, version, mode = (mark.get(key, "?") for key in ("tool", "version", "mode"))
        return f"{tool} {version}, {mode}"
    if mark:
        return str(mark)
    return SENTINEL if has_sentinel else "none"


_FIRST_WITH_PROPERTIES = (2, 74)
"""The first pex that takes build properties."""


def choose_possible(kind: MarkKind, pex_version: Sequence[int]) -> MarkKind:
    """The kind of mark to use: another one than `kind` if that pex has no build properties."""
    is_old = tuple(pex_version) < _FIRST_WITH_PROPERTIES
    return "sentinel" if kind == "build-property" and is_old else kind


@contextmanager
def mark_arguments(kind: MarkKind, mode: str, warns: bool, preamble: str) -> Iterator[list[str]]:
    """Arguments of pex that mark the PEX it makes; they are good inside the block.

    Args:
        kind: of the mark.
        mode: how its zips are made, for people.
        warns: whether the PEX also says so on standard error when it starts.
        preamble: the file whose code the user wants to run first, if any.

    Raises:
        SourceError: the preamble cannot be read.
    """
    with ExitStack() as stack:
        folder = ""
        if kind == "sentinel" or warns:  # else a kill leaves nothing behind
            made = tempfile.TemporaryDirectory(prefix="parazip-", ignore_cleanup_errors=True)
            folder = stack.enter_context(made)
        arguments = []
        if kind == "build-property":
            value = {"tool": "parazip", "version": __version__, "mode": mode}
            if warns:  # by PEX-INFO a PEX_ROOT tells PEXes apart; it does not look at preambles
                value["warns"] = "on run"
            arguments += ["--build-property", f"{PROPERTY}={json.dumps(value)}"]
        elif kind == "sentinel":
            root = os.path.join(folder, "root")
            os.mkdir(root)
            _write_file(os.path.join(root, SENTINEL), b"")
            arguments += ["--sources-directory", root]
        if warns:
            line = (
                f"parazip {__version__} has zipped this PEX, not pex alone; "
                f"{SILENCE}=1 silences this line\n"
            )
            warning = _WARNING.format(silence=SILENCE, line=line).encode()
            path = os.path.join(folder, "preamble.py")
            _write_file(path, _read_preamble(preamble) + warning)
            arguments += ["--preamble-file", path]
        yield arguments


def insert_arguments(arguments: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Arguments of pex, with `more` behind them but before any `--`, so that these count."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return (*arguments[:end], *more, *arguments[end:])


def _write_file(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _read_preamble(path: str) -> bytes:
    """The code of a preamble, up to the end of its last line."""
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read() + b"\n"
    except OSError as error:
        raise SourceError.of(path, error) from error
