"""Readers that archives are made for, and what each of them does not take as it is meant.

What can be read in two ways, or is damaged, is wrong for every reader. A profile names what is
wrong for one of them besides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from parazip.errors import SettingsError
from parazip.verification.faults import RULES, Fault


class Profile(NamedTuple):
    """A reader.

    Attributes:
        reader: what it is, for people.
        rules: ids of what it refuses or takes for another thing.
    """

    reader: str
    rules: frozenset[str]


_NOT_PLAIN = frozenset({"method", "encrypted"})
_NOT_UTF8 = frozenset({"name-without-flag", "name-in-code-page"})
_ZIPIMPORT = _NOT_PLAIN | {"name-without-flag", "name-in-extra-field", "zip64-counts"}

PROFILES = {
    "zipfile": Profile(
        "Python's zipfile, and so pip",
        frozenset(
            {
                "name-without-flag",
                "name-in-extra-field",
                "folder-without-slash",
                "contents-unchecked",
            }
        ),
    ),
    "zipimport": Profile("imports by Python up to 3.12, and later ones", _ZIPIMPORT | {"zip64"}),
    "zipimport-3.13": Profile("imports by Python from 3.13 on", _ZIPIMPORT),
    "pypi": Profile(
        "the upload check of PyPI",
        _NOT_UTF8
        | {
            "prefix",
            "data-descriptor",
            "member-comment",
            "folder-twice",
            "method",
            "name-control",
            "gap",
            "local-extra-field",
            "local-zip64-field",
            "zip64-counts",
        },
    ),
    "uv": Profile(
        "uv, which reads as it downloads", _NOT_PLAIN | _NOT_UTF8 | {"prefix", "name-control"}
    ),
    "java": Profile(
        "java.util.zip.ZipFile",
        _NOT_PLAIN | {"name-in-code-page", "name-in-extra-field", "folder-without-slash"},
    ),
    "go": Profile("archive/zip of Go", _NOT_PLAIN | {"name-in-code-page", "name-in-extra-field"}),
    "macos": Profile("folders of macOS", frozenset({"name-case", "name-form"})),
    "windows": Profile(
        "folders of Windows",
        frozenset(
            {
                "name-backslash",
                "name-case",
                "name-control",
                "name-device",
                "name-ending",
                "name-windows",
            }
        ),
    ),
    "strict": Profile(
        "all readers",
        frozenset(name for name, rule in RULES.items() if rule.severity == "warning"),
    ),
}
"""By their names; docs/refusals.md says what is known of each, and from where."""


def check_profiles(names: Iterable[str]) -> frozenset[str]:
    """The ids of all rules that some profiles name.

    Raises:
        SettingsError: there is no such profile.
    """
    rules: set[str] = set()
    for name in names:
        if name not in PROFILES:
            known = ", ".join(PROFILES)
            raise SettingsError(f"there is no profile {name!r}; choose from {known}")
        rules |= PROFILES[name].rules
    return frozenset(rules)


def find_unfit(faults: Collection[Fault]) -> dict[str, tuple[str, ...]]:
    """Profiles that an archive with such faults does not fit, and why: the ids of rules."""
    errors = {fault.id for fault in faults if RULES.get(fault.id, _ERROR).severity == "error"}
    others = {fault.id for fault in faults} - errors
    unfit = {
        name: sorted(errors | (others & profile.rules))
        for name, profile in PROFILES.items()
        if name != "strict"
    }
    return {name: tuple(ids) for name, ids in unfit.items() if ids}


_ERROR = RULES["name-twice"]
"""What a strict reader refuses is an error, too."""
