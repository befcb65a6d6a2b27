"""Attention measured inside the attention call of chosen layers, one block of queries at a time.

No attention map is ever kept: each block of probabilities is reduced to sums over a few positions and dropped. The
model's own attention implementation is replaced for the length of one pass (:func:`measuring`) and restored after it;
what a pass measures lives in its own :class:`AttentionMeter`, found through a context variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from xtf.attribute import AttentionBlock, AttentionSignal, LayerReading
from xtf.errors import ModelError
from xtf.model.blocks import BLOCK_BYTES, CPU_BLOCK_BYTES, MASK_BYTES, BlockMask, mask_in_blocks, query_blocks
from xtf.tokens import TokenBatch

_NAME = "xtf"
_ACTIVE: ContextVar[AttentionMeter | None] = ContextVar("xtf_attention_meter", default=None)


class Enough(Exception):
    """Raised inside a forward pass when nothing after this layer is wanted."""


class AttentionMeter:
    """What one pass over one batch measures: a mean over layers for every request.

    Args:
        requests: The attention requests to answer.
        layers: The number of layers of the model.
        tokens: The batch.
        block_bytes: Bound on the probabilities held at once; fitting the device if None.
        stop_early: Whether to raise :class:`Enough` after the last layer that any request needs.
    """

    def __init__(
        self,
        requests: Iterable[AttentionSignal],
        layers: int,
        tokens: TokenBatch,
        *,
        block_bytes: int | None = None,
        stop_early: bool = False,
    ) -> None:
        self.tokens = tokens
        on_cpu = tokens.input_ids.device.type == "cpu"
        self.block_bytes = block_bytes or (CPU_BLOCK_BYTES if on_cpu else BLOCK_BYTES)
        self._wanted = {request: chosen_layers(request, layers) for request in requests}
        self._last = max((max(chosen) for chosen in self._wanted.values()), default=-1) if stop_early else None
        self._totals: dict[AttentionSignal, Tensor] = {}
        self._seen: dict[AttentionSignal, set[int]] = {request: set() for request in self._wanted}
        self._attending: set[int] = set()
        self._calls = 0

    def attend(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | BlockMask | None, **options: Any
    ) -> Any:
        """Compute the layer's output, ``(batch, seq, heads, dim)``, and add what is asked about this layer."""
        layer = getattr(module, "layer_idx", None)
        layer = self._calls if layer is None else int(layer)
        self._calls += 1
        self._attending.add(layer)
        asking = [request for request, chosen in self._wanted.items() if layer in chosen]
        readings = {here: here.begin(self.tokens.to(query.device)) for here in map(_of_all_layers, asking)}
        output = self._output(module, (query, key, value), mask, [*readings.values()], options)
        device = self.tokens.input_ids.device
        found = {here: reading.finish().to(device) for here, reading in readings.items()}
        for request in asking:
            if layer not in self._seen[request]:
                self._seen[request].add(layer)
                self._totals[request] = self._totals.get(request, 0.0) + found[_of_all_layers(request)]
        if layer == self._last:
            raise Enough
        return output, None

    def _output(
        self,
        module: Any,
        parts: tuple[Tensor, Tensor, Tensor],
        mask: Tensor | BlockMask | None,
        readings: Sequence[LayerReading],
        options: Mapping[str, Any],
    ) -> Tensor:
        """``(batch, seq, heads, dim)`` of queries, keys and values; ``readings`` see every block."""
        plain = options.get("softcap") is None and options.get("s_aux") is None
        if not readings and plain and not isinstance(mask, BlockMask):
            output: Tensor = sdpa_attention_forward(module, *parts, mask, **options)[0]
            return output
        return attend_in_blocks(module, *parts, mask, readings, self.block_bytes, **options)

    def results(self) -> dict[AttentionSignal, Tensor]:
        """Every request's mean over its layers, ``(batch, seq)`` float32, NaN off-response.

        Raises:
            ModelError: when a layer asked for never called transformers' attention interface.
        """
        values: dict[AttentionSignal, Tensor] = {}
        for request, chosen in self._wanted.items():
            if silent := chosen - self._seen[request]:
                raise ModelError(self._unreadable(request, silent))
            values[request] = (self._totals[request] / len(chosen)).masked_fill(~self.tokens.is_response, torch.nan)
        return values

    def _unreadable(self, request: AttentionSignal, silent: set[int]) -> str:
        there = sorted(self._attending)
        advice = f"Choose layers that have it, layers: {there}, or other attributes" if there else "Drop the attribute"
        which = f"layer{'s' if len(silent) > 1 else ''} {', '.join(map(str, sorted(silent)))}"
        return (
            f"signal {request.name!r} ({request}): the attention of {which} cannot be read in this model: it mixes "
            "tokens there by other means (state space, convolution, linear attention), or computes attention outside "
            f"transformers' attention interface. {advice}."
        )


