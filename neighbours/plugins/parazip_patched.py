"""A pytest plugin: replaces zipfile.ZipFile before pytest imports any test."""

import parazip

parazip.patch()
