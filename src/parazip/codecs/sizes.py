"""How large the pieces are that members are compressed in. All sizes are in bytes."""

WINDOW = 32 << 10
"""How far back a deflate match can reach (RFC 1951, section 2)."""

BLOCK = 1 << 20
"""A block of a member that is cut. Sync flushes and cold Huffman tables cost 0.01 % of the size."""

RESTART = 8 << 20
"""From one restart to the next, a multiple of `BLOCK`. Restarts cost 0.02 % of the size."""

CUT_FAST = BLOCK
"""Larger members are cut, where whole ones come out no smaller than cut ones."""

CUT_SMALL = 16 << 20
"""Larger members are cut, where whole ones come out smaller, as libdeflate makes them."""
