"""The rows of a tokenised data set as they were read: only what says which of their tokens are learnt changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.data.token_rows import MASKS
from xtf.exporters.exporter import AnyExporter
from xtf.tokens import BoolArray, FloatArray

WEIGHTS = ("weights", "loss_weights")


class SameExporter(AnyExporter):
    """The data set that was scored, written back in its own form, with what is noise masked.

    Columns keep their order, names and types, and rows theirs; labels become -100, masks and weights 0 where a token is
    not learnt. Where no column can say it, ``labels`` is added. Rows without a learnt token are left out.
    """

    name = "same"
    carries_weights = True


@dataclass(frozen=True, slots=True)
class LearntRow:
    """What is learnt of a row.

    Attributes:
        index: Its number in the data, from 0.
        learnt: ``(tokens,)`` bool, of the row's real tokens, in order; of those behind them nothing is learnt.
        factor: ``(tokens,)`` float32, what the weights that the row brings are multiplied by.
        weighted: How many of its response tokens have another factor than 0 where masked and 1 where learnt.
    """

    index: int
    learnt: BoolArray
    factor: FloatArray
    weighted: int


@dataclass(frozen=True, slots=True)
class MaskColumns:
    """The columns that say which tokens of a row are learnt.

    Attributes:
        ids: Token ids.
        labels: -100 where a token is not learnt.
        attention: 0 on padding.
        masks: 1 where a token is learnt.
        weights: A number for each token.
    """

    ids: str
    labels: str | None
    attention: str | None
    masks: tuple[str, ...]
    weights: str | None

    @classmethod
    def of(cls, columns: list[str], ids: str | None, labels: str | None) -> MaskColumns:
        """Find them among the columns of a data set; ``ids`` and ``labels`` are named in ``data.columns``, or None.

        As the reader has it, names may be in upper case where the usual spelling is not there.
        """
        lower = {name.lower(): name for name in reversed(columns)}

        def found(name: str) -> str | None:
            return name if name in columns else lower.get(name)

        masks = tuple(one for one in map(found, MASKS) if one is not None)
        weights = next((one for one in map(found, WEIGHTS) if one is not None), None)
        labelled = labels or found("labels") or (None if masks else "labels")
        return cls(ids or found("input_ids") or "input_ids", labelled, found("attention_mask"), masks, weights)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for name in (self.ids, self.labels, self.attention, *self.masks, self.weights) if name)

    def real(self, row: Mapping[str, Any]) -> BoolArray:
        """``(seq,)`` bool: which tokens of a row are no padding."""
        mask = row.get(self.attention) if self.attention is not None else None
        return np.ones(len(row[self.ids]), np.bool_) if mask is None else np.asarray(mask) != 0

    def masked(self, row: Mapping[str, Any], told: LearntRow) -> dict[str, list[Any]]:
        """The columns of ``row`` that change, each ``(seq,)``; ``row`` has those of :attr:`names` that it can."""
        ids = np.asarray(row[self.ids])
        places = np.flatnonzero(self.real(row))[: len(told.learnt)]
        learnt, factor = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.float32)
        learnt[places], factor[places] = told.learnt, told.factor
        changed: dict[str, list[Any]] = {}
        masks = [name for name in self.masks if isinstance(row.get(name), list)]
        for name in masks:
            changed[name] = [value if keep else type(value)() for value, keep in zip(row[name], learnt, strict=True)]
        labels = row.get(self.labels) if self.labels is not None else None
        if self.labels is not None and (labels is not None or not masks):
            changed[self.labels] = np.where(learnt, ids if labels is None else labels, -100).tolist()
        if self.weights is not None and isinstance(row.get(self.weights), list):
            pairs = zip(row[self.weights], factor.tolist(), strict=True)
            changed[self.weights] = [_multiplied(value, by) for value, by in pairs]
        return changed

    def carries_weights(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has a number for each token that need not be whole."""
        values = row.get(self.weights) if self.weights is not None else None
        return isinstance(values, list) and all(isinstance(value, float) for value in values)


def _multiplied(value: float, by: float) -> float:
    """A weight times a factor; a whole number stays one."""
    if isinstance(value, float):
        return value if by == 1 else value * by
    return value if by > 0 else 0
