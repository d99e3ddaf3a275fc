"""Runs a command in odd surroundings: `python tests/support/odd.py COMMAND ARGS...`

`nohup`, a cron job, a container, a careful administrator: signals ignored and blocked, no terminal,
no standard input, few open files, a strict umask, the time zone farthest from UTC, a locale without
letters, a home that is not there, a folder of temporary files with a space, and each variable set
that a program may heed. `make odd` runs the tests so.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile

IGNORED = (
    signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1
)  # fmt: skip

BLOCKED = (*IGNORED, signal.SIGPIPE, signal.SIGALRM, signal.SIGUSR2)

VARIABLES = {
    "TZ": "<+14>-14",
    "LANG": "",
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "XDG_CACHE_HOME": "/nonexistent/cache",
    "TERM": "dumb",
    "COLUMNS": "20",
    "LINES": "5",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "TTY_COMPATIBLE": "1",
    "CI": "true",
    "SOURCE_DATE_EPOCH": "1000000000",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "1",
    "PARAZIP_CACHE_DIR": "/nonexistent/parts",
    "PARAZIP_CACHE_SIZE": "1",
    "PARAZIP_NO_WARNING": "1",
    "PARAPEX_USE_FEATURE": "parallel-zip",
    "PEX_ROOT": "/nonexistent/pex",
    "PEX_VERBOSE": "3",
}


def _become_odd() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    os.close(0)


def main() -> int:
    """Runs the command; gives its exit code."""
    with tempfile.TemporaryDirectory(prefix="an odd place ") as folder:
        return subprocess.run(
            sys.argv[1:],
            check=False,
            env={**os.environ, **VARIABLES, "TMPDIR": folder},
            preexec_fn=_become_odd,
            start_new_session=True,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
