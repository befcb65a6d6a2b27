"""Let cuts look at the corpus, all attributes in the same passes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from xtf.config import PluginSection
from xtf.errors import ConfigError
from xtf.labelling.cuts.base import Cut
from xtf.labelling.cuts.fitted import FittedCut, as_intervals, not_empty
from xtf.labelling.cuts.statistics import CorpusScores, Seen
from xtf.labelling.distribution import Distribution, ExactSelector, measure
from xtf.labelling.shard import ScoredShard, Shards

NO_PROMPTS = (
    "prompts_and_responses needs scores of the tokens of prompts, and this attribute has none. Take over: responses, "
    "or an attribute that scores prompts, such as task_relevance with prompts: true"
)


def fit_cuts(
    cuts: Mapping[str, PluginSection], shards: Shards, distributions: Mapping[str, Distribution] | None = None
) -> dict[str, FittedCut]:
    """Find the bounds of the cut of each attribute, in at most one pass beside the one that measures distributions.

    Cuts with explicit numbers, and those found anew within each example, need no pass at all; those that see prompts
    need two of their own.

    Raises:
        ConfigError: with every problem found, for instance too few different scores for the Multi-Otsu clusters, or
            no scores of the prompts that a cut is fitted over.
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
    seen = {prompts: _see(_corpus_wide(checked, prompts), shards, distributions, prompts) for prompts in (False, True)}
    fitted: dict[str, list[FittedCut]] = {}
    problems = []
    for name, some in checked.items():
        try:
            fitted[name] = [_fitted(cut, seen[cut.sees_prompts].get(name)) for cut in some]
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


def _corpus_wide(cuts: Mapping[str, Sequence[Cut]], prompts: bool) -> dict[str, list[Cut]]:
    """The cuts that look at the whole corpus, with its prompts or without."""
    found: dict[str, list[Cut]] = {}
    for name, some in cuts.items():
        if chosen := [cut for cut in some if cut.sees == "dataset" and cut.sees_prompts == prompts]:
            found[name] = chosen
    return found


def _see(
    cuts: Mapping[str, Sequence[Cut]],
    shards: Shards,
    distributions: Mapping[str, Distribution] | None,
    prompts: bool,
) -> dict[str, CorpusScores]:
    """What cuts of the whole corpus ask about the scores of each attribute, answered."""
    if cuts and prompts:
        distributions = measure(list(cuts), partial(_with_prompts, list(cuts), shards), prompts)
    elif cuts and distributions is None:
        distributions = measure(list(cuts), shards)
    seen = {name: CorpusScores((distributions or {})[name]) for name in cuts}
    for name, some in cuts.items():
        for cut in some:
            Seen.of(cut.requires(), seen[name])  # notes the ranks and histograms that it needs
    _find(seen, shards, prompts)
    return seen


def _with_prompts(names: Sequence[str], shards: Shards) -> Iterator[ScoredShard]:
    """The shards, whose prompt tokens have scores under these names.

    Raises:
        ConfigError: they have none.
    """
    for shard in shards():
        unscored = [name for name in names if not np.isfinite(shard.scores[name][~shard.is_response]).all()]
        if unscored:
            raise ConfigError([f"thresholds.{name}.over: {NO_PROMPTS}" for name in unscored])
        yield shard


def _find(seen: Mapping[str, CorpusScores], shards: Shards, prompts: bool) -> None:
    """Answer what was asked of every attribute, in one pass; no pass if nothing was."""
    ranked = {name: scores.ranks for name, scores in seen.items() if scores.ranks}
    asked = [name for name, scores in seen.items() if scores.ranks or scores.histograms]
    if not asked:
        return
    selector = ExactSelector({name: seen[name].distribution for name in ranked}, ranked)
    for shard in shards():
        judged = shard.population(prompts)
        for name in asked:
            values = shard.scores[name][judged]
            seen[name].add(values)
            if name in ranked:
                selector.add(name, values)
    for name, scores in selector.results().items():
        seen[name].ranks.update(scores)


def _fitted(cut: Cut, scores: CorpusScores | None) -> FittedCut:
    if cut.sees == "example":
        return FittedCut(cut, None)
    seen = Seen({})
    if cut.sees == "dataset" and scores is not None:
        if not scores.distribution.count:
            return FittedCut(cut, ())
        seen = Seen.of(cut.requires(), scores)
    ends = [(np.broadcast_to(low, 1)[0], np.broadcast_to(high, 1)[0]) for low, high in cut.bounds(seen)]
    if any(math.isnan(end) for pair in ends for end in pair):
        raise TypeError(f"cut {cut.kind}: its bounds hold nan; a statistic must ask for the same ranks every time")
    return FittedCut(cut, as_intervals(ends) if cut.sees == "nothing" else not_empty(as_intervals(ends)))
