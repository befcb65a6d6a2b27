"""The loss of response tokens of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xtf.errors import DataError
from xtf.model.head import Head, target_losses
from xtf.tokens import FloatArray, TokenBatch, TokenizedExample

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class LossResult:
    """Mean cross-entropy over ``tokens`` response tokens, in nats.

    ``by_example`` holds the sum over the response tokens of each example and their number, in order.
    """

    loss: float
    tokens: int
    by_example: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, losses: Sequence[FloatArray]) -> LossResult:
        """From ``(response tokens,)`` losses of each example, as :func:`token_losses` returns them.

        Raises:
            DataError: when there is no response token.
        """
        by_example = tuple((float(own.sum(dtype=np.float64)), len(own)) for own in losses)
        tokens = sum(count for _, count in by_example)
        if not tokens:
            raise DataError("evaluation: no held-out example has a response token")
        return cls(sum(loss for loss, _ in by_example) / tokens, tokens, by_example)


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
    return LossResult.of(token_losses(model, examples, tokens_per_batch=tokens_per_batch, advance=advance))


@torch.no_grad()
def token_losses(
    model: Any,
    examples: Sequence[TokenizedExample],
    *,
    tokens_per_batch: int = 4096,
    advance: Advance | None = None,
) -> list[FloatArray]:
    """The cross-entropy of each response token, in nats: ``(response tokens,)`` float32 for each example, in order.

    Args:
        model: A causal language model, with or without adapters.
        examples: In any order; batches are made by length.
        tokens_per_batch: Most padded tokens in a batch; does not change the result beyond rounding.
        advance: Called with the number of examples done.
    """
    found = [np.zeros(0, np.float32)] * len(examples)
    places = iter(sorted(range(len(examples)), key=lambda place: len(examples[place])))
    with evaluating(model):
        head = Head.find(model)
        for group in _by_length(examples, lambda rows, width: rows * width <= tokens_per_batch):
            batch = TokenBatch.collate(group, next(model.parameters()).device)
            chunks = target_losses(model, head, batch.input_ids, batch.attention_mask, batch.is_response)
            losses = torch.cat([losses.float() for _, losses in chunks]).cpu().numpy()
            ends = np.cumsum([int(example.is_response.sum()) for example in group])
            for own, place in zip(np.split(losses, ends[:-1]), places, strict=False):
                found[place] = own
            if advance is not None:
                advance(len(group))
    return found


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
