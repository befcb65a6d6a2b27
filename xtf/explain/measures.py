"""What one score says of each response token: of an attribute, or the combined score of a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtf.explain.flips import Flip, round_past, surroundings
from xtf.explain.words import cut_text
from xtf.labelling.cuts import FittedCut, Interval
from xtf.labelling.cuts.base import End
from xtf.labelling.shard import ScoredShard
from xtf.tokens import BoolArray, FloatArray

Describe = Callable[[float, int], str]
"""A score and its token's place in the shard -> what it means, in the attribute's words."""


@dataclass(frozen=True, slots=True)
class AttributeVerdict:
    """What one attribute says of one response token.

    Attributes:
        name: The attribute, or ``mean rank`` for the combined score of ``weighted``.
        value: Its score.
        percentile: Where that lies in the corpus, 0 to 100.
        lacking: Whether it lacks.
        cut: When a score lacks, in words.
        interval: The bounds between which it lacks, if it does; infinite ends are None.
        margin: Distance to the nearest bound, positive on the kept side; None if there is no bound or no judgement.
        meaning: What the score means, in the attribute's own words.
        flip: The smallest move of a bound that would turn this verdict.
    """

    name: str
    value: float
    percentile: float
    lacking: bool
    cut: str
    interval: tuple[float | None, float | None] | None
    margin: float | None
    meaning: str | None
    flip: Flip | None


@dataclass(frozen=True, slots=True)
class Measure:
    """One score, of whatever example.

    Attributes:
        name: Of the attribute or the combined score.
        cut: Its fitted cut.
        percentile_of: ``(k,)`` scores to percentiles, 0 to 100.
        describe: Puts a score into words.
    """

    name: str
    cut: FittedCut
    percentile_of: Callable[[FloatArray], FloatArray]
    describe: Describe | None

    def read(self, shard: ScoredShard, scores: FloatArray) -> Column:
        """What it says of each response token of a shard, which has ``(tokens,)`` scores."""
        candidates, response = shard.candidates(), np.flatnonzero(shard.is_response)
        scales = [
            Scale(self, intervals, cut_text(self.cut, intervals))
            for intervals in self.cut.intervals_of_each(scores, shard.offsets, candidates)
        ]
        values, judged = scores[response], candidates[response]
        owners = np.searchsorted(shard.offsets, response, side="right") - 1
        around = surroundings(values, owners, [scale.intervals for scale in scales])
        turning = np.where(judged, around.turning, 0)
        if self.cut.cut.at_most is not None:
            turning[~around.lacking] = 0  # a bound that moves towards a kept score may only reach the cap
        bound = np.choose(turning + 1, [around.below, values, around.above])
        percentiles = self.percentile_of(values).astype(np.float64)
        distances = np.abs(self.percentile_of(bound.astype(np.float32)) - percentiles)
        lacking = around.lacking & judged
        columns = (
            response,
            values,
            percentiles,
            lacking,
            turning,
            distances,
            judged,
            around.interval,
            around.below,
            around.above,
        )
        numbers = [one.tolist() for one in columns]
        return Column(self, scales, owners.tolist(), numbers, lacking, np.where(turning, distances, np.inf))


@dataclass(frozen=True, eq=False)
class Scale:
    """One measure in one example.

    Attributes:
        measure: Whose scores it places.
        intervals: In which a score lacks.
        cut: The same in words.
    """

    measure: Measure
    intervals: Sequence[Interval]
    cut: str

    @cached_property
    def bound_names(self) -> Mapping[End, str]:
        """What each end of its intervals is called in a sentence."""
        return {end: self.measure.cut.cut.bound_name(self.measure.name, end) for end in ("start", "stop")}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """What one measure says of the response tokens of a shard; an index gives the reading of one.

    Attributes:
        measure: Which.
        scales: One for each example.
        owners: The example of each token.
        numbers: What follows the scale in a :class:`Reading`, each as a list with one entry a token.
        lacking: ``(response tokens,)`` bool.
        distances: ``(response tokens,)`` float64, :attr:`Reading.distance`; inf where no bound turns the verdict.
    """

    measure: Measure
    scales: Sequence[Scale]
    owners: Sequence[int]
    numbers: Sequence[list[Any]]
    lacking: BoolArray
    distances: NDArray[np.float64]

    def __getitem__(self, place: int) -> Reading:
        """One token's reading, made anew: a list of all would keep the garbage collector busy."""
        return Reading(self.scales[self.owners[place]], *[column[place] for column in self.numbers])

    def meanings(self) -> list[str | None]:
        """What the score of each token means, as :attr:`Reading.meaning` says it."""
        describe = self.measure.describe
        if describe is None:
            return [None] * len(self.owners)
        return [describe(value, token) for token, value in zip(*self.numbers[:2], strict=True)]


