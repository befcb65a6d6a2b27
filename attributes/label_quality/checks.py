"""What a machine can check in the text itself: sums that hold or do not, and numbers that come from nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.tokens import TokenBatch

from .arithmetic import Sum, find_numbers, find_sums
from .spelling import Spelling

if TYPE_CHECKING:
    import torch

HOLDS, FAILS, WRONG_RESULT, KNOWN, NEW = range(5)
"""Columns of :func:`check_batch`."""


def check_batch(tokens: TokenBatch, spelling: Spelling) -> torch.Tensor:
    """``(batch, seq, 5)`` float32, 1 where a token is part of …

    a sum that holds; a sum that fails; the right side of a sum that fails; a number that stands earlier in the example;
    a number that does not and that is no result of a sum that holds.
    """
    import torch

    found = np.zeros((*tokens.input_ids.shape, NEW + 1), np.float32)
    ids = tokens.input_ids.cpu().numpy()
    for row, length in enumerate(tokens.lengths.tolist()):
        found[row, :length] = _check(ids[row, :length], spelling)
    return torch.from_numpy(found).to(tokens.input_ids.device)


def _check(ids: NDArray[np.int64], spelling: Spelling) -> NDArray[np.float32]:
    """``(n, 5)`` for one example."""
    found = np.zeros((len(ids), NEW + 1), np.float32)
    text, begins = spelling.read(ids)

    def mark(column: int, start: int, end: int) -> None:
        first = int(np.searchsorted(begins[1:], start, side="right"))
        last = int(np.searchsorted(begins[:-1], end, side="left"))
        found[first:last, column] = 1.0

    sums = find_sums(text)
    for one in sums:
        mark(HOLDS if one.holds else FAILS, one.start, one.end)
        if not one.holds:
            mark(WRONG_RESULT, one.result, one.end)
    seen: set[str] = set()
    for start, end, value in find_numbers(text):
        if value in seen:
            mark(KNOWN, start, end)
        elif not _is_result(start, sums):
            mark(NEW, start, end)
        seen.add(value)
    return found


def _is_result(start: int, sums: list[Sum]) -> bool:
    """Whether a number at ``start`` stands on the right side of a sum that holds."""
    return any(one.holds and one.result <= start < one.end for one in sums)
