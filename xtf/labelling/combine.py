"""Lacking -> noise: the rules that combine attributes, and the guards that limit how much of an example is noise.

Attributes whose cut is ``never`` decide nothing: they have no vote, ``all`` does not wait for them, and they enter a
weighted mean only with a weight of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xtf.config import CombineConfig
from xtf.errors import ConfigError, listed
from xtf.labelling.cuts import FittedCut
from xtf.labelling.cuts.statistics import lacking_counts
from xtf.labelling.distribution import Distribution
from xtf.labelling.shard import OffsetArray, ReasonArray, ScoredShard
from xtf.tokens import BoolArray, FloatArray

MEAN_RANK = "mean rank"
"""Name of the combined score of the rule ``weighted``."""

_RANK_STEPS = 2.0**20

Severity = Callable[[NDArray[np.int64]], FloatArray]
"""Token indexes -> how close to the lacking end of the scale each is, as a percentile: 0 is the most severe."""


def votes_needed(combine: CombineConfig, voters: int) -> int:
    """How many of ``voters`` attributes must lack before a token is noise (not for ``weighted``).

    Raises:
        ConfigError: ``vote`` asks for more votes than there are attributes that can lack.
    """
    if combine.rule == "any":
        return 1
    if combine.rule == "all":
        return max(voters, 1)
    if combine.votes > voters:
        raise ConfigError(
            f"combine.votes: {combine.votes} attributes must lack, but only {voters} have a cut that can call a token "
            "lacking, so nothing would ever be masked"
        )
    return combine.votes


def rank_weights(combine: CombineConfig, cuts: Mapping[str, FittedCut]) -> dict[str, float]:
    """The share of each attribute in the mean rank; zero shares are left out, and they sum to 1.

    An attribute weighs 1 unless ``combine.weights`` says otherwise, and 0 if its cut is ``never``.

    Raises:
        ConfigError: no attribute has a positive weight.
    """
    weights = {name: combine.weights.get(name, 1.0 if cut.decides else 0.0) for name, cut in cuts.items()}
    total = sum(weights.values())
    if not total > 0.0:
        raise ConfigError(
            f"combine.weights: at least one attribute needs a positive weight. In this run: {listed(cuts)}"
        )
    return {name: weight / total for name, weight in weights.items() if weight > 0.0}


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


def vote(lacking: ReasonArray, voters: Sequence[int], needed: int) -> BoolArray:
    """``(tokens,)`` bool: whether at least ``needed`` of the bits ``voters`` are set."""
    mask = np.uint16(sum(1 << voter for voter in voters))
    found: BoolArray
    if needed == 1:
        found = (lacking & mask) != 0
    elif needed == len(voters):
        found = (lacking & mask) == mask
    else:
        found = np.bitwise_count(lacking & mask) >= needed
    return found


def noise_caps(shard: ScoredShard, combine: CombineConfig) -> OffsetArray:
    """``(examples,)`` int64: the most noise tokens that the guards allow in each example."""
    by_share = lacking_counts(combine.max_noise_share, shard.counts(shard.is_response))
    by_count = shard.counts(shard.candidates()) - combine.min_kept
    return np.maximum(np.minimum(by_share, by_count), 0)


def apply_guards(noise: BoolArray, shard: ScoredShard, combine: CombineConfig, severity: Severity) -> BoolArray:
    """Release noise tokens until every example is within its cap.

    The least severe are released first; of equally severe ones, the later. Returns ``noise`` itself when no guard acts.
    """
    if combine.max_noise_share >= 1.0 and combine.min_kept == 0:
        return noise
    caps = noise_caps(shard, combine)
    over = shard.counts(noise) > caps
    if not over.any():
        return noise
    tokens = np.flatnonzero(noise & np.repeat(over, np.diff(shard.offsets)))
    owner = np.searchsorted(shard.offsets, tokens, side="right") - 1
    order = np.lexsort((tokens, severity(tokens), owner))
    tokens, owner = tokens[order], owner[order]
    place = np.arange(len(tokens)) - np.searchsorted(owner, owner)
    guarded = noise.copy()
    guarded[tokens[place >= caps[owner]]] = False
    return guarded


def lacking_severity(
    shard: ScoredShard,
    lacking: ReasonArray,
    cuts: Mapping[str, FittedCut],
    distributions: Mapping[str, Distribution],
) -> Severity:
    """Severity under the voting rules: the lowest percentile among the attributes that lack.

    Counted from the end of the scale that the cut calls lacking, and from the nearer end if it calls both so.
    """

    def severity(tokens: NDArray[np.int64]) -> FloatArray:
        lowest = np.full(len(tokens), 100.0, dtype=np.float32)
        for bit, (name, cut) in enumerate(cuts.items()):
            lacks = (lacking[tokens] >> np.uint16(bit)) & np.uint16(1) == 1
            percentile = distributions[name].percentile_of(shard.scores[name][tokens[lacks]])
            lowest[lacks] = np.minimum(lowest[lacks], _from_lacking_end(percentile, cut))
        return lowest

    return severity


def rank_severity(ranks: FloatArray, cut: FittedCut) -> Severity:
    """Severity under ``weighted``: the mean rank, counted from the end that the cut calls lacking."""
    return lambda tokens: _from_lacking_end(ranks[tokens] * np.float32(100.0), cut)


def _from_lacking_end(percentile: FloatArray, cut: FittedCut) -> FloatArray:
    if cut.side == "low":
        return percentile
    mirrored: FloatArray = np.float32(100.0) - percentile
    return mirrored if cut.side == "high" else np.minimum(percentile, mirrored)
