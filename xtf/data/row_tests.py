"""Which rows ``data.only`` takes, by what their own columns say."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from xtf.config import ANY, COMPARISON
from xtf.data.cells import Cells
from xtf.data.report import LeftOut

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
REASON = "left out by data.only"
NO_TESTS: Mapping[str, Any] = {}


def check_row(row: Cells, only: Mapping[str, Any]) -> None:
    """Leave a row out in which a column does not hold what ``data.only`` asks for.

    Args:
        row: Its columns that are named count as read.
        only: Column to a test; ``metadata.score`` is the entry ``score`` of the column ``metadata``.

    Raises:
        LeftOut: naming column and value.
    """
    for column, wanted in only.items():
        value = _cell(row, column)
        if not _passes(value, wanted):
            found = "there is none" if value is None else f"{column!r} is {_shown(value)}"
            raise LeftOut(f"{REASON}: {column}: {_asked(wanted)}", found)


def _cell(row: Cells, column: str) -> Any:
    if column in row:
        return row[column]
    outer, _, inner = column.partition(".")
    held = row.get(outer)
    for key in inner.split("."):
        held = held.get(key) if isinstance(held, Mapping) else None
    return held


def _passes(value: Any, wanted: Any) -> bool:
    """Whether a value is as wanted; of a list, one entry."""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_passes(value, one) for one in wanted)
    if isinstance(value, (list, tuple)):
        return wanted == ANY or any(_passes(one, wanted) for one in value)
    compared = COMPARISON.fullmatch(wanted) if isinstance(wanted, str) else None
    if compared is None:
        return wanted == ANY or _equals(value, wanted)
    sign, number = compared[1], compared[2]
    if sign == "!=":
        return value is not None and not _equals(value, number)
    found = _number(value)
    return found is not None and bool(OPERATORS[sign](found, float(number)))


def _equals(value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return value is wanted
    if isinstance(value, bool) or isinstance(wanted, bool):
        return _truth(value) is not None and _truth(value) == _truth(wanted)
    numbers = _number(value), _number(wanted)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return str(value).strip().casefold() == str(wanted).strip().casefold()


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else TRUTH.get(str(value).strip().casefold().removesuffix(".0"))


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, (bool, Mapping)) else float(value)
    except (TypeError, ValueError):
        return None


def _asked(wanted: Any) -> str:
    return wanted if isinstance(wanted, str) else json.dumps(wanted, ensure_ascii=False)


def _shown(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False, default=repr):.60}"
