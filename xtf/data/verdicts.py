"""Columns by which rows say whether they are good ones: what is plainly a verdict is honoured, the rest is named.

Plain is a name such as ``is_correct``, ``accepted`` or ``failed`` with true or false, and a label such as ``wrong``.
What a number means (``score``, ``reward``, ``rating``) depends on a scale that nobody knows but those who gave it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from xtf.data.cells import Cells
from xtf.data.flag_names import OF_TURNS, plain_name
from xtf.data.report import LeftOut, Remark
from xtf.data.suggestion import yaml_name
from xtf.data.verdict_names import REFUSALS, verdict_of

MAY_SAY = re.compile(
    r"(?:.*_)?(?:scores?|rewards?|ratings?|quality|grades?|correct|correctness|accuracy|acc|verdicts?|judge?ments?|"
    r"(?:pass|solve|win|success|error)_rate|votes?|upvotes?|downvotes?|likes|stars|labels?|feedback|status|preference|"
    r"helpful(?:ness)?|truthful(?:ness)?|harmless(?:ness)?|coherence|verified|verification|safe(?:ty)?|unsafe|rank|"
    r"toxic(?:ity)?|harmful|flagged|spam|nsfw|duplicate|hallucinations?|refusal|error|thumbs_(?:up|down)|annotation|"
    r"good|bad|valid|passed|success|thumbs?)(?:_.*)?"
)
DOUBTS = REFUSALS | {"down", "f", "negative", "neg", "low", "poor", "no", "false", "fail", "unsafe", "toxic", "dislike"}
NEEDS_NO = re.compile(
    r".*(?:unsafe|toxic|harmful|flagged|spam|nsfw|duplicate|hallucination|refusal|error|down).*|bad.*"
)
"""Names that are good news when false."""
LONGEST = 24  # characters of a word that may be a verdict


def check_verdicts(row: Cells) -> None:
    """Leave out a row that plainly says of itself, or in an object of its own, that its answer is no good one.

    Args:
        row: Columns that hold a verdict count as read; those that ``data.only`` speaks of are passed over.

    Raises:
        LeftOut: naming the column and what to set to learn such rows.
    """
    for column, key, value in _entries(row):
        verdict = None if column in row.settled else verdict_of(key, value)
        if verdict is not None and "." not in column:
            row.get(column)
        if verdict is False:
            how = f"to learn such rows too: data.only: {{{yaml_name(column)}: any}}"
            raise LeftOut(f"{column!r} says that the answer is no good one", f"it is {_shown(value)}; {how}")


def possible_verdicts(row: Mapping[str, Any], unread: Iterable[str], settled: Iterable[str]) -> Iterator[Remark]:
    """Yield what to set for columns that may say which rows are good, and that nothing has read."""
    names, known = set(unread), set(settled)
    for column, key, value in _entries(row):
        if column not in known and column.partition(".")[0] in names and _may_say(key, value):
            how = f"data.only: {{{yaml_name(column)}: {_test_against(value)}}}"
            yield Remark(
                f"{column!r} may say which rows are good, and is not used",
                f"to learn only some: {how}; to learn all of them: data.only: {{{yaml_name(column)}: any}}",
            )


def possible_verdicts_of_turns(messages: Iterable[Mapping[str, Any]], unread: Iterable[str]) -> Iterator[Remark]:
    """The same for keys of messages: what nothing reads and may say which turns are good."""
    names = set(unread)
    found = {key: value for each in messages for key, value in each.items() if key in names and _may_say(key, value)}
    for key in sorted(found):
        name = yaml_name(OF_TURNS + key)
        yield Remark(
            f"'{OF_TURNS}{key}' may say which turns are good, and is not used",
            f"to learn only some: data.only: {{{name}: {_test_against(found[key])}}}; to learn all: {{{name}: any}}",
        )


def _entries(row: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Column, name and value; of an object, each of its entries as ``column.name``, also within another."""
    peek = row.peek if isinstance(row, Cells) else row.get
    for column in map(str, row):
        value = peek(column)
        if isinstance(value, Mapping):
            yield from ((f"{column}.{path}", key, inner) for path, key, inner in _entries(value))
        elif value is not None:
            yield column, column, value


def _test_against(value: Any) -> str:
    """A test for a column, as YAML, made from what one row holds."""
    if isinstance(value, (list, tuple)):
        value = next((each for each in value if each is False), value[0])
    if _is_number(value):
        return json.dumps(f"{'>=' if value > 0 else '>'} {value:g}")
    return json.dumps(f"!= {value.strip()}") if isinstance(value, str) else json.dumps(not value)


def _may_say(name: str, value: Any) -> bool:
    plain = plain_name(name)
    if isinstance(value, (list, tuple)):
        return all(isinstance(each, (bool, int, float)) for each in value) and any(_may_say(name, one) for one in value)
    if not MAY_SAY.fullmatch(plain) or "reject" in plain:
        return False
    if isinstance(value, str):
        return len(value) <= LONGEST and value.strip().lower() in DOUBTS
    if isinstance(value, (bool, np.bool_)):
        return bool(value) == bool(NEEDS_NO.fullmatch(plain))
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    return json.dumps(value, default=repr)[:60]
