"""One test for each pair of a plug-in and a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
