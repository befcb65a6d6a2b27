"""A share of the lowest scores lacks."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from xtf.config.base import Scope, Share
from xtf.labelling.cuts.base import Bounds, Control, Scoped, Side, StepsControl
from xtf.labelling.cuts.statistics import FirstKept, Seen

SHARES = tuple(round(step / 200, 3) for step in range(201))


class BottomShare(Scoped):
    """The lowest-scoring ``share`` of tokens lacks; a tie at the boundary is kept."""

    kind: Literal["bottom_share"] = "bottom_share"
    share: Share = Field(description="Share of tokens that lack, 0 to 1.")
    scope: Scope = Field("dataset", description="Ranked within each example, or over the whole data set.")

    def requires(self) -> tuple[FirstKept, ...]:
        return (FirstKept(self.share),)

    def bounds(self, seen: Seen) -> Bounds:
        return [(-math.inf, seen[FirstKept(self.share)])]

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> str:
        return f"the lowest {100 * self.share:g} % of {self.whole}"

    def controls(self) -> tuple[Control, ...]:
        return (StepsControl("share", SHARES),)
