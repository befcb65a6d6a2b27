"""Attention that other positions pay to each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from xtf.attribute.signals.attention import AttentionBlock, AttentionSignal, LayerReading, Layers
from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionReceived(AttentionSignal):
    """Attention that other positions pay to each response token, ``(batch, seq)`` float32, NaN off-response.

    Each value is a mean over heads and over ``layers`` (``"all"``, or indices where -1 is the last).

    * ``queries="response"``: summed over the *later response positions* ``i > j`` that look back at token ``j``,
      divided by what uniform attention over the keys visible to each ``i`` would have given ``j``. 1 means "as much
      as chance"; a token that no later response token can see has value 1.
    * ``queries="all"``: the mean over every position of the example (itself included) of the attention paid to ``j``.
    """

    name: ClassVar[str] = "attention_received"
    layers: Layers = "all"
    queries: Literal["response", "all"] = "response"

    def begin(self, tokens: TokenBatch) -> LayerReading:
        return _ByAll(tokens) if self.queries == "all" else _ByResponse(tokens)


class _ByAll(LayerReading):
    def __init__(self, tokens: TokenBatch) -> None:
        self._real = tokens.attention_mask.float()
        self._lengths = tokens.lengths.float()[:, None]
        self._sum = self._real.new_zeros(self._real.shape)

    def add(self, block: AttentionBlock) -> None:
        self._sum[:, : block.keys] += _weighted(self._real[:, block.queries], block.mean)

    def finish(self) -> Tensor:
        return self._sum / self._lengths


class _ByResponse(LayerReading):
    def __init__(self, tokens: TokenBatch) -> None:
        self._response = tokens.is_response.float()
        self._sum, self._chance = (self._response.new_zeros(self._response.shape) for _ in range(2))

    def add(self, block: AttentionBlock) -> None:
        weights = self._response[:, block.queries]
        uniform = weights / block.visible.sum(dim=-1).clamp(min=1.0)
        mean, visible = block.mean.clone(), block.visible.clone()
        for rows in (mean, visible):  # what a token pays itself does not count
            rows[:, :, block.queries].diagonal(dim1=1, dim2=2).zero_()
        self._sum[:, : block.keys] += _weighted(weights, mean)
        self._chance[:, : block.keys] += _weighted(uniform, visible)

    def finish(self) -> Tensor:
        ratio = self._sum / self._chance
        return ratio.masked_fill(self._chance == 0.0, 1.0)  # no later response token sees it


def _weighted(weights: Tensor, rows: Tensor) -> Tensor:
    """``sum_q weights[b, q] * rows[b, q, k]``, ``(batch, keys)``; ``rows`` may have a batch of one."""
    if rows.shape[0] == 1 and weights.shape[0] > 1:
        return weights @ rows[0]
    return (weights[:, None, :] @ rows).squeeze(1)
