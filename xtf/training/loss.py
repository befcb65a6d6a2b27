"""The masked loss: ``sum_i w_i * -log p(x_i | x_<i)`` over the targets that weigh anything.

The sum is computed inside the ``forward`` of the outermost module, so that DistributedDataParallel, accelerate and
gradient checkpointing see an ordinary forward pass. :func:`step_normaliser` says what one update divides it by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from xtf.model.head import Head, base_of, wanted_targets
from xtf.training.zero import is_gathered_by_hooks


def weighted_loss_sum(model: Any, head: Head | None, batch: Mapping[str, Tensor]) -> Tensor:
    """Return ``sum_i w_i * ce_i``, a float32 scalar; 0 with zero gradients when no target weighs anything.

    ``batch`` holds ``(batch, seq)`` ids, masks and weights. A target of weight 0 takes no part in the loss, yet
    stays in the context of the tokens after it. One of negative weight is unlearnt until it is no likelier than a
    uniform guess: its loss counts up to ``log(vocabulary)``, beyond which it has no gradient.
    """
    weights = batch["weights"]
    wanted = weights != 0
    kept = weights[:, 1:][wanted[:, 1:]]
    vocabulary = int(base_of(model).config.get_text_config().vocab_size)
    targets = wanted_targets(model, head, batch["input_ids"], batch["attention_mask"], wanted)

    def total(states: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
        own = replace(targets, project=project)

        def loss_of(part: Tensor, where: slice) -> Tensor:
            return weigh(own.losses(part, where), kept[where], vocabulary).sum()

        if head is None or len(targets.ids) <= targets.at_once or not torch.is_grad_enabled():
            return torch.stack([loss_of(states[where], where) for where in targets.pieces()]).sum()
        trained = [parameter for parameter in head.project.parameters() if parameter.requires_grad]
        sum_of_pieces: Any = _SumOfPieces.apply
        found: Tensor = sum_of_pieces(loss_of, list(targets.pieces()), states, *trained)
        return found

    if head is not None and (isinstance(head.project, FSDPModule) or is_gathered_by_hooks(head.project)):
        return head.in_one_call(targets.states, total)
    return total(targets.states, targets.project)


def weigh(losses: Tensor, weights: Tensor, vocabulary: int) -> Tensor:
    """Return what each target adds to the loss, of the same shape ``(...)`` as its cross-entropy and its weight.

    Args:
        losses: In nats.
        weights: Below 0: unlearnt, its loss counting up to ``log(vocabulary)``.
        vocabulary: The number of tokens in it.
    """
    return weights * torch.where(weights < 0, losses.clamp(max=math.log(vocabulary)), losses)


class _SumOfPieces(torch.autograd.Function):
    """Sums a loss over pieces of states, and takes each piece's gradients at once, while its logits are there.

    So neither are the logits of all pieces kept for the backward pass, nor does that compute any of them again.
    """

    @staticmethod
    def forward(
        ctx: Any, loss_of: Callable[[Tensor, slice], Tensor], pieces: list[slice], states: Tensor, *trained: Tensor
    ) -> Tensor:
        of_states, of_trained = torch.empty_like(states), [torch.zeros_like(parameter) for parameter in trained]
        losses = []
        for where in pieces:
            with torch.enable_grad():
                part = states[where].detach().requires_grad_()
                loss = loss_of(part, where)
                found = torch.autograd.grad(loss, [part, *trained])
            losses.append(loss.detach())
            of_states[where] = found[0]
            for total, gradient in zip(of_trained, found[1:], strict=True):
                total += gradient
        ctx.save_for_backward(of_states, *of_trained)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, *of_sum: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(gradient * of_sum[0].to(gradient.dtype) for gradient in ctx.saved_tensors)


@contextmanager
def loss_as_forward(model: Any, head: Head | None, *, casts: bool = False) -> Iterator[None]:
    """While open, ``model(**batch)`` returns ``{"loss": weighted_loss_sum(...)}``; its class stays as it was.

    Args:
        model: Causal language model, or a PEFT wrapper around one.
        head: From :meth:`Head.find`.
        casts: Whether ``forward`` itself computes in bfloat16, by autocast, since whoever calls it does not ask for it.
    """
    names = ("forward", "_original_forward")  # accelerate keeps the second when it wraps the first for mixed precision
    before = {name: model.__dict__[name] for name in names if name in model.__dict__}
    plain = model.forward

    def forward(self: Any, **batch: Tensor) -> dict[str, Tensor]:
        with torch.autocast(batch["input_ids"].device.type, torch.bfloat16) if casts else nullcontext():
            return {"loss": weighted_loss_sum(_Plain(self, plain), head, batch)}

    model.forward = MethodType(forward, model)
    try:
        yield
    finally:
        for name in names:
            model.__dict__.pop(name, None)
        model.__dict__.update(before)


@contextmanager
def scoring_forward(model: Any) -> Iterator[None]:
    """While open, ``model``, which is in training, computes as its class does and without dropout."""
    names = [name for name in ("forward", "_original_forward") if name in model.__dict__]
    before = {name: model.__dict__.pop(name) for name in names}
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        model.__dict__.update(before)
        for module, was in training.items():
            module.training = was


class _Plain:
    """The model under its own forward, for full logits while ``forward`` is replaced."""

    def __init__(self, model: Any, forward: Any) -> None:
        self.model, self.forward = model, forward

    def __call__(self, **inputs: Any) -> Any:
        return self.forward(**inputs)

    def get_base_model(self) -> Any:
        unwrap = getattr(self.model, "get_base_model", None)
        return unwrap() if callable(unwrap) else self.model


def step_normaliser(batches: Sequence[Mapping[str, Tensor]], normalise: Literal["kept", "response"]) -> Tensor:
    """Return what the loss of one update is divided by, a float64 scalar over its ``(batch, seq)`` micro-batches.

    ``kept``: the sum of the weights, which for 0/1 weights is the number of kept tokens; negative ones do not count.
    ``response``: the number of response tokens, so that masking a token does not enlarge the step of the others.
    """
    column = "weights" if normalise == "kept" else "is_response"
    counts = [batch[column].clamp(min=0).sum(dtype=torch.float64) for batch in batches]
    return torch.stack(counts).sum() if counts else torch.zeros((), dtype=torch.float64)
