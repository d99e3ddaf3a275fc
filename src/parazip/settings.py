"""How an archive is made, and what people hear of it: settings, reports, previews."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, SupportsIndex

from parazip.codecs.table import CODEC_NAMES, CodecName
from parazip.errors import SettingsError
from parazip.model import Member, Tally
from parazip.workers.budget import MEMORY as MEMORY

MIB = 1 << 20

LEVEL = 6
"""The level where nothing else is said, as that of zlib."""


_MOST_JOBS = 10_000
"""More than any machine has CPUs: who asks for more has mistaken what the number is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an archive is made. Only `level` and `codec` have a say in its bytes.

    Attributes:
        level: 0 (store) to 9 (smallest), one scale over all codecs.
        codec: "auto" takes the best codec for each level and kind of member.
        jobs: threads that compress; None means the CPUs that this process may use.
        memory: bytes that may be in flight at once.

    Raises:
        SettingsError: a value is out of its range.
        TypeError: a value is no whole number.
    """

    level: int = LEVEL
    codec: CodecName = "auto"
    jobs: int | None = None
    memory: int = MEMORY

    def __post_init__(self) -> None:
        _check_whole("level", "a whole number", self.level)
        _check_whole("memory", "a number of bytes", self.memory)
        if self.jobs is not None:
            _check_whole("jobs", "a whole number or None", self.jobs)
        if not 0 <= self.level <= 9:
            raise SettingsError(f"level {self.level} is not one of 0 to 9")
        if self.codec not in CODEC_NAMES:
            raise SettingsError(f"codec {self.codec!r} is not one of {', '.join(CODEC_NAMES)}")
        if self.jobs is not None and self.jobs < 1:
            raise SettingsError(f"jobs must be 1 or more, not {self.jobs}")
        if self.jobs is not None and self.jobs > _MOST_JOBS:
            raise SettingsError(f"jobs must be {_MOST_JOBS:,} at most, not {self.jobs:,}")
        if self.memory < MIB:
            raise SettingsError(f"memory must be 1 MiB or more, not {self.memory} bytes")


def _check_whole(field: str, expected: str, value: object) -> None:
    if not isinstance(value, SupportsIndex):
        raise TypeError(f"{field} is {expected}, not {value!r}")


class SectionReport(NamedTuple):
    """What was done to one section.

    Attributes:
        label: the section's.
        recalled: whether it came out of the cache.
        tallies: what was done to its members, now or when it was put into the cache.
        seconds: from the end of the section before to the end of this one.
    """

    label: str
    recalled: bool
    tallies: Mapping[str, Tally]
    seconds: float


class LeftOut(NamedTuple):
    """Something that is not put in.

    Attributes:
        name: that it would have, or its path.
        why: the option that leaves it out, or the line of an ignore file.
    """

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an archive would be made of.

    Attributes:
        members: what would be put in, in order.
        left_out: what would not be, and why, sorted by name.
        skipped: how much was left out because it could not be put in, by its kind.
        notes: what people may want to know besides, a sentence each.
        changes: where an archive would be changed, which of its members would be "added" and
            "changed", by their names; all others stay.
        deleted: how many would be taken out; they are what is `left_out` then.
    """

    members: tuple[Member, ...]
    left_out: tuple[LeftOut, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    changes: Mapping[str, str] | None = None
    deleted: int = 0

    def counts(self) -> dict[str, int]:
        """How many members would be new, and how many would be taken out."""
        changes = [*(self.changes or {}).values()]
        counts = {kind: changes.count(kind) for kind in ("added", "changed")}
        return {**counts, "deleted": self.deleted}

    @property
    def bytes_in(self) -> int:
        """Uncompressed bytes of all members."""
        return sum(member.size for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was made.

    Attributes:
        archive: where it is; "-" for an output that was handed in open.
        members: how many, folders included.
        bytes_in: uncompressed bytes of all members.
        bytes_out: size of the whole archive in bytes.
        seconds: from the first look at the sources until the archive stood under its name.
        codecs: what each codec did, by the codec's name and own level, "stored" or "copied".
        recalled: members that came out of the cache; they count under the codecs that made them.
        skipped: how much was left out because it could not be put in: "special", "dangling",
            "unreadable".
        sections: what was done to each labelled section.
        aligned: stored members whose contents begin at the multiple that was asked for.
        notes: what people may want to know besides, a sentence each.
        changes: how many members were "added", "changed" and "deleted", where an archive was
            changed.
    """

    archive: str
    members: int
    bytes_in: int
    bytes_out: int
    seconds: float
    codecs: Mapping[str, Tally] = field(default_factory=dict)
    recalled: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    sections: tuple[SectionReport, ...] = ()
    aligned: int = 0
    notes: tuple[str, ...] = ()
    changes: Mapping[str, int] | None = None


def parse_size(text: str) -> int:
    """A size such as `64M`, `1.5GiB` or `65536` in bytes; units are powers of 1,024.

    Raises:
        SettingsError: the text is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(?:i?B)?)\s*", text, re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write 64M, 1.5G or a number of bytes")
    unit = 1024 ** " KMGT".index(match[2].upper() or " ")
    size = float(match[1]) * unit
    if size >= 1 << 63:
        raise SettingsError(f"{text!r} is more than any machine has")
    return int(size)
