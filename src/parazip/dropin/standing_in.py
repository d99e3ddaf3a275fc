"""Methods that may be called with archives of the standard library's own class.

Programs have such archives, and classes derived from that class before ours took its place. Their
methods go on to call `zipfile.ZipFile.close(self)`, which is ours by then, while `self` is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from parazip.dropin.inside import StandardZipFile

_made: set[Any] = set()


class Override:
    """A method in the place of the standard library's of that name.

    Looked up in the class, it looks at the archive it is called with, and leaves one that is none
    of ours to the standard library's method. Looked up in an archive of ours, it is just the
    method: with a frame more in between, zipfile's warnings would name another line.

    Args:
        method: what is done to archives of ours.
        ours: what all of these are instances of.
        standard: the class whose method it is otherwise.
    """

    def __init__(self, method: Callable[..., Any], ours: type, standard: type) -> None:
        name = method.__name__

        @functools.wraps(method)
        def by_name(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if ours in type(self).__mro__:  # isinstance would ask `__subclasshook__`
                return method(self, *args, **kwargs)
            return getattr(standard, name)(self, *args, **kwargs)

        self.bind: Any = method.__get__
        self.by_name = by_name
        _made.update((self, by_name))

    def __get__(self, archive: Any, kind: type | None = None) -> Any:
        return self.by_name if archive is None else self.bind(archive)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.by_name, name)

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type:
            """A function's, for `unittest.mock` and others who look into the class's dictionary."""
            return FunctionType

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """As with any function."""
            return self.by_name(*args, **kwargs)


def override_methods(kind: type, ours: type, standard: type = StandardZipFile) -> None:
    """Makes an `Override` of each method of `kind` that `standard` has, too."""
    for name, method in list(vars(kind).items()):
        if type(method) is FunctionType and hasattr(standard, name):
            setattr(kind, name, Override(method, ours, standard))


def is_override(value: Any) -> bool:
    """Whether something was made by `override_methods`, or looked up by name and then put back."""
    return value in _made
