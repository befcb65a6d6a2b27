"""Mistakes of users, found on another machine: they travel as text and are raised again where the command runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import xtf.errors as errors
from xtf.errors import XTFError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def attempt(
    work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> tuple[Result | None, str]:
    """What ``work`` returns and an empty text, or None and what :func:`raise_failure` reads."""
    try:
        return work(*args, **kwargs), ""
    except XTFError as error:
        return None, json.dumps({"kind": type(error).__name__, "text": str(error), "host": socket.gethostname()})


def raise_failure(failure: str) -> None:
    """Raise what :func:`attempt` caught, if it did, with the machine's name if it is another.

    Raises:
        XTFError: of the kind that it was.
    """
    if not failure:
        return
    found = json.loads(failure)
    kind = getattr(errors, found["kind"], XTFError)
    away = f"on {found['host']}: " if found["host"] != socket.gethostname() else ""
    raise kind(f"{away}{found['text']}")
