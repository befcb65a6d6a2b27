"""Signals read from the prediction of each target token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from xtf.attribute.signals.base import SignalRequest

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = -80.0


class Prediction:
    """What a model predicts for ``n`` targets; what several signals need is computed once.

    Attributes:
        logits: ``(n, vocabulary)`` float32.
        targets: ``(n,)`` int64, the ids of the tokens that stand there.
    """

    def __init__(self, logits: Tensor, targets: Tensor, rows: Tensor, to_logits: Callable[[Tensor], Tensor]) -> None:
        self.logits, self.targets = logits, targets
        self._rows, self._to_logits = rows, to_logits

    @cached_property
    def log_probs(self) -> Tensor:
        """``(n, vocabulary)`` float32 in nats."""
        return self.logits.log_softmax(dim=-1)

    @cached_property
    def surprise(self) -> tuple[Tensor, Tensor]:
        """Mean (the entropy) and standard deviation of ``-log p`` under each prediction, both ``(n,)`` in nats."""
        return surprise_moments(self.log_probs)

    @cached_property
    def gradient(self) -> Tensor:
        """``(n, dim)`` float32: of each target's ``-log p`` by what the output head reads for it."""
        import torch

        with torch.enable_grad():
            rows = self._rows.detach().requires_grad_()
            logits = self._to_logits(rows).float()
            loss = torch.nn.functional.cross_entropy(logits, self.targets, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, rows)
        return gradient.float()


def surprise_moments(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of ``-log p`` under each of ``(n, k)`` predictions, both ``(n,)`` in nats."""
    import torch

    bounded = log_probs.clamp(min=_LEAST)  # what has no probability adds nothing; denormal numbers are very slow
    weighted = bounded.exp().mul_(bounded)
    mean = weighted.sum(dim=-1)
    square = torch.linalg.vecdot(weighted, bounded)
    return -mean, (square - mean**2).clamp(min=0.0).sqrt()


class PredictionSignal(SignalRequest):
    """A signal that follows from a target and the logits that predict it."""

    __slots__ = ()

    @abstractmethod
    def read(self, prediction: Prediction) -> Tensor:
        """``(n,)`` or ``(n, k)``, float32 or int64, one entry for each target; writes into nothing it is given.

        A scorer gets it as ``(batch, seq)`` or ``(batch, seq, k)``: NaN, or -1 where whole numbers stand, off-response.
        """
