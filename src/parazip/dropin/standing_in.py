"""What a class needs to stand in the place of the standard library's, for those who knew that one.

They have archives and derived classes of it. These are none of ours, and still they are handed to
ours: by `isinstance(archive, zipfile.ZipFile)`, and by `zipfile.ZipFile.close(self)` in a method of
a class that was derived before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from parazip.dropin.stock import Stock

_made: set[Any] = set()


class Override:
    """A method in the place of the standard library's of that name.

    Called by the name of its class, for an archive that is none of ours, it is that one. This costs
    calls on an archive of ours no frame: whose line a warning names depends on their number.

    Args:
        method: what is done to archives of ours.
        ours: what all of these are instances of.
        stock: the class whose method it is otherwise.
    """

    def __init__(self, method: Callable[..., Any], ours: type, stock: type) -> None:
        name = method.__name__

        @functools.wraps(method)
        def by_name(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if ours in type(self).__mro__:  # isinstance would ask `__subclasshook__`
                return method(self, *args, **kwargs)
            return getattr(stock, name)(self, *args, **kwargs)

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


def override_methods(kind: type, ours: type, stock: type = Stock) -> None:
    """Makes an `Override` of each method of `kind` that `stock` has, too."""
    for name, method in list(vars(kind).items()):
        if type(method) is FunctionType and hasattr(stock, name):
            setattr(kind, name, Override(method, ours, stock))


def is_override(value: Any) -> bool:
    """Whether something was made by `override_methods`, or looked up by name and then put back."""
    return value in _made
