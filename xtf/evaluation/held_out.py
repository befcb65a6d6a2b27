"""Held-out comparison: the loss of response tokens, and whether generated answers end in the right number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from xtf.errors import DataError
from xtf.model.head import Head, base_of, target_losses
from xtf.tokens import TokenBatch, TokenizedExample

Advance = Callable[[int], None]

_NUMBER = re.compile(r"(?:(?<![\w)\]])[-−])?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")


@dataclass(frozen=True, slots=True)
class LossResult:
    """Mean cross-entropy over ``tokens`` response tokens, in nats."""

    loss: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The final number of one generated answer (None when there is none) and of its reference."""

    example_id: str
    predicted: str | None
    expected: str
    correct: bool


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How many of ``total`` answers end in the number of the reference."""

    correct: int
    total: int
    answers: tuple[Answer, ...]


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
    with _evaluating(model):
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


@torch.no_grad()
def exact_match(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    *,
    max_new_tokens: int = 160,
    batch_size: int = 16,
    advance: Advance | None = None,
) -> MatchResult:
    """Generate the last response of each example greedily and compare final numbers.

    The prompt is everything before the last response. Examples whose reference holds no number are not counted.

    Args:
        model: A causal language model, with or without adapters.
        tokenizer: Decodes, and names the end-of-text token.
        examples: Prompt and reference response together.
        max_new_tokens: Longest answer.
        batch_size: Answers generated side by side; prompts are sorted by length and padded on the left.
        advance: Called with the number of examples done.
    """
    tasks: list[tuple[TokenizedExample, int, str]] = []
    for example in examples:
        start, end = _last_response(example)
        expected = final_number(_decoded(tokenizer, example.input_ids[start:end])) if end > start else None
        if expected is not None:
            tasks.append((example, start, expected))
    prompts = [example.input_ids[:start] for example, start, _ in tasks]
    order = sorted(range(len(tasks)), key=lambda index: len(prompts[index]))
    stops = _stop_ids(model, tokenizer, [example for example, _, _ in tasks])
    predicted: dict[int, str | None] = {}
    with _evaluating(model):
        for begin in range(0, len(order), batch_size):
            chosen = order[begin : begin + batch_size]
            generated = _generate(model, [prompts[index] for index in chosen], stops, max_new_tokens)
            predicted |= {i: final_number(_decoded(tokenizer, ids)) for i, ids in zip(chosen, generated, strict=True)}
            if advance is not None:
                advance(len(chosen))
    answers = tuple(
        Answer(example.example_id, predicted[i], expected, _same_number(predicted[i], expected))
        for i, (example, _, expected) in enumerate(tasks)
    )
    return MatchResult(sum(answer.correct for answer in answers), len(answers), answers)


def final_number(text: str) -> str | None:
    """Return the number after the last ``####``, else the last number; without commas, currency and trailing dots.

    >>> final_number("3 + 4 = 7, so $1,234.50.")
    '1234.50'
    """
    _, marker, answer = text.rpartition("####")
    found = _NUMBER.findall(answer)
    if not found:
        return None
    number: str = found[0 if marker else -1]
    return number.replace(",", "").replace("$", "").replace("−", "-").rstrip(".")


def _same_number(predicted: str | None, expected: str) -> bool:
    try:
        return predicted is not None and Decimal(predicted) == Decimal(expected)
    except InvalidOperation:
        return False


def _last_response(example: TokenizedExample) -> tuple[int, int]:
    """Return start and end of the last run of response tokens; equal when there is none."""
    places = np.flatnonzero(example.is_response)
    if not len(places):
        return 0, 0
    breaks = np.flatnonzero(np.diff(places) > 1)
    return int(places[breaks[-1] + 1] if len(breaks) else places[0]), int(places[-1]) + 1


def _decoded(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode([int(token) for token in ids], skip_special_tokens=True))


def _stop_ids(model: Any, tokenizer: Any, examples: Sequence[TokenizedExample]) -> list[int]:
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


def _generate(model: Any, prompts: Sequence[Any], stops: list[int], max_new_tokens: int) -> list[Any]:
    """Continue each prompt greedily; returns the new ids, cut before the first stop token."""
    width = max(len(prompt) for prompt in prompts)
    pad = stops[0] if stops else 0
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros((len(prompts), width), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
        mask[row, width - len(prompt) :] = 1
    config: Any = GenerationConfig
    settings = config(max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad, eos_token_id=stops or None)
    base, device = base_of(model), next(model.parameters()).device
    former, base.generation_config = base.generation_config, settings  # or its penalties and samplers would be added
    try:
        output = base.generate(ids.to(device), attention_mask=mask.to(device), generation_config=settings)
    finally:
        base.generation_config = former
    new = output[:, width:].cpu().numpy()
    ends = [np.flatnonzero(np.isin(row, stops)) for row in new]
    return [row[: end[0]] if len(end) else row for row, end in zip(new, ends, strict=True)]


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
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
