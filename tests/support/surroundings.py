"""What a process finds when it starts: the tests run in the usual surroundings wherever they are.

A shell's `nohup` and `&`, a cron job, a CI runner, a colleague's settings: each hands on signals
that are ignored or blocked, and variables that programs heed. What tests start inherits them, so
they are set once for all here. A test that is about one of them sets it itself.

What nothing here should depend on is left as it is found: time zone, umask, home, folder of
temporary files, limits, terminal. `make odd` shows that nothing does.
"""

from __future__ import annotations

import os
import re
import signal
import sys

KILLS = "PARAZIP_KILLS"
"""How `make proofs` asks for more."""

_HEEDED = re.compile(
    rf"(?!{KILLS})(PARAZIP|PARAPEX|PEX|LC)_.*|PYTHON.*|LANG|LANGUAGE|SOURCE_DATE_EPOCH|CI|COLUMNS"
    "|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR.*|TTY_COMPATIBLE|TTY_INTERACTIVE"
)

_PYTHON_IGNORES = {signal.SIGPIPE, signal.SIGXFSZ}


def make_usual() -> None:
    """Makes this process's surroundings, which those that it starts inherit, the usual ones."""
    for number in signal.valid_signals() - _PYTHON_IGNORES:
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for name in filter(_HEEDED.fullmatch, list(os.environ)):
        del os.environ[name]
    os.environ["LC_ALL"] = "C.UTF-8"
    if sys.flags.dev_mode:  # asked for the tests: so it is for what they start
        os.environ["PYTHONDEVMODE"] = "1"
        # Other people's programs use what is going to go: pex, shiv and an older pip do.
        os.environ["PYTHONWARNINGS"] = "error,ignore::ImportWarning,ignore::DeprecationWarning"
