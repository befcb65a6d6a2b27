"""What a rule is: its settings, which lie beside the others in ``combine``, and what it becomes for one corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xtf.config.kinds import PluginSection
from xtf.labelling.cuts import FittedCut
from xtf.labelling.distribution import Distribution
from xtf.labelling.shard import ReasonArray, ScoredShard, Shards
from xtf.tokens import BoolArray, FloatArray

Severity = Callable[[NDArray[np.int64]], FloatArray]
"""Token indexes -> how close to the lacking end of the scale each is, as a rank: 0 is the most severe."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The fitted cut and the distribution of every attribute, in the order of the reason bits."""

    cuts: Mapping[str, FittedCut]
    distributions: Mapping[str, Distribution]

    @property
    def voters(self) -> tuple[int, ...]:
        """The bits of the attributes that can lack; the others have no say."""
        return tuple(bit for bit, cut in enumerate(self.cuts.values()) if cut.cut.decides)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule makes of one shard.

    Attributes:
        noise: ``(tokens,)`` bool, before the guards; only unprotected response tokens may be noise.
        severity: Which noise tokens a guard keeps masked longest.
    """

    noise: BoolArray
    severity: Severity


class Combiner(PluginSection):
    """A rule: pydantic fields are its settings, each with a description; their keys lie in ``combine``.

    Attributes:
        count_key: The setting that says how many attributes must lack, if there is one.
        cut_key: The setting that holds the cut on the combined score, if there is one.
    """

    count_key: ClassVar[str | None] = None
    cut_key: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a rule that lacks a part, when it is imported."""
        super().__pydantic_init_subclass__(**kwargs)
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if not cls.model_fields["kind"].is_required() and missing:
            raise TypeError(f"rule {cls.__name__} does not implement {', '.join(missing)}")

    @abstractmethod
    def fit(self, panel: Panel, shards: Shards) -> FittedCombiner:
        """Let the rule look at the corpus.

        Raises:
            ConfigError: the settings do not fit these attributes or scores.
        """

    @abstractmethod
    def restore(self, panel: Panel, state: Mapping[str, Any]) -> FittedCombiner:
        """What :meth:`fit` gave, from ``FittedCombiner.state()``."""

    def reads_all_scores(self) -> bool:
        """Whether :meth:`fit` reads the scores of every attribute, not only of those whose cut does."""
        return False


class FittedCombiner(ABC):
    """A rule for one corpus.

    Attributes:
        name: Of the combined score, in words.
        cut: The fitted cut on the combined score; None if there is none.
        needed: How many attributes must lack, if that alone decides; a report can then try the rule.
    """

    name: str = ""
    cut: FittedCut | None = None
    needed: int | None = None

    @abstractmethod
    def decide(self, shard: ScoredShard, lacking: ReasonArray) -> Decision:
        """Which tokens of a shard are noise, given their ``(tokens,)`` lacking bits."""

    def combined(self, shard: ScoredShard) -> FloatArray | None:
        """``(tokens,)`` float32, NaN off-response: the combined score that :attr:`cut` cuts, from 0 to 1; or None."""
        return None

    @abstractmethod
    def words(self, lacks: Sequence[bool], noise: bool) -> str:
        """Why a token is as it is, after ``RULE: ``; ``lacks`` has one entry for each attribute."""

    def turning(self, lacks: Sequence[bool], noise: bool) -> tuple[Sequence[int], int]:
        """The attributes whose other verdict could turn the outcome, and how many of them must; 0 if none can."""
        return (), 0

    def state(self) -> dict[str, Any]:
        """JSON-able, what :meth:`Combiner.restore` needs."""
        return {}


def severity_of_lacking(panel: Panel, shard: ScoredShard, lacking: ReasonArray) -> Severity:
    """The lowest percentile among the attributes that lack, counted from the end that their cut calls lacking.

    ``lacking`` is ``(tokens,)``, one bit for each attribute.
    """

    def severity(tokens: NDArray[np.int64]) -> FloatArray:
        lowest = np.full(len(tokens), 100.0, dtype=np.float32)
        for bit, (name, cut) in enumerate(panel.cuts.items()):
            lacks = (lacking[tokens] >> np.uint16(bit)) & np.uint16(1) == 1
            percentile = panel.distributions[name].percentile_of(shard.scores[name][tokens[lacks]])
            lowest[lacks] = np.minimum(lowest[lacks], from_lacking_end(percentile, cut))
        return lowest

    return severity


def from_lacking_end(ranks: FloatArray, cut: FittedCut, top: float = 100.0) -> FloatArray:
    """``(n,)`` ranks from 0 to ``top``, counted from the end that a cut calls lacking; from the nearer, if both."""
    if cut.cut.lacking_side == "low":
        return ranks
    mirrored: FloatArray = np.float32(top) - ranks
    return mirrored if cut.cut.lacking_side == "high" else np.minimum(ranks, mirrored)
