"""An object of S3 on its way: by one request, or part by part.

A multipart upload is begun, its parts are sent under their numbers, and it is completed by the list
of those that count. Nothing of it is visible before that. A part that is sent again takes the place
of the one that had its number. An upload that is neither completed nor aborted stays, and costs
what its bytes cost.

A part may also be bytes of the object that stands there, which S3 copies by itself. What S3 tells
of such a part is held against what the bytes should be (`CopiedPart.prove`).

The requests are s3fs's, which knows keys and endpoints. They run in its event loop, so nobody waits
for them who does not want to, and those that are given up are ended. botocore tries again what may
be mended by waiting.

S3 is told the CRC-32 of each part, and in the end that of the whole object (`FULL_OBJECT`): it
refuses the upload if what it has is anything else. Where a server does not know that, it is left
out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from parazip.codecs import checksums
from parazip.format.values import Buffer
from parazip.model import SentPart

SMALLEST_PART = 5 << 20
"""Bytes of each part but the last, at least."""

LARGEST_PART = 5 << 30

MOST_PARTS = 10_000
"""These limits are in the "Amazon S3 multipart upload limits" of its user guide."""

PATIENCE = 10.0
"""Seconds that are taken to abort an upload."""

_ABORTS = 3
"""How often an upload is aborted: a part that was on its way may arrive after the first time."""

_UNKNOWN = frozenset(("InvalidArgument", "InvalidRequest", "NotImplemented", "XNotImplemented"))
"""What servers say to a checksum, a condition or a kind of request that they do not know."""

_CHANGED = frozenset(
    ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404", "409", "412")
)
"""What servers say if another object stands there than was expected."""

_Answer: TypeAlias = dict[str, Any]


class Standing(NamedTuple):
    """An object that is there.

    Attributes:
        size: in bytes.
        etag: what the store calls its bytes.
        crc: the CRC-32 of all of them, as S3 spells it; empty if it is not known.
    """

    size: int
    etag: str
    crc: str

    def has(self, size: int, crc: int) -> bool:
        """Whether its bytes are so many, with this CRC-32; False if the store does not tell."""
        return (self.size, self.crc) == (size, _encode_crc(crc))


class Digest(NamedTuple):
    """What bytes are told by.

    Attributes:
        size: how many there are.
        crc: their CRC-32.
        md5: their MD5 in hexadecimal.
    """

    size: int
    crc: int
    md5: str

    @classmethod
    def of(cls, data: Buffer) -> Digest:
        """That of some bytes."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return cls(len(data), checksums.crc32(data), md5)


class CopiedPart(NamedTuple):
    """A part that the store has copied, or would not copy.

    Attributes:
        number: from 1 on.
        etag: what the store calls its bytes; empty if it does not copy.
        crc: their CRC-32, as S3 spells it; empty if the store does not tell.
        md5: their MD5 in hexadecimal; empty if the store does not tell.
    """

    number: int
    etag: str = ""
    crc: str = ""
    md5: str = ""

    @property
    def is_comparable(self) -> bool:
        """Whether anything is told of its bytes."""
        return bool(self.crc or self.md5)

    def prove(self, digest: Digest) -> SentPart | None:
        """The part, if all that is told of it fits these bytes; None if not, or if nothing is."""
        told = (self.crc or _encode_crc(digest.crc), self.md5 or digest.md5)
        if not self.is_comparable or told != (_encode_crc(digest.crc), digest.md5):
            return None
        return SentPart(self.number, self.etag, digest.crc, digest.size, bool(self.crc))


