"""Deflate, inflate and CRC-32 over four libraries. No other room imports a codec library.

`table` lists the codecs: a new one is an entry there. `levels` has the scale of levels over all of
them. These two and `sizes` load no library, so that commands know names and levels before there
is anything to compress; `libraries`, `deflating`, `inflating` and `checksums` load all of them.
"""
