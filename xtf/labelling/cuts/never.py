"""No token lacks: the attribute is scored and shown but decides nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from xtf.labelling.cuts.base import Bounds, Cut, Side
from xtf.labelling.cuts.statistics import Seen


class Never(Cut):
    """No token lacks: the attribute is scored and shown but decides nothing."""

    decides: ClassVar[bool] = False
    kind: Literal["never"] = "never"

    @model_validator(mode="after")
    def _without_cap(self) -> Never:
        if self.at_most is not None:
            raise ValueError("at_most is of no use to a cut under which no token lacks")
        return self

    def bounds(self, seen: Seen) -> Bounds:
        return []

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> None:
        return None
