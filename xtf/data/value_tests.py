"""Whether a value of a row or a turn is as ``data.only`` asks, and what values mean true or false."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xtf.config import ANY, COMPARISON

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
PLAIN = ("true", "false")
NO_TESTS: Mapping[str, Any] = {}


def truth(value: Any) -> bool | None:
    """What a value says as true or false, 1 or 0, yes or no, or the text of these; None for any other."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return TRUTH.get(str(value).strip().casefold().removesuffix(".0")) if isinstance(value, (str, int, float)) else None


def is_plain_truth(value: Any) -> bool:
    """Whether this is true or false, or the text of these; a number or yes may mean something else."""
    return isinstance(value, (bool, np.bool_)) or (isinstance(value, str) and value.strip().casefold() in PLAIN)


def entry(holder: Mapping[str, Any], path: str) -> Any:
    """The value under a name, or under names of objects within objects, with points between; None if there is none."""
    if path in holder:
        return holder[path]
    outer, _, inner = path.partition(".")
    held = holder.get(outer)
    for key in inner.split("."):
        held = held.get(key) if isinstance(held, Mapping) else None
    return held


def passes(value: Any, wanted: Any) -> bool:
    """Whether a value is as wanted; of a list, one entry."""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(passes(value, one) for one in wanted)
    if isinstance(value, (list, tuple)):
        return wanted == ANY or any(passes(one, wanted) for one in value)
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
        return truth(value) is not None and truth(value) == truth(wanted)
    numbers = _number(value), _number(wanted)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return str(value).strip().casefold() == str(wanted).strip().casefold()


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, (bool, Mapping)) else float(value)
    except (TypeError, ValueError):
        return None
