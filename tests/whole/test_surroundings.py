"""Wherever the tests are started, what they start finds the usual surroundings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from support import odd, surroundings
from support.places import TESTS

ASK = """
import json, os, signal, sys
names = [number.name for number in signal.Signals]
ignored = [name for name in names if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN]
blocked = [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
kept = dict(os.environ)
print(json.dumps([ignored, blocked, kept, sys.flags.optimize, sys.getfilesystemencoding()]))
"""

START = f"""
import subprocess, sys
from support import surroundings
if sys.argv[1:]:
    surroundings.make_usual()
subprocess.run([sys.executable, "-c", {ASK!r}], check=True)
"""


def ask_in_odd_surroundings(*usual: str) -> list[Any]:
    """What a program finds that was started, in odd surroundings, by another one."""
    command = [sys.executable, "support/odd.py", sys.executable, "-E", "-c", START, *usual]
    given = {**os.environ, surroundings.KILLS: "5"}
    done = subprocess.run(command, cwd=TESTS, env=given, capture_output=True, text=True, check=True)
    told: list[Any] = json.loads(done.stdout)
    return told


def test_odd_surroundings_are_handed_on() -> None:
    ignored, blocked, kept, optimize, encoding = ask_in_odd_surroundings()
    assert {number.name for number in odd.IGNORED} <= set(ignored)
    assert {number.name for number in odd.BLOCKED} == set(blocked)
    assert kept.items() >= odd.VARIABLES.items()
    assert (optimize, encoding) == (2, "ascii")


def test_they_are_usual_again_for_what_tests_start() -> None:
    ignored, blocked, kept, optimize, encoding = ask_in_odd_surroundings("usual")
    assert set(ignored) == {signal.SIGPIPE.name, signal.SIGXFSZ.name}
    assert blocked == []
    left = {name for name in odd.VARIABLES if name in kept}
    assert left == {"TZ", "HOME", "XDG_CACHE_HOME", "TERM", "LC_ALL"}
    assert (kept["LC_ALL"], kept[surroundings.KILLS]) == ("C.UTF-8", "5")
    assert (optimize, encoding) == (0, "utf-8")


@pytest.mark.parametrize("mode", [[], ["-X", "dev"]])
def test_what_they_start_is_in_development_mode_if_they_are(mode: list[str]) -> None:
    command = [sys.executable, "-E", *mode, "-c", START, "usual"]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True)
    kept = json.loads(done.stdout)[2]
    assert kept.get("PYTHONDEVMODE") == ("1" if mode else None)
    assert kept.get("PYTHONWARNINGS", "").startswith("error") == bool(mode)
