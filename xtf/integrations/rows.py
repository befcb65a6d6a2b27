"""Rows with a weight for every token, looked at before a trainer takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from xtf.errors import DataError


def check_rows(batches: Iterable[Mapping[str, Any]], longest: int | None = None) -> None:
    """Refuse weights that cannot be, and rows that ``longest`` would cut.

    Args:
        batches: Each with ``input_ids`` and ``weights``: a list of rows, each ``(seq,)``.
        longest: Tokens of a row that are kept; None: all.

    Raises:
        DataError: with the row, or with what would be lost.
    """
    place = long = most = weighing = lost = 0
    for batch in batches:
        for ids, values in zip(batch["input_ids"], batch["weights"], strict=True):
            weights = np.asarray(values, np.float32)
            if len(weights) != len(ids):
                raise DataError(f"row {place}: {len(weights)} weights for {len(ids)} tokens")
            if not np.isfinite(weights).all() or (weights < -1).any():
                raise DataError(f"row {place}: weights must be finite and at least -1")
            weighing += int(np.count_nonzero(weights))
            if longest is not None and len(weights) > longest:
                long, most = long + 1, max(most, len(weights))
                lost += int(np.count_nonzero(weights[longest:]))
            place += 1
    if long:
        raise DataError(
            f"max_length={longest} would cut {long} of {place} rows, and with them {lost} of {weighing} weights. Set "
            f"max_length={most}, or None without packing, or leave these rows out"
        )
