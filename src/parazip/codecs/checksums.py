"""CRC-32 (APPNOTE 4.4.7), and the one of two pieces out of the pieces' own."""

from __future__ import annotations

from collections.abc import Callable

from isal import isal_zlib

crc32: Callable[..., int] = isal_zlib.crc32
"""`crc32(data, crc=0)`: several times as fast as zlib's."""

crc32_combine: Callable[[int, int, int], int] = isal_zlib.crc32_combine
"""`crc32_combine(first, second, size)`: the CRC-32 of both, where the second has `size` bytes."""
