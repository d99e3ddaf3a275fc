"""Files on web servers, read by ranges.

fsspec opens the connections, and knows proxies and passwords. Its own reading of ranges is not
used: it takes a whole file for the range that was asked for, tries nothing again, and does not tell
which version of the file it got. Here:

* Each answer says which version it is from (its ETag, or when it was last changed) and how long the
  file is. Both must be what they were when the file was found. If-Match lets the server look first.
* What may be mended by waiting is asked for again, as pip does it: connections that break or are
  silent, answers cut off, 408, 429 and 5xx. Each time the pause is twice as long, or as long as the
  server wants.
* A server that gives no ranges sends the whole file. If that is not too long, it is kept for the
  reads that follow.
"""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import Future, wait
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp

from parazip.errors import SourceChangedError, SourceError
from parazip.model import Changes, File

SILENCE = 30.0
"""Seconds for which a server may send nothing."""

TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds between two tries."""

MOST_WHOLE = 64 << 20
"""The longest file that is read of a server without ranges; and bytes of such files in memory."""

_PASSING = frozenset((408, 429, 500, 502, 503, 504))
"""Answers that may be others in a moment (RFC 9110, RFC 6585)."""

_BROKEN = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


class _Answer(NamedTuple):
    """What a server answered.

    Attributes:
        status: its number and words.
        total: bytes of the whole file; -1 if that is not told.
        begin: where `data` begin in it.
        data: what came of it.
        version: what tells this version of the file from others, as far as the server says.
        mtime_ns: when it was changed, in nanoseconds since 1970; 0 if that is not told.
        pause: seconds that the server wants to be left alone.
    """

    status: tuple[int, str]
    total: int
    begin: int
    data: bytes
    version: str
    mtime_ns: int
    pause: float


class WebStore:
    """Files that fsspec's HTTP file system reaches.

    Args:
        system: that.
    """

    def __init__(self, system: Any) -> None:
        self._system = system
        self._closed = threading.Event()
        self._at_work: set[Future[_Answer]] = set()

    def close(self) -> None:
        """Ends what is being asked for, in any thread."""
        self._closed.set()
        for future in [*self._at_work]:
            future.cancel()

    def find(self, url: str, changes: Changes) -> File:
        """The file that a URL leads to. It is asked for its first byte, as HEAD is often refused.

        Raises:
            SourceError: there is none, or the server does not tell how long it is.
        """
        answer = self._ask(url, 0, 1)
        number = answer.status[0]
        if number == 416 and not answer.total:
            return File(url, 0, answer.mtime_ns, 0, 0, changes, answer.version)
        if number not in (200, 206):
            raise _explain_status(url, answer)
        if number == 200:
            _whole_files.keep(url, answer.version, answer.data)
        return File(url, answer.total, answer.mtime_ns, 0, 0, changes, answer.version)

    def fetch(self, file: File, begin: int, end: int) -> bytes:
        """The bytes of a file from `begin` to before `end`.

        Raises:
            SourceError: the server does not give them.
            SourceChangedError: the file is not what it was when it was found.
        """
        version = file.version or ""
        whole = _whole_files.find(file.path, version)
        if whole is not None:
            return whole[begin:end]
        answer = self._ask(file.path, begin, end, version if file.is_watched else "")
        number = answer.status[0]
        if number == 412:
            raise SourceChangedError.while_read(file.path, "its version (ETag) is not what it was")
        if number not in (200, 206, 416):
            raise _explain_status(file.path, answer)
        if answer.total != file.size and file.changes != "none":
            what = f"it had {file.size} bytes and has {answer.total} now"
            raise SourceChangedError.while_read(file.path, what)
        if answer.version != version and file.is_watched:
            what = f"its version was {version or 'not told'} and is {answer.version or 'not told'}"
            raise SourceChangedError.while_read(file.path, what)
        if number == 200:
            _whole_files.keep(file.path, version, answer.data)
        data = answer.data[begin - answer.begin : end - answer.begin]
        if len(data) < end - begin:
            raise SourceChangedError.while_read(file.path, f"it ends at {begin + len(data)}")
        return data

    def read_whole(self, file: File) -> bytes:
        """All bytes of a file; see `fetch`."""
        return self.fetch(file, 0, file.size) if file.size else b""

    def check(self, file: File) -> None:
        """Nothing: each answer was checked."""

    def _ask(self, url: str, begin: int, end: int, version: str = "") -> _Answer:
        """Asks until there is an answer that waiting would not change, or patience ends."""
        pause = FIRST_PAUSE
        problem = ""
        for tried in range(TRIES):
            if tried:
                self._closed.wait(min(pause, LONGEST_PAUSE))
                pause *= 2
            asked = self._start(url, begin, end, version)
            try:
                wait([asked])  # what a signal handler raises comes out here: it is not the server's
                error = asked.exception()
            finally:
                asked.cancel()
                self._at_work.discard(asked)
            if error is None:
                answer = asked.result()
                if answer.status[0] not in _PASSING:
                    return answer
                problem = _describe_status(answer)
                pause = max(pause, answer.pause)
            elif isinstance(error, TimeoutError):
                problem = f"the server was silent for {SILENCE:g} s"
            elif isinstance(error, _BROKEN):
                problem = "the connection broke off"
            elif isinstance(error, aiohttp.ClientHttpProxyError) and error.status in _PASSING:
                problem = _describe_proxy(error)
            elif isinstance(error, aiohttp.ClientConnectionError):
                problem = str(error) or type(error).__name__
            else:
                raise _explain_error(url, error) from error
        raise SourceError(
            f"cannot read {url}: {problem}, {TRIES} times in a row; try again later, or fetch the "
            "file by other means and name that",
            member=url,
        )

    def _start(self, url: str, begin: int, end: int, version: str) -> Future[_Answer]:
        asking = self._get(url, begin, end, version)
        asked = asyncio.run_coroutine_threadsafe(asking, self._system.loop)
        self._at_work.add(asked)
        if self._closed.is_set():
            asked.cancel()
        return asked

    async def _get(self, url: str, begin: int, end: int, version: str) -> _Answer:
        system = self._system
        session = await system.set_session()
        options = dict(system.kwargs)
        headers = {
            **options.pop("headers", {}),
            "Range": f"bytes={begin}-{end - 1}",
            "Accept-Encoding": "identity",  # ranges of what is compressed on the way are of no use
        }
        if version.startswith('"'):  # only a strong ETag ever matches (RFC 9110, 13.1.1)
            headers["If-Match"] = version
        if "timeout" not in system.client_kwargs:
            silence = aiohttp.ClientTimeout(None, sock_connect=SILENCE, sock_read=SILENCE)
            options.setdefault("timeout", silence)
        target = system.encode_url(url)
        async with session.get(target, headers=headers, **options) as response:
            return await _read_answer(url, response, begin, end)


async def _read_answer(url: str, response: aiohttp.ClientResponse, begin: int, end: int) -> _Answer:
    total, data = -1, b""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if response.status in (206, 416):
        if found is None or (response.status == 206 and int(found[1] or -1) != begin):
            raise SourceError(
                f"cannot read {url}: the server answers with other bytes than those that it was "
                "asked for, or does not say with which; fetch the file by other means",
                member=url,
            )
        total = int(found[3])
    if response.status == 206:
        data = await _read_at_most(response, end - begin)
        if len(data) < min(end, total) - begin:
            raise aiohttp.ClientPayloadError
    elif response.status == 200:
        if (response.content_length or 0) <= MOST_WHOLE:
            data = await _read_at_most(response, MOST_WHOLE + 1)
        if (response.content_length or len(data)) > MOST_WHOLE:
            raise SourceError(
                f"cannot read {url}: its server gives no ranges, only the whole file, and that is "
                f"longer than {MOST_WHOLE >> 20} MiB; fetch the file by other means and name that",
                member=url,
            )
        total = len(data)
        begin = 0
    changed = response.headers.get("Last-Modified", "")
    pause = response.headers.get("Retry-After", "")
    return _Answer(
        (response.status, response.reason or ""),
        total,
        begin,
        data,
        response.headers.get("ETag", changed),
        _read_date(changed),
        float(pause) if pause.isdecimal() else 0.0,
    )


async def _read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    """What a server sends, but no more than that: it is hung up on then."""
    pieces: list[bytes] = []
    async for piece in response.content.iter_any():
        pieces.append(piece[:most])
        most -= len(pieces[-1])
        if not most:
            break
    return b"".join(pieces)


def _read_date(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 10**9
    except (ValueError, OverflowError):
        return 0


def _explain_error(url: str, error: BaseException) -> BaseException:
    """What is wrong with an answer, or with a URL, that will be so again; or the error as it is."""
    match error:
        case aiohttp.NonHttpUrlRedirectClientError():
            why = f"it leads to {error}, and only http:// and https:// are followed"
        case aiohttp.InvalidUrlRedirectClientError():
            why = "it leads to what is no URL"
        case aiohttp.TooManyRedirects():
            why = "it leads from one URL to the next without end"
        case aiohttp.ClientHttpProxyError():
            why = _describe_proxy(error)
        case aiohttp.InvalidURL():
            why = "it is no URL"
        case aiohttp.ClientError() | ValueError():
            why = "the server answers with what is not HTTP"
        case _:
            return error
    return SourceError(f"cannot read {url}: {why}", member=url)


def _describe_proxy(error: aiohttp.ClientHttpProxyError) -> str:
    return f"the proxy answers {error.status} {error.message}".rstrip()


def _describe_status(answer: _Answer) -> str:
    return f"the server answers {' '.join(filter(None, map(str, answer.status)))}"


def _explain_status(url: str, answer: _Answer) -> SourceError:
    return SourceError(f"cannot read {url}: {_describe_status(answer)}", member=url)


class _WholeFiles:
    """The files last read of servers without ranges, up to `MOST_WHOLE` bytes in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], bytes] = {}

    def find(self, url: str, version: str) -> bytes | None:
        """A file, if it is kept."""
        with self._lock:
            return self._kept.get((url, version))

    def keep(self, url: str, version: str, data: bytes) -> None:
        """Keeps a file, and no more of the oldest ones than there is room for."""
        with self._lock:
            self._kept.pop((url, version), None)
            self._kept[url, version] = data
            while sum(map(len, self._kept.values())) > MOST_WHOLE:
                del self._kept[next(iter(self._kept))]


_whole_files = _WholeFiles()
