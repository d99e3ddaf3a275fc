"""The codecs: one scale of levels over four libraries, CRC-32 and its combination.

No other room imports a codec library. A member is compressed in one of two ways:

* **whole**: one call, one finished deflate stream. libdeflate is best at this; it has no
  streaming and no dictionary, so it can do nothing else.
* **by blocks**: the member is cut, each piece is compressed by itself and the pieces are joined.
  Two things make the joined bytes one valid deflate stream (RFC 1951). Each block but the last
  ends with a sync flush, an empty stored block that brings the stream to a byte boundary without
  ending it, so the next block can simply follow. And each block but the first is given the
  32 KiB of input that stand before it as a dictionary: the decoder has just produced those
  bytes, so matches may reach back into them and hardly any compression is lost by cutting.
  The CRC-32 of the member comes from the blocks' by `crc32_combine`.

Every `RESTART` bytes there is no dictionary: the stream begins afresh there, so that what stands
between two restarts, a *stretch*, can be inflated by itself, and a large member on all cores. More
empty stored blocks mark the place. A mark proves nothing, as contents may hold the same bytes;
`inflate_stretch` does.

ISA-L's levels 1 and 2 need a crutch. At the start of a stream without a dictionary their x86 code
enters the third byte into its hash table under a value that it reads from a register nobody has
set (`write_first_byte` in `igzip_icf_body_h1_gr_bt.asm`, ISA-L 2.31). One stream in some ten
thousand comes out a byte longer or shorter on another thread: valid, but not the same bytes. With
a dictionary that code is not reached. So the first byte of such a stream goes into a stored block
written here, and is the dictionary of the rest: six bytes for streams that are always the same.

The scale was measured on the workloads (`docs/levels.md`): for each level, the pair of coders that
gives its size in the least time.
"""

from __future__ import annotations

import io
import os
import platform
import zlib
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import deflate
import isal
from isal import isal_zlib
from zlib_ng import zlib_ng

from parazip.model import (
    DEFLATE_STORED,
    DEFLATED,
    STORE,
    STORED,
    Buffer,
    CodecName,
    Coder,
    Recipe,
)

WINDOW = 32 << 10
"""Bytes that a deflate match can reach back (RFC 1951, section 2)."""

BLOCK = 1 << 20
"""Bytes in a block. At 1 MiB sync flushes and cold Huffman tables cost 0.01 % of the size."""

RESTART = 8 << 20
"""Bytes from one restart to the next, a multiple of `BLOCK`. Costs 0.02 % of the size."""

_RESTARTS = 5 * b"\0\0\0\xff\xff"

SYNC_MARKER = _RESTARTS[1:5] + _RESTARTS
"""How a stretch ends: a sync flush's end, and empty stored blocks (RFC 1951, 3.2.4).

One would do; but what is three times as long is found in a third of the time.
"""

CUT_FAST = BLOCK
CUT_SMALL = 16 << 20
"""libdeflate makes whole members smaller than any codec makes blocks: up to here it pays."""

_SAMPLES = 3
_SAMPLE = 16 << 10
_SAMPLER = Coder("isal", 1)
_SHRINKS = 0.99

_MEMORY = {"zlib": 9, "zlib-ng": 9, "isal": 8}
"""memLevel: 9 makes zlib-ng 5 % faster for 0.2 % of size; ISA-L gains less and loses more."""

crc32: Callable[..., int] = isal_zlib.crc32
crc32_combine: Callable[[int, int, int], int] = isal_zlib.crc32_combine


