"""Which stretches of tokens stand earlier in the same example, word by word: what is said twice, or only sounds so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    import torch

LENGTHS = (3, 6, 12)
"""Of stretches, in tokens, each twice the one before."""


def echo_batch(tokens: TokenBatch) -> torch.Tensor:
    """``(batch, seq, 3)`` float32: 1 in a stretch of each of :data:`LENGTHS` that stands earlier in the example."""
    import torch

    found = np.zeros((*tokens.input_ids.shape, len(LENGTHS)), np.float32)
    ids = tokens.input_ids.cpu().numpy()
    for row, length in enumerate(tokens.lengths.tolist()):
        found[row, :length] = find_echoes(ids[row, :length])
    return torch.from_numpy(found).to(tokens.input_ids.device)


def find_echoes(ids: NDArray[np.integer]) -> NDArray[np.bool_]:
    """``(n, 3)`` for ``(n,)`` token ids: whether a token lies in a stretch of each length that began before as well."""
    pairs = _joined(ids, ids, 1)
    stretches = _joined(pairs, ids, 2)
    found = [_inside(stretches, LENGTHS[0], len(ids))]
    for length in LENGTHS[:-1]:
        stretches = _joined(stretches, stretches, length)
        found.append(_inside(stretches, 2 * length, len(ids)))
    return np.stack(found, axis=1)


def _joined(first: NDArray[np.integer], second: NDArray[np.integer], apart: int) -> NDArray[np.int64]:
    """A number for each place from which ``first`` and, ``apart`` further on, ``second`` are the same."""
    count = max(min(len(first), len(second) - apart), 0)
    pairs = first[:count].astype(np.int64) * (int(second.max(initial=0)) + 1) + second[apart : apart + count]
    return np.unique(pairs, return_inverse=True)[1].astype(np.int64)


def _inside(stretches: NDArray[np.int64], length: int, tokens: int) -> NDArray[np.bool_]:
    """``(tokens,)``: whether one of the stretches around a token has the number of an earlier one."""
    _, first, number = np.unique(stretches, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[number] < np.arange(len(stretches)))
    change = np.zeros(tokens + 1, np.int64)
    np.add.at(change, again, 1)
    np.add.at(change, again + length, -1)
    return np.cumsum(change[:tokens]) > 0
