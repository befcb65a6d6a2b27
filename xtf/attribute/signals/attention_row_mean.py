"""Mean of a row of attention: a constant, kept to reproduce released code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.attention import AttentionBlock, AttentionSignal, LayerReading, Layers
from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionRowMean(AttentionSignal):
    """Mean over all keys of the attention that each response token *pays*, mean over heads and ``layers``.

    ``(batch, seq)`` float32. A softmax row sums to one, so every value is ``1 / seq``: a constant. It exists to
    reproduce released code.
    """

    name: ClassVar[str] = "attention_row_mean"
    layers: Layers = (0,)

    def begin(self, tokens: TokenBatch) -> LayerReading:
        return _Paid(tokens)


class _Paid(LayerReading):
    def __init__(self, tokens: TokenBatch) -> None:
        self._lengths = tokens.lengths.float()[:, None]
        self._sum = self._lengths.new_zeros(tokens.input_ids.shape)

    def add(self, block: AttentionBlock) -> None:
        self._sum[:, block.queries] = block.mean.sum(dim=-1)

    def finish(self) -> Tensor:
        return self._sum / self._lengths
