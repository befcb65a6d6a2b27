"""Log-probabilities and entropies of chosen targets, from chunks of logits that are bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from xtf.attribute import Entropy, LogProb

PredictionRequest = LogProb | Entropy

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
        requests: ``LogProb`` (its ``model`` is not looked at) and ``Entropy``.
        chunk_bytes: Bound on one chunk of float32 logits.

    Returns:
        ``(n,)`` float32 for each request, in nats.
    """
    values = {request: rows.new_empty(len(rows), dtype=torch.float32) for request in requests}
    size = max(1, chunk_bytes // (4 * vocabulary))
    for start in range(0, len(rows), size):
        where = slice(start, start + size)
        logits = to_logits(rows[where]).float()
        whole = LogProb in map(type, values) or Entropy() in values
        log_probs = torch.log_softmax(logits, dim=-1) if whole else None
        for request, out in values.items():
            if isinstance(request, Entropy) and request.top_k is not None:
                best = logits.topk(min(request.top_k, logits.shape[-1]), dim=-1, sorted=False).values
                out[where] = _entropy(torch.log_softmax(best, dim=-1))
                continue
            assert log_probs is not None
            if isinstance(request, LogProb):
                out[where] = log_probs.gather(1, targets[where, None]).squeeze(1)
            else:
                out[where] = _entropy(log_probs)
    return values


def _entropy(log_probs: Tensor) -> Tensor:
    """``(n, k)`` log-probabilities to ``(n,)`` nats; a token of probability 0 adds nothing."""
    terms: Tensor = torch.special.entr(log_probs.exp())
    return terms.sum(dim=-1)
