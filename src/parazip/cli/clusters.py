"""What --executor names becomes an executor: the one room that knows Dask."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from parazip.errors import ExecutorError, SettingsError

_PATIENCE = 10.0
"""Seconds that a scheduler, and then its first worker, has to answer."""


def find_address(text: str) -> tuple[str, int]:
    """Host and port of the scheduler that --executor names.

    Raises:
        SettingsError: it names none.
    """
    match = re.fullmatch(r"dask://(?:([^][/:\s]+)|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})/?", text)
    if match is None:
        raise SettingsError(f"--executor {text} is wrong: write dask://HOST:PORT")
    return match[1] or match[2], int(match[3])


@contextmanager
def open_executor(text: str) -> Iterator[Executor]:
    """The executor that --executor names, until the end of the block.

    Raises:
        SettingsError: it names none.
        ExecutorError: distributed is missing, or nobody answers there.
    """
    host, port = find_address(text)
    try:
        import distributed
    except ImportError as error:
        raise ExecutorError(
            f"cannot use {text}: {error.name} is missing; "
            'pip install "parazip[dask]" gets what it needs'
        ) from error
    try:
        _wait_for_scheduler(host, port)
        address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except OSError as error:
        raise ExecutorError(
            f"no Dask scheduler answers at {text}: {error.strerror or error}; see whether it runs, "
            "and is there what it is here"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ExecutorError(
                f"the Dask scheduler at {text} has no workers; start some: dask worker {address}"
            ) from error
        # That a question was asked before is no reason not to look at the files once more.
        yield client.get_executor(pure=False)


def _wait_for_scheduler(host: str, port: int) -> None:
    """Returns when a scheduler says its first bytes; the client would wait for these for ever.

    Raises:
        OSError: nobody does.
    """
    with socket.create_connection((host, port), timeout=_PATIENCE) as connection:
        if not connection.recv(1):
            raise ConnectionAbortedError("it hangs up at once")
