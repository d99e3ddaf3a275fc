"""The few options of pex that parazip has to understand: they say what kind of PEX is asked for.

All others pass unread. pex reads its command line with argparse, and so does this, so that separate
values, joined ones and shortened names mean the same to both. What cannot be parsed is left for pex
to refuse.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

ZIPAPP = "zipapp"
PACKED = "packed"
LOOSE = "loose"


@dataclass(frozen=True, slots=True, kw_only=True)
class PexOptions:
    """What pex's command line says of the PEX that is asked for.

    Attributes:
        output: where it is to be; empty if pex is to run it at once.
        layout: "zipapp", "packed" or "loose".
        compress: whether its files are compressed.
        check: what pex does about a PEX that zipimport cannot read: "none", "warn" or "error".
        compile: whether it holds compiled code.
        preamble: the file whose code runs first when the PEX starts, if any.
        wheels: whether it holds whole wheels instead of their files.
        native: whether pex makes it over with a native runtime.
        root: the PEX_ROOT that is named, if any.
        more: what pex is to do with the finished PEX: `--seed` or `--scie`, if any.
    """

    output: str = ""
    layout: str = ZIPAPP
    compress: bool = True
    check: str = "warn"
    compile: bool = False
    preamble: str = ""
    wheels: bool = False
    native: bool = False
    root: str = ""
    more: str = ""

    @property
    def why_not_rebuilt(self) -> str:
        """Why parazip cannot make it out of an uncompressed PEX; empty if it can."""
        if not self.compress:
            return "nothing is compressed"
        return f"{self.more} is done with the finished one" if self.more else ""

    @property
    def why_left_to_pex(self) -> str:
        """Why there is nothing in it for parazip to do; empty if there is."""
        if self.native:
            return "--rc makes zips of its own"
        if self.layout == LOOSE:
            return "a loose PEX is not a zip"
        if self.wheels:
            return "whole wheels are stored as they are"
        return ""


def read_options(arguments: Sequence[str]) -> PexOptions:
    """What pex's arguments ask for, as far as it is understood."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        known, _ = _make_parser().parse_known_args(list(arguments[:end]))
    except argparse.ArgumentError:
        return PexOptions()
    values = {name: value for name, value in vars(known).items() if value is not None}
    return PexOptions(**values)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


class _Switch(argparse.Action):
    """An option without a value whose names begin with `--no` where they switch it off."""

    def __call__(
        self, parser: object, namespace: object, values: object, name: object = ""
    ) -> None:
        is_off = str(name).startswith("--no")
        setattr(namespace, self.dest, self.const ^ is_off)


class _More(argparse.Action):
    """An option whose presence is all that counts."""

    def __call__(
        self, parser: object, namespace: object, values: object, name: object = ""
    ) -> None:
        if values != "none":
            setattr(namespace, self.dest, str(self.option_strings[0]))


def _make_parser() -> _Parser:
    parser = _Parser(add_help=False, fromfile_prefix_chars="@")

    def switch(dest: str, *names: str, on: bool = True) -> None:
        parser.add_argument(*names, dest=dest, action=_Switch, nargs=0, const=on)

    parser.add_argument("-o", "--output-file", dest="output")
    parser.add_argument("--layout")
    parser.add_argument("--check")
    parser.add_argument("--preamble-file", dest="preamble")
    parser.add_argument("--pex-root", dest="root")
    switch("compile", "--compile", "--no-compile")
    switch(
        "compress",
        "--compress",
        "--compressed",
        "--no-compress",
        "--not-compressed",
        "--no-compression",
    )
    switch("wheels", "--pre-install-wheels", "--no-pre-install-wheels", on=False)
    switch(
        "native",
        "--rc",
        "--no-rc",
        "--pexrc",
        "--no-pexrc",
        "--native-runtime",
        "--no-native-runtime",
    )
    parser.add_argument("--seed", dest="more", action=_More, nargs="?")
    parser.add_argument("--scie", "--par", dest="more", action=_More)
    return parser
