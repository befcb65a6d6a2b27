"""Who gets the newest model: scorers whose :class:`Roles` name a parameter for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xtf.attribute import Roles
from xtf.attribute.registry import load
from xtf.errors import PluginError, listed

NEWEST = {"path": "the newest model"}
"""Stands for the newest model while a configuration is checked."""


def comparing(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The attributes of a configuration that compare two models, in its order; those not installed are left out."""
    return tuple(name for name, spec in attributes.items() if _roles(name, spec) is not None)


def with_newest(
    attributes: Mapping[str, Any], evolving: Iterable[str], newest: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The ``attributes`` section with the newest model given to those that evolve, as the parameter it is to them."""
    specs = {name: dict(spec) if isinstance(spec, Mapping) else {} for name, spec in attributes.items()}
    for name in evolving:
        roles = _roles(name, specs.get(name))
        if roles is not None:
            specs[name][roles.newest] = dict(newest)
    return specs


def problems_of_roles(attributes: Mapping[str, Any], evolving: Iterable[str]) -> list[str]:
    """What is wrong with ``strategy.evolving``, one problem a line; names that are no attribute are another check's."""
    problems = []
    for name in evolving:
        if name not in attributes:
            continue
        spec = attributes[name] if isinstance(attributes[name], Mapping) else {}
        roles = _roles(name, spec)
        if roles is None:
            able = listed(comparing(attributes)) or "none in this run"
            problems.append(
                f"strategy.evolving: {name} compares no two models; the newest is no use to it. Those that do: {able}"
            )
        elif spec.get(roles.newest) is not None:
            problems.append(
                f"attributes.{name}.{roles.newest}: not with strategy self_evolving, where it is the newest model"
            )
    return problems


def _roles(name: str, spec: Any) -> Roles | None:
    try:
        return load(str(spec.get("attribute", name) if isinstance(spec, Mapping) else name)).roles
    except PluginError:
        return None  # reported by the check of the attributes
