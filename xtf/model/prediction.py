"""Log-probabilities and entropies of chosen targets, from chunks of logits that are bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import torch
from torch import Tensor

from xtf.attribute import Entropy, LogProb, LogRank, MaxLogProb, SurpriseSpread, TopTokens

PredictionRequest = LogProb | Entropy | SurpriseSpread | LogRank | MaxLogProb | TopTokens

LOGITS_BYTES = 64 * 2**20
"""Most float32 logits held at once, in bytes."""

_BLOCK_BYTES = 2**21
"""Float32 logits that a processor goes over many times while they lie in its cache."""

_LEAST = -80.0


def predictions(
    rows: Tensor,
    targets: Tensor,
    to_logits: Callable[[Tensor], Tensor],
    vocabulary: int,
    requests: Iterable[PredictionRequest],
    chunk_bytes: int = LOGITS_BYTES,
) -> dict[PredictionRequest, Tensor]:
    """Answer every request about every target from one computation of its logits.

    Args:
        rows: ``(n, dim)``, what predicts each target; sliced, then given to ``to_logits``.
        targets: ``(n,)`` int64 token ids.
        to_logits: ``(k, dim)`` to ``(k, vocabulary)``.
        vocabulary: Size of the output vocabulary.
        requests: What is asked of each prediction; a ``LogProb``'s ``model`` is not looked at.
        chunk_bytes: Bound on one chunk of float32 logits.

    Returns:
        ``(n,)`` float32 for each request, in nats; ``(n, k)`` int64 for ``TopTokens``.
    """
    values = {request: _empty(request, rows) for request in requests}
    size = max(1, chunk_bytes // (4 * vocabulary))
    block = max(1, _BLOCK_BYTES // (4 * vocabulary)) if rows.device.type == "cpu" else size
    for start in range(0, len(rows), size):
        logits = to_logits(rows[start : start + size])
        for first in range(0, len(logits), block):
            where = slice(start + first, min(start + first + block, start + size))
            prediction = _Prediction(logits[first : first + block].float(), targets[where])
            for request, out in values.items():
                out[where] = prediction.answer(request)
    return values


def _empty(request: PredictionRequest, rows: Tensor) -> Tensor:
    if isinstance(request, TopTokens):
        return rows.new_empty((len(rows), request.k), dtype=torch.int64)
    return rows.new_empty(len(rows), dtype=torch.float32)


class _Prediction:
    """What ``(n, vocabulary)`` logits say of ``(n,)`` targets; what several requests need is computed once."""

    def __init__(self, logits: Tensor, targets: Tensor) -> None:
        self.logits, self.targets = logits, targets

    def answer(self, request: PredictionRequest) -> Tensor:
        """One request's ``(n,)`` or ``(n, k)``."""
        match request:
            case LogProb():
                return self._log_probs.gather(1, self.targets[:, None]).squeeze(1)
            case Entropy(top_k=None):
                return self._moments[0]
            case Entropy():
                best = self.logits.topk(min(request.top_k or 1, self.logits.shape[-1]), dim=-1, sorted=False).values
                return _moments(torch.log_softmax(best, dim=-1))[0]
            case SurpriseSpread():
                return self._moments[1]
            case LogRank():
                own = self.logits.gather(1, self.targets[:, None])
                return (self.logits > own).sum(dim=-1).float().log1p()
            case MaxLogProb():
                return self._log_probs.amax(dim=-1)
            case TopTokens():
                return self.logits.topk(min(request.k, self.logits.shape[-1]), dim=-1).indices

    @cached_property
    def _log_probs(self) -> Tensor:
        return torch.log_softmax(self.logits, dim=-1)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        return _moments(self._log_probs)


def _moments(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of ``-log p`` under each of ``(n, k)`` predictions, both ``(n,)`` in nats."""
    bounded = log_probs.clamp(min=_LEAST)  # what has no probability adds nothing; denormal numbers are very slow
    weighted = bounded.exp()
    mean = torch.einsum("nk,nk->n", weighted, bounded)
    square = torch.einsum("nk,nk->n", weighted.mul_(bounded), bounded)
    return -mean, (square - mean**2).clamp(min=0.0).sqrt()
