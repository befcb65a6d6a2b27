"""How fast the model runs here, by a trial of a few seconds or as stated, and what memory is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from xtf.attribute import AttentionReceived, AttentionSignal, LogProb, PredictionSignal, SignalRequest
from xtf.config import TrainingConfig
from xtf.errors import ModelError, first_line
from xtf.model import LoadedModel, SignalPass
from xtf.model.head import Head
from xtf.model.outline import Outline
from xtf.model.trial import Cost, both, kept_bytes, seconds
from xtf.tokens import TokenBatch, TokenizedExample
from xtf.training.loss import weighted_loss_sum
from xtf.training.rows import TrainingRow, collate
from xtf.training.weights import make_trainable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOKENS = 512
"""Of a trial's batch."""

_LAYERS = 8
"""Most of a trial's deeper model."""

_SHARE = 0.5
"""Of the memory that a trial's layers and embeddings may take; it is not made where two layers would take more."""

_FORWARDS = {False: 3.0, True: 4.0}
"""An update in forwards of the model, without and with gradient checkpointing, where a throughput is stated."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for each token, and what it keeps.

    Attributes:
        source: ``trial``, of what, ``stated``, or why nothing is known.
        scoring: One pass of the base model; None where nothing is known.
        update: Forward, backward and update; None likewise, and without training.
        kept: Bytes that a token keeps for the backward pass: once, and in each layer; None if not tried.
    """

    source: str
    scoring: float | None = None
    update: float | None = None
    kept: tuple[float, float] | None = None


def stated_pace(throughput: float, training: TrainingConfig | None) -> Pace:
    """From tokens a second of one pass of the base model; an update is counted as three such passes, or four."""
    forwards = _FORWARDS[training is not None and training.gradient_checkpointing]
    return Pace("stated", 1 / throughput, forwards / throughput)


def tried_pace(
    model: Outline,
    tokenizer: PreTrainedTokenizerBase,
    sample: Sequence[TokenizedExample],
    requests: AbstractSet[SignalRequest],
    training: TrainingConfig | None,
) -> Pace:
    """Run two shallow models of the same shape, with random weights, over some of the examples."""
    deep = _deepest(model)
    if deep < 2:
        return Pace("unknown: two layers of this model are too large to be tried here; state a throughput")
    few = _few(sample)
    tokens = sum(map(len, few))
    read = [one for one in requests if isinstance(one, PredictionSignal) and one.reference is None]
    asked: set[SignalRequest] = {LogProb(), *read}
    if any(isinstance(request, AttentionSignal) for request in requests):
        asked.add(AttentionReceived())

    def scoring(shallow: Any) -> float:
        loaded = LoadedModel(shallow, tokenizer, "trial", model.dtype, model.device)
        signal_pass, batch = SignalPass(loaded, asked), TokenBatch.collate(few, model.device)
        return seconds(lambda: signal_pass.run(batch), model.device) / tokens

    source = "trial" if model.quantization == "none" else "trial, of weights that are not quantised"
    try:
        forward = both(scoring, model, deep).total(model.layers)
        if training is None:
            return Pace(source, forward)
        update, kept = _updates(model, deep, few, training)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, RuntimeError, ModelError) as error:
        return Pace(f"unknown: a shallow model of this kind cannot be tried ({first_line(error)}); state a throughput")
    return Pace(source, forward, update.total(model.layers), (kept.once, kept.layer))


def _deepest(model: Outline) -> int:
    """Layers of the deeper model of a trial: as many as memory allows, at most all and at most :data:`_LAYERS`."""
    width = model.dtype.itemsize
    layer = sum(parameter.numel() for parameter in model.model.parameters()) * width // model.layers
    room = _SHARE * memory_at_hand(model.device) - 2 * model.vocabulary * model.hidden * width
    return min(int(room // layer), _LAYERS, max(model.layers, 2))


def _updates(model: Outline, deep: int, few: Sequence[TokenizedExample], training: TrainingConfig) -> tuple[Cost, Cost]:
    """Seconds and bytes kept, for each token, of the forward and backward pass of an update."""
    rows = [TrainingRow(e.example_id, e.input_ids, e.is_response.astype(np.float32), e.is_response) for e in few]
    batch = {name: values.to(model.device) for name, values in collate(rows).items()}
    tokens = batch["input_ids"].numel()
    kept: list[float] = []

    def update(shallow: Any) -> float:
        with ExitStack() as stack:
            wrapped = make_trainable(shallow, training, 0, stack).train()
            head = Head.find(wrapped, batch["input_ids"][:1, :16])
            plain = training.model_copy(update={"gradient_checkpointing": False})
            took = seconds(lambda: torch.autograd.backward(weighted_loss_sum(wrapped, head, batch)), model.device)
            if training != plain:
                shallow.activation_checkpointing_disable()
            kept.append(kept_bytes(wrapped, lambda: weighted_loss_sum(wrapped, head, batch)) / tokens)
            return took / sum(map(len, few))

    cost = both(update, model, deep)
    return cost, Cost.of(kept[0], kept[1], deep)


def memory_at_hand(device: torch.device) -> int:
    """Bytes that a process beginning now could use on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available) + own_memory(device)


def own_memory(device: torch.device) -> int:
    """Bytes that Python and its libraries take: as much as this process, which has loaded them and no weights."""
    return 0 if device.type == "cuda" else int(psutil.Process().memory_info().rss)


def _few(sample: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """Examples of the usual lengths that fill one batch: those around the median, or the one at it."""
    ordered = sorted(sample, key=len)
    middle = len(ordered) // 2
    chosen: list[TokenizedExample] = [ordered[middle]]
    for step in range(1, len(ordered)):
        place = middle + (step if step % 2 else -step) // 2
        if 0 <= place < len(ordered) and (len(chosen) + 1) * len(ordered[place]) <= _TOKENS:
            chosen.append(ordered[place])
    return chosen