class Multipart:
    """An object that is being uploaded. Several threads may send its parts.

    Its methods raise what s3fs raises; `stores.as_system_error` has words for it.

    Args:
        system: s3fs's file system, and nobody else's.
        path: the object's, as that calls it.
        url: the object's.
        upload: what the store calls an upload that somebody else has begun and will complete.

    Attributes:
        bucket: where the object is to be.
        key: its name there.
        url: by which others find it.
        requests: how many were made.
    """

    def __init__(self, system: Any, path: str, url: str, upload: str | None = None) -> None:
        self.bucket, self.key, _ = system.split_path(path)
        self.url = url
        self._system = system
        # botocore tries again, and reads a part from its beginning then; s3fs would not.
        system.retries = 1
        self._path = path
        self.requests = 0
        self._condition: dict[str, str] = {}
        self._begun: Future[_Answer] | None = None
        if upload is not None:
            self._begun = Future()
            self._begun.set_result({"UploadId": upload})
        self._on_the_way: set[Future[Any]] = set()
        self._is_over = False

    @property
    def is_begun(self) -> bool:
        """Whether there is an upload."""
        return self._begun is not None

    def watch(self) -> Standing | None:
        """The object that is there, if any; from now on no other one is replaced."""
        try:
            standing = self._look()
        except FileNotFoundError:
            standing = None
        self._condition = {"IfMatch": standing.etag} if standing else {"IfNoneMatch": "*"}
        return standing

    def put(self, data: Buffer) -> None:
        """Makes the object by one request."""
        crc = checksums.crc32(data)
        self._make(self._put(data, crc), len(data), crc)

    def begin(self) -> str:
        """What the store calls the upload, which is begun if it was not."""
        return str(self._require_upload().result()["UploadId"])

    def send(self, number: int, data: Buffer) -> Future[SentPart]:
        """Sends a part; it has arrived when the future has its result."""
        self._require_upload()
        crc = checksums.crc32(data)
        return self._start(self._send(number, io.BytesIO(data), crc, len(data)))

    def copy(self, number: int, standing: Standing, begin: int, end: int) -> Future[CopiedPart]:
        """Lets a part be bytes of the object that is there; only as long as it is that one."""
        self._require_upload()
        return self._start(self._copy(number, standing.etag, begin, end))

    def complete(self, parts: Sequence[SentPart]) -> None:
        """Makes the object of parts, in the order of their numbers; others do not count."""
        crc = size = 0
        for part in parts:
            crc = checksums.crc32_combine(crc, part.crc, part.size)
            size += part.size
        self._make(self._complete(parts, crc), size, crc)
        self._begun = None

    def abort(self) -> bool:
        """Ends what is on its way, and takes the upload back; whether nothing is left of it."""
        self._is_over = True
        for future in [*self._on_the_way]:
            if future is not self._begun:
                future.cancel()
        if self._begun is None:
            return True
        ending = asyncio.run_coroutine_threadsafe(self._abort(), self._system.loop)
        try:
            return ending.result(PATIENCE)
        except Exception:
            return False
        finally:
            ending.cancel()

    def _start(self, asking: Any) -> Future[Any]:
        future = asyncio.run_coroutine_threadsafe(asking, self._system.loop)
        self._on_the_way.add(future)
        future.add_done_callback(self._on_the_way.discard)
        if self._is_over:  # a thread that was left to itself comes too late
            future.cancel()
        return future

    def _require_upload(self) -> Future[_Answer]:
        """What the store says when the upload is begun, which happens once."""
        if self._begun is None:
            self._begun = self._start(self._begin())
        return self._begun

    def _make(self, asking: Any, size: int, crc: int) -> None:
        """Lets the object appear."""
        try:
            self._wait(self._start(asking))
        except Exception:
            # The answer may have been lost on its way; then a second request is refused.
            if not self._is_there(size, crc):
                raise
        self._system.invalidate_cache(self._path)

    def _wait(self, future: Future[Any]) -> Any:
        """The answer to a request, which is ended if somebody interrupts that."""
        try:
            return future.result()
        finally:
            future.cancel()

    # In s3fs's event loop

    async def _ask(self, method: str, **arguments: Any) -> Any:
        self.requests += 1
        return await self._system._call_s3(method, Bucket=self.bucket, Key=self.key, **arguments)

    async def _ask_more(self, method: str, more: dict[str, str], **arguments: Any) -> Any:
        """Asks with arguments that not every server knows, or without them."""
        try:
            return await self._ask(method, **arguments, **more)
        except Exception as error:
            if not more or find_code(error) not in _UNKNOWN:
                raise
            if "Body" in arguments:  # which was read to its end
                arguments["Body"].seek(0)
            return await self._ask(method, **arguments)

    async def _put(self, data: Buffer, crc: int) -> None:
        body, checksum = io.BytesIO(data), _encode_crc(crc)
        await self._ask_more("put_object", self._condition, Body=body, ChecksumCRC32=checksum)

    async def _begin(self) -> Any:
        checksum = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
        return await self._ask_more("create_multipart_upload", checksum)

    async def _find_upload(self) -> _Answer:
        """What the server said when the upload was begun."""
        assert self._begun is not None
        return await asyncio.shield(asyncio.wrap_future(self._begun))

    async def _send(self, number: int, body: io.BytesIO, crc: int, size: int) -> SentPart:
        upload = await self._find_upload()
        answer = await self._ask(
            "upload_part",
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=body,
            ChecksumCRC32=_encode_crc(crc),
        )
        return SentPart(number, answer["ETag"], crc, size)

    async def _copy(self, number: int, etag: str, begin: int, end: int) -> CopiedPart:
        upload = await self._find_upload()
        try:
            answer = await self._ask(
                "upload_part_copy",
                UploadId=upload["UploadId"],
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": self.key},
                CopySourceRange=f"bytes={begin}-{end - 1}",
                CopySourceIfMatch=etag,
            )
        except Exception as error:
            if find_code(error) not in _UNKNOWN:
                raise
            return CopiedPart(number)
        told = answer["CopyPartResult"]
        md5 = "" if _hides_md5(answer) else told["ETag"].strip('"')
        is_md5 = re.fullmatch("[0-9a-f]{32}", md5)
        return CopiedPart(
            number, told["ETag"], told.get("ChecksumCRC32", ""), md5 if is_md5 else ""
        )

    async def _complete(self, parts: Sequence[SentPart], crc: int) -> None:
        upload = await self._find_upload()
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        whole: dict[str, str] = {}
        if upload.get("ChecksumAlgorithm") == "CRC32":
            for each, part in zip(listed, parts, strict=True):
                if part.is_told:
                    each["ChecksumCRC32"] = _encode_crc(part.crc)
        if upload.get("ChecksumType") == "FULL_OBJECT":
            whole = {"ChecksumCRC32": _encode_crc(crc), "ChecksumType": "FULL_OBJECT"}
        await self._ask_more(
            "complete_multipart_upload",
            self._condition,
            UploadId=upload["UploadId"],
            MultipartUpload={"Parts": listed},
            **whole,
        )

    def _look(self) -> Standing:
        """The object that is there; raises FileNotFoundError if there is none."""
        found = self._wait(self._start(self._ask("head_object", ChecksumMode="ENABLED")))
        return Standing(found["ContentLength"], found["ETag"], found.get("ChecksumCRC32", ""))

    def _is_there(self, size: int, crc: int) -> bool:
        """Whether the object is what it was to become; False if nobody can tell."""
        try:
            return self._look().has(size, crc)
        except Exception:
            return False

    async def _abort(self) -> bool:
        try:
            upload = (await self._find_upload())["UploadId"]
        except Exception:  # it was never begun
            return True
        for _ in range(_ABORTS):
            with suppress(FileNotFoundError):
                await self._ask("abort_multipart_upload", UploadId=upload)
            try:
                await self._ask("list_parts", UploadId=upload)
            except (FileNotFoundError, PermissionError):
                return True
        return False


def find_code(error: BaseException) -> str:
    """The code of S3 for what s3fs raised; empty if it is not known."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def is_of_change(error: BaseException) -> bool:
    """Whether s3fs raised an error because another object stands there than was expected."""
    return find_code(error) in _CHANGED


def _hides_md5(answer: _Answer) -> bool:
    """Whether the ETag of a part is not the MD5 of its bytes, as these are encrypted."""
    how = answer.get("ServerSideEncryption", "")
    return how.startswith("aws:kms") or "SSECustomerAlgorithm" in answer


def _encode_crc(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
