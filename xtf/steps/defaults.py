"""What scorers bring into a configuration that leaves it open: cuts, normaliser, and who gets the newest model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from xtf.attribute import registry
from xtf.attribute.registry import AnyAttribute
from xtf.attribute.roles import NEWEST, comparing, problems_of_roles, with_newest
from xtf.config import RunConfig, StrategyConfig, words
from xtf.errors import PluginError
from xtf.labelling.cuts import NO_PROMPTS, Cut


def completed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what scorers bring: default cuts, ``strategy.evolving``, and ``training.normalise``.

    A cut given in part (``cut: 0.1``) is completed from the default. What is wrong is left to validation.
    """
    if isinstance(raw.get("attributes"), str):
        raw = {**raw, "attributes": words(raw["attributes"])}
    attributes, thresholds = _attributes(raw), raw.get("thresholds") or {}
    if attributes is None or not isinstance(thresholds, Mapping):
        return dict(raw)
    strategy = _evolving(raw, attributes)
    specs = with_newest(attributes, _strategy(strategy).evolving, NEWEST)
    scorers, cuts, open_ = {}, dict(thresholds), _leaves_normaliser(raw)
    for name, spec in specs.items():
        if _kind(cuts.get(name)) is not None and not open_:
            continue  # complete; its scorer need not be installed
        try:
            scorers[name] = registry.build(str(name), spec)
        except PluginError:
            continue  # not installed; or reported by the check of the attributes
        cuts[name] = _cut(cuts.get(name), scorers[name].default_cut())
    return _normalised({**raw, **strategy, "thresholds": cuts}, scorers)


def named(raw: Mapping[str, Any], scorers: Mapping[str, AnyAttribute]) -> dict[str, Any]:
    """The configuration of a run under scorer objects, which need not be registered."""
    specs = {name: {"attribute": s.name, **s.params.model_dump(mode="json")} for name, s in scorers.items()}
    replaced = [name for name in raw.get("attributes") or () if name not in scorers]
    given = {name: cut for name, cut in (raw.get("thresholds") or {}).items() if name not in replaced}
    cuts = {name: _cut(given.get(name), scorer.default_cut()) for name, scorer in scorers.items()}
    return _normalised({**raw, "attributes": specs, "thresholds": {**given, **cuts}}, scorers)


def _normalised(raw: Mapping[str, Any], scorers: Mapping[str, AnyAttribute]) -> dict[str, Any]:
    """With the normaliser that the selectors bring: of ``combine.weight_by``, or of every attribute whose cut decides.

    All response tokens, if one of them divides by them.
    """
    training, combine = raw.get("training"), raw.get("combine") or {}
    if not isinstance(training, Mapping) or not _leaves_normaliser(raw):
        return dict(raw)
    weight_by = combine.get("weight_by") if isinstance(combine, Mapping) else None
    weighted = training.get("objective") == "weight" and weight_by in scorers
    names = [str(weight_by)] if weighted else [n for n in scorers if _kind(raw["thresholds"].get(n)) != "never"]
    brought = {scorers[name].normalise for name in names}
    return {**raw, "training": {**training, "normalise": "response" if "response" in brought else "kept"}}


def _leaves_normaliser(raw: Mapping[str, Any]) -> bool:
    training = raw.get("training")
    return isinstance(training, Mapping) and training.get("normalise", "auto") == "auto"


def _kind(cut: Any) -> Any:
    return cut.get("kind") if isinstance(cut, Mapping) else None


def problems_of_attributes(raw: Mapping[str, Any], attributes: Mapping[str, Any]) -> list[str]:
    """Every problem of the section ``attributes`` and of who gets the newest model, one a line."""
    evolving = _strategy(raw).evolving
    problems = problems_of_roles(attributes, evolving)
    return problems or registry.check(with_newest(attributes, evolving, NEWEST))


def problems_of_prompts(config: RunConfig, scorers: Mapping[str, AnyAttribute] | None = None) -> list[str]:
    """A line for each cut that is fitted over prompts whose tokens its attribute does not score.

    Args:
        config: Complete.
        scorers: Those given as objects, which no section ``attributes`` describes.
    """
    sections = {"": config.thresholds, **{f"arms.{arm}.": spec.thresholds for arm, spec in config.arms.items()}}
    seeing = [
        (place, name)
        for place, cuts in sections.items()
        for name, cut in cuts.items()
        if isinstance(cut, Cut) and cut.sees_prompts
    ]
    specs = with_newest(config.attributes, config.strategy.evolving, NEWEST)
    given = scorers or {name: registry.build(name, specs[name]) for _, name in seeing}
    return [f"{place}thresholds.{name}.over: {NO_PROMPTS}" for place, name in seeing if not given[name].scores_prompts]


def _attributes(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    given = raw.get("attributes", RunConfig.model_fields["attributes"].get_default(call_default_factory=True))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return {str(name): {} for name in given}
    return given if isinstance(given, Mapping) else None


def _evolving(raw: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``strategy``, if it evolves and names nobody, with every attribute that compares two models."""
    strategy = _strategy(raw)
    if strategy.kind == "fixed" or strategy.evolving:
        return {"strategy": raw["strategy"]} if "strategy" in raw else {}
    given = raw["strategy"]
    section = {"kind": given} if isinstance(given, str) else given
    return {"strategy": {**section, "evolving": list(comparing(attributes))}}


def _strategy(raw: Mapping[str, Any]) -> StrategyConfig:
    """The strategy of a configuration yet to be checked; the default if validation will refuse it."""
    try:
        return StrategyConfig.model_validate(raw.get("strategy") or {})
    except ValidationError:
        return StrategyConfig()


def _cut(given: Any, default: Mapping[str, Any]) -> Any:
    """A cut as configured, its missing parts from the default unless it names a kind of its own."""
    if given is None or (isinstance(given, Mapping) and "kind" not in given):
        return {**default, **(given or {})}
    return given
