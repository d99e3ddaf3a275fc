"""Dates as a zip archive holds them: local time, to two seconds, from 1980 to 2107.

A date is a number: MS-DOS date in the high half, time in the low half (APPNOTE 4.4.6).
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, TypeAlias

from parazip.errors import DateError, SettingsError
from parazip.format.records import pack_dos_date
from parazip.sources.findings import Findings

Timestamp: TypeAlias = Literal["keep", "clamp", "epoch"] | datetime.datetime
TIMESTAMPS = ("keep", "clamp", "epoch")
"""Those that have a name."""

EPOCH = datetime.datetime(1980, 1, 1)
"""The first moment that a zip archive can express."""

_LAST = datetime.datetime(2107, 12, 31, 23, 59, 58)

_MOVED = (
    "dates outside of 1980 to 2107, which is all that a zip archive can express, were moved to the "
    "nearest that it can (--timestamp clamp does so without a word)"
)


def make_date_policy(
    timestamp: Timestamp | None, findings: Findings | None = None
) -> Callable[[str, os.stat_result], int]:
    """The date that a file gets, as a function of its path and what `stat` says of it.

    Times before 1980 (0 is what images, stores and reproducible builds have) and after 2107 become
    the nearest date. `findings` hear of them, unless that is what was asked for.

    What "clamp" means beside SOURCE_DATE_EPOCH is what GNU tar's --clamp-mtime and dpkg do: what is
    newer becomes that moment. All dates are told in UTC then, as that moment is: else they would
    depend on the time zone, and an older one could look newer.
    """
    fixed = find_fixed_date(timestamp)
    if fixed is not None:
        return lambda path, info: fixed
    newest = _read_source_date_epoch() if timestamp == "clamp" else None
    convert = time.localtime if newest is None else time.gmtime
    date_of = lru_cache(maxsize=4096)(
        partial(_read_date, convert)
    )  # programs change their time zone
    if timestamp == "clamp":
        findings = None

    def date(path: str, info: os.stat_result) -> int:
        seconds = info.st_mtime_ns // 1_000_000_000
        if newest is not None and seconds > newest:
            seconds = newest
        date = date_of(seconds)
        if date is not None:
            return date
        if findings is not None:
            findings.caution(_MOVED, os.path.normpath(path))
        return write_date(EPOCH if seconds < _MIDDLE else _LAST)

    return date


def find_fixed_date(timestamp: Timestamp | None) -> int | None:
    """The date that all members get; None if each keeps its own.

    Raises:
        DateError: it is not in 1980 to 2107.
        SettingsError: SOURCE_DATE_EPOCH is needed and is no number.
    """
    if timestamp is None:
        seconds = _read_source_date_epoch()
        timestamp = "keep" if seconds is None else _START + datetime.timedelta(seconds=seconds)
    if timestamp in ("keep", "clamp"):
        return None
    moment = EPOCH if isinstance(timestamp, str) else timestamp
    if not 1980 <= moment.year <= 2107:
        raise DateError(
            f"the date {moment:%Y-%m-%d} cannot be stored: zip dates go from 1980 to 2107"
        )
    return write_date(moment)


_SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"


def _read_source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org), if the environment has it: seconds since 1970.

    It says how new a date may be at most, not that a format can express it: 0 and 1 are usual. So
    it is moved into the years that zip has, as build tools do.
    """
    text = os.environ.get(_SOURCE_DATE_EPOCH)
    if not text:
        return None
    try:
        seconds = int(text)
    except ValueError as error:
        raise SettingsError(
            f"SOURCE_DATE_EPOCH={text} is not a number of seconds since 1970; correct or unset it"
        ) from error
    return min(max(seconds, _count_seconds(EPOCH)), _count_seconds(_LAST))


_START = datetime.datetime(1970, 1, 1)


def _count_seconds(moment: datetime.datetime) -> int:
    return int((moment - _START).total_seconds())


_MIDDLE = _count_seconds(datetime.datetime(2043, 1, 1))
"""What cannot be expressed and is before this moment is too old, else too new."""


def write_date(moment: datetime.datetime) -> int:
    """A moment of 1980 to 2107 as a zip archive has it; its time zone does not count."""
    return pack_dos_date(*moment.timetuple()[:6])


def _read_date(convert: Callable[[int], time.struct_time], seconds: int) -> int | None:
    try:
        moment = convert(seconds)
    except (OverflowError, OSError, ValueError):
        return None
    return pack_dos_date(*moment[:6]) if 1980 <= moment.tm_year <= 2107 else None
