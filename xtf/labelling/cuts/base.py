"""What a kind of cut is: its settings, the statistics it needs, the bounds it draws from them, and words for them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from xtf.config.base import Scope, Share
from xtf.config.kinds import PluginSection
from xtf.labelling.cuts.statistics import Seen, Statistic
from xtf.tokens import FloatArray

Interval = tuple[float, float]
"""Open at both ends; each end is a float32 number or infinite."""

Bounds = Sequence[tuple[FloatArray | float, FloatArray | float]]
"""Intervals of one or several populations of scores: low and high ends, each a number or ``(populations,)`` float32."""

Side = Literal["low", "high", "both"]
End = Literal["start", "stop"]


@dataclass(frozen=True, slots=True)
class NumberControl:
    """The setting ``key`` is itself the ``end`` of the interval at place ``interval``: any number can be tried."""

    key: str
    interval: int
    end: End


@dataclass(frozen=True, slots=True)
class StepsControl:
    """Rising ``values`` of the setting ``key`` to try; from one to the next, lacking tokens only join or only leave."""

    key: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChoiceControl:
    """The setting ``key`` is a list of numbers from 0 to ``count - 1``; no token lacks under two of them alone."""

    key: str
    count: int


Control = NumberControl | StepsControl | ChoiceControl
"""What a report offers to try: without one it shows the command that would."""


class Cut(PluginSection):
    """A kind of cut: pydantic fields are its settings, each with a description, and the rest is what they mean.

    A kind that sees nothing of the scores implements :meth:`bounds`, :attr:`lacking_side` and :meth:`origin`; one that
    looks at the scores, of the corpus or of each example, derives from :class:`Scoped`.

    Attributes:
        decides: False if the attribute has no say in any rule.
        scope: Whose scores are looked at: of the ``dataset``, of each ``example``; None if bounds are as written.
        start_is_kept: True if the ``start`` of an interval is the last kept score rather than a cut between scores.
    """

    decides: ClassVar[bool] = True
    start_is_kept: ClassVar[bool] = False
    at_most: Share | None = Field(
        None, description="Greatest share of an example's tokens that may lack (a tie is kept); null: any."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a kind that lacks a part, when it is imported."""
        super().__pydantic_init_subclass__(**kwargs)
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if not cls.model_fields["kind"].is_required() and missing:
            raise TypeError(f"cut {cls.__name__} does not implement {', '.join(missing)}")

    @property
    def sees(self) -> Literal["nothing", "example", "dataset"]:
        """Whose scores the bounds depend on."""
        return "nothing"

    @property
    def sees_prompts(self) -> bool:
        """Whether the bounds depend on the scores of prompt tokens too; no such token ever lacks."""
        return False

    def requires(self) -> tuple[Statistic[Any], ...]:
        """The statistics that :meth:`bounds` reads."""
        return ()

    @abstractmethod
    def bounds(self, seen: Seen) -> Bounds:
        """The intervals in which a score lacks, in rising order and apart.

        Raises:
            ConfigError: the scores of the corpus do not allow this cut.
        """

    @property
    @abstractmethod
    def lacking_side(self) -> Side:
        """Which end of the scale lacks, or ``both``: guards keep first what is farthest from it."""

    @abstractmethod
    def origin(self) -> str | None:
        """What set the bounds, in words that complete "below 0.12 (…)"; None if they are as written."""

    def bound_name(self, attribute: str, end: End) -> str:
        """What one end of an interval is called, as in "if the … were 0.1 or lower"."""
        which = {"stop": "low ", "start": "high "}[end] if self.lacking_side == "both" else ""
        return f"{which}{attribute} cut"

    def controls(self) -> tuple[Control, ...]:
        """What a report offers to try of these settings."""
        return ()


class Scoped(Cut):
    """A cut whose bounds follow from the scores of the corpus, or of each example by itself."""

    scope: Scope = Field("dataset", description="Seen: each example by itself, or the whole data set.")
    over: Literal["responses", "prompts_and_responses"] = Field(
        "responses", description="Tokens that the bounds are fitted over; prompts: scope dataset, if they have scores."
    )

    @model_validator(mode="after")
    def _prompts_of_the_dataset(self) -> Scoped:
        if self.sees_prompts and self.scope == "example":
            raise ValueError("over: prompts_and_responses goes with scope: dataset; within an example: over: responses")
        return self

    @property
    def sees(self) -> Literal["example", "dataset"]:
        return self.scope

    @property
    def sees_prompts(self) -> bool:
        return self.over == "prompts_and_responses"

    @abstractmethod
    def requires(self) -> tuple[Statistic[Any], ...]: ...

    @property
    def whole(self) -> str:
        """Whose scores are looked at, in words."""
        corpus = "the corpus, prompts included" if self.sees_prompts else "the corpus"
        return "this example" if self.scope == "example" else corpus
