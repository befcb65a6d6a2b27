"""Hidden states of chosen layers, reduced as soon as the layer has computed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from xtf.attribute import StateSignal
from xtf.errors import ModelError
from xtf.tokens import TokenBatch


class StateReader:
    """Reads the states that requests name from one pass over one batch.

    Args:
        model: The model; its layers must stand in one list.
        requests: What to read.

    Raises:
        ModelError: the model has no such layer, or its layers cannot be told apart.
    """

    def __init__(self, model: Any, requests: Iterable[StateSignal]) -> None:
        self.requests = list(requests)
        layers = _layers(model) if self.requests else []
        self._layer = {request: layers[_index(request, len(layers))] for request in self.requests}
        self._read: dict[StateSignal, Tensor] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let the layers report while the block lasts; what an earlier batch left is forgotten."""
        self._read.clear()
        with ExitStack() as stack:
            for layer in dict.fromkeys(self._layer.values()):
                handle = layer.register_forward_hook(self._take)
                stack.callback(handle.remove)
            yield

    def _take(self, layer: nn.Module, _: Any, output: Any) -> None:
        """Reduce what a layer gave, without the derivative that it may carry."""
        states: Tensor = output[0] if isinstance(output, tuple) else output
        for request, own in self._layer.items():
            if own is layer and (here := _unshifted(request)) not in self._read:
                self._read[here] = here.reduce(states.detach().float())

    def results(self, tokens: TokenBatch) -> dict[StateSignal, Tensor]:
        """Every request's ``(batch, seq)`` or ``(batch, seq, k)`` float32, NaN off-response."""
        device = tokens.input_ids.device
        read = {request: self._read[_unshifted(request)].to(device) for request in self._layer}
        return {request: shifted(values, request.offset, tokens) for request, values in read.items()}


def _layers(model: Any) -> list[nn.Module]:
    count = int(model.config.get_text_config().num_hidden_layers)
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not lists:
        raise ModelError(f"{type(model).__name__}: its layers cannot be told apart, so no hidden state can be read.")
    return list(lists[0])


def _index(request: StateSignal, layers: int) -> int:
    passed = request.layer
    number = max(1, round(passed * layers)) if isinstance(passed, float) else passed
    if not 1 <= number <= layers or request.offset < -1:
        raise ModelError(
            f"{request}: this model has {layers} layers: 1 to {layers}, or a share above 0.0 up to 1.0; the offset is "
            "at least -1"
        )
    return number - 1


def _unshifted(request: StateSignal) -> StateSignal:
    """What several offsets share, so that it is reduced once."""
    return replace(request, offset=0)  # type: ignore[type-var]


def shifted(states: Tensor, offset: int, tokens: TokenBatch) -> Tensor:
    """What stands at ``i + offset`` for each response token ``i``; 0 behind the example, NaN off-response.

    Args:
        states: ``(batch, seq)`` or ``(batch, seq, k)`` float32.
        offset: At least -1.
        tokens: The batch.

    Returns:
        The same shape.
    """
    length = states.shape[1]
    wide = (...,) if states.ndim == 2 else (..., None)
    found = torch.zeros_like(states)
    if offset < 0:
        found[:, -offset:] = states[:, :offset]
    elif offset < length:
        found[:, : length - offset] = states[:, offset:]
        inside = torch.zeros_like(tokens.attention_mask)
        inside[:, : length - offset] = tokens.attention_mask[:, offset:]
        found = found * inside[wide]
    return found.masked_fill(~tokens.is_response[wide], torch.nan)
