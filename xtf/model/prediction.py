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
    answers: dict[PredictionSignal, list[Tensor]] = {request: [] for request in requests}
    for start in range(0, max(len(rows), 1), at_once):
        read: Any = rows[start : start + at_once]
        logits: Any = to_logits(read)
        own_ids: Any = targets[start : start + at_once]
        block = max(1, _BLOCK_BYTES // (4 * logits.shape[-1])) if rows.device.type == "cpu" else at_once
        for part, own, row in zip(logits.split(block), own_ids.split(block), read.split(block), strict=True):
            prediction = Prediction(part.float(), own, row, to_logits)
            for request, found in answers.items():
                found.append(_checked(request, request.read(prediction), own))
    return {request: torch.cat(found) for request, found in answers.items()}


def _checked(request: PredictionSignal, answer: Tensor, targets: Tensor) -> Tensor:
    if len(answer.shape) not in (1, 2) or len(answer) != len(targets):
        raise PluginError(
            f"signal {request.name!r}: read() must give one entry for each of {len(targets)} targets, got shape "
            f"{tuple(answer.shape)}"
        )
    return answer
