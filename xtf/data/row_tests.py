"""Which rows and turns ``data.only`` takes, by what their own columns and keys say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtf.data.cells import Cells
from xtf.data.flag_names import OF_TURNS
from xtf.data.report import LeftOut
from xtf.data.value_tests import entry, passes

REASON = "left out by data.only"


def check_row(row: Cells, only: Mapping[str, Any]) -> None:
    """Leave a row out in which a column does not hold what ``data.only`` asks for.

    Args:
        row: Its columns that are named count as read.
        only: Column to a test; ``metadata.score`` is the entry ``score`` of the column ``metadata``. What speaks of
            turns (``messages[].score``) is left to the reader of messages.

    Raises:
        LeftOut: naming column and value.
    """
    for column, wanted in only.items():
        if column.startswith(OF_TURNS):
            continue
        value = entry(row, column)
        if not passes(value, wanted):
            found = "there is none" if value is None else f"{column!r} is {_shown(value)}"
            raise LeftOut(f"{REASON}: {column}: {_asked(wanted)}", found)


def _asked(wanted: Any) -> str:
    return wanted if isinstance(wanted, str) else json.dumps(wanted, ensure_ascii=False)


def _shown(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False, default=repr):.60}"
