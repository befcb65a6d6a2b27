"""Greedy continuations of many prefixes side by side, each with its own end and length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from xtf.model.head import base_of
from xtf.model.placing import device_of
from xtf.model.tokenizer import quiet

Ids = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Prefix:
    """What is to be gone on from.

    Attributes:
        ids: ``(n,)`` token ids, at least one.
        stops: Tokens that end what follows.
        longest: Most new tokens, at least one.
    """

    ids: Ids
    stops: Sequence[int]
    longest: int


@torch.no_grad()
def continue_greedily(model: Any, prefixes: Sequence[Prefix]) -> list[Ids]:
    """The new token ids of each prefix, ``(n,)`` int64; the last is a stop unless it grew too long.

    The likeliest token is taken at each step, whatever else the model's generation settings say. All prefixes are run
    at once, padded on the left, until the last of them has ended.

    Args:
        model: A causal language model of transformers, in evaluation mode, with or without adapters.
        prefixes: At least one.
    """
    width = max(len(prefix.ids) for prefix in prefixes)
    ids = torch.zeros((len(prefixes), width), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prefix in enumerate(prefixes):
        ids[row, width - len(prefix.ids) :] = torch.from_numpy(prefix.ids.astype(np.int64))
        mask[row, width - len(prefix.ids) :] = 1
    config: Any = GenerationConfig
    settings = config(max_new_tokens=max(prefix.longest for prefix in prefixes), do_sample=False, pad_token_id=0)
    base = base_of(model)
    device = device_of(base)
    ended = _Ended(prefixes, width, device)
    former, base.generation_config = base.generation_config, settings  # or its penalties and samplers would be added
    try:
        with quiet():
            output = base.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([ended]),
            )
    finally:
        base.generation_config = former
    return [_own(row, prefix) for row, prefix in zip(output[:, width:].cpu().numpy(), prefixes, strict=True)]


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a text, as tokenizer and model name them."""
    settings = getattr(model, "generation_config", None)
    given = [tokenizer.eos_token_id, getattr(settings, "eos_token_id", None)]
    return {int(i) for item in given for i in (item if isinstance(item, list) else [item]) if i is not None}


def special_ids(tokenizer: Any) -> set[int]:
    """The control tokens of a tokenizer, which are no text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(token for token, entry in added.items() if entry.special)}


def text_of(tokenizer: Any, ids: Any) -> str:
    """The text of token ids, without special tokens."""
    return str(tokenizer.decode([int(token) for token in ids], skip_special_tokens=True))


class _Ended(StoppingCriteria):
    """Which rows have ended: by a stop of their own, or at their own length."""

    def __init__(self, prefixes: Sequence[Prefix], width: int, device: torch.device) -> None:
        most = max(len(prefix.stops) for prefix in prefixes)
        stops = [[*prefix.stops, *[-1] * (most - len(prefix.stops))] for prefix in prefixes]
        self._stops = torch.tensor(stops, dtype=torch.int64, device=device).reshape(len(prefixes), most)
        self._ends = torch.tensor([width + prefix.longest for prefix in prefixes], device=device)
        self._done = torch.zeros(len(prefixes), dtype=torch.bool, device=device)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self._done |= (input_ids[:, -1:] == self._stops).any(dim=1) | (input_ids.shape[1] >= self._ends)
        return self._done


def _own(new: Ids, prefix: Prefix) -> Ids:
    """The new ids up to the first stop, and no more than were asked for."""
    new = new[: prefix.longest]
    ends = np.flatnonzero(np.isin(new, list(prefix.stops)))
    return new[: ends[0] + 1] if len(ends) else new
