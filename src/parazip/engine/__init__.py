"""How members become an archive."""
