"""Attention a block of queries at a time, so that no attention map is ever held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import sdpa_mask

CPU_BLOCK_BYTES, BLOCK_BYTES = 4 * 2**20, 64 * 2**20
"""Most float32 attention probabilities held at once, in bytes; on a CPU small blocks stay in its cache."""


MASK_BYTES = 2**24
"""Masks of more entries are made a block of queries at a time: of 32,768 tokens a whole one has 1 GiB."""


@dataclass(frozen=True, slots=True)
class BlockMask:
    """A mask that says for a block of queries at a time which keys they see.

    Attributes:
        options: What :func:`transformers.masking_utils.sdpa_mask` makes it from.
    """

    options: Mapping[str, Any]

    def block(self, start: int, end: int, width: int) -> Tensor:
        """``(batch, 1, end - start, width)`` bool: which of the first ``width`` keys the queries see."""
        own = {"q_length": end - start, "kv_length": width, "q_offset": self.options["q_offset"] + start}
        visible = sdpa_mask(**{**self.options, **own, "allow_is_causal_skip": False})
        assert visible is not None
        return visible


def mask_in_blocks(**options: Any) -> Tensor | BlockMask | None:
    """The mask of one attention call, as transformers asks for it: None where attention is plainly causal.

    Returns:
        ``(batch, 1, seq, keys)`` bool, or how to make it in blocks where it is large.
    """
    queries, keys = options["q_length"], options["kv_length"]
    local = options.get("local_size")
    plain = options.get("attention_mask") is None and queries == keys and (local is None or keys < local)
    whole = queries * keys <= MASK_BYTES or options.get("allow_is_bidirectional_skip")
    if whole or (plain and options.get("allow_is_causal_skip")):
        found: Tensor | None = sdpa_mask(**options)
        return found
    return BlockMask({"q_offset": 0, **options})


@dataclass(frozen=True, slots=True)
class QueryBlock:
    """Queries ``start`` to ``end`` and the keys that any of them may see, 0 to ``width``.

    Attributes:
        visible: bool, broadcastable to ``(batch, heads, block, width)``; None means that every key is visible.
        added: What a float mask adds to the scores, of the same shape, or None.
    """

    start: int
    end: int
    width: int
    visible: Tensor | None
    added: Tensor | None

    def rows(self, query: Tensor, kv_heads: int) -> Tensor:
        """``(batch, heads, seq, dim)`` to ``(batch, kv_heads, heads / kv_heads * block, dim)``: those sharing keys."""
        part = query[:, :, self.start : self.end]
        return part.reshape(part.shape[0], kv_heads, -1, part.shape[-1])

    def products(self, rows: Tensor, key: Tensor, heads: int) -> Tensor:
        """Products of :meth:`rows` with ``key``, ``(batch, kv_heads, keys, dim)``, as float32 by head.

        Returns:
            ``(batch, heads, block, width)``.
        """
        found = rows @ key[:, :, : self.width].transpose(2, 3)
        return found.float().view(rows.shape[0], heads, self.end - self.start, self.width)

    def mixed(self, weights: Tensor, value: Tensor) -> Tensor:
        """``(batch, heads, block, width)`` weights of ``value`` to ``(batch, heads, block, dim)``."""
        batch, heads = weights.shape[:2]
        rows = weights.to(value.dtype).reshape(batch, value.shape[1], -1, self.width) @ value[:, :, : self.width]
        return rows.view(batch, heads, self.end - self.start, -1)

    def hidden(self, scores: Tensor) -> Tensor:
        """``(batch, heads, block, width)`` scores, those of invisible keys at the least number; may write into them."""
        if self.added is not None:
            return scores + self.added
        if self.visible is not None:
            return scores.masked_fill_(~self.visible, torch.finfo(torch.float32).min)
        return scores


def query_blocks(
    module: Any, query: Tensor, key: Tensor, mask: Tensor | BlockMask | None, is_causal: bool | None, block_bytes: int
) -> Iterator[QueryBlock]:
    """Yield the blocks of one attention call.

    Args:
        module: The attention module, for its ``is_causal`` only.
        query: ``(batch, heads, seq, dim)``.
        key: ``(batch, kv_heads, keys, dim)``.
        mask: None (causal, or all visible where the module is not causal), or ``(batch, 1 or heads, seq, keys)``,
            bool (True = visible) or float (added), whole or in blocks.
        is_causal: Overrides ``module.is_causal``.
        block_bytes: Bound on one block's float32 probabilities.
    """
    batch, heads, length, _ = query.shape
    keys = key.shape[2]
    causal = mask is None and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
    rows = max(1, block_bytes // (4 * batch * heads * keys))
    for start in range(0, length, rows):
        end = min(start + rows, length)
        width = end if causal else keys  # no later key is visible to any query of a causal block
        visible = added = None
        if isinstance(mask, BlockMask):
            visible = mask.block(start, end, width)
        elif mask is not None:
            visible = mask[:, :, start:end, :width]
            if visible.dtype != torch.bool:
                added, visible = visible, visible > torch.finfo(visible.dtype).min / 2
        elif causal:
            position = torch.arange(width, device=query.device)
            visible = position[None, :] <= position[start:end, None]
        yield QueryBlock(start, end, width, visible, added)
