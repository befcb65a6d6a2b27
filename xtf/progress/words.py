"""What is said in plain lines."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from rich.console import Console

from xtf.display import visible

_LOGGER = logging.getLogger("xtf")


def notice(text: str) -> None:
    """Say what a person should know and no program reads: to the logger ``xtf`` if anyone listens, else standard error.

    Someone listens if that logger lets INFO through to a handler, as after ``logging.basicConfig(level="INFO")``.
    A standard error that cannot be written to is left alone: words never stop a run.
    """
    if is_listened_to():
        _LOGGER.info("%s", visible(text))
        return
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(visible(text), markup=False)


def is_listened_to() -> bool:
    """Whether lines go to the logger ``xtf``."""
    return _LOGGER.isEnabledFor(logging.INFO) and _LOGGER.hasHandlers()
