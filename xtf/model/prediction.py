"""Log-probabilities and entropies of chosen targets, from chunks of logits that are bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from xtf.attribute import Entropy, LogProb, LogRank, MaxLogProb, SurpriseSpread, TopTokens

PredictionRequest = LogProb | Entropy | SurpriseSpread | LogRank | MaxLogProb | TopTokens

LOGITS_BYTES = 64 * 2**20
"""Most float32 logits held at once, in bytes."""


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
    whole = any(not isinstance(r, TopTokens | LogRank) and getattr(r, "top_k", None) is None for r in values)
    for start in range(0, len(rows), size):
        where = slice(start, start + size)
        logits = to_logits(rows[where]).float()
        log_probs = torch.log_softmax(logits, dim=-1) if whole else logits  # ranks are the same in both
        for request, out in values.items():
            out[where] = _answer(request, logits, log_probs, targets[where])
    return values


def _empty(request: PredictionRequest, rows: Tensor) -> Tensor:
    if isinstance(request, TopTokens):
        return rows.new_empty((len(rows), request.k), dtype=torch.int64)
    return rows.new_empty(len(rows), dtype=torch.float32)


def _answer(request: PredictionRequest, logits: Tensor, log_probs: Tensor, targets: Tensor) -> Tensor:
    """One request about ``(n, vocabulary)`` logits and log-probabilities of ``(n,)`` targets."""
    match request:
        case LogProb():
            return log_probs.gather(1, targets[:, None]).squeeze(1)
        case Entropy(top_k=None):
            return _entropy(log_probs)
        case Entropy():
            best = logits.topk(min(request.top_k or 1, logits.shape[-1]), dim=-1, sorted=False).values
            return _entropy(torch.log_softmax(best, dim=-1))
        case SurpriseSpread():
            probs = log_probs.exp()
            mean = _entropy(log_probs)
            squares = (probs * log_probs.clamp(min=-1e4) ** 2).sum(dim=-1)  # a probability of 0 adds nothing
            return (squares - mean**2).clamp(min=0.0).sqrt()
        case LogRank():
            own = logits.gather(1, targets[:, None])
            return (logits > own).sum(dim=-1).float().log1p()
        case MaxLogProb():
            return log_probs.amax(dim=-1)
        case TopTokens():
            return logits.topk(min(request.k, logits.shape[-1]), dim=-1).indices


def _entropy(log_probs: Tensor) -> Tensor:
    """``(n, k)`` log-probabilities to ``(n,)`` nats; a token of probability 0 adds nothing."""
    terms: Tensor = torch.special.entr(log_probs.exp())
    return terms.sum(dim=-1)
