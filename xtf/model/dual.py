"""A model differentiated along a direction of its weights: values and their derivatives side by side.

torch's forward mode carries the derivative of every operation. What costs most is written out here instead, because
the rules of torch make temporaries as large as their results, several for each operation:

* a linear layer is ``y = W x`` and ``y' = W x' + W' x``: three products, accumulated in place. Over a LoRA adapter
  ``W'`` has low rank, ``W' = s (B' A + B A')``, and what remains is two products and some thin ones.
* attention, in blocks of queries: with ``S = q k`` and ``P = softmax(S)``, ``S' = q' k + q k'``,
  ``P' = P (S' - sum P S')`` and ``o' = P' v + P v'``.
* the loss of a target ``t`` from logits ``z``: ``l' = sum softmax(z) z' - z'_t``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from xtf.attribute import AttentionBlock, LayerReading
from xtf.model.attention import AttentionMeter, attend_in_blocks
from xtf.model.blocks import BlockMask, query_blocks

Change = tuple[Tensor, Tensor]
"""A parameter's value and its derivative along the direction."""


def split(dual: Tensor) -> tuple[Tensor, Tensor | None]:
    """A tensor's value, and its derivative of the same shape if it has one."""
    value, along = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]
    return value, along


def make_dual(value: Tensor, along: Tensor | None) -> Tensor:
    """The inverse of :func:`split`, in the same shape."""
    return value if along is None else forward_ad.make_dual(value, along)  # type: ignore[no-untyped-call]


@contextmanager
def duals() -> Iterator[None]:
    """Let dual tensors be made while open, one level of them."""
    with forward_ad.dual_level(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)  # torch's own
        yield


@dataclass(frozen=True, slots=True)
class LowRank:
    """A matrix as a product of thin ones: ``left @ right``, ``(out, k)`` and ``(k, in)``."""

    left: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class DualLinear:
    """The forward of a linear layer with weight ``weight + adapter`` whose derivative is ``along``.

    Attributes:
        weight: ``(out, in)``.
        bias: ``(out,)``, with its derivative, or None.
        adapter: What a LoRA adapter adds to the weight; None if there is none, or if it is zero.
        along: Derivative of the whole weight; None if it is zero.
    """

    weight: Tensor
    bias: Tensor | None = None
    bias_along: Tensor | None = None
    adapter: LowRank | None = None
    along: Tensor | LowRank | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        value, change = split(inputs)
        out = self._applied(value, self.bias)
        out_change = None if change is None else self._applied(change)
        if self.along is not None or self.bias_along is not None:
            out_change = torch.zeros_like(out) if out_change is None else out_change
            if self.along is not None:
                _accumulate(out_change, value, self.along)
            if self.bias_along is not None:
                out_change += self.bias_along
        return make_dual(out, out_change)

    def _applied(self, inputs: Tensor, bias: Tensor | None = None) -> Tensor:
        out = functional.linear(inputs, self.weight, bias)
        if self.adapter is not None:
            _accumulate(out, inputs, self.adapter)
        return out


