"""An object of S3 on its way: by one request, or part by part.

A multipart upload is begun, its parts are sent under their numbers, and it is completed by the list
of those that count. Nothing of it is visible before that. A part that is sent again takes the place
of the one that had its number. An upload that is neither completed nor aborted stays, and costs
what its bytes cost.

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
import io
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

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
"""What servers say to a checksum that they do not know."""

_Answer: TypeAlias = dict[str, Any]


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
    """

    def __init__(self, system: Any, path: str, url: str, upload: str | None = None) -> None:
        self.bucket, self.key, _ = system.split_path(path)
        self.url = url
        self._system = system
        # botocore tries again, and reads a part from its beginning then; s3fs would not.
        system.retries = 1
        self._path = path
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

    def put(self, data: Buffer) -> None:
        """Makes the object by one request."""
        crc = _encode_crc(checksums.crc32(data))
        self._finish(self._start(self._ask("put_object", Body=io.BytesIO(data), ChecksumCRC32=crc)))

    def begin(self) -> str:
        """What the store calls the upload, which is begun if it was not."""
        if self._begun is None:
            self._begun = self._start(self._begin())
        return str(self._begun.result()["UploadId"])

    def send(self, number: int, data: Buffer) -> Future[SentPart]:
        """Sends a part; it has arrived when the future has its result."""
        if self._begun is None:
            self._begun = self._start(self._begin())
        crc = checksums.crc32(data)
        return self._start(self._send(number, io.BytesIO(data), crc, len(data)))

    def complete(self, parts: Sequence[SentPart]) -> None:
        """Makes the object of parts, in the order of their numbers; others do not count."""
        crc = size = 0
        for part in parts:
            crc = checksums.crc32_combine(crc, part.crc, part.size)
            size += part.size
        try:
            self._finish(self._start(self._complete(parts, crc)))
        except Exception:
            # The answer may have been lost on its way; then a second request finds no upload.
            if not self._is_there(size, crc):
                raise
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

    def _finish(self, future: Future[Any]) -> None:
        """Waits for a request, and ends it if somebody interrupts that."""
        try:
            future.result()
        finally:
            future.cancel()
        self._system.invalidate_cache(self._path)

    # In s3fs's event loop

    async def _ask(self, method: str, **arguments: Any) -> Any:
        return await self._system._call_s3(method, Bucket=self.bucket, Key=self.key, **arguments)

    async def _begin(self) -> Any:
        try:
            return await self._ask(
                "create_multipart_upload", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
            )
        except Exception as error:
            if find_code(error) not in _UNKNOWN:
                raise
            return await self._ask("create_multipart_upload")

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

    async def _complete(self, parts: Sequence[SentPart], crc: int) -> None:
        upload = await self._find_upload()
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        whole: dict[str, str] = {}
        if upload.get("ChecksumAlgorithm") == "CRC32":
            for each, part in zip(listed, parts, strict=True):
                each["ChecksumCRC32"] = _encode_crc(part.crc)
        if upload.get("ChecksumType") == "FULL_OBJECT":
            whole = {"ChecksumCRC32": _encode_crc(crc), "ChecksumType": "FULL_OBJECT"}
        await self._ask(
            "complete_multipart_upload",
            UploadId=upload["UploadId"],
            MultipartUpload={"Parts": listed},
            **whole,
        )

    def _is_there(self, size: int, crc: int) -> bool:
        """Whether the object is what it was to become; False if nobody can tell."""
        asked = self._start(self._ask("head_object", ChecksumMode="ENABLED"))
        try:
            found = asked.result()
        except Exception:
            return False
        finally:
            asked.cancel()
        facts = found.get("ContentLength"), found.get("ChecksumCRC32")
        return facts == (size, _encode_crc(crc))

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


def _encode_crc(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
