"""The module `os` with some functions of a test's own."""

from __future__ import annotations

import os
from typing import Any


class OtherOs:
    """Stands in for `os` in one module.

    Args:
        functions: what is not as in `os`, by its name.
    """

    def __init__(self, **functions: Any) -> None:
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)
