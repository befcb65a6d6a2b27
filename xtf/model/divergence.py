"""Divergences between the predictions of two models, from chunks of both models' logits."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from xtf.attribute import Divergence
from xtf.model.adapters import Adapter
from xtf.model.forward import Forward
from xtf.tokens import TokenBatch


def divergences(
    base: Forward,
    reference: tuple[Forward, Adapter | None],
    tokens: TokenBatch,
    requests: list[Divergence],
    at_once: int,
) -> dict[Divergence, Tensor]:
    """Answer every request of one reference; each model runs once.

    Args:
        base: The base model.
        reference: The other model, or the base and the adapter that makes it the other.
        tokens: What both read.
        requests: What is asked.
        at_once: Most rows whose logits are held at once, of each model.

    Returns:
        ``(response tokens,)`` float32 for each request, in row-major order.
    """
    other, adapter = reference
    wanted = tokens.is_response[:, 1:]
    ours, to_logits = base.states(tokens.input_ids, tokens.attention_mask)
    with _on(adapter):
        theirs, to_other_logits = other.states(tokens.input_ids, tokens.attention_mask)
    ours, theirs = ours[:, :-1][wanted], theirs[:, :-1][wanted]
    found: dict[Divergence, list[Tensor]] = {request: [] for request in requests}
    for start in range(0, max(len(ours), 1), at_once):
        logits = to_logits(ours[start : start + at_once]).float()
        with _on(adapter):
            other_logits = to_other_logits(theirs[start : start + at_once]).float()
        for request, values in found.items():
            values.append(request.compare(logits, other_logits.to(logits.device)))
    return {request: torch.cat(values) for request, values in found.items()}


def _on(adapter: Adapter | None) -> AbstractContextManager[None]:
    return adapter.on() if adapter is not None else nullcontext()
