"""Responses without their prompts: the batch that a model reads, and its values back in their places."""

from __future__ import annotations

import torch
from torch import Tensor

from xtf.tokens import TokenBatch


def without_prompt(tokens: TokenBatch) -> TokenBatch:
    """The response tokens of each example, from position 0; all but the first are targets."""
    counts = tokens.is_response.sum(dim=1)
    width = max(int(counts.max()), 1)
    mask = torch.arange(width, device=counts.device) < counts[:, None]
    ids = tokens.input_ids.new_zeros(mask.shape)
    ids[mask] = tokens.input_ids[tokens.is_response]
    targets = mask.clone()
    targets[:, 0] = False
    return TokenBatch(ids, mask, targets, tokens.example_ids)


def in_place(values: Tensor, alone: TokenBatch, tokens: TokenBatch) -> Tensor:
    """``(batch, width)`` values of :func:`without_prompt` as ``(batch, seq)``, NaN off-response."""
    out = values.new_full(tokens.input_ids.shape, torch.nan)
    out[tokens.is_response] = values[alone.attention_mask]
    return out
