"""How fast a model would be here, and what it would keep for its backward pass, from two shallow ones of its shape.

One layer and some layers with random weights run for a few seconds; what the others add, every further one adds. So a
model of 70 billion parameters is tried with the memory of a few of its layers and its embeddings.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xtf.model.outline import Outline

_ROUNDS = 2
"""Least times that a piece of work is timed."""
_SECONDS = 1.0
"""How long it is timed at least, so that a moment's other work on the machine does not decide."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part of the work costs: once, and again for each layer.

    Attributes:
        once: Embeddings, head and loss.
        layer: Each layer.
    """

    once: float
    layer: float

    @classmethod
    def of(cls, one: float, deep: float, layers: int) -> Cost:
        """From the cost with one layer and with ``layers``, at least 2.

        The more, the less an error of either counts in a model that has many: between one layer and two, embeddings
        and head of a small model are ten times what is to be measured.
        """
        layer = max(deep - one, 0.0) / (layers - 1)
        return cls(max(one - layer, 0.0), layer)

    def total(self, layers: int) -> float:
        """Of a model with so many layers."""
        return self.once + layers * self.layer


def shallow(outline: Outline, layers: int) -> Any:
    """A model of the same shape with random weights and only so many layers, on the outline's device.

    Raises:
        ValueError: the architecture does not come with so few layers.
    """
    config = copy.deepcopy(outline.config)
    text = config.get_text_config()
    text.num_hidden_layers = layers
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == outline.layers:
            setattr(text, name, value[-layers:])
    model: Any = outline.built(config, outline.device)
    return model.eval().requires_grad_(False)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The best of several times, after a first try that is not counted."""
    work()
    found: list[float] = []
    while len(found) < _ROUNDS or sum(found) < _SECONDS:
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - started)
    return min(found)


@dataclass(slots=True, weakref_slot=True)
class _Kept:
    """A tensor that waits for the backward pass."""

    tensor: Tensor


def kept_bytes(model: Any, loss: Callable[[], Tensor]) -> int:
    """Bytes that a loss of shape ``()`` keeps for its backward pass, beside the parameters of ``model``."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: list[weakref.ref[_Kept]] = []

    def keep(tensor: Tensor) -> _Kept:
        kept = _Kept(tensor)
        seen.append(weakref.ref(kept))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
        computed = loss()
    alive = [kept.tensor.untyped_storage() for one in seen if (kept := one()) is not None]  # as long as ``computed``
    sizes = {storage.data_ptr(): storage.nbytes() for storage in alive if storage.data_ptr() not in own}
    del computed
    return sum(sizes.values())


def both(trial: Callable[[Any], float], outline: Outline, deep: int) -> Cost:
    """Run a trial on a model with one layer and on one with ``deep``."""
    one, other = (_tried(trial, outline, layers) for layers in (1, deep))
    return Cost.of(one, other, deep)


def _tried(trial: Callable[[Any], float], outline: Outline, layers: int) -> float:
    with ExitStack() as stack:
        model = shallow(outline, layers)
        stack.callback(model.to, "meta")
        return trial(model)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
