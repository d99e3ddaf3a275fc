"""Runs the fuzzing of a target in processes of its own, and tells what came of it."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fuzz import seeds, targets

KINDS = ("bytes", "structure")
"""What is changed: an archive's bytes, or the fields of its records."""

_WHEELS = ("iniconfig", "six", "pluggy", "typing-extensions", "toml", "idna")
"""Small ones, by several build backends."""

_CHOICES, _STRUCTURES = 2000, 200
"""Bytes that hypothesis makes an archive of at first, and how many archives."""

_TOKENS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"up", seeds.MARK)
_SLOW = 60
"""Seconds after which an input is told of as one that hangs."""

_BY_LIBFUZZER = "-by-libfuzzer-"
"""In the name of what libFuzzer ended with: an archive, or the choices of which one was made."""

_ENDED_BY_FINDING = (70, 71, 76, 77)


class Outcome(NamedTuple):
    """What came of fuzzing a target in one way.

    Attributes:
        target: its name.
        kind: the way; one of `KINDS`.
        executions: how many inputs were tried.
        seconds: how long.
        edges: that were reached; libFuzzer's `cov`.
        corpus: inputs that reached something new, seeds among them.
        new: those that are no seeds.
        found: what is told of an input that shows a fault, if there is one; the archive itself is
            the file beside it without a suffix, unless the process could not tell any more.
    """

    target: str
    kind: str
    executions: int
    seconds: int
    edges: int
    corpus: int
    new: int
    found: Path | None


def fetch_wheels(folder: Path) -> str:
    """Downloads some wheels, once; tells why not, if it cannot."""
    if list(folder.glob("*.whl")):
        return ""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    done = subprocess.run([*command, *_WHEELS], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()[-300:]


def fuzz_target(name: str, kind: str, seconds: int, folder: Path) -> Outcome:
    """Fuzzes a target in one way.

    Args:
        name: a key of `TARGETS`.
        kind: one of `KINDS`.
        seconds: how long.
        folder: keeps what was found, and what reaches something new, from one run to the next.
    """
    corpus, found = folder / f"corpus-{name}-{kind}", folder / f"found-{name}-{kind}"
    corpus.mkdir(parents=True, exist_ok=True)
    report = found.with_suffix(".txt")
    for path in found, report:
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{found.name}{_BY_LIBFUZZER}*"):  # what the last run ended with
        _plant(corpus, {path.name: path.read_bytes()})
        path.unlink()
    if kind == "bytes":
        of_streams = targets.TARGETS[name].of_streams
        made = seeds.make_streams(targets.SHORT) if of_streams else seeds.make_archives()
        _plant(corpus, made if of_streams else made | seeds.find_wheels(folder / "wheels"))
    else:
        _plant(corpus, {str(i): random.Random(i).randbytes(_CHOICES) for i in range(_STRUCTURES)})
    tokens = folder / "tokens"
    tokens.write_text("".join(f'"{_spell(token)}"\n' for token in _TOKENS))
    before, began = len(os.listdir(corpus)), time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fuzz.child", name, kind, str(found)),
            *(f"-max_total_time={seconds}", f"-timeout={_SLOW}", f"-max_len={seeds.MOST}"),
            *("-len_control=0", "-rss_limit_mb=4096", "-print_final_stats=1", f"-dict={tokens}"),
            *(f"-artifact_prefix={found}{_BY_LIBFUZZER}", str(corpus)),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "MALLOC_ARENA_MAX": "2", "PARAZIP_HELPERS": "0"},
        check=False,
    )
    if done.returncode not in (0, *_ENDED_BY_FINDING):
        raise RuntimeError(f"fuzzing of {name} ended by {done.returncode}: {done.stderr[-2000:]}")
    if done.returncode:
        report.write_text(done.stdout + done.stderr)
    numbers = re.findall(r"cov: (\d+) .* corp: (\d+)/", done.stderr) or [("0", "0")]
    return Outcome(
        name,
        kind,
        _find_number(r"stat::number_of_executed_units: (\d+)", done.stderr),
        round(time.monotonic() - began),
        int(numbers[-1][0]),
        int(numbers[-1][1]),
        len(os.listdir(corpus)) - before,
        report if done.returncode else None,
    )


def _plant(folder: Path, files: Mapping[str, bytes]) -> None:
    for data in files.values():
        (folder / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)


def _spell(token: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in token)


def _find_number(pattern: str, text: str) -> int:
    numbers = re.findall(pattern, text)
    return int(numbers[-1]) if numbers else 0
