"""The file that an archive is written to, from its first byte to its name."""

from parazip.output.stream import Pipe as Pipe
