"""Clusters of the score by Multi-Otsu (Liao, Chen and Chung 2001); some of them lack."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xtf.config.base import Scope
from xtf.errors import ConfigError
from xtf.labelling.cuts.base import Bounds, ChoiceControl, Control, End, Interval, Scoped, Side
from xtf.labelling.cuts.float32 import nearest, predecessor
from xtf.labelling.cuts.statistics import Histogram, Seen, bin_of

OTSU_BINS = 256
_HISTOGRAM = Histogram(OTSU_BINS)


class MultiOtsu(Scoped):
    """Multi-Otsu clusters of the score, numbered from 0 by rising mean; lacking when in one of ``lacking``."""

    start_is_kept: ClassVar[bool] = True
    kind: Literal["multi_otsu"] = "multi_otsu"
    classes: Annotated[int, Field(ge=2, le=5)] = Field(5, description="Clusters, 2 to 5.")
    lacking: tuple[int, ...] = Field((1,), description="Clusters whose tokens lack; 0 scores lowest.")
    scope: Scope = Field("dataset", description="Clusters of each example, or of the whole data set.")

    @model_validator(mode="after")
    def _clusters_exist(self) -> MultiOtsu:
        if any(not 0 <= cluster < self.classes for cluster in self.lacking):
            raise ValueError(f"lacking must name clusters from 0 to {self.classes - 1}, got {list(self.lacking)}")
        return self

    def requires(self) -> tuple[Histogram, ...]:
        return (_HISTOGRAM,)

    def bounds(self, seen: Seen) -> Bounds:
        """An example with too few different scores has no lacking token.

        Raises:
            ConfigError: the corpus has too few different scores.
        """
        binned = seen[_HISTOGRAM]
        width = len(self.lacking)
        lows = np.full((width, len(binned.counts)), np.inf, dtype=np.float32)
        highs = np.full_like(lows, -np.inf)
        for place, (counts, low, high) in enumerate(zip(binned.counts, binned.low, binned.high, strict=True)):
            occupied = int(np.count_nonzero(counts))
            if occupied >= self.classes:
                for which, ends in enumerate(self._intervals(otsu_edges(counts, self.classes, low, high))):
                    lows[which, place], highs[which, place] = ends
            elif self.scope == "dataset":
                raise ConfigError(
                    f"the scores fill only {occupied} of {OTSU_BINS} histogram bins between {low:.6g} and {high:.6g}, "
                    f"too few for {self.classes} Multi-Otsu clusters. Ask for fewer classes, or choose another kind of "
                    "cut."
                )
        return list(zip(lows, highs, strict=True))

    def _intervals(self, edges: list[float]) -> list[Interval]:
        """The lacking clusters, neighbours as one interval: cluster c holds ``edges[c - 1] <= score < edges[c]``."""
        starts = [-math.inf, *(predecessor(edge) for edge in edges)]
        stops = [*edges, math.inf]
        found: list[Interval] = []
        for cluster in sorted(set(self.lacking)):
            start, stop = starts[cluster], stops[cluster]
            if found and found[-1][1] > start:
                start = found.pop()[0]
            found.append((start, stop))
        return found

    @property
    def lacking_side(self) -> Side:
        return "both"

    def origin(self) -> str:
        clusters = ", ".join(str(cluster) for cluster in sorted(set(self.lacking))) or "none"
        return f"Multi-Otsu cluster {clusters} of 0 to {self.classes - 1} in {self.whole}"

    def bound_name(self, attribute: str, end: End) -> str:
        return f"{'lower' if end == 'start' else 'upper'} end of the lacking {attribute} cluster"

    def controls(self) -> tuple[Control, ...]:
        return (ChoiceControl("lacking", self.classes),)


def otsu_edges(counts: NDArray[np.int64], classes: int, low: float, high: float) -> list[float]:
    """The ``classes - 1`` scores at which the upper clusters begin, as float32, from ``(bins,)`` counts.

    Each is the upper edge of the last bin of a cluster (not that bin's centre, which ``skimage`` returns): so every
    token is in the cluster its bin was assigned to, also when the scores are few and discrete.
    """
    edges = []
    for last in otsu_split(counts, classes):
        edge = nearest(low + (last + 1) * (high - low) / OTSU_BINS)
        while bin_of(np.array([edge], np.float32), low, high, OTSU_BINS)[0] <= last:
            edge = -predecessor(-edge)
        while bin_of(np.array([predecessor(edge)], np.float32), low, high, OTSU_BINS)[0] > last:
            edge = predecessor(edge)
        edges.append(edge)
    return edges


def otsu_split(counts: NDArray[np.int64], classes: int) -> list[int]:
    """Multi-Otsu (Liao, Chen and Chung 2001): the last bin of each cluster but the highest, from ``(bins,)`` counts.

    The split with the greatest variance between clusters, by dynamic programming over the occupied bins in float64.
    ``skimage.filters.threshold_multiotsu`` tries all splits in float32: for five classes it takes 2300 times as long
    (2.3 s against 1 ms), too slow for cuts within each example, and rounding makes it miss the optimum by a bin or two.
    """
    bins = np.flatnonzero(counts)
    weight = np.concatenate([[0], np.cumsum(counts[bins])]).astype(np.float64)
    moment = np.concatenate([[0], np.cumsum(counts[bins] * bins)]).astype(np.float64)
    mass = weight[None, :] - weight[:, None]
    gain = np.full_like(mass, -np.inf)  # gain[i, j]: a cluster of occupied bins i up to j - 1
    np.divide((moment[None, :] - moment[:, None]) ** 2, mass, out=gain, where=mass > 0)
    best, choices = gain[0], []
    for _ in range(classes - 1):
        options = best[:, None] + gain
        choices.append(np.argmax(options, axis=0))
        best = np.max(options, axis=0)
    ends, stop = [], len(bins)
    for choice in reversed(choices):
        stop = int(choice[stop])
        ends.append(int(bins[stop - 1]))
    return ends[::-1]
