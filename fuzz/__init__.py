"""Fuzzes all that reads archives: some things must hold, whatever the bytes are."""
