"""What the arms of a comparison learn: the run's own labels, and other cuts of the same scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xtf.config import ArmConfig, PluginSection, RunConfig, arm_parts
from xtf.data.arrays import ArrayFile
from xtf.errors import ConfigError
from xtf.labelling import LabelRules, fit_rules, judge
from xtf.labelling.cuts.never import Never
from xtf.labelling.decisions import Decided, add_decided, count_decided
from xtf.noise.truth import Truth, read_truth
from xtf.runs import RunReader
from xtf.runs.decisions import read_decisions
from xtf.steps.truth import wrong_tokens
from xtf.tokens import TOKEN_COLUMNS
from xtf.training import Labelling
from xtf.training.storage import ExampleWriter, StoredExamples

ORACLE = "oracle"


def labellings(
    run: RunReader, rules: Mapping[str, LabelRules], limit: int | None = None, truth: Truth | None = None
) -> tuple[StoredExamples, dict[str, Labelling]]:
    """The first ``limit`` examples, the run's own labels (``xtf``), and what each of ``rules`` makes of them, on disk.

    The run's own labels are read as written; no model is loaded. What people decided on the run goes before each of
    ``rules`` too. With ``truth`` there is one labelling more, ``oracle``, whose noise is what is known to be wrong, no
    more and no less.
    """
    labelled, decisions = ("xtf", *rules), read_decisions(run.folder)
    decided: dict[str, list[Sequence[Decided]]] = {name: [] for name in labelled}
    names = [*labelled, *([ORACLE] if truth is not None else [])]
    by_cuts = {**rules, "xtf": run.rules} if decisions else {}
    examples = ExampleWriter(run.folder.state)
    noise = {name: ArrayFile(run.folder.state, np.bool_) for name in names}
    weights = {name: ArrayFile(run.folder.state, np.float32) for name in names}
    taken = 0
    for shard, written in run.labelled(None if rules or decisions else []):
        count = len(shard) if limit is None else min(len(shard), limit - taken)
        here = slice(int(shard.offsets[count]))
        examples.append(
            shard.example_ids[:count],
            shard.offsets[: count + 1],
            {name: getattr(shard, name)[here] for name in TOKEN_COLUMNS},
        )
        for name in labelled:
            labels = written if name == "xtf" else judge(rules[name], shard, decisions)
            if decisions:
                without = judge(by_cuts[name], shard).noise[here]
                decided[name].append(count_decided(decisions, labels.within(here), without))
            noise[name].append(labels.noise[here])
            weights[name].append(labels.weights[here])
        if truth is not None:
            wrong = wrong_tokens(run, truth, shard)[here]
            noise[ORACLE].append(wrong)
            weights[ORACLE].append(np.where(wrong, np.float32(0.0), shard.weights[here]))
        taken += count
        if taken == limit:
            break
    return examples.stored(), {
        name: Labelling(
            examples.pieces(noise[name]), examples.pieces(weights[name]), decided=add_decided(decided.get(name, ()))
        )
        for name in names
    }


def rules_of_arms(run: RunReader, config: RunConfig) -> dict[str, LabelRules]:
    """The rules of each labelling that an arm of ``training.arms`` names, but for the run's own.

    Raises:
        ConfigError: a cut of an arm that the scores do not allow.
    """
    arms = config.training.arms if config.training is not None else ()
    named = dict.fromkeys(used for arm in arms if (used := arm_parts(arm)[1]) not in (None, "xtf", ORACLE))
    return {name: arm_rules(run, config, name) for name in named}


def truth_of_arms(config: RunConfig) -> Truth | None:
    """The truth file, if an arm of ``training.arms`` masks what it calls wrong.

    Raises:
        DataError: it cannot be read.
    """
    arms = config.training.arms if config.training is not None else ()
    if config.truth is None or not any(arm_parts(arm)[1] == ORACLE for arm in arms):
        return None
    return read_truth(config.truth)


def arm_rules(run: RunReader, config: RunConfig, name: str) -> LabelRules:
    """The rules of an arm, fitted to all scores of the run; attributes that the arm does not use have no say.

    Raises:
        ConfigError: the scores do not allow one of its cuts.
    """
    spec = config.arm(name)
    assert spec is not None  # the configuration was checked
    try:
        return fit_rules(
            list(config.attributes), _thresholds(spec, config), spec.combine, run.shards, run.distributions()
        )
    except ConfigError as error:
        raise ConfigError([f"arms.{name}.{problem}" for problem in error.problems]) from None


def _thresholds(spec: ArmConfig, config: RunConfig) -> Mapping[str, PluginSection]:
    own = {**config.thresholds, **spec.thresholds}
    return {name: own[name] if name in spec.used else Never() for name in config.attributes}
