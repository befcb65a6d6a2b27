"""Lacking above a number."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from xtf.labelling.cuts.base import Bounds, Control, Cut, NumberControl, Side
from xtf.labelling.cuts.below import Number
from xtf.labelling.cuts.float32 import nearest
from xtf.labelling.cuts.statistics import Seen


class Above(Cut):
    """Lacking when score > cut."""

    kind: Literal["above"] = "above"
    cut: Number = Field(description="In units of the score.")

    def bounds(self, seen: Seen) -> Bounds:
        return [(nearest(self.cut), math.inf)]

    @property
    def lacking_side(self) -> Side:
        return "high"

    def origin(self) -> None:
        return None

    def controls(self) -> tuple[Control, ...]:
        return (NumberControl("cut", 0, "start"),)
