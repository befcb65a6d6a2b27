"""A study: which arms are trained on which data, how often, and what they are judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from xtf.config.base import Section, Share
from xtf.config.kinds import CutSection
from xtf.config.problems import validation_problems
from xtf.config.reading import apply_overrides
from xtf.config.sections import CombineConfig
from xtf.config.strategy import BUILT_IN_ARMS, arm_parts
from xtf.errors import ConfigError

Part = Annotated[float, Field(gt=0.0, lt=1.0)]


class PlantingConfig(Section):
    """Mistakes of known kinds and places, planted in the responses of the training rows."""

    rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(0.1, description="Share of a response's tokens, on average.")
    share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(1.0, description="Share of the rows that get some.")
    kinds: tuple[str, ...] = Field((), description="Names of kinds; if empty, each response gets one that fits it.")
    seed: int = Field(0, description="Of the planting.")


class ArithmeticConfig(Section):
    """Generated rows instead of files: sums, differences and products with worked steps."""

    rows: PositiveInt = Field(160, description="Training rows.")
    held_out: PositiveInt = Field(60, description="Held-out rows, none of them a training row.")
    seed: int = Field(0, description="Of the rows.")


class SettingConfig(Section):
    """One set of data, and one way of training on it; all arms are trained in each setting."""

    plant: PlantingConfig | None = Field(None, description="Plant mistakes in the training rows first.")
    arithmetic: ArithmeticConfig | None = Field(None, description="Generated rows, instead of those of the config.")
    changes: dict[str, Any] = Field({}, description="What differs from the config: model, training.normalise, ….")


class StudyArm(Section):
    """One way of labelling: that of another configuration, or attributes with cuts and a rule."""

    config: str | None = Field(None, description="Take attributes, thresholds and combine from this file.")
    attributes: tuple[str, ...] = Field((), description="What it uses, by the config's own cuts.")
    thresholds: dict[str, CutSection] = Field(default_factory=dict, description="Cuts of its own.")
    combine: CombineConfig = Field(default_factory=CombineConfig, description="Its rule and guards.")
    objective: Literal["mask", "weight"] | None = Field(None, description="If set, instead of training.objective.")
    candidates: tuple[dict[str, CutSection], ...] = Field(
        (), description="Cuts to choose from: trained with the first seed, chosen by the loss on development rows."
    )

    @model_validator(mode="after")
    def _one_source(self) -> StudyArm:
        if self.config is not None and (self.attributes or self.thresholds or self.candidates):
            raise ValueError("config: takes the labelling from a file; leave out attributes, thresholds and candidates")
        if self.config is None and not (self.attributes or self.thresholds or self.candidates):
            raise ValueError("name a config, the attributes it uses, or give thresholds")
        if len(self.candidates) == 1:
            raise ValueError("candidates: one is no choice; give it as thresholds")
        return self


class CurveConfig(Section):
    """Mask the worst, the best and random tokens by each score, at rising shares: is the order of the score right?"""

    scores: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Attributes of the config.")
    shares: Annotated[tuple[Part, ...], Field(min_length=1)] = Field(
        (0.01, 0.05, 0.1, 0.2, 0.4), description="Shares of the response tokens to mask."
    )


Control = Literal["base", "full", "random", "inverted", "oracle"]


class StudyConfig(Section):
    """A study: arms × seeds × settings, each trained from one start on the same rows in the same order."""

    output: str = Field("runs/study", description="The study's folder.")
    config: str = Field(description="The base configuration: model, data, attributes, cuts, training, evaluation.")
    changes: dict[str, Any] = Field({}, description="What differs from it, in every setting.")
    settings: dict[str, SettingConfig] = Field(
        {}, description="Name to data and changes; if empty, one called data, as the config has it."
    )
    arms: dict[str, StudyArm] = Field({}, description="Name to a way of labelling that is to be tested.")
    controls: tuple[Control, ...] = Field(
        ("base", "full", "random", "oracle"),
        description="random and inverted: one for each arm, of its size; oracle: where wrong tokens are known.",
    )
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        (0, 1, 2), description="Each arm is trained with each."
    )
    development: Share = Field(0.3, description="Share of held-out rows kept for choosing among candidates, if any.")
    retention: str | None = Field(None, description="Unrelated text, as data.path; if unset, short passages of XTF's.")
    curve: CurveConfig | None = Field(None, description="Retraining curves of scores.")

    @property
    def all_settings(self) -> dict[str, SettingConfig]:
        """The settings; at least one."""
        return self.settings or {"data": SettingConfig.model_validate({})}

    @field_validator("settings", "arms")
    @classmethod
    def _usable_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
                raise ValueError(f"{name!r} cannot be a name: letters, digits and _ only")
            if name in (*BUILT_IN_ARMS, "curve") or arm_parts(name)[0] != "xtf":
                raise ValueError(f"{name!r} is a name of XTF's own; choose another")
        return value

    @model_validator(mode="after")
    def _compares_something(self) -> StudyConfig:
        if not self.arms and self.curve is None:
            raise ValueError("arms: name at least one, or give a curve")
        if self.arms and "random" not in self.controls:
            raise ValueError("controls: random cannot be left out; every arm is judged against it")
        for name, values in (("seeds", self.seeds), ("controls", self.controls)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: one is named twice")
        if any(arm.candidates for arm in self.arms.values()) and not 0.0 < self.development < 1.0:
            raise ValueError(
                "development: candidates are chosen on a part of the held-out rows; give a share within 0 to 1"
            )
        return self


def parse_study(raw: Mapping[str, Any], source: str = "<study>", overrides: Sequence[str] = ()) -> StudyConfig:
    """Validate ``raw`` after applying ``key.path=value`` overrides.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    try:
        return StudyConfig.model_validate(apply_overrides(raw, overrides))
    except ValidationError as error:
        raise ConfigError([f"{source}: {line}" for line in validation_problems(error, StudyConfig)]) from None
