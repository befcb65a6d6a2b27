"""Share of each token's attention that falls on the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from xtf.attribute.reference import Reference
from xtf.attribute.signals.attention import AttentionBlock, AttentionSignal, LayerReading, Layers
from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionToPrompt(AttentionSignal):
    """Share of each response token's attention that falls on prompt tokens, ``(batch, seq)`` float32 in [0, 1].

    Mean over heads and ``layers``. The row read for target ``i`` is the position that predicts it, ``i - 1``; with
    ``row="own"`` it is ``i`` itself, what the token attends to once it has been read. ``model`` is ``None`` for the
    base model, or the reference model to use instead.
    """

    name: ClassVar[str] = "attention_to_prompt"
    layers: Layers = "all"
    row: Literal["predicting", "own"] = "predicting"
    model: Reference | None = None

    @property
    def reference(self) -> Reference | None:
        return self.model

    def begin(self, tokens: TokenBatch) -> LayerReading:
        return _OnPrompt(tokens, shift=int(self.row == "predicting"))


class _OnPrompt(LayerReading):
    def __init__(self, tokens: TokenBatch, shift: int) -> None:
        self._prompt = (tokens.attention_mask & ~tokens.is_response).float()
        self._sum = self._prompt.new_zeros(self._prompt.shape)
        self._shift = shift

    def add(self, block: AttentionBlock) -> None:
        self._sum[:, block.queries] = (block.mean @ self._prompt[:, : block.keys, None]).squeeze(-1)

    def finish(self) -> Tensor:
        return self._sum.roll(self._shift, dims=1).clamp(max=1.0)