class _Stream(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class _Decompress(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, most: int = 0, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _isal_whole(data: Buffer, level: int) -> bytes:
    if level > _ISAL_CRUTCH:
        return isal_zlib.compress(data, level, _RAW)
    return b"".join(_isal_start(data, level, zlib.Z_FINISH))


def _isal_start(data: Buffer, level: int, flush: int) -> tuple[Buffer, ...]:
    """The start of a stream whose first byte stands in a stored block (RFC 1951, 3.2.4)."""
    view = memoryview(data)
    first = bytes(view[:1])
    stream = isal_zlib.compressobj(level, zlib.DEFLATED, _RAW, zdict=first)
    return _STORED_BYTE, first, stream.compress(view[1:]), stream.flush(flush)


_RAW = -15
_ISAL_CRUTCH = 2
_STORED_BYTE = b"\0\1\0\xfe\xff"

_WHOLE: dict[str, Callable[[Buffer, int], Buffer]] = {
    "zlib": lambda data, level: zlib.compress(data, level, _RAW),
    "zlib-ng": lambda data, level: zlib_ng.compress(data, level, _RAW),
    "isal": _isal_whole,
    "libdeflate": deflate.deflate_compress,
}

_STREAM: dict[str, Callable[..., _Stream]] = {
    "zlib": zlib.compressobj,
    "zlib-ng": zlib_ng.compressobj,
    "isal": isal_zlib.compressobj,
}


def compress_whole(coder: Coder, data: Buffer) -> Buffer:
    """`data`, at least one byte, as one finished raw deflate stream (RFC 1951)."""
    return _WHOLE[coder.codec](data, coder.level)


def compress_or_store(coder: Coder, data: Buffer) -> tuple[int, Buffer]:
    """Method and bytes of a member that is made of `data`: what does not shrink is stored.

    Not so where it is to be as zipfile makes it: that deflates all, even nothing.
    """
    size = len(data)
    if coder.codec == ZIPFILE:
        stream = ZipfileStream()
        return DEFLATED, stream.compress(data) + stream.flush()
    if not size or coder == STORE:
        return STORED, data
    if size >= 2 * SAMPLED:
        view = memoryview(data)
        if not looks_compressible(size, lambda start, length: view[start : start + length]):
            return STORED, data
    packed = compress_whole(coder, data)
    return (DEFLATED, packed) if len(packed) < size else (STORED, data)


def deflate_whole(coder: Coder, chunks: Sequence[bytes]) -> Buffer:
    """A member's contents as one raw deflate stream, even where that makes them no smaller.

    zlib gets them in the `chunks` in which they came, so that its stream is to the byte what
    `zipfile` makes of the same calls, whatever stands in for zlib.
    """
    if coder.codec == "zlib":
        stream = zlib.compressobj(coder.level, zlib.DEFLATED, _RAW)
        return b"".join([*map(stream.compress, chunks), stream.flush()])
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if not data:
        return _EMPTY
    size = len(data)
    if size >= 2 * SAMPLED and not looks_compressible(
        size, lambda at, length: data[at : at + length]
    ):
        coder = DEFLATE_STORED
    return compress_whole(coder, data)


_EMPTY = b"\3\0"
"""A last block with fixed codes in which the end of the block is all (RFC 1951, 3.2.6)."""


class ZipfileStream:
    """A raw deflate stream that is to the byte what `zipfile` makes of the same contents.

    They go to the running Python's own zlib, in bites of the size in which a program gets them
    from a file: zlib's output does not depend on that, but nobody promises it of zlib's stand-ins.
    """

    def __init__(self) -> None:
        self._stream = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _RAW)

    def compress(self, data: Buffer) -> bytes:
        """What the stream goes on with when `data` come next; often nothing yet."""
        view = memoryview(data)
        bite = io.DEFAULT_BUFFER_SIZE
        return b"".join(
            [self._stream.compress(view[i : i + bite]) for i in range(0, len(view), bite)]
        )

    def flush(self) -> bytes:
        """The end of the stream."""
        return self._stream.flush()


def compress_block(
    coder: Coder, window: Buffer, data: Buffer, start: int, last: bool
) -> tuple[Buffer, ...]:
    """`data` as a piece of a raw deflate stream, itself in pieces.

    Args:
        coder: a codec that streams, so not libdeflate.
        window: the up to 32 KiB before `data`; without it the block begins afresh.
        data: the block; at least one byte, unless it is the last.
        start: where in the member the block begins, in bytes.
        last: whether the stream ends here; otherwise it goes on after a sync flush.
    """
    if coder == STORE:
        return (bytes(data),)
    if not data:
        return (_EMPTY,)
    flush = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
    end = b"" if last or (start + len(data)) % RESTART else _RESTARTS
    codec, level = coder
    make = _STREAM[codec]
    if start % RESTART and window:
        stream = make(level, zlib.DEFLATED, _RAW, _MEMORY[codec], zdict=window)
    elif codec == "isal" and level <= _ISAL_CRUTCH:
        return *_isal_start(data, level, flush), end
    else:
        stream = make(level, zlib.DEFLATED, _RAW, _MEMORY[codec])
    return stream.compress(data), stream.flush(flush), end


def inflate_whole(data: bytes, size: int) -> bytes | bytearray | None:
    """The contents of a raw deflate stream, if it is one of just `size` bytes.

    libdeflate takes half to two thirds of ISA-L's time, as long as the contents are not much larger
    than the CPU's caches. What follows the stream is no matter.
    """
    if not 0 < size <= _MOST * len(data):
        return None
    contents: bytes | bytearray
    try:
        if size <= _NEAR:
            contents = deflate.deflate_decompress(data, size)
            return contents if len(contents) == size else None
        inflater = FastInflater()
        contents = inflater.decompress(data, size + 1)
    except (deflate.DeflateError, InflateError):
        return None
    return contents if len(contents) == size and inflater.eof else None


_NEAR = 16 << 20

_MOST = 1032
"""Bytes that come of one, at most: 258 for a length code and a distance code of a bit each."""


class Stretch(NamedTuple):
    """What stands between two restarts, inflated.

    Attributes:
        pieces: the contents.
        crc: their CRC-32.
    """

    pieces: list[bytes]
    crc: int


def inflate_stretch(data: Iterable[memoryview]) -> Stretch | None:
    """The contents of a part of a deflate stream, if they do not depend on what is around it.

    If a block begins where `data` begins, that is so when nothing refers to what stands before,
    and when another block begins right after the end. The first is an error to the codec. The
    second is found out by going on with a last stored block of bytes that nobody can foresee: they
    come out, and the stream ends with them, only if a block's header was due there. Within
    a stored block their header would come out, too; within a compressed one the first bit, which
    is set, would be a code's, and what follows it a header of a block that is not the last.

    Args:
        data: the part in pieces, from where a block begins up to and including a `SYNC_MARKER`.

    Returns:
        The contents, `RESTART` bytes; None if they are not so many, which could take any memory or
        time, or if only the whole stream tells what they are.
    """
    stream = isal_zlib.decompressobj(_RAW)
    pieces = []
    left = RESTART
    crc = 0
    unforeseen = os.urandom(16)
    try:
        for view in data:
            for start in range(0, len(view), _BITE):
                piece = stream.decompress(view[start : start + _BITE], left + 1)
                left -= len(piece)
                if left < 0 or stream.eof:
                    return None
                crc = crc32(piece, crc)
                pieces.append(piece)
        end = stream.decompress(_LAST_STORED + unforeseen)
    except isal_zlib.error:  # type: ignore[misc] # an exception; its stubs say it is any class
        return None
    if left or end != unforeseen or not stream.eof or stream.unused_data:
        return None
    return Stretch(pieces, crc)


_BITE = 1 << 20
"""Bytes that are inflated into one piece: between two, the GIL has to be waited for."""

_LAST_STORED = b"\1\x10\0\xef\xff"
"""The header of a last stored block of 16 bytes (RFC 1951, 3.2.4)."""


InflateError = zlib.error
"""What `zipfile` raises, and what is raised here, where something is no deflate stream."""


_ERRORS: Any = (zlib_ng.error, isal_zlib.error)


class StepInflater:
    """What `zlib.decompressobj(-15)` is, call by call, by zlib-ng: in half the time.

    zlib-ng is zlib's code, with other inner loops. Of each piece of a stream it makes as many bytes
    as zlib does, leaves as many over, and finds what is wrong in the same call.

    Raises:
        zlib.error: the bytes are no deflate stream.
    """

    def __init__(self) -> None:
        self._stream: _Decompress = zlib_ng.decompressobj(_RAW)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._stream.eof

    @property
    def unconsumed_tail(self) -> bytes:
        """What was left over because it would have made too many bytes."""
        return self._stream.unconsumed_tail

    def decompress(self, data: Buffer, most: int = 0, /) -> bytes:
        """What the bytes that come next say; no more than `most` bytes, if that is not 0."""
        try:
            return self._stream.decompress(data, most)
        except _ERRORS as error:
            raise zlib.error(str(error)) from None

    def flush(self) -> bytes:
        """What is left."""
        try:
            return self._stream.flush()
        except _ERRORS as error:
            raise zlib.error(str(error)) from None


class FastInflater(StepInflater):
    """The same bytes by ISA-L, sooner; but its calls give others of them.

    It keeps up to 64 KiB back, and takes codes that zlib refuses. So what it has no doubt about may
    be used if the CRC-32 is right, and what it fails at is for another one to judge.

    Args:
        window: the contents before what is to be inflated, if it is not a stream's beginning.
    """

    def __init__(self, window: bytes = b"") -> None:
        self._stream = isal_zlib.decompressobj(_RAW, window)


class StreamEndError(ValueError):
    """A deflate stream does not end where its member ends."""


def measure_inflated(method: int, chunks: Iterable[Buffer], most: int) -> tuple[int, int]:
    """CRC-32 and size of a member's contents, of which no more than a chunk is in memory.

    zlib-ng judges as zlib does, which zipfile and Java use. ISA-L is no faster for short members
    and up to a fifth faster for others, and takes codes that zlib refuses; libdeflate takes others
    of them, and does not tell where a stream ends.

    Args:
        method: the member's compression method, stored or deflated.
        chunks: its compressed bytes.
        most: the size in bytes that is believed; from there on nothing more is inflated.

    Raises:
        StreamEndError: the stream ends elsewhere than the chunks, or goes on after `most` bytes.
        ValueError: the bytes are no deflate stream.
    """
    crc = size = 0
    if method == STORED:
        for chunk in chunks:
            crc = crc32(chunk, crc)
            size += len(chunk)
        return crc, size
    stream: _Decompress = zlib_ng.decompressobj(_RAW)
    try:
        for chunk in chunks:
            if stream.eof:
                raise StreamEndError("one that goes on where it should end")
            data = stream.decompress(chunk, BLOCK)
            while data:
                crc = crc32(data, crc)
                size += len(data)
                if size > most:
                    break
                data = stream.decompress(stream.unconsumed_tail, BLOCK)
            if size > most or stream.unused_data:
                raise StreamEndError("one that goes on where it should end")
    except zlib_ng.error as error:  # type: ignore[misc] # an exception; its stubs say it is any class
        raise ValueError(str(error)) from error
    if not stream.eof:
        raise StreamEndError("one that does not end")
    return crc, size


def looks_compressible(size: int, read: Callable[[int, int], Buffer]) -> bool:
    """Whether data looks as if deflate made it smaller; decided by samples of its contents.

    JPEG, PNG, zip, zstd and their like do not: compressing them costs the most time of all and
    gains nothing. Three samples, at the start, in the middle and at the end, go through the
    fastest codec; data of which at least one sample shrinks by 1 % is taken to shrink.

    Args:
        size: bytes in all.
        read: gives `length` bytes from `offset` on: `read(offset, length)`.
    """
    for i in range(_SAMPLES):
        sample = read(max(0, size - _SAMPLE) * i // (_SAMPLES - 1), min(size, _SAMPLE))
        if len(sample) and len(compress_whole(_SAMPLER, sample)) < len(sample) * _SHRINKS:
            return True
    return False


def library_folders() -> list[str]:
    """Where another Python finds parazip and the libraries that are used here."""
    packages = [os.path.dirname(file) for file in (__file__, isal.__file__, zlib_ng.__file__)]
    modules = [*packages, _home(deflate)]
    return list(dict.fromkeys(os.path.dirname(os.path.abspath(path)) for path in modules))


def _home(module: ModuleType) -> str:
    """A package's folder, or the file of a module that is none."""
    return next(iter(getattr(module, "__path__", ())), str(module.__file__))


def describe_versions() -> str:
    """What else than its arguments may change a codec's output: the libraries, and the CPU.

    ISA-L and zlib-ng choose their code by what the CPU can do, and not all of it makes the same
    matches.
    """
    libraries = (isal.__version__, str(zlib_ng.ZLIBNG_RUNTIME_VERSION), deflate.__version__)
    return " ".join((*libraries, zlib.ZLIB_RUNTIME_VERSION, _cpu()))


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith(_CPU_FLAGS)), "")
    except OSError:
        flags = platform.processor()
    return f"{platform.machine()} {crc32(flags.encode()):08x}"


