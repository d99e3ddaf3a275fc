"""Zip archives, made on all the cores of a machine.

`create` puts files and folders into an archive, `merge` what archives hold, `write` members that
are given one by one; `update` and `delete` change an archive that is there, and `push` an object of
S3. `extract` makes files of an archive's members, and `list_members` tells what they are. All
public names can be imported from here; they are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from parazip.version import __version__ as __version__

if TYPE_CHECKING:
    from parazip.dropin.patch import patch as patch
    from parazip.dropin.patch import unpatch as unpatch
    from parazip.dropin.zip_file import PyZipFile as PyZipFile
    from parazip.dropin.zip_file import ZipFile as ZipFile
    from parazip.engine.archive import create as create
    from parazip.engine.archive import merge as merge
    from parazip.engine.archive import preview as preview
    from parazip.engine.archive import preview_merge as preview_merge
    from parazip.engine.archive import write as write
    from parazip.engine.async_streaming import astream as astream
    from parazip.engine.cache import Cache as Cache
    from parazip.engine.progress import Progress as Progress
    from parazip.engine.revision import delete as delete
    from parazip.engine.revision import preview_delete as preview_delete
    from parazip.engine.revision import preview_update as preview_update
    from parazip.engine.revision import update as update
    from parazip.engine.streaming import content_length as content_length
    from parazip.engine.streaming import stream as stream
    from parazip.errors import BadArchiveError as BadArchiveError
    from parazip.errors import DateError as DateError
    from parazip.errors import DuplicateMemberError as DuplicateMemberError
    from parazip.errors import ExecutorError as ExecutorError
    from parazip.errors import MemberNameError as MemberNameError
    from parazip.errors import NoSuchMemberError as NoSuchMemberError
    from parazip.errors import NotCopiedError as NotCopiedError
    from parazip.errors import OutputError as OutputError
    from parazip.errors import ParazipError as ParazipError
    from parazip.errors import SettingsError as SettingsError
    from parazip.errors import SourceChangedError as SourceChangedError
    from parazip.errors import SourceError as SourceError
    from parazip.extraction.extract import extract as extract
    from parazip.extraction.listing import ListedMember as ListedMember
    from parazip.extraction.listing import list_members as list_members
    from parazip.extraction.model import Extraction as Extraction
    from parazip.extraction.model import ExtractReport as ExtractReport
    from parazip.model import File as File
    from parazip.model import Member as Member
    from parazip.model import Tally as Tally
    from parazip.pushing import PushReport as PushReport
    from parazip.pushing import preview_push as preview_push
    from parazip.pushing import push as push
    from parazip.settings import LeftOut as LeftOut
    from parazip.settings import Preview as Preview
    from parazip.settings import Report as Report
    from parazip.settings import Settings as Settings
    from parazip.sources.items import make_member as make_member
    from parazip.sources.selection import Selection as Selection
    from parazip.verification.faults import Fault as Fault
    from parazip.verification.profiles import PROFILES as PROFILES
    from parazip.verification.verify import VerifyReport as VerifyReport
    from parazip.verification.verify import require_sound as require_sound
    from parazip.verification.verify import verify as verify
else:
    _NAMES = {
        "engine.archive": "create merge preview preview_merge write",
        "engine.async_streaming": "astream",
        "engine.streaming": "content_length stream",
        "sources.items": "make_member",
        "engine.cache": "Cache",
        "dropin.patch": "patch unpatch",
        "dropin.zip_file": "PyZipFile ZipFile",
        "errors": "BadArchiveError DateError DuplicateMemberError ExecutorError MemberNameError "
        "NoSuchMemberError NotCopiedError OutputError ParazipError SettingsError "
        "SourceChangedError SourceError",
        "extraction.extract": "extract",
        "extraction.model": "ExtractReport Extraction",
        "extraction.listing": "ListedMember list_members",
        "model": "File Member Tally",
        "engine.progress": "Progress",
        "engine.revision": "delete preview_delete preview_update update",
        "pushing": "PushReport preview_push push",
        "settings": "LeftOut Preview Report Settings",
        "sources.selection": "Selection",
        "verification.faults": "Fault",
        "verification.profiles": "PROFILES",
        "verification.verify": "VerifyReport require_sound verify",
    }
    """The public names of each module; type checkers read them in the imports above."""

    _HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

    __all__ = sorted([*_HOMES, "__version__"])

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{home}"), name)

    def __dir__() -> list[str]:
        return __all__
