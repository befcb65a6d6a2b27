"""Rows that are tokens already -> tokens with the targets marked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.data.cells import Cells
from xtf.data.conversation import PreTokenized
from xtf.data.report import RowError
from xtf.tokens import IntArray

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Labelled:
    """Reads token ids beside labels: a label names the token at its own position, or is -100."""

    ids: str
    labels: str

    def __call__(self, row: Cells) -> PreTokenized:
        """Read one row.

        Raises:
            RowError: the columns do not hold tokens and their labels, or nothing is learnt.
        """
        ids, labels = _integers(row, self.ids), _integers(row, self.labels)
        if ids.shape != labels.shape:
            raise RowError("input_ids and labels differ in length", f"{len(ids)} and {len(labels)}")
        if "attention_mask" in row:
            mask = _integers(row, "attention_mask")
            if mask.shape != ids.shape:
                raise RowError("input_ids and attention_mask differ in length", f"{len(ids)} and {len(mask)}")
            ids, labels = ids[mask != 0], labels[mask != 0]
        is_response = labels != IGNORED
        wrong = np.flatnonzero(is_response & (labels != ids))
        if wrong.size:
            where = int(wrong[0])
            raise RowError(
                "labels are not the tokens of input_ids",
                f"position {where}: label {int(labels[where])}, token {int(ids[where])}. A label names the token at "
                "its own position (not the next one), or -100.",
            )
        is_response[:1] = False  # nothing predicts the first token
        if not is_response.any():
            raise RowError("empty response", f"every label is {IGNORED}")
        return PreTokenized(ids.astype(np.int32), is_response)


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Reads token ids without labels, every one of which is a target, as trainers take them."""

    ids: str

    def __call__(self, row: Cells) -> PreTokenized:
        """Read one row; RowError says what is wrong with it."""
        return Labelled(self.ids, self.ids)(row)


def _integers(row: Cells, key: str) -> IntArray:
    value: Any = row.column(key)
    try:
        value = json.loads(value) if isinstance(value, str) else value  # a cell of a CSV file
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise RowError(f"{key} is not a list of whole numbers") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise RowError(f"{key} is not a list of whole numbers")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise RowError(f"{key} holds a number that no token can have")
    return array.astype(np.int32)
