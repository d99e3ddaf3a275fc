"""Whether `parapex` is to be more than pex: it is pex itself until an option or a variable asks.

So it can take pex's place in build tools and changes nothing by being there. This module imports
nothing that pex does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from parazip.errors import ParazipError, SettingsError

FEATURE = "parallel-zip"
"""The name under which pex-tool/pex#2158 proposed it."""

_OPTION = "--use-feature"
_VARIABLE = "PARAPEX_USE_FEATURE"


def load_command() -> Callable[[], object]:
    """The function that pex's own command runs; it takes its arguments from `sys.argv`.

    Raises:
        ParazipError: pex is not installed.
    """
    try:
        from pex.bin.pex import main
    except ImportError as error:
        raise ParazipError(
            "pex is not installed here; install parazip[pex], or pex beside parazip"
        ) from error
    return main  # type: ignore[no-any-return] # pex has no types


def wants_parallel_zip(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether parazip is to make the zips: an option before `--`, or a variable, says so.

    Raises:
        SettingsError: the variable has another value.
    """
    named = environment.get(_VARIABLE, "")
    if named not in ("", FEATURE):
        raise SettingsError(
            f"{_VARIABLE}={named} is not a feature; set it to {FEATURE}, or unset it"
        )
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = ""
    for argument in arguments[:end]:
        if argument == f"{_OPTION}={FEATURE}" or (before, argument) == (_OPTION, FEATURE):
            return True
        before = argument
    return bool(named)
