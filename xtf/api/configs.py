"""Configurations: read, completed, checked, and what a step may change of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xtf.attribute.registry import AnyAttribute
from xtf.config import METRICS, RunConfig, apply_overrides, parse_config, problems_of_rates, read_yaml, words
from xtf.errors import ConfigError, did_you_mean, listed
from xtf.runs import RunReader
from xtf.steps.defaults import completed, named, problems_of_attributes, problems_of_prompts

ConfigLike = RunConfig | Mapping[str, Any] | str | Path
Rows = Iterable[Mapping[str, Any]]
_UNCUT = 1 << 30


def load_config(
    source: ConfigLike, overrides: Sequence[str] = (), scorers: Mapping[str, AnyAttribute] | None = None
) -> RunConfig:
    """Read and check a configuration, scorer parameters included, and fill in the default cuts.

    Args:
        source: A YAML file, a mapping, or a configuration already checked.
        overrides: ``key.path=value`` texts, as after ``--set``.
        scorers: Scorer objects that take the place of the section ``attributes``, by the names they go under.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    return _checked(*_raw(source), overrides, scorers)


def _raw(source: ConfigLike) -> tuple[dict[str, Any], str]:
    """A configuration yet to be checked, and what messages call it."""
    if isinstance(source, RunConfig):
        return source.model_dump(mode="json"), "<config>"
    if isinstance(source, Mapping):
        return dict(source), "<config>"
    return read_yaml(source), str(source)


def _checked(
    raw: Mapping[str, Any], where: str, overrides: Sequence[str] = (), scorers: Mapping[str, AnyAttribute] | None = None
) -> RunConfig:
    merged = apply_overrides(raw, overrides)
    if scorers is not None:
        config = parse_config(named(merged, scorers), where)
    else:
        merged = completed(merged)
        config = parse_config(
            merged,
            where,
            check_attributes=lambda attributes: problems_of_attributes(merged, attributes) + _unknown_metrics(merged),
        )
    if problems := problems_of_rates(config) + problems_of_prompts(config, scorers):
        raise ConfigError([f"{where}: {problem}" for problem in problems])
    return config


def _unknown_metrics(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``evaluation.metrics``; a run whose metrics are not installed here can still be read."""
    section = raw.get("evaluation")
    names = section.get("metrics") if isinstance(section, Mapping) else None
    names = words(names) if isinstance(names, str) and names != "auto" else names
    known = METRICS.points()
    return [
        f"evaluation.metrics: no metric named {name!r}.{did_you_mean(str(name), known)} Known: auto, {listed(known)}"
        for name in (names if isinstance(names, list | tuple) else ())
        if name not in known
    ]


def with_objects(source: ConfigLike, model: Any, data: Any, scorers: Mapping[str, AnyAttribute] | None) -> RunConfig:
    """As :func:`load_config`; an object given needs no path in the configuration."""
    raw, where = _raw(source)
    if model is not None:
        raw["model"] = {"path": getattr(model, "name_or_path", "") or "(a model object)", **(raw.get("model") or {})}
    if data is not None:
        raw["data"] = {"path": "(rows in memory)", **(raw.get("data") or {})}
    return _checked(raw, where, (), scorers)


def data_config(paths: Sequence[str], model: Mapping[str, Any], overrides: Sequence[str]) -> RunConfig:
    """A configuration for reading data alone, which is not cut to a greatest length."""
    data = {"path": paths[0] if len(paths) == 1 else list(paths), "max_length": _UNCUT}
    return load_config({"output": "unused", "model": model, "data": data}, overrides)


def changed(run: RunReader, overrides: Sequence[str]) -> RunConfig:
    """The run's configuration with overrides; its scorers, which need not be installed here, are not looked for."""
    return parse_config(apply_overrides(run.config.model_dump(mode="json"), overrides))


def refuse_unread(step: str, sections: Sequence[str], overrides: Sequence[str], instead: str) -> None:
    """Refuse to change what a step does not read: the run's configuration would contradict what lies beside it.

    Raises:
        ConfigError: an override is of none of the ``sections``.
    """
    for override in [overrides] if isinstance(overrides, str) else overrides:
        if override.partition("=")[0].partition(".")[0] not in sections:
            raise ConfigError(f"--set {override}: {step} reads only {_words(sections)}; {instead}")


def _words(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def refuse_alone(done: str, config: RunConfig) -> None:
    """Refuse a step alone in a self-evolving run, where the steps take turns.

    Raises:
        ConfigError: this is one.
    """
    if config.strategy.kind == "self_evolving":
        raise ConfigError(
            f"strategy: a self-evolving run cannot be {done} alone, for each part is scored by the model trained on "
            "those before. Use xtf run CONFIG; with --set it repeats only what the change affects"
        )
