"""Cuts and rules in a configuration: each kind is a plug-in that brings the settings it reads.

A configuration is read before labelling is known, so kinds are found by entry point, when one is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError

from xtf.config.base import Section
from xtf.config.problems import Problem, SettingsError, one_of, problems_of
from xtf.errors import PluginError
from xtf.plugins import PluginGroup


class PluginSection(Section):
    """Settings of one kind of plug-in; a subclass gives ``kind`` a literal type and default, its entry point's name."""

    kind: str

    def attributes_named(self) -> Mapping[str, str]:
        """Keys of these settings that name an attribute, such as ``weights.NAME``, and the attributes they name."""
        return {}


class Kinds:
    """The kinds of one group of plug-ins; each is imported when it is asked for, and once."""

    def __init__(self, group: PluginGroup) -> None:
        self._group = group
        self._loaded: dict[str, type[PluginSection]] = {}

    def names(self) -> list[str]:
        """Every kind that is installed, sorted; imports none."""
        return sorted(self._group.points())

    def load(self, kind: str) -> type[PluginSection]:
        """The settings of one kind.

        Raises:
            PluginError: there is no such kind, or what its package offers is none.
        """
        if kind not in self._loaded:
            loaded = self._group.load(kind)
            where = f"{self._group.word} {kind!r} of package {self._group.provider(kind)}"
            if not (isinstance(loaded, type) and issubclass(loaded, PluginSection)):
                raise PluginError(f"{where}: {loaded!r} is not a class of settings with a kind")
            if loaded.model_fields["kind"].default != kind:
                own = loaded.model_fields["kind"].default
                raise PluginError(f"{where}: calls itself {own!r}; both must agree")
            self._loaded[kind] = loaded
        return self._loaded[kind]


CUTS = Kinds(PluginGroup("xtf.cuts", "cut"))
RULES = Kinds(PluginGroup("xtf.combiners", "rule"))
METRICS = PluginGroup("xtf.metrics", "metric")


def read_cut(value: Any) -> Any:
    """A cut as configured, ``{kind: NAME, …}``, as the settings of its kind.

    Raises:
        SettingsError: with every problem in it.
    """
    if isinstance(value, PluginSection):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping, for example {kind: below, cut: 0.05}")
    if "kind" not in value:
        raise SettingsError([(("kind",), "required: which cut to use, for example 'below' or 'iqr'")])
    if value["kind"] not in CUTS.names():
        raise SettingsError([(("kind",), f"no cut named {one_of(value['kind'], CUTS.names())}")])
    return read_settings(CUTS.load(value["kind"]), value)


def read_settings(section: type[PluginSection], value: Mapping[str, Any]) -> PluginSection:
    """Settings of a known kind.

    Raises:
        SettingsError: with every problem in them.
    """
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise SettingsError(problems_of(error, section)) from None


def read_rule(kind: Any, given: Mapping[str, Any], beside: Iterable[str]) -> tuple[dict[str, Any], Sequence[Problem]]:
    """The settings of a rule, which lie ``beside`` other keys, and what is wrong with ``given``.

    Settings of another rule are checked and kept as given, so that ``--set combine.rule=…`` finds them.
    """
    kinds = RULES.names()
    found: dict[str, Any] = {}
    problems: list[Problem] = [] if kind in kinds else [(("rule",), f"cannot be {one_of(kind, kinds)}")]
    for other in sorted(kinds, key=lambda one: one != kind) if given else [one for one in kinds if one == kind]:
        section = RULES.load(other)
        own = {key: given[key] for key in section.model_fields if key != "kind" and key in given and key not in found}
        if other == kind or own:
            try:
                settings = section.model_validate(own)
            except ValidationError as error:
                wrong = problems_of(error, section)
                problems += [(path, text) for path, text in wrong if other == kind or path[0] in own]
            else:
                found |= {k: v for k, v in settings if k != "kind" and (other == kind or k in own)}
    known = {key for other in (kinds if given else ()) for key in RULES.load(other).model_fields} - {"kind"}
    problems += [((key,), f"unknown key {one_of(key, [*beside, *known])}") for key in given if key not in known]
    return found, problems


CutSection = Annotated[PluginSection, BeforeValidator(read_cut), SerializeAsAny()]
"""A cut in a configuration: the settings of whichever kind it names."""
