"""The whole configuration, and what its sections must agree on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from xtf.config.base import Section
from xtf.config.kinds import CutSection
from xtf.config.lists import words
from xtf.config.problems import SettingsError, validation_problems
from xtf.config.reading import apply_overrides
from xtf.config.sections import (
    CombineConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    ScoringConfig,
    TrainingConfig,
)
from xtf.config.strategy import BUILT_IN_ARMS, OWN_LABELS, PREDEFINED_ARMS, ArmConfig, StrategyConfig, arm_parts
from xtf.errors import ConfigError, did_you_mean, listed


class RunConfig(Section):
    """Everything one run needs; ``xtf init`` writes a commented example."""

    output: str = Field("runs/default", description="The run folder.")
    seed: int = Field(0, description="Of everything drawn while scoring; training has seeds of its own.")
    model: ModelConfig = Field(description="The base model.")
    data: DataConfig = Field(description="The examples to score.")
    attributes: dict[str, dict[str, Any]] = Field(
        default_factory=lambda: dict[str, dict[str, Any]](
            reasoning_importance={}, knowledge_novelty={}, task_relevance={}
        ),
        description="Name to parameters. A second instance of a scorer gets a name of its own and 'attribute: NAME'.",
    )
    thresholds: dict[str, CutSection] = Field(default_factory=dict, description="Attribute name to its cut.")
    combine: CombineConfig = Field(default_factory=CombineConfig, description="How lacking becomes noise.")
    scoring: ScoringConfig = Field(ScoringConfig(), description="How the scoring pass runs.")
    strategy: StrategyConfig = Field(StrategyConfig(), description="When tokens are scored.")
    arms: dict[str, ArmConfig] = Field(default_factory=dict, description="Arm name to its way of labelling the scores.")
    truth: str | None = Field(
        None, description="File that says which tokens are wrong (xtf plant writes one): judges scores, makes oracle."
    )
    training: TrainingConfig | None = Field(None, description="Fine-tuning; without it a run ends with labels.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Held-out comparison of the arms.")

    @field_validator("attributes", mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = words(value)
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        if isinstance(value, Mapping):
            return {name: {} if params is None else params for name, params in value.items()}
        return value

    @field_validator("attributes")
    @classmethod
    def _usable_attributes(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not 1 <= len(value) <= 16:
            raise ValueError(f"between 1 and 16 attributes are needed, got {len(value)}")
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name == "example_id":
                raise ValueError(f"{name!r} cannot name an attribute: letters, digits and _ only, not example_id")
        return value

    @field_validator("arms")
    @classmethod
    def _usable_arm_names(cls, value: dict[str, ArmConfig]) -> dict[str, ArmConfig]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in BUILT_IN_ARMS or arm_parts(name)[0] != "xtf":
                raise ValueError(f"{name!r} cannot name an arm: letters, digits and _ only, and no built-in name")
        return value

    def arm(self, name: str) -> ArmConfig | None:
        """How an arm labels the scores, or None if there is no such arm."""
        if name in self.arms or name not in PREDEFINED_ARMS:
            return self.arms.get(name)
        return ArmConfig.model_validate(PREDEFINED_ARMS[name])

    @model_validator(mode="after")
    def _names_refer(self) -> RunConfig:
        named = list(_attributes_named("", self.thresholds, self.combine))
        for arm, spec in self.arms.items():
            named += [(f"arms.{arm}.attributes", name) for name in spec.attributes]
            named += _attributes_named(f"arms.{arm}.", spec.thresholds, spec.combine)
        problems = [_no_attribute(place, name, self.attributes) for place, name in named if name not in self.attributes]
        problems += self._problems_of_arms() + self._problems_of_strategy() + self._problems_of_rescoring()
        problems += self._problems_of_quantization()
        if problems:
            raise SettingsError([((), "\n".join(problems))])
        return self

    def _problems_of_arms(self) -> list[str]:
        known = list(dict.fromkeys((*BUILT_IN_ARMS, *PREDEFINED_ARMS, *self.arms)))
        problems = []
        for arm in self.training.arms if self.training is not None else ():
            _, labels = arm_parts(arm)
            own = labels is None or labels in OWN_LABELS
            spec = None if own else self.arm(str(labels))
            if labels == "oracle" and self.truth is None:
                problems.append(f"training.arms: {arm} masks the tokens known to be wrong; name their file under truth")
            if not own and spec is None:
                problems.append(
                    f"training.arms: no arm named {arm!r}.{did_you_mean(arm, known)} Known: {listed(known)}"
                )
            for name in spec.used if spec is not None and labels not in self.arms else ():
                if name not in self.attributes:
                    problems.append(
                        f"training.arms: {arm} cuts the scores of {name!r}, which this run does not score. "
                        f"Add attributes.{name}, or define arms.{labels} by other attributes. "
                        f"In this run: {listed(self.attributes)}"
                    )
        return problems

    def _problems_of_strategy(self) -> list[str]:
        if self.strategy.kind == "fixed":
            return []
        problems = [
            f"strategy.evolving: no attribute {name!r} in this run. In this run: {listed(self.attributes)}"
            for name in self.strategy.evolving
            if name not in self.attributes
        ]
        if not self.strategy.evolving:
            problems.append(
                "strategy.evolving: no attribute of this run compares two models, of which the newest could be one. "
                "Add one, for example influence or ss_token"
            )
        if self.training is None:
            return [*problems, "training: required, but not given: a self-evolving run trains after each part"]
        if "xtf" not in self.training.arms:
            problems.append("training.arms: a self-evolving run trains xtf in any case; name it too")
        if self.strategy.adapters == "merge" and self.training.method != "lora":
            problems.append("strategy.adapters: merge is for training.method: lora, which trains adapters")
        if self.training.max_examples is not None:
            problems.append("training.max_examples: not with strategy self_evolving; use data.limit")
        if self.training.rescore_steps is not None:
            problems.append(
                "training.rescore_steps: not with strategy self_evolving, whose rounds score by the newest model as it "
                "is; use strategy: fixed"
            )
        problems += [
            f"training.arms: {arm} cannot be compared in a self-evolving run, whose scores change from part to part. "
            "Compare it in a run with strategy: fixed"
            for arm in self.training.arms
            if arm_parts(arm)[1] not in (None, "xtf")
        ]
        return problems

    def _problems_of_quantization(self) -> list[str]:
        if self.model.quantization == "none" or self.training is None:
            return []
        problems = []
        if self.training.method == "full":
            problems.append("training.method: full trains all weights, and model.quantization holds codes; use lora")
        if self.strategy.kind == "self_evolving" and self.strategy.adapters == "merge":
            problems.append(
                "strategy.adapters: merge adds to weights, and model.quantization holds codes; use continue"
            )
        return problems

    def _problems_of_rescoring(self) -> list[str]:
        if self.training is not None and self.training.rescore_steps is not None:
            return []
        return [
            f"attributes.{name}: in_training is the model that training.rescore_steps scores with; set that, for "
            "example training.rescore_steps: 1"
            for name, params in self.attributes.items()
            if _is_in_training(params)
        ]


def _is_in_training(params: Any) -> bool:
    """Whether a parameter of a scorer names the model in training."""
    if not isinstance(params, Mapping):
        return False
    return params.get("in_training") is True or any(map(_is_in_training, params.values()))


def _attributes_named(
    prefix: str, thresholds: Mapping[str, CutSection], combine: CombineConfig
) -> Iterator[tuple[str, str]]:
    """Each place where a labelling names an attribute, and the name."""
    yield from ((f"{prefix}thresholds.{name}", name) for name in thresholds)
    yield from ((f"{prefix}combine.{key}", name) for key, name in combine.attributes_named().items())


AttributeCheck = Callable[[Mapping[str, Any]], list[str]]


def _unknown_attributes(problems: Sequence[str], merged: Mapping[str, Any]) -> list[str]:
    """The problems, where those of a cut for an attribute that is not there say just that."""
    given = merged.get("attributes", RunConfig.model_fields["attributes"].get_default(call_default_factory=True))
    if not isinstance(given, Mapping | list):
        return list(problems)
    names = [str(name) for name in given]
    found = []
    for problem in problems:
        cut = re.match(r"((?:arms\.\w+\.)?thresholds\.([^.:]+))[.:]", problem)
        found.append(problem if cut is None or cut[2] in names else _no_attribute(cut[1], cut[2], names))
    return found


def _no_attribute(place: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"{place}: no attribute of that name in this run.{did_you_mean(name, known)} In this run: {listed(known)}"


def parse_config(
    raw: Mapping[str, Any],
    source: str = "<config>",
    overrides: Sequence[str] = (),
    check_attributes: AttributeCheck | None = None,
) -> RunConfig:
    """Validate ``raw`` after applying ``key.path=value`` overrides.

    ``check_attributes`` receives the raw ``attributes`` mapping and returns problems as ``"key.path: text"``, so that
    mistakes in scorer parameters are listed together with all others.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    merged = apply_overrides(raw, overrides)
    problems: list[str] = []
    config: RunConfig | None = None
    try:
        config = RunConfig.model_validate(merged)
    except ValidationError as error:
        problems += _unknown_attributes(validation_problems(error, RunConfig), merged)
    if check_attributes is not None:
        named = config.attributes if config is not None else merged.get("attributes")
        if isinstance(named, Mapping):
            problems += check_attributes(named)
    if problems or config is None:
        raise ConfigError([f"{source}: {line}" for line in dict.fromkeys(problems)])
    return config
