"""The loss of response tokens of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from xtf.errors import DataError
from xtf.model.head import Head, target_losses
from xtf.tokens import TokenBatch, TokenizedExample

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class LossResult:
    """Mean cross-entropy over ``tokens`` response tokens, in nats."""

    loss: float
    tokens: int


@torch.no_grad()
def held_out_loss(
    model: Any,
    examples: Sequence[TokenizedExample],
    *,
    tokens_per_batch: int = 4096,
    advance: Advance | None = None,
) -> LossResult:
    """Return the mean loss over all response tokens of ``examples``, each token counting the same.

    Args:
        model: A causal language model, with or without adapters.
        examples: At least one response token among them.
        tokens_per_batch: Most padded tokens in a batch; does not change the result beyond rounding.
        advance: Called with the number of examples done.

    Raises:
        DataError: when there is no response token.
    """
    total, tokens = 0.0, 0
    with evaluating(model):
        head = Head.find(model)
        for group in _by_length(examples, lambda rows, width: rows * width <= tokens_per_batch):
            batch = TokenBatch.collate(group, next(model.parameters()).device)
            chunks = target_losses(model, head, batch.input_ids, batch.attention_mask, batch.is_response)
            for _, losses in chunks:
                total += losses.double().sum().item() if losses.device.type != "mps" else losses.sum().item()
                tokens += len(losses)
            if advance is not None:
                advance(len(group))
    if not tokens:
        raise DataError("evaluation: no held-out example has a response token")
    return LossResult(total / tokens, tokens)


def _by_length(
    examples: Sequence[TokenizedExample], fits: Callable[[int, int], bool]
) -> Iterator[list[TokenizedExample]]:
    group: list[TokenizedExample] = []
    for example in sorted(examples, key=len):
        if group and not fits(len(group) + 1, len(example)):
            yield group
            group = []
        group.append(example)
    if group:
        yield group


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Switch dropout off inside."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
