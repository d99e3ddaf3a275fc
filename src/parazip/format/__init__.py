"""The zip format: bytes and values, no more."""
