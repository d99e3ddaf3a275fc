"""Zip archives, made on all the cores of a machine.

`create` puts files and folders into an archive, `merge` what archives hold, `write` members that
are told one by one; `update` and `delete` change an archive that is there. All
public names can be had from here; they are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from parazip.version import __version__

if TYPE_CHECKING:
    from parazip.archive import create, merge, preview, preview_merge, write
    from parazip.cache import Cache
    from parazip.dropin.patch import patch, unpatch
    from parazip.dropin.zip_file import PyZipFile, ZipFile
    from parazip.errors import (
        BadArchiveError,
        DateError,
        DuplicateMemberError,
        MemberNameError,
        NoSuchMemberError,
        NotCopiedError,
        OutputError,
        ParazipError,
        SettingsError,
        SourceChangedError,
        SourceError,
    )
    from parazip.model import File, Member, Tally
    from parazip.progress import Progress
    from parazip.revision import delete, preview_delete, preview_update, update
    from parazip.selection import Selection
    from parazip.settings import LeftOut, Preview, Report, Settings

_HOME = {
    "create": "archive",
    "merge": "archive",
    "preview": "archive",
    "preview_merge": "archive",
    "write": "archive",
    "delete": "revision",
    "preview_delete": "revision",
    "preview_update": "revision",
    "update": "revision",
    "PyZipFile": "dropin.zip_file",
    "ZipFile": "dropin.zip_file",
    "patch": "dropin.patch",
    "unpatch": "dropin.patch",
    "BadArchiveError": "errors",
    "Cache": "cache",
    "NoSuchMemberError": "errors",
    "NotCopiedError": "errors",
    "DateError": "errors",
    "DuplicateMemberError": "errors",
    "MemberNameError": "errors",
    "OutputError": "errors",
    "ParazipError": "errors",
    "SettingsError": "errors",
    "SourceChangedError": "errors",
    "SourceError": "errors",
    "File": "model",
    "LeftOut": "settings",
    "Member": "model",
    "Preview": "settings",
    "Report": "settings",
    "Settings": "settings",
    "Tally": "model",
    "Progress": "progress",
    "Selection": "selection",
}

__all__ = [
    "BadArchiveError",
    "Cache",
    "DateError",
    "DuplicateMemberError",
    "File",
    "LeftOut",
    "Member",
    "MemberNameError",
    "NoSuchMemberError",
    "NotCopiedError",
    "OutputError",
    "ParazipError",
    "Preview",
    "Progress",
    "PyZipFile",
    "Report",
    "Selection",
    "Settings",
    "SettingsError",
    "SourceChangedError",
    "SourceError",
    "Tally",
    "ZipFile",
    "__version__",
    "create",
    "delete",
    "merge",
    "patch",
    "preview",
    "preview_delete",
    "preview_merge",
    "preview_update",
    "unpatch",
    "update",
    "write",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
