"""Guards: they limit how much of one example may be noise."""

from __future__ import annotations

import numpy as np

from xtf.config import CombineConfig
from xtf.labelling.combiners import Decision
from xtf.labelling.cuts.statistics import share_counts
from xtf.labelling.shard import OffsetArray, ScoredShard
from xtf.tokens import BoolArray


def noise_caps(shard: ScoredShard, combine: CombineConfig) -> OffsetArray:
    """``(examples,)`` int64: the most noise tokens that the guards allow in each example."""
    by_share = share_counts(combine.max_noise_share, shard.counts(shard.is_response))
    by_count = shard.counts(shard.candidates()) - combine.min_kept
    return np.maximum(np.minimum(by_share, by_count), 0)


def apply_guards(decision: Decision, shard: ScoredShard, combine: CombineConfig) -> BoolArray:
    """``(tokens,)`` bool: the noise left when tokens are released until every example is within its cap.

    The least severe are released first; of equally severe ones, the later. Returns ``decision.noise`` itself when no
    guard acts.
    """
    noise = decision.noise
    if combine.max_noise_share >= 1.0 and combine.min_kept == 0:
        return noise
    caps = noise_caps(shard, combine)
    over = shard.counts(noise) > caps
    if not over.any():
        return noise
    tokens = np.flatnonzero(noise & np.repeat(over, np.diff(shard.offsets)))
    owner = np.searchsorted(shard.offsets, tokens, side="right") - 1
    order = np.lexsort((tokens, decision.severity(tokens), owner))
    tokens, owner = tokens[order], owner[order]
    place = np.arange(len(tokens)) - np.searchsorted(owner, owner)
    guarded = noise.copy()
    guarded[tokens[place >= caps[owner]]] = False
    return guarded
