"""Generate the last response of held-out examples, greedily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xtf.evaluation.held_out import Advance, evaluating
from xtf.evaluation.metric import Task
from xtf.model.generation import Prefix, continue_greedily, end_ids, special_ids, text_of
from xtf.tokens import TokenizedExample


@dataclass(frozen=True, slots=True)
class Generation:
    """How answers are generated.

    Attributes:
        max_new_tokens: Longest answer.
        batch_size: Answers generated side by side; prompts are sorted by length and padded on the left.
        stops: Tokens that end an answer; if None, what :func:`stop_ids` finds for the examples.
    """

    max_new_tokens: int = 160
    batch_size: int = 16
    stops: Sequence[int] | None = None


def task_of(example: TokenizedExample, row: Mapping[str, Any], tokenizer: Any) -> Task:
    """The texts before the last response and of it, without special tokens."""
    start, end = _last_response(example)
    prompt, reference = (text_of(tokenizer, example.input_ids[part]) for part in (slice(start), slice(start, end)))
    return Task(example.example_id, prompt, reference, row)


@torch.no_grad()
def generate_answers(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    settings: Generation | None = None,
    *,
    advance: Advance | None = None,
) -> list[str]:
    """Return what the model says instead of the last response of each example, without special tokens.

    Args:
        model: A causal language model, with or without adapters.
        tokenizer: Decodes, and names the end-of-text token.
        examples: Prompt and reference response together; the prompt is everything before the last response.
        settings: Length and batches; as by default if None.
        advance: Called with the number of examples done.
    """
    settings = settings or Generation()
    prompts = [example.input_ids[: _last_response(example)[0]] for example in examples]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    stops = settings.stops if settings.stops is not None else stop_ids(model, tokenizer, examples)
    answers = [""] * len(examples)
    with evaluating(model):
        for begin in range(0, len(order), settings.batch_size):
            chosen = order[begin : begin + settings.batch_size]
            asked = [Prefix(prompts[index], stops, settings.max_new_tokens) for index in chosen]
            for index, ids in zip(chosen, continue_greedily(model, asked), strict=True):
                answers[index] = text_of(tokenizer, ids[np.isin(ids, stops, invert=True)])
            if advance is not None:
                advance(len(chosen))
    return answers


def _last_response(example: TokenizedExample) -> tuple[int, int]:
    """Return start and end of the last turn that has a response token; equal when there is none.

    Tokens of that turn that flags or rules exclude from learning belong to it.
    """
    some = np.flatnonzero(example.is_response)
    if len(some):
        after = np.flatnonzero(~example.in_turn[some[-1] :])
        places = np.flatnonzero(example.in_turn[: some[-1] + int(after[0]) if len(after) else None])
    else:
        places = some
    if not len(places):
        return 0, 0
    breaks = np.flatnonzero(np.diff(places) > 1)
    return int(places[breaks[-1] + 1] if len(breaks) else places[0]), int(places[-1]) + 1


def stop_ids(model: Any, tokenizer: Any, examples: Sequence[TokenizedExample]) -> list[int]:
    """End-of-text tokens of tokenizer and model, and the special tokens that end a turn in these examples."""
    stops, special = end_ids(model, tokenizer), special_ids(tokenizer)
    for example in examples:
        start, end = _last_response(example)
        protected = example.input_ids[start:end][example.is_protected[start:end]]
        stops |= {int(token) for token in protected if int(token) in special}
    return sorted(stops)
