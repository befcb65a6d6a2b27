"""What a signal is: a small frozen value that asks for a tensor; and the tensors of one batch, by what asked."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.reference import Reference
from xtf.tokens import TokenBatch

if TYPE_CHECKING:
    import torch


class SignalRequest(ABC):
    """One signal. Every kind is a frozen dataclass, so that equal requests are the same signal.

    A kind of your own derives from :class:`PredictionSignal`, :class:`AttentionSignal` or :class:`StateSignal`.

    Attributes:
        name: Of its entry point under ``xtf.signals``.
    """

    __slots__ = ()
    name: ClassVar[str]

    @property
    def reference(self) -> Reference | None:
        """The reference model that is asked; None for the base model."""
        return None


class Signals(Mapping[SignalRequest, "torch.Tensor"]):
    """The tensors of one batch, keyed by request; ``tokens`` is the batch they speak of. Treat as read-only.

    Args:
        tokens: The batch.
        values: Request to tensor.
        decode: The text of token ids, without special tokens; scorers that judge what is written call it.
    """

    def __init__(
        self,
        tokens: TokenBatch,
        values: Mapping[SignalRequest, torch.Tensor],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self.tokens = tokens
        self.decode = decode
        self._values = dict(values)

    def __getitem__(self, request: SignalRequest) -> torch.Tensor:
        try:
            return self._values[request]
        except KeyError:
            have = ", ".join(str(key) for key in self._values) or "none"
            raise KeyError(f"{request} was not requested; add it to requires(). Requested: {have}") from None

    def __iter__(self) -> Iterator[SignalRequest]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
