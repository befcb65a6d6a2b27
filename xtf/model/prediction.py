"""Signals of chosen targets, from chunks of logits that are bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from xtf.attribute import Prediction, PredictionSignal
from xtf.errors import PluginError

LOGITS_BYTES = 64 * 2**20
"""Most float32 logits held at once, in bytes."""

_BLOCK_BYTES = 2**21
"""Float32 logits that a processor goes over many times while they lie in its cache."""


def predictions(
    rows: Tensor,
    targets: Tensor,
    to_logits: Callable[[Tensor], Tensor],
    requests: Iterable[PredictionSignal],
    at_once: int,
) -> dict[PredictionSignal, Tensor]:
    """Answer every request about every target from one computation of its logits.

    Args:
        rows: ``(n, dim)``, what predicts each target; sliced, then given to ``to_logits``.
        targets: ``(n,)`` int64 token ids.
        to_logits: ``(k, dim)`` to ``(k, vocabulary)``.
        requests: What is asked of each prediction.
        at_once: Most rows whose logits are held at once.

    Returns:
        ``(n,)`` or ``(n, k)`` for each request, as its ``read`` makes it.

    Raises:
        PluginError: a signal does not give one entry for each target.
    """
    answers = Answers(requests)
    for start in range(0, max(len(rows), 1), at_once):
        read: Any = rows[start : start + at_once]
        answers.add(read, to_logits(read), targets[start : start + at_once], to_logits)
    return answers.joined()


class Answers:
    """Answers to requests about targets that come in pieces.

    Args:
        requests: What is asked of each prediction.
    """

    def __init__(self, requests: Iterable[PredictionSignal]) -> None:
        self._found: dict[PredictionSignal, list[Tensor]] = {request: [] for request in requests}

    def add(self, rows: Any, logits: Any, targets: Any, to_logits: Callable[[Tensor], Tensor]) -> None:
        """Answer about ``(k,)`` targets more, from their ``(k, vocabulary)`` logits, made of ``(k, dim)`` rows."""
        if not self._found:
            return
        block = max(1, _BLOCK_BYTES // (4 * logits.shape[-1])) if rows.device.type == "cpu" else max(1, len(rows))
        for part, own, row in zip(logits.split(block), targets.split(block), rows.split(block), strict=True):
            prediction = Prediction(part.float(), own, row, to_logits)
            for request, found in self._found.items():
                found.append(_checked(request, request.read(prediction), own))

    def joined(self) -> dict[PredictionSignal, Tensor]:
        """``(n,)`` or ``(n, k)`` for each request, of all targets so far."""
        return {request: torch.cat(found) for request, found in self._found.items()}


def _checked(request: PredictionSignal, answer: Tensor, targets: Tensor) -> Tensor:
    if len(answer.shape) not in (1, 2) or len(answer) != len(targets):
        raise PluginError(
            f"signal {request.name!r}: read() must give one entry for each of {len(targets)} targets, got shape "
            f"{tuple(answer.shape)}"
        )
    return answer
