"""The version: part of what the cache knows its parts by."""

__version__ = "0.1.0"
