"""One test for each pair of a plug-in and a check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import pytest


def parametrize_checks(
    argument: str,
    plugins: Mapping[str, Any],
    checks: Sequence[Callable[[Any], None]],
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``argument`` and ``check`` over every pair of them.

    Args:
        argument: What the test calls the plug-in.
        plugins: Label in the test's id to plug-in.
        checks: What each must keep to.
        expected_failures: A check's name to the reason why these plug-ins break it; the check must then fail.
    """
    reasons = dict(expected_failures or {})
    known = [check.__name__ for check in checks]
    if unknown := set(reasons) - set(known):
        raise ValueError(f"no check named {sorted(unknown)}; known: {known}")
    cases = []
    for label, plugin in plugins.items():
        for check in checks:
            name = check.__name__
            marks = [pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else []
            cases.append(pytest.param(plugin, check, id=f"{label}-{name}", marks=marks))
    return pytest.mark.parametrize((argument, "check"), cases)


_OUTSIDE = ("open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen", "os.system")
_FOUND: ContextVar[list[str] | None] = ContextVar("xtf_outside_access", default=None)


@contextmanager
def outside_access() -> Iterator[list[str]]:
    """Gather what the code of the block opens, lists, connects to and starts, as Python's audit events tell it."""
    _watch()
    found: list[str] = []
    token = _FOUND.set(found)
    try:
        yield found
    finally:
        _FOUND.reset(token)


@cache
def _watch() -> None:
    """Install the hook; Python lets nobody take one away, so it rests outside :func:`outside_access`."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        found = _FOUND.get(None) if event in _OUTSIDE else None
        if found is not None:
            found.append(f"{event} {arguments[0] if arguments else ''}".strip())

    sys.addaudithook(note)
