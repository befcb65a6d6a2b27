"""Let cuts look at the corpus, all attributes in the same passes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xtf.config import PluginSection
from xtf.errors import ConfigError
from xtf.labelling.cuts.base import Cut
from xtf.labelling.cuts.fitted import FittedCut, as_intervals, not_empty
from xtf.labelling.cuts.statistics import CorpusScores, Seen
from xtf.labelling.distribution import Distribution, ExactSelector, measure
from xtf.labelling.shard import Shards


def fit_cuts(
    cuts: Mapping[str, PluginSection], shards: Shards, distributions: Mapping[str, Distribution] | None = None
) -> dict[str, FittedCut]:
    """Find the bounds of the cut of each attribute, in at most one pass beside the one that measures distributions.

    Cuts with explicit numbers, and those found anew within each example, need no pass at all.

    Raises:
        ConfigError: with every problem found, for instance too few different scores for the Multi-Otsu clusters.
        PluginError: a response token has no finite score.
    """
    fitted = fit_variants({name: [cut] for name, cut in cuts.items()}, shards, distributions)
    return {name: one for name, (one,) in fitted.items()}


def fit_variants(
    cuts: Mapping[str, Sequence[PluginSection]],
    shards: Shards,
    distributions: Mapping[str, Distribution] | None = None,
) -> dict[str, list[FittedCut]]:
    """As :func:`fit_cuts`, with several cuts of each attribute; the number of passes stays the same.

    Raises:
        ConfigError: the scores do not allow a cut; which, one a line.
    """
    checked = {name: [checked_cut(name, cut) for cut in some] for name, some in cuts.items()}
    corpus = [name for name, some in checked.items() if any(cut.sees == "dataset" for cut in some)]
    if corpus and distributions is None:
        distributions = measure(corpus, shards)
    seen = {name: CorpusScores((distributions or {})[name]) for name in corpus}
    for name, scores in seen.items():
        _statistics(checked[name], scores)  # notes the ranks and histograms that they need
    _find(seen, shards)
    fitted: dict[str, list[FittedCut]] = {}
    problems = []
    for name, some in checked.items():
        try:
            answers = _statistics(some, seen[name]) if name in seen else Seen({})
            empty = name in seen and not seen[name].distribution.count
            fitted[name] = [_fitted(cut, answers, empty) for cut in some]
        except ConfigError as error:
            problems += [f"thresholds.{name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return fitted


def checked_cut(name: str, settings: PluginSection) -> Cut:
    """The cut that settings of a configuration are.

    Raises:
        TypeError: they are settings of something else.
    """
    if not isinstance(settings, Cut):
        raise TypeError(f"thresholds.{name}: {settings!r} is not a cut")
    return settings


def _statistics(cuts: Sequence[Cut], scores: CorpusScores) -> Seen:
    wanted: dict[Any, None] = {}
    for cut in cuts:
        if cut.sees == "dataset":
            wanted |= dict.fromkeys(cut.requires())
    return Seen.of(tuple(wanted), scores)


def _find(seen: Mapping[str, CorpusScores], shards: Shards) -> None:
    """Answer what was asked of every attribute, in one pass; no pass if nothing was."""
    ranked = {name: scores.ranks for name, scores in seen.items() if scores.ranks}
    asked = [name for name, scores in seen.items() if scores.ranks or scores.histograms]
    if not asked:
        return
    selector = ExactSelector({name: seen[name].distribution for name in ranked}, ranked)
    for shard in shards():
        judged = shard.candidates()
        for name in asked:
            values = shard.scores[name][judged]
            seen[name].add(values)
            if name in ranked:
                selector.add(name, values)
    for name, scores in selector.results().items():
        seen[name].ranks.update(scores)


def _fitted(cut: Cut, seen: Seen, empty: bool) -> FittedCut:
    if cut.sees == "example":
        return FittedCut(cut, None)
    if cut.sees == "dataset" and empty:
        return FittedCut(cut, ())
    ends = [(np.broadcast_to(low, 1)[0], np.broadcast_to(high, 1)[0]) for low, high in cut.bounds(seen)]
    if any(math.isnan(end) for pair in ends for end in pair):
        raise TypeError(f"cut {cut.kind}: its bounds hold nan; a statistic must ask for the same ranks every time")
    return FittedCut(cut, as_intervals(ends) if cut.sees == "nothing" else not_empty(as_intervals(ends)))
