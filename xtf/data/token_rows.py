"""Rows that are tokens already -> tokens with the targets marked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.data.cells import Cells
from xtf.data.conversation import PreTokenized
from xtf.data.flag_names import plain_name, settled_by
from xtf.data.flags import refuse_unknown_switches, row_token_weights
from xtf.data.report import RowError
from xtf.data.suggestion import yaml_name
from xtf.errors import listed
from xtf.tokens import BoolArray, IntArray

IGNORED = -100
MASKS = ("completion_mask", "assistant_masks", "assistant_mask", "loss_mask", "response_mask", "action_mask")
"""Columns beside ``input_ids`` that mark with 1 what is learnt: TRL's, those of chat templates, slime's, verl's,
OpenRLHF's."""
OTHER_MASKS = frozenset(("attention_mask", "special_tokens_mask"))
"""Masks that say nothing of learning."""
LABELS = re.compile(r"(?:.*_)?(?:labels?|targets?)(?:_.*)?")
PROMPT_SIZE = re.compile(
    r"(?:.*_)?(?:prompts?|source|context|inputs?|questions?|query|instruction|prefix)_(?:tokens?_)?"
    r"(?:len|lens|lengths?|size|end|count)"
)
"""Names of columns that say how many of the tokens are prompt."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Reads token ids beside labels, masks, or both; then a token is learnt where all of them say so, as TRL has it.

    A label names the token at its own position, or is -100.
    """

    ids: str
    labels: str | None = None

    def __call__(self, row: Cells) -> PreTokenized:
        """Read one row.

        Raises:
            RowError: the columns do not hold tokens and what marks the targets, or nothing is learnt.
        """
        ids = _integers(row, self.ids)
        known = {*MASKS, *OTHER_MASKS, self.ids, self.labels}
        others = {key: row.peek(key) for key in row if key not in known or key == "loss_mask"}
        refuse_unknown_switches(others, {len(ids)}, row.settled)
        is_response = np.ones(len(ids), np.bool_)
        for mask in MASKS:
            if mask in row and not isinstance(row[mask], (bool, int, float)):
                is_response &= _aligned(row, mask, ids) != 0
        if self.labels is not None:
            is_response &= self._labelled(row, ids)
        is_response[:1] = False  # nothing predicts the first token
        weights = row_token_weights(row, len(ids))
        if "attention_mask" in row:
            real = _aligned(row, "attention_mask", ids) != 0
            ids, is_response, weights = ids[real], is_response[real], None if weights is None else weights[real]
        if not is_response.any():
            raise RowError("empty response", "no label or mask marks a token to learn")
        return PreTokenized(ids.astype(np.int32), is_response, weights)

    def _labelled(self, row: Cells, ids: IntArray) -> BoolArray:
        labels = _aligned(row, str(self.labels), ids)
        is_target: BoolArray = labels != IGNORED
        real = _integers(row, "attention_mask") != 0 if "attention_mask" in row else np.ones(len(ids), np.bool_)
        wrong = np.flatnonzero(is_target & (labels != ids) & (real if len(real) == len(ids) else True))
        if wrong.size:
            where = int(wrong[0])
            raise RowError(
                "labels are not the tokens of input_ids",
                f"position {where}: label {int(labels[where])}, token {int(ids[where])}. A label names the token at "
                "its own position (not the next one), or -100.",
            )
        return is_target


def _aligned(row: Cells, key: str, ids: IntArray) -> IntArray:
    """Whole numbers, one for each of ``ids``."""
    values = _integers(row, key)
    if values.shape != ids.shape:
        raise RowError(f"input_ids and {key} differ in length", f"{len(ids)} and {len(values)}")
    return values


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Reads token ids without labels, every one of which is a target, as trainers take them."""

    ids: str

    def __call__(self, row: Cells) -> PreTokenized:
        """Read one row; RowError says what is wrong with it, such as a mask that may mark what is learnt."""
        others = [key for key in row if key not in row.settled and key not in OTHER_MASKS]
        masks = [key for key in others if "mask" in key.lower()]
        if masks:
            raise RowError(
                "a mask that is not understood",
                f"{listed(map(repr, masks))}. Where 1 means learnt, rename it to 'loss_mask'; known: {listed(MASKS)}",
            )
        for key in others:
            self._refuse_labels(row, key)
        return Labelled(self.ids, self.ids)(row)

    def _refuse_labels(self, row: Cells, key: str) -> None:
        """Refuse a column that may say which tokens are learnt."""
        value, name = row.peek(key), plain_name(key)
        is_list = isinstance(value, (list, tuple)) and len(value) == len(row.peek(self.ids))
        if is_list and (LABELS.fullmatch(name) or IGNORED in value):
            line = f"data.columns: {{input_ids: {yaml_name(self.ids)}, labels: {yaml_name(key)}}}"
            raise RowError("a column that may hold labels", f"{key!r}: {line}; {settled_by(key)}")
        if PROMPT_SIZE.fullmatch(name) and isinstance(value, int):
            how = "write a 'loss_mask' beside the tokens, 1 where they are learnt"
            raise RowError("a column that may say where the prompt ends", f"{key!r}: {how}. {settled_by(key)}")


def _integers(row: Cells, key: str) -> IntArray:
    value: Any = row.column(key)
    try:
        value = json.loads(value) if isinstance(value, str) else value  # a cell of a CSV file
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise RowError(f"{key} is not a list of whole numbers") from None
    if array.ndim == 1 and array.dtype.kind == "f" and np.all(array == np.trunc(array)):
        array = array.astype(np.int64)  # 1.0, as data frames write whole numbers beside nulls
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise RowError(f"{key} is not a list of whole numbers")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise RowError(f"{key} holds a number that no token can have")
    return array.astype(np.int32)
