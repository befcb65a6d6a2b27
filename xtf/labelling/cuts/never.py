"""No token lacks: the attribute is scored and shown but decides nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from xtf.labelling.cuts.base import Bounds, Cut, Side
from xtf.labelling.cuts.statistics import Seen


class Never(Cut):
    """No token lacks: the attribute is scored and shown but decides nothing."""

    decides: ClassVar[bool] = False
    kind: Literal["never"] = "never"

    def bounds(self, seen: Seen) -> Bounds:
        return []

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> None:
        return None