def chosen_layers(request: AttentionSignal, layers: int) -> set[int]:
    """Resolve ``request.layers`` to indices from 0.

    Raises:
        ModelError: when the model has no such layer.
    """
    if request.layers == "all":
        return set(range(layers))
    wrong = [layer for layer in request.layers if not -layers <= layer < layers]
    if wrong or not request.layers:
        given = wrong[0] if wrong else "none"
        raise ModelError(
            f"{request}: no layer {given}; this model has {layers}, from 0 to {layers - 1} (-1 is the last)"
        )
    return {layer % layers for layer in request.layers}


def attend_in_blocks(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | BlockMask | None,
    readings: Sequence[LayerReading],
    block_bytes: int,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """Attention over blocks of queries with a float32 softmax; each of ``readings`` sees every block.

    Args:
        module: The attention module, for its ``is_causal`` only.
        query: ``(batch, heads, seq, dim)``.
        key: ``(batch, kv_heads, keys, dim)``; each is shared by ``heads / kv_heads`` query heads.
        value: ``(batch, kv_heads, keys, dim)``.
        mask: None (causal, or all visible where the module is not causal), or ``(batch, 1 or heads, seq, keys)``,
            bool (True = visible) or float (added).
        readings: Receive the probabilities.
        block_bytes: Bound on the probabilities held at once.
        scaling: Multiplies the scores; ``dim ** -0.5`` if None.
        softcap: Squashes the scores to ``softcap * tanh(scores / softcap)`` (Gemma 2).
        s_aux: ``(heads,)`` attention sinks: scores of a key that holds nothing (gpt-oss).
        is_causal: Overrides ``module.is_causal``.
        position_bias: Added to the scores, ``(batch or 1, heads, seq, keys)``.

    Returns:
        ``(batch, seq, heads, dim)`` in the dtype of ``value``.
    """
    batch, heads, length, dim = query.shape
    kv_heads = key.shape[1]
    scale = dim**-0.5 if scaling is None else scaling
    output = value.new_empty(batch, heads, length, value.shape[-1])
    for block in query_blocks(module, query, key, mask, is_causal, block_bytes):
        scores = block.products(block.rows(query, kv_heads), key, heads).mul_(scale)
        if softcap is not None:
            scores = torch.tanh(scores / softcap).mul_(softcap)
        if position_bias is not None:
            scores = scores + position_bias[:, :, block.start : block.end, : block.width]
        scores = block.hidden(scores)
        if s_aux is None:
            probabilities = torch.softmax(scores, dim=-1)
        else:
            sinks = s_aux.float().view(1, heads, 1, 1).expand(batch, heads, block.end - block.start, 1)
            probabilities = torch.softmax(torch.cat([scores, sinks], dim=-1), dim=-1)[..., :-1]
        output[:, :, block.start : block.end] = block.mixed(probabilities, value)
        seen = AttentionBlock(probabilities.detach(), block.visible, block.start)  # not its derivative
        for reading in readings:
            reading.add(seen)
    return output.transpose(1, 2).contiguous()


@contextmanager
def measuring(model: PreTrainedModel, meter: AttentionMeter) -> Iterator[None]:
    """Let ``meter`` see every attention call of ``model`` inside the ``with`` block."""
    configs: dict[int, Any] = {id(model.config): model.config}
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            configs[id(module.config)] = module.config
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    token = _ACTIVE.set(meter)
    try:
        for config in configs.values():
            config._attn_implementation_internal = _NAME
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        _ACTIVE.reset(token)


def bounded(model: PreTrainedModel, layers: int, input_ids: Tensor) -> AbstractContextManager[None]:
    """Let ``model`` read ``(batch, seq)`` ids without a mask of seq × seq, where that would be large."""
    if _ACTIVE.get() is not None or input_ids.shape[1] ** 2 <= MASK_BYTES:
        return nullcontext()
    real = torch.ones_like(input_ids, dtype=torch.bool)
    tokens = TokenBatch(input_ids, real, real, ("",) * len(input_ids))
    return measuring(model, AttentionMeter((), layers, tokens))


def _of_all_layers(request: AttentionSignal) -> AttentionSignal:
    """What requests for different layers share, so that a layer is read once."""
    return replace(request, layers="all")  # type: ignore[type-var]


def _measured_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> Any:
    meter = _ACTIVE.get()
    if meter is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return meter.attend(module, query, key, value, attention_mask, **options)


AttentionInterface.register(_NAME, _measured_attention)
AttentionMaskInterface.register(_NAME, mask_in_blocks)  # without it masks would be None: no padding, no sliding window
