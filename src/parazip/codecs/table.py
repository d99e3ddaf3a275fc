"""The table of codecs.

To add a codec, write a function that loads its library and add an entry to `CODECS`:

* The function (`_load_...`) imports the library and gives a `Library`: what to call and which
  version it is. The import stands inside of it, as commands read the table to know the names.
* The entry (`Codec`) says how the codec's levels lie on parazip's scale, and what it can do.
* Type checkers want the name in `CodecName`, too. In pyproject.toml a library that is no part of
  Python goes into the dependencies, and into the contract "Only codecs knows the codec libraries".

Where other rooms ask for "zlib" by its name, they mean the bytes that zipfile makes; no other codec
belongs there. All else follows from the table: what `Settings`, the commands and their help accept,
what is called to compress, where helper processes find the library, and which versions a cache key
names. Which codec "auto" takes is another decision: see `levels.SCALE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from parazip.codecs.sizes import CUT_FAST, CUT_SMALL
from parazip.format.values import Buffer

CodecName: TypeAlias = Literal["auto", "zlib", "zlib-ng", "isal", "libdeflate"]
"""What people choose from: the codecs of the table, or the best one for each level and member."""

RAW = -15
"""zlib's name (wbits) for a deflate stream without header and checksum, with the largest window."""


class Library(NamedTuple):
    """A codec's library, loaded.

    Attributes:
        version: which version it is; another one may make other bytes.
        whole: `whole(data, level)` makes one finished raw deflate stream (RFC 1951) of at least one
            byte.
        block: `block(data, level, window, flush)` makes a piece of such a stream, itself in pieces.
            `window` is what stands before `data`, up to 32 KiB; with an empty one the stream begins
            afresh. `flush` is zlib's Z_FINISH or Z_SYNC_FLUSH. None if the codec cannot do this.
    """

    version: str
    whole: Callable[[Buffer, int], Buffer]
    block: Callable[[Buffer, int, Buffer, int], tuple[Buffer, ...]] | None


class Codec(NamedTuple):
    """What is known of a codec before its library is loaded.

    Attributes:
        load: loads the library.
        package: the name by which the library is imported; empty if it is a part of Python.
        levels: the codec's own level for each of parazip's levels, 0 to 9. The first one is never
            used, as level 0 stores; write 0. A codec may have the same level more than once.
        cut: members of more bytes than this are cut into blocks if this codec is chosen alone:
            `CUT_SMALL` if it makes whole members noticeably smaller than blocks, or if its whole
            streams have to be the same as somebody else's; otherwise `CUT_FAST`.
        makes_blocks: whether the library has `block`. If it has not, what is cut goes to the codec
            that "auto" would take for it.
    """

    load: Callable[[], Library]
    package: str
    levels: tuple[int, ...]
    cut: int = CUT_FAST
    makes_blocks: bool = True


def _load_zlib() -> Library:
    import zlib

    return Library(
        zlib.ZLIB_RUNTIME_VERSION,
        lambda data, level: zlib.compress(data, level, RAW),
        _make_block_function(zlib.compressobj, 9),
    )


def _load_zlib_ng() -> Library:
    from zlib_ng import zlib_ng

    # A memLevel of 9 makes blocks 5 % faster than 8, for 0.2 % of size.
    return Library(
        str(zlib_ng.ZLIBNG_RUNTIME_VERSION),
        lambda data, level: zlib_ng.compress(data, level, RAW),
        _make_block_function(zlib_ng.compressobj, 9),
    )


def _load_isal() -> Library:
    """ISA-L, with a crutch for its levels 1 and 2.

    At the start of a stream without a dictionary their x86 code enters the third byte into its hash
    table under a value that it reads from a register nobody has set (`write_first_byte` in
    `igzip_icf_body_h1_gr_bt.asm`, ISA-L 2.31). One stream in some ten thousand comes out a byte
    longer or shorter on another thread: valid, but not the same bytes. With a dictionary that code
    is not reached. So the first byte of such a stream goes into a stored block (RFC 1951, 3.2.4)
    that is written here, and is the dictionary of the rest: six bytes, and always the same stream.
    """
    import zlib

    import isal
    from isal import isal_zlib

    highest_unstable_level = 2
    stored_block_of_one_byte = b"\0\1\0\xfe\xff"
    # A memLevel of 9 instead of 8 gains less than with zlib-ng, and costs more size.
    make_block = _make_block_function(isal_zlib.compressobj, 8)

    def begin_stream(data: Buffer, level: int, flush: int) -> tuple[Buffer, ...]:
        view = memoryview(data)
        first = bytes(view[:1])
        stream = isal_zlib.compressobj(level, zlib.DEFLATED, RAW, zdict=first)
        return stored_block_of_one_byte, first, stream.compress(view[1:]), stream.flush(flush)

    def compress_whole(data: Buffer, level: int) -> bytes:
        if level > highest_unstable_level:
            return isal_zlib.compress(data, level, RAW)
        return b"".join(begin_stream(data, level, zlib.Z_FINISH))

    def compress_block(data: Buffer, level: int, window: Buffer, flush: int) -> tuple[Buffer, ...]:
        if window or level > highest_unstable_level:
            return make_block(data, level, window, flush)
        return begin_stream(data, level, flush)

    return Library(isal.__version__, compress_whole, compress_block)


def _load_libdeflate() -> Library:
    from parazip.codecs import libdeflate

    return Library(libdeflate.VERSION, libdeflate.compress_whole, None)


def _make_block_function(
    compressobj: Callable[..., Any], mem_level: int
) -> Callable[[Buffer, int, Buffer, int], tuple[Buffer, ...]]:
    """`Library.block` by a library that is called as zlib is."""
    deflated = 8  # zlib.DEFLATED

    def compress_block(data: Buffer, level: int, window: Buffer, flush: int) -> tuple[Buffer, ...]:
        if window:
            stream = compressobj(level, deflated, RAW, mem_level, zdict=window)
        else:
            stream = compressobj(level, deflated, RAW, mem_level)
        return stream.compress(data), stream.flush(flush)

    return compress_block


CODECS: Mapping[CodecName, Codec] = {
    "zlib": Codec(
        _load_zlib,
        package="",
        levels=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        cut=CUT_SMALL,  # whole streams of zlib's are what everyone makes, so it cuts late
    ),
    "zlib-ng": Codec(
        _load_zlib_ng,
        package="zlib_ng",
        levels=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    ),
    "isal": Codec(
        _load_isal,
        package="isal",
        levels=(0, 1, 2, 3, 3, 3, 3, 3, 3, 3),  # its own scale ends at 3
    ),
    "libdeflate": Codec(
        _load_libdeflate,
        package="deflate",
        levels=(0, 1, 2, 3, 4, 5, 6, 8, 10, 12),  # its own scale ends at 12
        cut=CUT_SMALL,
        makes_blocks=False,
    ),
}

CODEC_NAMES: tuple[CodecName, ...] = ("auto", *CODECS)
