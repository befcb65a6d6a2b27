"""All but a share of the highest scores lacks."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from xtf.config.base import Scope, Share
from xtf.labelling.cuts.base import Bounds, Control, Scoped, Side, StepsControl
from xtf.labelling.cuts.bottom_share import SHARES
from xtf.labelling.cuts.statistics import FirstKept, Seen


class TopShare(Scoped):
    """The highest-scoring ``keep`` of tokens is kept and the rest lacks; a tie at the boundary is kept."""

    kind: Literal["top_share"] = "top_share"
    keep: Share = Field(description="Share of tokens that are kept, 0 to 1.")
    scope: Scope = Field("dataset", description="Ranked within each example, or over the whole data set.")

    def requires(self) -> tuple[FirstKept, ...]:
        return (FirstKept(round(1.0 - self.keep, 12)),)  # keeping 0.6 of the tokens is lacking the lowest 0.4

    def bounds(self, seen: Seen) -> Bounds:
        return [(-math.inf, seen[self.requires()[0]])]

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> str:
        return f"outside the highest {100 * self.keep:g} % of {self.whole}"

    def controls(self) -> tuple[Control, ...]:
        return (StepsControl("keep", SHARES),)
