"""The codec libraries, all of them loaded: where they are, and what they are."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import import_module
from types import ModuleType

from parazip.codecs.checksums import crc32
from parazip.codecs.table import CODECS, Library

LIBRARIES: dict[str, Library] = {name: codec.load() for name, codec in CODECS.items()}

# Kept, as `parazip run` takes them out of `sys.modules` for the program's sake.
_PACKAGES = [import_module(codec.package) for codec in CODECS.values() if codec.package]


def find_library_folders() -> list[str]:
    """Where another Python finds parazip and the libraries that are used here."""
    ours = os.path.dirname(os.path.dirname(__file__))
    places = [ours, *map(_locate, _PACKAGES)]
    return list(dict.fromkeys(os.path.dirname(os.path.abspath(place)) for place in places))


def _locate(module: ModuleType) -> str:
    """A package's folder, or the file of a module that is none."""
    return next(iter(getattr(module, "__path__", ())), str(module.__file__))


def describe_versions() -> str:
    """What else than its arguments may change a codec's output: the libraries, and the CPU.

    ISA-L and zlib-ng choose their code by what the CPU can do, and not all of it makes the same
    matches.
    """
    return ", ".join(
        [*(f"{name} {library.version}" for name, library in LIBRARIES.items()), _describe_cpu()]
    )


@cache
def _describe_cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith(_CPU_FLAGS)), "")
    except OSError:
        flags = platform.processor()
    return f"{platform.machine()} {crc32(flags.encode()):08x}"


_CPU_FLAGS = ("flags", "Features")
"""How x86 and Arm call them."""
