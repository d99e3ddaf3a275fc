"""Where an archive goes that has a name: to a file of this system, or into a store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from parazip.errors import OutputError, hide_secrets
from parazip.format.values import Buffer
from parazip.model import SentPart, Ticket
from parazip.output import existing, stream
from parazip.output.stream import Output
from parazip.sources import files

if TYPE_CHECKING:
    from parazip.output.multipart import Multipart


def open_place(
    path: str,
    standing: existing.ExistingFile | None = None,
    inspect: Callable[[str], object] | None = None,
    sync: bool = False,
) -> AbstractContextManager[Output]:
    """An output that becomes `path` when the block ends well, and vanishes when it does not.

    Args:
        path: a path or a URL.
        standing: what has to stand there until then, if not anything may; not at a URL.
        inspect: see `stream.open_replacement`.
        sync: see there. What a store has taken is safe in any case.

    Raises:
        SettingsError: it cannot be inspected or synced.
        SourceChangedError: something else stands there, and stays.
        OutputError: it cannot be written.
    """
    if files.is_url(path):
        opened: AbstractContextManager[Output] = _load_objects(path).open_object(
            path, inspect, sync
        )
        return opened
    return stream.open_replacement(path, standing, inspect, sync)


def open_multipart(url: str) -> Multipart:
    """The object of S3 at a URL, for who puts it together of what is there and what is sent.

    Raises:
        OutputError: it is no URL of S3, or there can be no object there.
    """
    if not files.is_url(url) or url.partition("://")[0] not in ("s3", "s3a"):
        name = hide_secrets(url)
        raise OutputError(
            f"cannot push to {name}: it has to be s3://bucket/name, as only S3 copies ranges of "
            "what is there; copy the archive there by other means",
            member=name,
        )
    opened: Multipart = _load_objects(url).open_multipart(url)
    return opened


def refuse_unwritable(path: str, *, inspects: bool = False, syncs: bool = False) -> None:
    """Refuses what `open_place` would refuse, as far as is known without writing anything.

    Args:
        path: a path or a URL; no store is asked.
        inspects: whether it would be read back.
        syncs: whether it would be on the disk.

    Raises:
        OutputError: there can be no archive.
        SettingsError: it cannot be read back or synced.
    """
    if files.is_url(path):
        _load_objects(path).refuse_object(path, inspects=inspects)
    else:
        stream.refuse_unwritable(path, inspects=inspects, syncs=syncs)


def refuse_at_once(path: str, *, inspects: bool) -> None:
    """Refuses, before there is any work, what `open_place` is going to refuse by the look of it."""
    if files.is_url(path):
        _load_objects(path).refuse_object(path, inspects=inspects)
    else:
        stream.resolve_output_path(path)


def send_part(ticket: Ticket, data: Buffer) -> SentPart:
    """Sends a part of an archive that somebody else writes to a store; see `objects.send_part`."""
    sent: SentPart = _load_objects(ticket.url).send_part(ticket, data)
    return sent


def _load_objects(path: str) -> Any:
    """The room that reaches stores: it imports fsspec, which most programs never need."""
    try:
        from parazip.output import objects
    except ImportError as error:
        name = hide_secrets(path)
        raise OutputError(
            f"cannot write {name}: {error.name} is missing, which reaches URLs; pip install "
            f'"parazip[remote]" gets it. If it is a file that is named so, name it ./{name}',
            member=name,
        ) from error
    return objects
