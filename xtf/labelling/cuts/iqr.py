"""Lacking beyond the quartiles: Tukey's fences."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from xtf.config.base import Scope
from xtf.labelling.cuts.base import Bounds, Control, Scoped, Side, StepsControl
from xtf.labelling.cuts.float32 import float32_down, float32_up
from xtf.labelling.cuts.statistics import Quantile, Seen

_QUARTILES = Quantile(0.25), Quantile(0.75)
_STEPS = tuple(round(step / 20, 2) for step in range(101))


class Iqr(Scoped):
    """Lacking when score < Q1 - k (Q3 - Q1) (side low), > Q3 + k (Q3 - Q1) (side high), or either (both)."""

    kind: Literal["iqr"] = "iqr"
    k: Annotated[float, Field(ge=0.0)] = Field(1.0, description="Interquartile ranges beyond the quartile.")
    side: Side = Field("low", description="Which outliers lack.")
    scope: Scope = Field("example", description="Whose quartiles: of each example, or of the whole data set.")

    def requires(self) -> tuple[Quantile, ...]:
        return _QUARTILES

    def bounds(self, seen: Seen) -> Bounds:
        first, third = (seen[quartile] for quartile in _QUARTILES)
        reach = self.k * (third - first)
        low, high = (-math.inf, float32_up(first - reach)), (float32_down(third + reach), math.inf)
        both: dict[Side, Bounds] = {"low": [low], "high": [high], "both": [low, high]}
        return both[self.side]

    @property
    def lacking_side(self) -> Side:
        return self.side

    def origin(self) -> str:
        k = f"{self.k:g}"
        text = {"low": f"Q1 − {k} IQR", "high": f"Q3 + {k} IQR", "both": f"{k} IQR beyond the quartiles"}[self.side]
        return f"{text} of {self.whole}"

    def controls(self) -> tuple[Control, ...]:
        return (StepsControl("k", _STEPS),)
