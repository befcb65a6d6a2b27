"""Generate the last response of held-out examples, greedily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from xtf.evaluation.held_out import Advance, evaluating
from xtf.evaluation.metric import Task
from xtf.model.head import base_of
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
    prompt, reference = (_decoded(tokenizer, example.input_ids[part]) for part in (slice(start), slice(start, end)))
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
            generated = _generate(model, [prompts[index] for index in chosen], stops, settings.max_new_tokens)
            for index, ids in zip(chosen, generated, strict=True):
                answers[index] = _decoded(tokenizer, ids)
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


def _decoded(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode([int(token) for token in ids], skip_special_tokens=True))


def stop_ids(model: Any, tokenizer: Any, examples: Sequence[TokenizedExample]) -> list[int]:
    """End-of-text tokens of tokenizer and model, and the special tokens that end a turn in these examples."""
    settings = getattr(model, "generation_config", None)
    given = [tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)]
    stops = {int(i) for item in given for i in (item if isinstance(item, list) else [item]) if i is not None}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {*tokenizer.all_special_ids, *(token for token, entry in added.items() if entry.special)}
    for example in examples:
        start, end = _last_response(example)
        protected = example.input_ids[start:end][example.is_protected[start:end]]
        stops |= {int(token) for token in protected if int(token) in special}
    return sorted(stops)


def _generate(model: Any, prompts: Sequence[Any], stops: Sequence[int], max_new_tokens: int) -> list[Any]:
    """Continue each prompt greedily; returns the new ids, cut before the first stop token."""
    width = max(len(prompt) for prompt in prompts)
    pad = stops[0] if stops else 0
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros((len(prompts), width), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
        mask[row, width - len(prompt) :] = 1
    config: Any = GenerationConfig
    settings = config(
        max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad, eos_token_id=list(stops) or None
    )
    base, device = base_of(model), next(model.parameters()).device
    former, base.generation_config = base.generation_config, settings  # or its penalties and samplers would be added
    try:
        output = base.generate(ids.to(device), attention_mask=mask.to(device), generation_config=settings)
    finally:
        base.generation_config = former
    new = output[:, width:].cpu().numpy()
    ends = [np.flatnonzero(np.isin(row, stops)) for row in new]
    return [row[: end[0]] if len(end) else row for row, end in zip(new, ends, strict=True)]
