"""What a system may refuse, by the library of `refusals.c` that is preloaded."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLD = b"something that is longer than the new archive; " * 100
"""What stands under the archive's name before."""

ERRORS = [
    errno.EPERM,
    errno.EACCES,
    errno.ENOENT,
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EBUSY,
    errno.EROFS,
    errno.ETXTBSY,
    errno.EIO,
]
"""With which file systems and sandboxes refuse a call."""

SYSTEM_CALLS = {
    "tmpfile": "tmpfile",
    "linkat": "linkat",
    "linkat, no name": "linkat tmpfile",
    "rename": "rename",
    "rename, linkat": "rename linkat",
    "unlink": "unlink truncate64",
    "fchmod": "fchmod chmod",
    "fchown": "fchown",
    "ftruncate": "ftruncate ftruncate64",
    "fsync": "fsync",
    "flock": "flock",
    "fstatvfs": "fstatvfs64",
    "copy_file_range": "copy_file_range",
    "getxattr": "getxattr",
    "utimensat": "utimensat",
    "mmap": "mmap",
    "memfd_create": "memfd_create",
    "backwards": "backwards",
    "proc": "proc",
}
"""Names for tests, and the functions of the C library that are refused."""


def make_library(folder: Path) -> Path:
    """Compiles it; skips the test where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    made, source = folder / "refusals.so", Path(__file__).with_name("refusals.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the C compiler cannot make a library: {done.stderr[:500]}")
    tried = subprocess.run(
        ["true"], env={"LD_PRELOAD": str(made), "REFUSED": ""}, capture_output=True, check=True
    )
    assert tried.stderr == b"", "it is not preloaded, and nothing would be refused"
    return made


def preload_refusals(library: Path, call: str, number: int, under: Path) -> dict[str, str]:
    """The environment of a process that is refused a call for paths that begin with `under`."""
    return {
        "LD_PRELOAD": str(library),
        "REFUSED": SYSTEM_CALLS[call],
        "REFUSED_ERROR": str(number),
        "REFUSED_UNDER": str(under),
    }
