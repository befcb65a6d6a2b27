"""A cut of a third party: lacking well below the median."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from xtf.config import Scope
from xtf.labelling.cuts import Bounds, Quantile, Scoped, Seen, StepsControl
from xtf.labelling.cuts.base import Side
from xtf.labelling.cuts.float32 import float32_up

_MEDIAN, _LOWEST = Quantile(0.5), Quantile(0.0)


class BelowMedian(Scoped):
    """Lacking when a score is nearer to the lowest score than ``share`` of the way to the median."""

    kind: Literal["below_median"] = "below_median"
    share: float = Field(0.5, ge=0.0, le=1.0, description="Share of the way from the lowest score to the median.")
    scope: Scope = Field("example", description="Whose median: of each example, or of the whole data set.")

    def requires(self) -> tuple[Quantile, ...]:
        return _LOWEST, _MEDIAN

    def bounds(self, seen: Seen) -> Bounds:
        low, median = seen[_LOWEST], seen[_MEDIAN]
        return [(-math.inf, float32_up(low + self.share * (median - low)))]

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> str:
        return f"{100 * self.share:g} % of the way to the median of {self.whole}"

    def controls(self) -> tuple[StepsControl, ...]:
        return (StepsControl("share", tuple(step / 20 for step in range(21))),)
