"""Hidden states of one layer, as they are or reduced by a map that a scorer learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.state import StateSignal

if TYPE_CHECKING:
    from torch import Tensor


class Projection:
    """A linear map that a scorer learns in :meth:`Attribute.fit`: ``(x - mean) @ matrix``.

    Two projections are the same signal's only if they are one object. Until it is set, nothing is reduced.
    """

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.matrix: Tensor | None = None

    def __repr__(self) -> str:
        return "Projection()"

    def set(self, mean: Tensor, matrix: Tensor) -> None:
        """Take ``(dim,)`` and ``(dim, k)`` float32."""
        self.mean, self.matrix = mean, matrix


@dataclass(frozen=True, slots=True)
class HiddenState(StateSignal):
    """Hidden state of one layer, beside each response token: ``(batch, seq, dim or k)`` float32, NaN off-response.

    Attributes:
        layer: After so many layers (1 = the first), before any final norm; or as a share of all, above 0 up to 1.
        offset: Which token's state, from the target; see :class:`StateSignal`.
        projection: Reduces each state inside the pass to ``k`` numbers; None, or one that is not set yet: all ``dim``.
    """

    name: ClassVar[str] = "hidden_state"
    layer: int | float
    offset: int = 0
    projection: Projection | None = None

    def reduce(self, states: Tensor) -> Tensor:
        projection = self.projection
        if projection is None or projection.matrix is None or projection.mean is None:
            return states
        matrix = projection.matrix.to(states.device)
        return states @ matrix - projection.mean.to(states.device) @ matrix