class Reading(NamedTuple):
    """One measure at one token; what needs words is put into them when it is asked for.

    Attributes:
        scale: The measure in the token's example.
        token: The token's place in the shard.
        value: The score.
        percentile: Where it lies in the corpus, 0 to 100.
        lacking: Whether it lacks.
        turning: The bound that would turn that by the smallest move: -1 the one below, 1 the one above, 0 none.
        distance: Corpus share between the score and that bound, in percentage points.
        judged: Whether the token can lack at all.
        place: The interval in which the score lies, else the next one above it.
        below: The nearest bound at or below it, -inf if there is none.
        above: The nearest bound at or above it, inf if there is none.
    """

    scale: Scale
    token: int
    value: float
    percentile: float
    lacking: bool
    turning: int
    distance: float
    judged: bool
    place: int
    below: float
    above: float

    @property
    def name(self) -> str:
        """Of the attribute or the combined score."""
        return self.scale.measure.name

    @property
    def interval(self) -> Interval | None:
        """The bounds between which it lacks, if it does."""
        return self.scale.intervals[self.place] if self.lacking else None

    @property
    def bound(self) -> float | None:
        """The bound that would turn the verdict by the smallest move."""
        return None if not self.turning else self.below if self.turning < 0 else self.above

    @property
    def margin(self) -> float | None:
        """Distance to the nearest bound, positive on the kept side; None if there is no bound or no judgement."""
        near = min(abs(self.value - self.below), abs(self.above - self.value))
        if not self.judged or math.isinf(near):
            return None
        return -near if self.lacking else near

    @property
    def meaning(self) -> str | None:
        """What the score means, in the attribute's own words."""
        describe = self.scale.measure.describe
        return None if describe is None else describe(self.value, self.token)

    @property
    def end(self) -> End:
        """Which end of its interval :attr:`bound` is."""
        return "start" if (self.turning < 0) == self.lacking else "stop"

    def moved(self) -> tuple[float, str]:
        """Where :attr:`bound` would have to be to turn the verdict, and that in words; there must be one."""
        cut, upward = self.scale.measure.cut.cut, self.turning < 0
        strict = not self.lacking or (cut.start_is_kept and self.end == "start")
        limit = (math.inf if upward else -math.inf) if self.lacking else self.above if upward else self.below
        value, text = round_past(self.value, upward, strict, limit)
        words = f"the {self.scale.bound_names[self.end]} were {text} or {'higher' if upward else 'lower'}"
        return value, words

    def flip(self) -> Flip | None:
        """The smallest move of a bound that would turn this verdict."""
        if self.bound is None:
            return None
        value, text = self.moved()
        before = self.turning < 0 and not self.lacking
        return Flip(self.name, self.end, self.place - before, self.bound, value, text, self.distance)

    def verdict(self) -> AttributeVerdict:
        """All of it."""
        interval = self.interval
        return AttributeVerdict(
            name=self.name,
            value=self.value,
            percentile=self.percentile,
            lacking=self.lacking,
            cut=self.scale.cut,
            interval=None if interval is None else _finite(interval),
            margin=self.margin,
            meaning=self.meaning,
            flip=self.flip(),
        )


def _finite(interval: Interval) -> tuple[float | None, float | None]:
    low, high = interval
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None