_CPU_FLAGS = ("flags", "Features")
"""How x86 and Arm call them."""

SAMPLED = _SAMPLES * _SAMPLE
"""Bytes that `looks_compressible` looks at; for fewer, compressing is the better question."""


def _auto(whole: tuple[str, int], block: tuple[str, int], cut: int) -> Recipe:
    return Recipe(Coder(*whole), Coder(*block), cut)


_STORING = Recipe(STORE, STORE, CUT_FAST)

ZIPFILE = "zipfile"
"""A codec that is no library: what the standard library's zipfile makes by default, to the byte."""

AS_ZIPFILE = Recipe(Coder(ZIPFILE, 6), Coder(ZIPFILE, 6), CUT_SMALL)
"""Members of more bytes than this one's `cut` are streamed, as they cannot be cut."""

_AUTO = (
    _STORING,
    _auto(("isal", 2), ("isal", 1), CUT_FAST),
    _auto(("libdeflate", 1), ("isal", 3), CUT_FAST),
    _auto(("libdeflate", 3), ("isal", 3), CUT_SMALL),
    _auto(("libdeflate", 4), ("zlib-ng", 3), CUT_SMALL),
    _auto(("libdeflate", 5), ("zlib-ng", 4), CUT_SMALL),
    _auto(("libdeflate", 5), ("zlib-ng", 5), CUT_SMALL),
    _auto(("libdeflate", 7), ("zlib-ng", 7), CUT_SMALL),
    _auto(("libdeflate", 9), ("zlib-ng", 8), CUT_SMALL),
    _auto(("libdeflate", 10), ("zlib", 9), CUT_SMALL),
)

_ISAL = (0, 1, 2, 3, 3, 3, 3, 3, 3, 3)
"""ISA-L's own scale ends at 3."""

_LIBDEFLATE = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
"""libdeflate's own scale ends at 12."""


def choose_recipe(level: int, codec: CodecName) -> Recipe:
    """How members are made at `level` (0 to 9) of `codec`.

    libdeflate cannot make blocks; what is cut goes to the codec that "auto" would take for it.
    What zlib makes whole is what everyone makes, so that it does not cut before it must.
    """
    if level == 0:
        return _STORING
    auto = _AUTO[level]
    if codec == "auto":
        return auto
    if codec == "libdeflate":
        return Recipe(Coder(codec, _LIBDEFLATE[level]), auto.block, CUT_SMALL)
    coder = Coder(codec, _ISAL[level] if codec == "isal" else level)
    return Recipe(coder, coder, CUT_SMALL if codec == "zlib" else CUT_FAST)
