"""A process in which libFuzzer fuzzes one target, by atheris, which counts the lines it reaches.

    python -m fuzz.child TARGET bytes|structure FOUND [libFuzzer's options and folders]

Of `bytes` libFuzzer changes archives; of `structure`, the numbers by which hypothesis makes one.
What it finds is written to the file FOUND. The memory that an input takes is bounded, too.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

with atheris.instrument_imports(include=["parazip"]):
    from fuzz import structure, targets

_ADDRESSES = 2 << 30
"""Bytes that the process may take in all: no claim makes it ask for more."""

_ALLOWED, _FACTOR = 160 << 20, 16
"""Bytes that an input may take, and for each of its own: targets read 32 MiB of contents at most,
and hold them twice to compare them."""


def main() -> None:
    """Fuzzes until libFuzzer ends."""
    name, kind, found, *options = sys.argv[1:]
    target = targets.TARGETS[name]

    def check(data: bytes) -> None:
        try:
            _check_within_bounds(target.check, data)
        except BaseException:
            Path(found).write_bytes(data)
            raise

    if os.path.isdir("/dev/shm"):
        tempfile.tempdir = "/dev/shm"
    atheris.Setup([sys.argv[0], *options], _choose_entry(kind, target, check))
    resource.setrlimit(resource.RLIMIT_AS, (_read_size("VmSize") + _ADDRESSES,) * 2)
    atheris.Fuzz()


def _choose_entry(
    kind: str, target: targets.Target, check: Callable[[bytes], None]
) -> Callable[[bytes], object]:
    if kind == "bytes":
        return check
    made = structure.make_streams(targets.SHORT) if target.of_streams else structure.make_archives()
    everything = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    test: Any = everything(given(made)(check))
    entry: Callable[[bytes], object] = test.hypothesis.fuzz_one_input
    return entry


def _check_within_bounds(check: Callable[[bytes], object], data: bytes) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _read_size("VmRSS")
    check(data)
    taken = _read_size("VmHWM") - before
    assert taken <= _ALLOWED + _FACTOR * len(data), f"{taken:,} bytes were taken"


def _read_size(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
