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
SUMS = (
    "in no sum that can be checked",
    "in a sum that holds",
    "in a sum that does not hold",
    "as the result of a sum that does not hold",
)
"""What is said of a token's sum, after "it stands"."""
IN_NONE, IN_TRUE_SUM, IN_FALSE_SUM, FALSE_RESULT = range(len(SUMS))


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


def kinds_of_sums(checked: torch.Tensor) -> torch.Tensor:
    """``(n,)`` int64, an index into :data:`SUMS`, for ``(n, 5)`` of :func:`check_batch`."""
    import torch

    found = torch.where(checked[:, HOLDS] > 0, IN_TRUE_SUM, IN_NONE)
    found = torch.where(checked[:, FAILS] > 0, IN_FALSE_SUM, found)
    return torch.where(checked[:, WRONG_RESULT] > 0, FALSE_RESULT, found)


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
