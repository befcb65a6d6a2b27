"""Which rows are learnt, by what their own columns say: the values of ``data.only``."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

ANY = "any"
"""Every value will do: the column is known, and says nothing of learning."""
COMPARISON = re.compile(r"\s*(>=|<=|!=|>|<)\s*(.*?)\s*", re.DOTALL)


def _checked(value: Any) -> Any:
    for one in value if isinstance(value, tuple) else (value,):
        compared = COMPARISON.fullmatch(one) if isinstance(one, str) else None
        if compared and compared[1] != "!=" and not _is_number(compared[2]):
            raise ValueError(f"{one!r}: expected a number behind {compared[1]}")
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


Wanted = bool | int | float | str | None
RowTest = Annotated[Wanted | Annotated[tuple[Wanted, ...], Field(min_length=1)], AfterValidator(_checked)]
"""A value, a comparison (``">= 4"``, ``"!= low"``), ``any``, or a list of these of which one must hold."""