def _accumulate(out: Tensor, inputs: Tensor, matrix: Tensor | LowRank) -> None:
    """``out += inputs @ matrix.T`` in place."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    if isinstance(matrix, LowRank):
        rows, matrix = rows @ matrix.right.T, matrix.left
    out.view(-1, out.shape[-1]).addmm_(rows, matrix.T)


def dual_linears(model: nn.Module, changes: Mapping[int, Change], adapter: str) -> dict[nn.Module, DualLinear]:
    """The linear layers of ``model`` that can be differentiated by hand, each with its forward.

    Layers of other classes, with hooks of their own, or under another kind of adapter are left to torch.

    Args:
        model: With the adapter switched on, if there is one.
        changes: By the identity of a parameter.
        adapter: PEFT's name of the adapter that is on, or "".
    """
    found: dict[nn.Module, DualLinear] = {}
    wrapped: set[nn.Module] = set()
    for module in model.modules():
        if module in wrapped or "forward" in module.__dict__:
            continue
        if type(module) is nn.Linear:
            found[module] = _plain_linear(module, changes)
        elif adapter and _is_lora(module, adapter):
            found[module] = _lora_linear(module, changes, adapter)
            wrapped.update(module.modules())
    return found


def _plain_linear(module: nn.Linear, changes: Mapping[int, Change]) -> DualLinear:
    weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
    along = changes[id(module.weight)][1] if id(module.weight) in changes else None
    bias_along = changes[id(module.bias)][1] if id(module.bias) in changes else None
    return DualLinear(weight, bias, bias_along, None, along)


def _is_lora(module: nn.Module, adapter: str) -> bool:
    from peft.tuners.lora.layer import Linear

    untyped: Any = module
    return (
        type(module) is Linear
        and type(untyped.base_layer) is nn.Linear
        and untyped.active_adapters == [adapter]
        and adapter in untyped.lora_A
        and adapter not in untyped.lora_variant
        and untyped.lora_B[adapter].bias is None
        and not untyped.merged
        and not untyped.disable_adapters
        and not module.training
    )


def _lora_linear(module: Any, changes: Mapping[int, Change], adapter: str) -> DualLinear:
    """With ``dW = s B A``, its derivative is ``s (B' A + B A')``; parts that are zero are left out."""
    plain = _plain_linear(module.base_layer, changes)
    scale = float(module.scaling[adapter])
    down, up = module.lora_A[adapter].weight, module.lora_B[adapter].weight
    a, b = (p.detach().to(plain.weight.dtype) for p in (down, up))
    parts = []
    if id(up) in changes:
        parts.append((changes[id(up)][1].to(a.dtype) * scale, a))
    if id(down) in changes:
        parts.append((b * scale, changes[id(down)][1].to(a.dtype)))
    parts = [(left, right) for left, right in parts if left.any() and right.any()]
    along = None
    if parts:
        along = LowRank(torch.cat([left for left, _ in parts], dim=1), torch.cat([right for _, right in parts]))
    return DualLinear(plain.weight, plain.bias, None, LowRank(b * scale, a) if b.any() else None, along)


@contextmanager
def replaced_forwards(forwards: Mapping[nn.Module, DualLinear]) -> Iterator[None]:
    """Let modules compute by other forwards while open."""
    with ExitStack() as undo:
        for module, forward in forwards.items():
            module.forward = forward
            undo.callback(module.__dict__.pop, "forward")
        yield


class DualAttention(AttentionMeter):
    """Attention of dual queries, keys and values; what is asked about it is read of its values."""

    def _output(
        self,
        module: Any,
        parts: tuple[Tensor, Tensor, Tensor],
        mask: Tensor | BlockMask | None,
        readings: Sequence[LayerReading],
        options: Mapping[str, Any],
    ) -> Tensor:
        """``(batch, seq, heads, dim)``, dual where anything it rests on is; ``readings`` see every block of values."""
        duals = [split(part) for part in parts]
        unusual = any(options.get(name) is not None for name in ("softcap", "s_aux", "position_bias"))
        if all(change is None for _, change in duals):
            return super()._output(module, parts, mask, readings, options)
        if unusual:
            return attend_in_blocks(module, *parts, mask, readings, self.block_bytes, **options)
        out, change = _attend(module, duals, mask, readings, self.block_bytes // 2, **options)
        return make_dual(out.transpose(1, 2).contiguous(), change.transpose(1, 2).contiguous())


def _attend(
    module: Any,
    parts: Sequence[tuple[Tensor, Tensor | None]],
    mask: Tensor | BlockMask | None,
    readings: Sequence[LayerReading],
    block_bytes: int,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Output and its derivative, each ``(batch, heads, seq, dim)``, see the head of this file.

    ``readings`` see every block of probabilities.
    """
    (query, dquery), (key, dkey), (value, dvalue) = (
        (part, torch.zeros_like(part) if change is None else change) for part, change in parts
    )
    dim, heads, kv_heads = query.shape[-1], query.shape[1], key.shape[1]
    queries = torch.cat([query, dquery], dim=-1) * (dim**-0.5 if scaling is None else scaling)
    swapped = torch.cat([dkey, key], dim=-1)  # q k' + q' k is one product over twice the dimension
    out, dout = (value.new_empty(*query.shape[:3], value.shape[-1]) for _ in range(2))
    for block in query_blocks(module, query, key, mask, is_causal, block_bytes):
        rows, here = block.rows(queries, kv_heads), slice(block.start, block.end)
        weights = torch.softmax(block.hidden(block.products(rows[..., :dim], key, heads)), dim=-1)
        change = block.products(rows, swapped, heads)
        change.sub_((weights * change).sum(dim=-1, keepdim=True)).mul_(weights)
        out[:, :, here] = block.mixed(weights, value)
        dout[:, :, here] = block.mixed(change, value) + block.mixed(weights, dvalue)
        seen = AttentionBlock(weights, block.visible, block.start)
        for reading in readings:
            reading.add(seen)
    return out, dout


def target_losses_along(logits: Tensor, targets: Tensor) -> Tensor:
    """The derivative of each target's loss: dual ``(n, vocab)`` logits and ``(n,)`` ids to ``(n,)`` float32."""
    value, change = split(logits)
    if change is None:
        return value.new_zeros(len(targets), dtype=torch.float32)
    weights, change = torch.softmax(value.float(), dim=-1), change.float()
    expected = torch.bmm(weights[:, None, :], change[:, :, None]).view(-1)
    return expected - change.gather(1, targets[:, None]).squeeze(1)
