"""What the figures were measured on: without it they say little."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import zlib
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("parazip", "isal", "zlib-ng", "deflate", "pex")


def describe() -> dict[str, str]:
    """Machine, versions and date, by what they are."""
    about = {
        "CPU": _cpu(),
        "cores": str(_cores()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    about |= {name: _version(name) for name in _LIBRARIES}
    about["Info-ZIP zip"] = _info_zip()
    about["date"] = datetime.date.today().isoformat()
    return about


def headline() -> str:
    """The same in one line."""
    return ", ".join(f"{what} {value}" for what, value in describe().items())


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def _cores() -> int:
    """The cores that this process, and so what it starts, may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _info_zip() -> str:
    if shutil.which("zip") is None:
        return "none"
    told = subprocess.run(["zip", "-v"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"This is Zip (\S+)", told)
    return match[1] if match else "unknown"
