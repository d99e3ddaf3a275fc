"""One scale of levels, 0 to 9, over all codecs.

The scale was measured on the workloads (`docs/levels.md`): for each level, the pair of coders that
gives its size in the least time. What a codec's own levels are, the `table` says.
"""

from __future__ import annotations

from typing import NamedTuple

from parazip.codecs.sizes import CUT_FAST, CUT_SMALL
from parazip.codecs.table import CODECS, CodecName


class Coder(NamedTuple):
    """A codec at one of its own levels."""

    codec: str
    level: int

    def __str__(self) -> str:
        return f"{self.codec} {self.level}" if self.level else "stored"


STORE = Coder("stored", 0)
"""Bytes as they are; a member of such blocks has the method "stored"."""

DEFLATE_STORED = Coder("zlib", 0)
"""Bytes as they are, in a deflate stream: a reader of a pipe sees where such a member ends."""


class Recipe(NamedTuple):
    """How one level of parazip's scale is made.

    Attributes:
        whole: the coder of members that are compressed whole.
        block: the coder of members that are cut into blocks.
        cut: members of more bytes than this are cut.
        plain: the coder of blocks that are not worth compressing.
    """

    whole: Coder
    block: Coder
    cut: int
    plain: Coder = STORE


SCALE: tuple[Recipe, ...] = (
    Recipe(STORE, STORE, CUT_FAST),
    Recipe(Coder("isal", 2), Coder("isal", 1), CUT_FAST),
    Recipe(Coder("libdeflate", 1), Coder("isal", 3), CUT_FAST),
    Recipe(Coder("libdeflate", 3), Coder("isal", 3), CUT_SMALL),
    Recipe(Coder("libdeflate", 4), Coder("zlib-ng", 3), CUT_SMALL),
    Recipe(Coder("libdeflate", 5), Coder("zlib-ng", 4), CUT_SMALL),
    Recipe(Coder("libdeflate", 5), Coder("zlib-ng", 5), CUT_SMALL),
    Recipe(Coder("libdeflate", 7), Coder("zlib-ng", 7), CUT_SMALL),
    Recipe(Coder("libdeflate", 9), Coder("zlib-ng", 8), CUT_SMALL),
    Recipe(Coder("libdeflate", 10), Coder("zlib", 9), CUT_SMALL),
)
"""What "auto" takes, for each level."""

ZIPFILE = "zipfile"
"""A codec that nobody chooses by name: what zipfile makes by default, to the byte."""

AS_ZIPFILE = Recipe(Coder(ZIPFILE, 6), Coder(ZIPFILE, 6), CUT_SMALL)
"""zipfile's streams cannot be cut: members of more bytes than `cut` are streamed."""


def choose_recipe(level: int, codec: CodecName) -> Recipe:
    """How members are made at `level` (0 to 9) of `codec`."""
    auto = SCALE[level]
    if codec == "auto" or level == 0:
        return auto
    chosen = CODECS[codec]
    coder = Coder(codec, chosen.levels[level])
    return Recipe(coder, coder if chosen.makes_blocks else auto.block, chosen.cut)
