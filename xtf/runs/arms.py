"""What the arms of a comparison learn: the run's own labels, and other cuts of the same scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xtf.config import ArmConfig, Never, RunConfig, Threshold, arm_parts
from xtf.errors import ConfigError
from xtf.rules import LabelRules, apply_rules, fit_rules
from xtf.runs.opened import Run
from xtf.shard import ScoredShard
from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training import Labelling


def labellings(
    run: Run, rules: Mapping[str, LabelRules], limit: int | None = None
) -> tuple[list[TokenizedExample], dict[str, Labelling]]:
    """The first ``limit`` examples, and what each of ``rules`` makes of them; loads no model."""
    noise: dict[str, dict[str, BoolArray]] = {name: {} for name in rules}
    weights: dict[str, dict[str, FloatArray]] = {name: {} for name in rules}
    examples: list[TokenizedExample] = []
    for shard in run.shards():
        made = list(examples_in(shard))[: None if limit is None else limit - len(examples)]
        for name, rule in rules.items():
            labels = apply_rules(rule, shard)
            for example, here in made:
                noise[name][example.example_id] = labels.noise[here]
                weights[name][example.example_id] = labels.weights[here]
        examples += [example for example, _ in made]
        if limit is not None and len(examples) >= limit:
            break
    return examples, {name: Labelling(noise[name], weights[name]) for name in rules}


def rules_of_arms(run: Run, config: RunConfig) -> dict[str, LabelRules]:
    """The rules of each labelling that an arm of ``training.arms`` names; the run's own are called ``xtf``.

    Raises:
        ConfigError: a cut of an arm that the scores do not allow.
    """
    arms = config.training.arms if config.training is not None else ()
    named = dict.fromkeys(used for arm in arms if (used := arm_parts(arm)[1]) is not None)
    return {name: run.rules if name == "xtf" else arm_rules(run, config, name) for name in named}


def arm_rules(run: Run, config: RunConfig, name: str) -> LabelRules:
    """The rules of an arm, fitted to all scores of the run; attributes that the arm does not use have no say."""
    spec = config.arm(name)
    assert spec is not None  # the configuration was checked
    try:
        return fit_rules(
            list(config.attributes), _thresholds(spec, config), spec.combine, run.shards, run.distributions()
        )
    except ConfigError as error:
        raise ConfigError([f"arms.{name}.{problem}" for problem in error.problems]) from None


def _thresholds(spec: ArmConfig, config: RunConfig) -> Mapping[str, Threshold]:
    own = {**config.thresholds, **spec.thresholds}
    return {name: own[name] if name in spec.used else Never() for name in config.attributes}


def examples_in(shard: ScoredShard) -> Iterator[tuple[TokenizedExample, slice]]:
    """Each example of a shard, and where its tokens lie."""
    for index, example_id in enumerate(shard.example_ids):
        here = slice(int(shard.offsets[index]), int(shard.offsets[index + 1]))
        yield (
            TokenizedExample(example_id, shard.input_ids[here], shard.is_response[here], shard.is_protected[here]),
            here,
        )
