"""What `parazip run` is asked to run."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple


class Request(NamedTuple):
    """What to run.

    Attributes:
        option: "-m", "-c", "-" or, for a script, "".
        program: the module, the code or the script's path.
        arguments: the program's.
        words: all that would stand behind `python`.
        children: whether Python processes that it starts get the classes, too.
    """

    option: str
    program: str
    arguments: list[str]
    words: list[str]
    children: bool

    @classmethod
    def read(cls, words: list[str]) -> Request | None:
        """Reads what stands behind `parazip run`; None if it cannot be understood."""
        to_children = words[:1] == ["--children"]
        if to_children:
            words = words[1:]
        if words[:1] == ["--"]:
            words = words[1:]
        option: str
        match words:
            case ["-m" | "-c" as option, program, *arguments]:
                pass
            case [word, *arguments] if word[:2] in ("-m", "-c") and len(word) > 2:
                option, program = word[:2], word[2:]
            case ["-", *arguments]:
                option, program = "-", ""
            case [program, *arguments] if program and not program.startswith("-"):
                option = ""
            case _:
                return None
        return cls(option, program, arguments, words, to_children)

    def enter_original_arguments(self) -> None:
        """Lets `sys.orig_argv` name the program in place of us: by it programs start anew.

        What stands before us stays: Python's own options, and tools that run us.
        """
        words = sys.argv[1:]
        before = sys.orig_argv[: -len(words)]
        if sys.orig_argv[len(before) :] == words and len(before) > 1:
            sys.orig_argv[:] = [*_without_us(before), *self.words]


def _without_us(words: list[str]) -> list[str]:
    """A command line without our name at its end, and without the -m or -c before it.

    Python takes several options in one word, and the module's name behind -m: `-Im parazip`,
    `-Imparazip`.
    """
    *words, name = words
    if name.startswith("-"):
        option = name.removesuffix("mparazip")
    elif re.fullmatch("-[^-XW]*[mc]", words[-1]):
        *words, option = words
        option = option[:-1]
    else:
        return words
    return words if option == "-" else [*words, option]
