"""Let cuts look at the corpus, all attributes in the same passes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xtf.config import Above, Below, BottomShare, Iqr, MultiOtsu, Never, Outside, Threshold, TopShare
from xtf.errors import ConfigError
from xtf.labelling.cuts.fitted import FittedCut, Interval, iqr_bounds, otsu_intervals
from xtf.labelling.cuts.statistics import (
    OTSU_BINS,
    interpolate,
    lacking_count,
    nearest,
    otsu_bin,
    otsu_edges,
    quantile_place,
)
from xtf.labelling.distribution import Distribution, ExactSelector, measure
from xtf.labelling.shard import Shards


def fit_cuts(
    cuts: Mapping[str, Threshold], shards: Shards, distributions: Mapping[str, Distribution] | None = None
) -> dict[str, FittedCut]:
    """Find the bounds of every cut, in at most one pass beside the one that measures the distributions.

    Cuts with explicit numbers, and those found anew within each example, need no pass at all.

    Raises:
        ConfigError: with every problem found, for instance too few different scores for the Multi-Otsu clusters.
        PluginError: a response token has no finite score.
    """
    corpus = {name: cut for name, cut in cuts.items() if needs_corpus(cut)}
    if corpus and distributions is None:
        distributions = measure(tuple(corpus), shards)
    seen = {name: (distributions or {})[name] for name in corpus}
    ranks = {name: _wanted_ranks(cut, seen[name].count) for name, cut in corpus.items()}
    selector = ExactSelector(seen, {name: wanted for name, wanted in ranks.items() if wanted})
    histograms = {
        name: np.zeros(OTSU_BINS, np.int64)
        for name, cut in corpus.items()
        if isinstance(cut, MultiOtsu) and not seen[name].is_constant
    }
    _second_pass(selector, [name for name in ranks if ranks[name]], histograms, seen, shards)
    scores = selector.results()
    fitted: dict[str, FittedCut] = {}
    problems = []
    for name, cut in cuts.items():
        try:
            fitted[name] = _fitted(cut, seen.get(name), scores.get(name, {}), histograms.get(name))
        except ConfigError as error:
            problems += [f"thresholds.{name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return fitted


def needs_corpus(cut: Threshold) -> bool:
    """Whether a cut has to look at all scores of its attribute."""
    return isinstance(cut, Iqr | MultiOtsu | BottomShare | TopShare) and cut.scope == "dataset"


def _wanted_ranks(cut: Threshold, count: int) -> list[int]:
    """The ranks whose exact scores a corpus-wide cut needs."""
    if isinstance(cut, Iqr) and count:
        places = [quantile_place(share, np.array([count])) for share in (0.25, 0.75)]
        return sorted({int(rank[0]) for low, high, _ in places for rank in (low, high)})
    if isinstance(cut, BottomShare | TopShare):
        first_kept = lacking_count(FittedCut(cut, None).lacking_share, count)
        return [first_kept] if first_kept < count else []
    return []


def _second_pass(
    selector: ExactSelector,
    selected: list[str],
    histograms: Mapping[str, NDArray[np.int64]],
    seen: Mapping[str, Distribution],
    shards: Shards,
) -> None:
    """Count trailing bits and Multi-Otsu bins of every attribute that asks for them; no pass if none does."""
    if not selected and not histograms:
        return
    for shard in shards():
        judged = shard.candidates()
        for name in selected:
            selector.add(name, shard.scores[name][judged])
        for name, counts in histograms.items():
            bins = otsu_bin(shard.scores[name][judged], seen[name].minimum, seen[name].maximum)
            counts += np.bincount(bins, minlength=OTSU_BINS)


def _fitted(
    cut: Threshold, seen: Distribution | None, scores: Mapping[int, float], histogram: NDArray[np.int64] | None
) -> FittedCut:
    match cut:
        case Never():
            return FittedCut(cut, ())
        case Below() | Above() | Outside():
            return FittedCut(cut, _explicit(cut))
    if seen is None:
        return FittedCut(cut, None, 1 / OTSU_BINS if isinstance(cut, MultiOtsu) else 0.0)
    if not seen.count:
        return FittedCut(cut, ())
    match cut:
        case Iqr(k=k, side=side):
            first, third = (_quantile(share, seen.count, scores) for share in (0.25, 0.75))
            return FittedCut(
                cut, tuple((float(low[0]), float(high[0])) for low, high in iqr_bounds(first, third, k, side))
            )
        case MultiOtsu():
            return _fitted_otsu(cut, seen, histogram)
        case _:
            first_kept = lacking_count(FittedCut(cut, None).lacking_share, seen.count)
            return FittedCut(cut, ((-math.inf, scores.get(first_kept, math.inf)),))


def _explicit(cut: Below | Above | Outside) -> tuple[Interval, ...]:
    """Written numbers are rounded to float32 first, so that a score printed as 0.7 is not below a cut of 0.7."""
    numbers = [cut.low, cut.high] if isinstance(cut, Outside) else [cut.cut]
    if any(math.isnan(number) for number in numbers):
        raise ConfigError("a cut must be a number, got nan")
    bounds = [nearest(number) for number in numbers]
    match cut:
        case Below():
            return ((-math.inf, bounds[0]),)
        case Above():
            return ((bounds[0], math.inf),)
        case Outside():
            return ((-math.inf, bounds[0]), (bounds[1], math.inf))


def _quantile(share: float, count: int, scores: Mapping[int, float]) -> NDArray[np.float64]:
    low, high, weight = quantile_place(share, np.array([count]))
    return interpolate(np.array([scores[int(low[0])]]), np.array([scores[int(high[0])]]), weight)


def _fitted_otsu(cut: MultiOtsu, seen: Distribution, histogram: NDArray[np.int64] | None) -> FittedCut:
    occupied = 1 if histogram is None else int(np.count_nonzero(histogram))
    if histogram is None or occupied < cut.classes:
        raise ConfigError(
            f"the scores fill only {occupied} of {OTSU_BINS} histogram bins between {seen.minimum:.6g} and "
            f"{seen.maximum:.6g}, too few for {cut.classes} Multi-Otsu clusters. Ask for fewer classes, or choose "
            "another kind of cut."
        )
    edges = otsu_edges(histogram, cut.classes, seen.minimum, seen.maximum)
    return FittedCut(cut, otsu_intervals(cut, edges), (seen.maximum - seen.minimum) / OTSU_BINS)
