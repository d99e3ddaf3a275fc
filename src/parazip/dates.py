"""Dates as a zip archive holds them: local time, to two seconds, from 1980 to 2107.

A date is a number: MS-DOS date in the high half, time in the low half (APPNOTE 4.4.6).
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias

from parazip.errors import DateError, SettingsError
from parazip.format.records import dos_date

Timestamp: TypeAlias = Literal["keep", "epoch"] | datetime.datetime

EPOCH = datetime.datetime(1980, 1, 1)
"""The first moment that a zip archive can express."""


def date_policy(timestamp: Timestamp | None) -> Callable[[str, os.stat_result], int]:
    """The date that a file gets, as a function of its path and what `stat` says of it."""
    fixed = fixed_date(timestamp)
    if fixed is not None:
        return lambda path, info: fixed
    local_date = lru_cache(maxsize=4096)(_local_date)  # its own: programs change their time zone
    return lambda path, info: _own_date(path, local_date(info.st_mtime_ns // 1_000_000_000))


def fixed_date(timestamp: Timestamp | None) -> int | None:
    """The date that all members get; None if each keeps its own.

    Raises:
        DateError: it is not in 1980 to 2107.
        SettingsError: SOURCE_DATE_EPOCH is no number.
    """
    where = ""
    if timestamp is None:
        timestamp = _source_date_epoch() or "keep"
        where = f" (SOURCE_DATE_EPOCH={os.environ.get(_SOURCE_DATE_EPOCH)})"
    if timestamp == "keep":
        return None
    moment = EPOCH if isinstance(timestamp, str) else timestamp
    if not 1980 <= moment.year <= 2107:
        raise DateError(
            f"the date {moment:%Y-%m-%d}{where} cannot be stored: zip dates go from 1980 to 2107"
        )
    return dos_date(*moment.timetuple()[:6])


_SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"


def _source_date_epoch() -> datetime.datetime | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org) as a moment in UTC, if the environment has it."""
    text = os.environ.get(_SOURCE_DATE_EPOCH)
    if not text:
        return None
    try:
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(text))
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"SOURCE_DATE_EPOCH={text} is not a number of seconds since 1970; correct or unset it"
        ) from error


def _own_date(path: str, date: int | None) -> int:
    if date is None:
        raise DateError(
            f"the time of {path} cannot be stored: zip dates go from 1980 to 2107; "
            "set all times with --timestamp epoch or a date, or touch the file",
            member=path,
        )
    return date


def _local_date(seconds: int) -> int | None:
    try:
        moment = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return None
    return dos_date(*moment[:6]) if 1980 <= moment.tm_year <= 2107 else None
