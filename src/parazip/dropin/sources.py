"""What an archive is read from: a plain file, or an object of which nothing is known."""

from __future__ import annotations

import io
import os
import stat
from typing import Any


def can_reread(file: Any) -> bool:
    """Whether bytes may be read out of their order, and twice, at no cost and with no effect.

    So it is with the standard library's own files of regular files, and with its BytesIO. Of any
    other object, a derived one too, nobody knows what reading does: it may ask a server for each
    range, count what passes, or have no way back.
    """
    kind = type(file)
    if kind is io.BytesIO:
        return True
    raw = file.raw if kind in (io.BufferedReader, io.BufferedRandom) else file
    return type(raw) is io.FileIO and not raw.closed and _is_regular(raw)


def _is_regular(raw: io.FileIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
    except OSError:
        return False
