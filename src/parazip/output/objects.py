"""What stands at a URL is made: of S3 by an `Upload`, elsewhere from front to back.

Files by `file://` are those of this system. Other stores are written to by a transaction of fsspec,
as a pipe is: what is written appears when it is committed, and is discarded otherwise. Most of
fsspec's packages cannot discard, and write over what is there at once; their stores are refused.

This room is imported when a URL is met, and fsspec with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from parazip.errors import OutputError, SettingsError, hide_secrets
from parazip.format.values import Buffer
from parazip.model import SentPart, Ticket
from parazip.output.multipart import Multipart
from parazip.output.stream import Output, Pipe, open_replacement, refuse_unwritable
from parazip.output.upload import explaining_errors, uploading
from parazip.sources import stores

_SCHEMES = frozenset(("file", "local", "s3", "s3a", "gs", "gcs", "memory"))
"""Where nothing is visible before all is there."""


@contextmanager
def open_object(
    url: str, inspect: Callable[[str], object] | None = None, sync: bool = False
) -> Iterator[Output]:
    """An output that becomes what a URL names when the block ends well, and nothing otherwise.

    What stood there before stays until then.

    Args:
        url: where.
        inspect: see `stream.open_replacement`; only a file of this system can be inspected.
        sync: see there; what a store has taken, it keeps.

    Raises:
        SettingsError: it cannot be inspected.
        OutputError: there can be nothing at that URL, or its store does not take it.
    """
    name = hide_secrets(url)
    system, path = _open_store(url, inspects=inspect is not None)
    protocols = stores.list_protocols(system)
    if "file" in protocols:
        with open_replacement(path, None, inspect, sync) as output:
            output.name = name
            yield output
    elif "s3" in protocols:
        with uploading(Multipart(system, path, url), name) as output:
            yield output
    else:
        with _in_transaction(system, path, name) as output:
            yield output


def open_multipart(url: str) -> Multipart:
    """The object of S3 at a URL, for who puts it together.

    Raises:
        OutputError: there can be no object at that URL.
    """
    return Multipart(*_open_store(url, inspects=False), url)


def refuse_object(url: str, *, inspects: bool = False) -> None:
    """Refuses what `open_object` would refuse, as far as is known without asking anybody.

    Args:
        url: where.
        inspects: whether it would be read back.
    """
    system, path = _open_store(url, inspects=inspects)
    if "file" in stores.list_protocols(system):
        refuse_unwritable(path, inspects=inspects)


def send_part(ticket: Ticket, data: Buffer) -> SentPart:
    """Sends a part of an archive that somebody else writes to a store.

    Args:
        ticket: which part of which archive.
        data: its bytes.

    Raises:
        OutputError: the store does not take it.
    """
    name = hide_secrets(ticket.url)
    with explaining_errors(name):
        sending = _join_upload(ticket.url, ticket.upload).send(ticket.number, data)
        try:
            return sending.result()
        finally:
            sending.cancel()


@lru_cache(maxsize=1)
def _join_upload(url: str, upload: str) -> Multipart:
    """An upload of somebody else's. Who sends one part sends more; each opening takes a while."""
    return Multipart(*_open_store(url, inspects=False), url, upload)


def _open_store(url: str, *, inspects: bool) -> tuple[Any, str]:
    """The file system of fsspec for a URL, and the path there."""
    name = hide_secrets(url)
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        raise OutputError(
            f"cannot write {name}: archives go to s3://, gs://, memory:// and file:// alone, as "
            "what is begun elsewhere cannot be taken back; make it here, and copy it there",
            member=name,
        )
    with explaining_errors(name):
        system, path = stores.open_own_system(url)
    protocols = stores.list_protocols(system)
    if url.endswith("/") or ("s3" in protocols and "/" not in path):
        raise OutputError(
            f"cannot write {name}: it is a folder or a bucket; name an object in it", member=name
        )
    if inspects and "file" not in protocols:
        raise SettingsError(
            f"{name} cannot be verified before it is there; leave --verify out, and verify it "
            "afterwards"
        )
    return system, path


@contextmanager
def _in_transaction(system: Any, path: str, name: str) -> Iterator[Output]:
    """An output that is written from front to back, and committed or discarded in the end."""
    with explaining_errors(name):
        transaction = system.transaction
        transaction.start()
        file = system.open(path, "wb")
    try:
        yield Output(Pipe(file, name), name)
        with explaining_errors(name):
            file.close()
    except BaseException:
        with suppress(Exception):  # the first error is the answer
            transaction.complete(commit=False)
        raise
    with explaining_errors(name):
        transaction.complete()
