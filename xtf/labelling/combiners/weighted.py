"""Noise by a cut on the weighted mean of corpus ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xtf.config import CutSection
from xtf.errors import ConfigError, listed
from xtf.labelling.combiners.base import Combiner, Decision, FittedCombiner, Panel, from_lacking_end
from xtf.labelling.cuts import FittedCut, fit_cuts
from xtf.labelling.cuts.bottom_share import BottomShare
from xtf.labelling.distribution import Distribution
from xtf.labelling.shard import ReasonArray, ScoredShard, Shards
from xtf.tokens import FloatArray

MEAN_RANK = "mean rank"
_RANK_STEPS = 2.0**20


class Weighted(Combiner):
    """Noise by a cut on the weighted mean of the attributes' ranks in the corpus."""

    cut_key: ClassVar[str | None] = "threshold"
    kind: Literal["weighted"] = "weighted"
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict, description="For weighted: weight of each attribute's corpus rank (default 1)."
    )
    threshold: CutSection = Field(
        default_factory=lambda: BottomShare(share=0.3), description="For weighted: the cut on the mean rank."
    )

    def attributes_named(self) -> Mapping[str, str]:
        return {f"weights.{name}": name for name in self.weights}

    def reads_all_scores(self) -> bool:
        return True

    def fit(self, panel: Panel, shards: Shards) -> WeightedRanks:
        weights = self._shares(panel)

        def ranked() -> Iterator[ScoredShard]:
            for shard in shards():
                yield replace(shard, scores={MEAN_RANK: mean_rank(shard, weights, panel.distributions)})

        try:
            return WeightedRanks(panel, weights, fit_cuts({MEAN_RANK: self.threshold}, ranked)[MEAN_RANK])
        except ConfigError as error:
            prefix = f"thresholds.{MEAN_RANK}"
            raise ConfigError([problem.replace(prefix, "combine.threshold") for problem in error.problems]) from None

    def restore(self, panel: Panel, state: Mapping[str, Any]) -> WeightedRanks:
        return WeightedRanks(panel, state["rank_weights"], FittedCut.from_dict(state["rank_cut"]))

    def _shares(self, panel: Panel) -> dict[str, float]:
        """The share of each attribute in the mean rank; zero shares are left out, and they sum to 1.

        An attribute weighs 1 unless ``weights`` says otherwise, and 0 if its cut decides nothing.
        """
        weights = {n: self.weights.get(n, 1.0 if cut.cut.decides else 0.0) for n, cut in panel.cuts.items()}
        total = sum(weights.values())
        if not total > 0.0:
            known = listed(panel.cuts)
            raise ConfigError(f"combine.weights: at least one attribute needs a positive weight. In this run: {known}")
        return {name: weight / total for name, weight in weights.items() if weight > 0.0}


class WeightedRanks(FittedCombiner):
    """The share of each attribute in the mean rank, and the fitted cut on it.

    A noise token may lack no single attribute; it then has no reason bit.
    """

    name = MEAN_RANK

    def __init__(self, panel: Panel, weights: Mapping[str, float], cut: FittedCut) -> None:
        self._panel, self.weights, self.cut = panel, weights, cut

    def decide(self, shard: ScoredShard, lacking: ReasonArray) -> Decision:
        assert self.cut is not None
        cut = self.cut
        ranks = self.combined(shard)

        def severity(tokens: NDArray[np.int64]) -> FloatArray:
            return from_lacking_end(ranks[tokens], cut, top=1.0)

        return Decision(cut.lacking(ranks, shard.offsets, shard.candidates()), severity)

    def combined(self, shard: ScoredShard) -> FloatArray:
        return mean_rank(shard, self.weights, self._panel.distributions)

    def words(self, lacks: Sequence[bool], noise: bool) -> str:
        return f"the mean rank {'lacks' if noise else 'does not lack'}"

    def state(self) -> dict[str, Any]:
        assert self.cut is not None
        return {"rank_weights": dict(self.weights), "rank_cut": self.cut.to_dict()}


def mean_rank(
    shard: ScoredShard, weights: Mapping[str, float], distributions: Mapping[str, Distribution]
) -> FloatArray:
    """``(tokens,)`` float32 in [0, 1], NaN off-response: the weighted mean of corpus percentiles, as a share.

    Rounded to multiples of 2**-20, so that tokens whose ranks have the same mean tie, however the sums round.
    """
    total = np.zeros(int(np.count_nonzero(shard.is_response)), dtype=np.float64)
    for name, weight in weights.items():
        total += (weight / 100.0) * distributions[name].percentile_of(shard.scores[name][shard.is_response])
    found = np.full(len(shard.input_ids), np.nan, dtype=np.float32)
    found[shard.is_response] = np.rint(total * _RANK_STEPS) / _RANK_STEPS
    return found
