"""Signals read from attention probabilities, block by block, so that no attention map is ever kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from xtf.attribute.signals.base import SignalRequest
from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor

Layers = Literal["all"] | tuple[int, ...]


class AttentionBlock:
    """The attention of some queries of one layer to all keys that any of them may see; nothing may write into it.

    Args:
        probabilities: ``(batch, heads, block, keys)`` float32; queries are ``start`` onwards, keys from 0.
        visible: bool, broadcastable to the same shape; None means that every key is visible.
        start: Position of the first query.

    Attributes:
        queries: The positions of the queries, as a slice.
        keys: How many keys there are.
    """

    def __init__(self, probabilities: Tensor, visible: Tensor | None, start: int) -> None:
        self.probabilities = probabilities
        self._visible = visible
        self.queries = slice(start, start + probabilities.shape[2])
        self.keys = probabilities.shape[3]

    @cached_property
    def mean(self) -> Tensor:
        """``(batch, block, keys)`` float32: the mean over heads."""
        return self.probabilities.mean(dim=1)

    @cached_property
    def visible(self) -> Tensor:
        """``(batch or 1, block, keys)`` float32: 1 where the query may see the key, else 0."""
        if self._visible is None:
            return self.mean.new_ones(1, *self.mean.shape[1:])
        seen = self._visible.float()
        return seen[:, 0] if seen.ndim == 4 else seen.expand(1, *self.mean.shape[1:])


class LayerReading(ABC):
    """What one signal reads of one layer."""

    @abstractmethod
    def add(self, block: AttentionBlock) -> None:
        """Take note of a block; every query of the layer comes in exactly one."""

    @abstractmethod
    def finish(self) -> Tensor:
        """``(batch, seq)`` float32; read on response tokens only."""


class AttentionSignal(SignalRequest):
    """A signal that follows from attention probabilities: the mean over ``layers`` of what is read of each.

    A subclass is a dataclass with a field ``layers``, all of whose fields have defaults.
    """

    __slots__ = ()
    layers: Layers

    @abstractmethod
    def begin(self, tokens: TokenBatch) -> LayerReading:
        """Begin to read a layer; does not look at :attr:`layers`."""
