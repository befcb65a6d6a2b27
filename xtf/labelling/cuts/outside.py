"""Lacking outside two numbers."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from xtf.labelling.cuts.base import Bounds, Control, Cut, NumberControl, Side
from xtf.labelling.cuts.below import Number
from xtf.labelling.cuts.float32 import nearest
from xtf.labelling.cuts.statistics import Seen


class Outside(Cut):
    """Lacking when score < low or score > high."""

    kind: Literal["outside"] = "outside"
    low: Number = Field(description="In units of the score.")
    high: Number = Field(description="In units of the score; not below low.")

    @model_validator(mode="after")
    def _ordered(self) -> Outside:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self

    def bounds(self, seen: Seen) -> Bounds:
        return [(-math.inf, nearest(self.low)), (nearest(self.high), math.inf)]

    @property
    def lacking_side(self) -> Side:
        return "both"

    def origin(self) -> None:
        return None

    def controls(self) -> tuple[Control, ...]:
        return NumberControl("low", 0, "stop"), NumberControl("high", 1, "start")
