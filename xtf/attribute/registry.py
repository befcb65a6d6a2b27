"""Which scorers exist, and how to get one: names without importing, classes with clear errors.

Built-in scorers, installed packages and classes defined in a notebook come through the same door. Packages announce
theirs as entry points of the group ``xtf.attributes``; a notebook calls :func:`register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from xtf.attribute import Attribute, AttributeParams, SignalRequest
from xtf.attribute.signals.known import register_signal
from xtf.config import validation_problems
from xtf.errors import PluginError, did_you_mean, listed
from xtf.plugins import PluginGroup

_GROUP = PluginGroup("xtf.attributes", "attribute")

AnyAttribute = Attribute[Any]
Plugin = TypeVar("Plugin", bound=type[Any])

_registered: dict[str, type[AnyAttribute]] = {}


def register(scorer: Plugin) -> Plugin:
    """Make a class of scorers or signals known under its ``name``; usable as a decorator.

    Running a notebook cell again replaces the class; taking another's name is refused.

    Raises:
        PluginError: if the class is not usable or its name belongs to another one.
    """
    if isinstance(scorer, type) and issubclass(scorer, SignalRequest):
        register_signal(scorer)
        return scorer
    checked = _usable(scorer, getattr(scorer, "name", "?"), f"the class {scorer!r}")
    name = checked.name
    previous = _registered.get(name)
    if previous is not None and _identity(previous) != _identity(checked):
        raise PluginError(f"attribute {name!r}: already registered by {_identity(previous)}. Choose another name.")
    if name in _GROUP.points():
        raise PluginError(f"attribute {name!r}: an installed package already provides that name. Choose another name.")
    _registered[name] = checked
    return scorer


def names() -> list[str]:
    """Names of every known scorer, sorted; imports none of them."""
    return sorted({*_registered, *_GROUP.points()})


def provider(name: str) -> str:
    """Where a scorer comes from, for listings: the distribution's name and version, or the registering module."""
    if name in _registered:
        return _registered[name].__module__
    return _GROUP.provider(name)


def load(name: str) -> type[AnyAttribute]:
    """Return the scorer class called ``name``.

    Raises:
        PluginError: if there is none, if two packages provide it, or if its package cannot be imported.
    """
    if name in _registered:
        return _registered[name]
    points = _GROUP.points()
    if name not in points:
        known = names()
        raise PluginError(f"no attribute of that name.{did_you_mean(name, known)} Known: {listed(known)}")
    return _usable(_GROUP.load(name), name, f"{points[name].value} of package {provider(name)}")


def build(name: str, spec: Mapping[str, Any]) -> AnyAttribute:
    """Make the scorer instance that a configuration's ``attributes.NAME`` describes.

    ``spec`` holds its parameters; the key ``attribute`` names the scorer when it differs from ``name``.

    Raises:
        PluginError: with one line for each problem, each beginning with its key path.
    """
    parameters = dict(spec)
    scorer_name = parameters.pop("attribute", name)
    try:
        scorer = load(str(scorer_name))
    except PluginError as error:
        raise PluginError(f"attributes.{name}: {error}") from error
    try:
        return scorer(scorer.Params.model_validate(parameters))
    except ValidationError as error:
        problems = validation_problems(error, scorer.Params, prefix=("attributes", name))
        raise PluginError("\n".join(problems)) from None


def check(attributes: Mapping[str, Any]) -> list[str]:
    """Return every problem of a raw ``attributes`` section, one a line; loads scorers but no model."""
    problems: list[str] = []
    for name, spec in attributes.items():
        try:
            build(name, spec if isinstance(spec, Mapping) else {})
        except PluginError as error:
            problems += str(error).split("\n")
    return problems


def _usable(loaded: object, name: str, where: str) -> type[AnyAttribute]:
    if not (isinstance(loaded, type) and issubclass(loaded, Attribute)):
        raise PluginError(f"attribute {name!r}: {where} is not a subclass of xtf.Attribute")
    missing = sorted(getattr(loaded, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"attribute {name!r}: {where} does not implement {', '.join(missing)}")
    if getattr(loaded, "name", None) != name:
        raise PluginError(
            f"attribute {name!r}: {where} calls itself {getattr(loaded, 'name', None)!r}; both must agree"
        )
    if not issubclass(loaded.Params, AttributeParams):
        raise PluginError(f"attribute {name!r}: {where}: Params must be a subclass of xtf.AttributeParams")
    return loaded


def _identity(scorer: type[AnyAttribute]) -> str:
    return f"{scorer.__module__}.{scorer.__qualname__}"
