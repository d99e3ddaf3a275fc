"""What opens URLs: fsspec, and the package that it has for each kind. No other room imports it.

This room is imported when a URL is met.
"""

from __future__ import annotations

from typing import Any

import fsspec
from fsspec.exceptions import FSTimeoutError

_USUAL_ERRORS = {FileNotFoundError: "no such file or folder", PermissionError: "not allowed"}


def open_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL is in, and the path that it has there.

    Raises:
        Exception: a package is missing, or what that raises; see `as_system_error`.
    """
    scheme = url.partition("://")[0]
    options = {}
    if scheme in ("http", "https"):  # as others do, aiohttp heeds HTTPS_PROXY and .netrc then
        configured = fsspec.config.conf.get(scheme, {}).get("client_kwargs", {})
        options["client_kwargs"] = {"trust_env": True, **configured}
    return _open(url, options)


def open_own_system(url: str) -> tuple[Any, str]:
    """As `open_system`, but a file system that nobody else uses, so that it may be changed."""
    return _open(url, {"skip_instance_cache": True})


def _open(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    opened: tuple[Any, str] = fsspec.url_to_fs(url, **options)
    return opened


def list_protocols(system: Any) -> tuple[str, ...]:
    """The schemes of a file system of fsspec."""
    protocol = system.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def as_system_error(error: Exception) -> OSError:
    """An error of fsspec or of one of its packages as one that has words for people.

    Each of these packages has errors of its own, and some have no words.
    """
    if isinstance(error, ImportError):
        return OSError(f"{error}; docs/remote.md tells what to install")
    if isinstance(error, FSTimeoutError):
        return OSError("its server is silent")
    if not isinstance(error, OSError):
        return OSError(" ".join(str(error).split()) or type(error).__name__)
    usual = _USUAL_ERRORS.get(type(error))
    if error.strerror or usual is None:
        return error
    return OSError(error.errno, usual)
