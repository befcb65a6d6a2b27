"""Signals read from the hidden states of one layer."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from xtf.attribute.signals.base import SignalRequest

if TYPE_CHECKING:
    from torch import Tensor


class StateSignal(SignalRequest):
    """A signal that follows from one layer's hidden state beside each response token.

    The value at ``i`` follows from the state at position ``i + offset``, so that offset -1 is what predicts the token,
    0 the token read, 1 the token after it read; 0 where that position is behind the example's last token. A subclass
    is a dataclass with these two fields.

    Attributes:
        layer: After so many layers (1 = the first), before any final norm; or as a share of all, above 0 up to 1.
        offset: At least -1.
    """

    __slots__ = ()
    layer: int | float
    offset: int

    @abstractmethod
    def reduce(self, states: Tensor) -> Tensor:
        """``(batch, seq, dim)`` float32 states to ``(batch, seq)`` or ``(batch, seq, k)``, each position by itself."""
