"""Lacking below a number."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from xtf.labelling.cuts.base import Bounds, Control, Cut, NumberControl, Side
from xtf.labelling.cuts.float32 import nearest
from xtf.labelling.cuts.statistics import Seen


def _a_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("a cut must be a number, got nan")
    return value


Number = Annotated[float, AfterValidator(_a_number)]
"""In units of the score. It is rounded to float32, so that a score printed as 0.7 is not below a cut of 0.7."""


class Below(Cut):
    """Lacking when score < cut."""

    kind: Literal["below"] = "below"
    cut: Number = Field(description="In units of the score.")

    def bounds(self, seen: Seen) -> Bounds:
        return [(-math.inf, nearest(self.cut))]

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> None:
        return None

    def controls(self) -> tuple[Control, ...]:
        return (NumberControl("cut", 0, "stop"),)
