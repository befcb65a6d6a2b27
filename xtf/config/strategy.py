"""When tokens are scored, and what the arms of a comparison are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xtf.config.base import Section
from xtf.config.kinds import CutSection
from xtf.config.problems import SettingsError
from xtf.config.sections import CombineConfig
from xtf.errors import listed


class StrategyConfig(Section):
    """When tokens are scored. ``strategy: self_evolving`` is short for ``strategy: {kind: self_evolving}``.

    ``fixed``: score once, then train. ``self_evolving`` (Token Cleaning, arXiv 2502.01968): cut the data into
    ``rounds`` parts; learn every token of the first; score each further part by the base against the newest model,
    and go on training on what the cuts keep.
    """

    kind: Literal["fixed", "self_evolving"] = "fixed"
    rounds: Annotated[int, Field(ge=2)] | None = Field(None, description="self_evolving: parts of the data (5).")
    evolving: tuple[str, ...] = Field(
        (), description="self_evolving: who is given the newest model; if empty, every attribute that compares two."
    )

    adapters: Literal["continue", "merge"] = Field(
        "continue",
        description="self_evolving: go on with one adapter, or merge it after each round and add a fresh one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, value: Any) -> Any:
        value = {"kind": value} if isinstance(value, str) else value
        if not isinstance(value, Mapping):
            return value
        if value.get("kind") == "self_evolving":
            return {**value, "rounds": value.get("rounds") or 5}
        return value

    @model_validator(mode="after")
    def _read_settings_only(self) -> StrategyConfig:
        if self.kind == "fixed" and (self.rounds is not None or self.evolving or self.adapters != "continue"):
            raise ValueError("rounds, evolving and adapters belong to kind: self_evolving")
        return self


class ArmConfig(Section):
    """One more way of labelling the run's scores; attributes that it does not use decide nothing."""

    attributes: tuple[str, ...] = Field((), description="What it uses, by the run's own cuts; default: its thresholds.")
    thresholds: dict[str, CutSection] = Field(default_factory=dict, description="Cuts of its own.")
    combine: CombineConfig = Field(default_factory=CombineConfig, description="Its rule and guards.")

    @property
    def used(self) -> tuple[str, ...]:
        """The attributes that decide."""
        return self.attributes or tuple(self.thresholds)

    @model_validator(mode="after")
    def _uses_something(self) -> ArmConfig:
        if not self.used:
            raise ValueError("name the attributes it uses, or give thresholds")
        if stray := [name for name in self.thresholds if name not in self.used]:
            raise SettingsError([(("thresholds", stray[0]), f"not among its attributes ({listed(self.used)})")])
        return self


PREDEFINED_ARMS: Mapping[str, Mapping[str, Any]] = {
    "token_cleaning": {"thresholds": {"influence": {"kind": "top_share", "keep": 0.6}}},
    "rho": {"thresholds": {"influence": {"kind": "top_share", "keep": 0.6, "scope": "example"}}},
}
"""Arms that need no entry in ``arms``: the top 60 % of the data set (arXiv 2502.01968), or of each example (Rho-1)."""

BUILT_IN_ARMS = ("base", "full", "random", "inverted", "oracle", "xtf")
OWN_LABELS = ("xtf", "oracle")
"""Labels that no arm need define: the run's own, and those that mask just the tokens known to be wrong."""
CONTROLS = ("random", "inverted")


def arm_parts(arm: str) -> tuple[str, str | None]:
    """What an arm does (a name of BUILT_IN_ARMS) and the labels it does it with: the run's own are ``xtf``.

    >>> arm_parts("rho"), arm_parts("random"), arm_parts("random_of_rho"), arm_parts("full")
    (('xtf', 'rho'), ('random', 'xtf'), ('random', 'rho'), ('full', None))
    """
    if arm in ("base", "full"):
        return arm, None
    control, separator, labels = arm.partition("_of_")
    if control in CONTROLS and (separator or arm == control):
        return control, labels or "xtf"
    return "xtf", arm
