"""From blocks of attention probabilities to one number per token, for one layer."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from xtf.tokens import TokenBatch


class LayerSums:
    """Accumulates one layer's blocks; heads are averaged first.

    Args:
        kinds: Of ``received_response``, ``received_all``, ``row_mean``, ``to_prompt_own``, ``to_prompt_predicting``.
        tokens: The batch, for its masks.
    """

    def __init__(self, kinds: AbstractSet[str], tokens: TokenBatch) -> None:
        self._kinds = kinds
        self._response = tokens.is_response.float()
        self._real = tokens.attention_mask.float()
        self._prompt = (tokens.attention_mask & ~tokens.is_response).float()
        self._lengths = tokens.lengths.float()[:, None]
        shape, device = tokens.input_ids.shape, tokens.input_ids.device
        self._sums = {kind: torch.zeros(shape, device=device) for kind in kinds}
        self._chance = torch.zeros(shape, device=device)

    def add(self, probabilities: Tensor, visible: Tensor | None, start: int) -> None:
        """Add a block.

        Args:
            probabilities: ``(batch, heads, block, keys)`` float32; queries are ``start`` onwards, keys from 0.
            visible: bool, broadcastable to the same shape; None means that every key is visible.
            start: Position of the first query of the block.
        """
        if not self._kinds:
            return
        mean = probabilities.mean(dim=1)
        _, block, keys = mean.shape
        queries = slice(start, start + block)
        if "received_all" in self._kinds:
            self._sums["received_all"][:, :keys] += _weighted(self._real[:, queries], mean)
        if "row_mean" in self._kinds:
            self._sums["row_mean"][:, queries] = mean.sum(dim=-1)
        for kind in self._kinds & {"to_prompt_own", "to_prompt_predicting"}:
            self._sums[kind][:, queries] = (mean @ self._prompt[:, :keys, None]).squeeze(-1).clamp_(max=1.0)
        if "received_response" in self._kinds:
            weights = self._response[:, queries]
            seen = torch.ones_like(mean[:1]) if visible is None else visible.float()
            seen = seen[:, 0] if seen.ndim == 4 else seen.expand(1, block, keys)
            uniform = weights / seen.sum(dim=-1).clamp_(min=1.0)
            for rows in (mean, seen):  # what a token pays itself does not count
                rows[:, :, queries].diagonal(dim1=1, dim2=2).zero_()
            self._sums["received_response"][:, :keys] += _weighted(weights, mean)
            self._chance[:, :keys] += _weighted(uniform, seen)

    def finish(self) -> dict[str, Tensor]:
        """Return each kind's value of this layer, ``(batch, seq)`` float32; meaningful on response tokens only."""
        values = dict(self._sums)
        if "received_all" in values:
            values["received_all"] = values["received_all"] / self._lengths
        if "row_mean" in values:
            values["row_mean"] = values["row_mean"] / self._lengths
        if "to_prompt_predicting" in values:
            values["to_prompt_predicting"] = values["to_prompt_predicting"].roll(1, dims=1)  # row i - 1 predicts i
        if "received_response" in values:
            ratio = values["received_response"] / self._chance
            values["received_response"] = ratio.masked_fill(self._chance == 0.0, 1.0)  # no later response token sees it
        return values


def _weighted(weights: Tensor, rows: Tensor) -> Tensor:
    """``sum_q weights[b, q] * rows[b, q, k]``; ``rows`` may have a batch of one."""
    if rows.shape[0] == 1 and weights.shape[0] > 1:
        return weights @ rows[0]
    return torch.bmm(weights[:, None, :], rows).squeeze(1)
