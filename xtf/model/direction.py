"""The task direction: the preconditioned gradient of a trusted set's loss over chosen parameters.

With ``G_b`` the gradient of the summed loss of a group ``b`` of examples, ``n_b`` its response tokens and ``N`` all of
them, the gradient of the mean loss is ``g = sum_b G_b / N``, and the direction is ``v = P^-1 g``:

* ``none``: ``v = g``.
* ``adam``: ``v = g / (sqrt(mean_b (G_b / n_b)^2) + 1e-8)`` over groups of 8 examples: the second moments that Adam
  would gather in one pass with batch 8 over the set (with one group it is the sign of the gradient).
* ``fisher_diagonal``: ``v = g / (F + damping * mean(F))`` with ``F = sum_e G_e^2 / N`` over single examples: the
  diagonal empirical Fisher information of whole responses, per token. The mean is over all chosen parameters (damping
  as in arXiv 2308.03296).
* ``ekfac``: the same in the bases of :mod:`xtf.model.kronecker`, where such a diagonal says more, the mean being over
  one weight matrix. Parameters that are no linear layer's weight keep the bases that they have. Information is that of
  the answers as they are written, not of answers drawn from the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from xtf.attribute import LossDerivative
from xtf.errors import DataError, ModelError
from xtf.model.forward import Forward
from xtf.model.head import target_losses
from xtf.model.kronecker import Basis, Covariances
from xtf.model.quantization import refuse_quantized
from xtf.progress import progress
from xtf.tokens import TokenBatch, TokenizedExample

Direction = dict[str, Tensor]
"""Parameter name (without PEFT's wrapping) to a tensor of the parameter's shape, float32 on the CPU."""

ADAM_GROUP = 8
ADAM_EPSILON = 1e-8


def chosen_parameters(forward: Forward, request: LossDerivative, adapter: str = "") -> dict[str, nn.Parameter]:
    """The parameters that ``request`` speaks of, by their present name in the model.

    For ``lora`` they are those of the adapter that PEFT knows as ``adapter``.

    Raises:
        ModelError: when the model has no such parameters.
    """
    model: Any = forward.loaded.model
    named: dict[str, nn.Parameter] = dict(model.named_parameters())
    if request.parameters == "lora":
        found = {name: p for name, p in named.items() if "lora_" in name and f".{adapter}." in name}
    else:
        named = {name: p for name, p in named.items() if "lora_" not in name and p.is_floating_point()}
        found = {"linear": _linear, "last_k": _last_layers, "all": _everything}[request.parameters](
            model, named, request
        )
    if not found:
        raise ModelError(f"{type(model).__name__}: no parameters of the kind {request.parameters!r}; choose others")
    return found


def plain_name(name: str, adapter: str = "") -> str:
    """A parameter's name as it is without PEFT's wrapping, or with a neutral adapter name."""
    name = name.replace(".base_layer.", ".")
    return name.replace(f".{adapter}.", ".adapter.") if adapter else name


def task_direction(
    forward: Forward, request: LossDerivative, examples: Sequence[TokenizedExample], adapter: str = ""
) -> Direction:
    """Return the direction of ``request`` from its target examples; one backward pass over them.

    Needs, beside the model, the gradients of the chosen parameters twice (three times with a preconditioner), in
    float32, and the activations of one example at a time. ``ekfac`` makes two backward passes, and needs the square of
    each side of each weight.

    Args:
        forward: The model, with the adapter of ``request`` switched on if there is one.
        request: Which parameters, which preconditioner.
        examples: The target set.
        adapter: PEFT's name of the adapter that is on.

    Raises:
        DataError: the target set has no response tokens.
        ModelError: the gradient is not finite, or zero; or the model's weights are quantised.
    """
    refuse_quantized(
        forward.loaded.model,
        "The derivative of a loss",
        "Use influence with method: reference, or model.quantization: none.",
    )
    tokens = sum(int(example.is_response.sum()) for example in examples)
    if not tokens:
        raise DataError(
            f"{request.target.shown}: the target set has no response tokens, so it has no loss to lower. "
            "Give trusted examples with an answer in them."
        )
    group = 1 if request.preconditioner in ("fisher_diagonal", "ekfac") else ADAM_GROUP
    parameters = chosen_parameters(forward, request, adapter)
    bases = _kronecker_bases(forward, parameters, request, examples) if request.preconditioner == "ekfac" else {}
    total = {name: torch.zeros(p.shape, device=p.device) for name, p in parameters.items()}
    squares = {name: torch.zeros_like(t) for name, t in total.items()} if request.preconditioner != "none" else {}
    groups = 0
    with _differentiable(parameters), progress("Target gradient", len(examples), "examples") as advance:
        for start in range(0, len(examples), group):
            members = examples[start : start + group]
            here = max(1, sum(int(example.is_response.sum()) for example in members))
            found = _summed_gradient(forward, parameters, members)
            for name, gradient in found.items():
                total[name] += gradient / tokens
                if squares:
                    turned = bases[name].enter(gradient) if name in bases else gradient
                    squares[name] += (turned / here if group > 1 else turned).square()
            groups += 1
            advance(len(members))
    with torch.no_grad():
        for square in squares.values():
            square /= groups if group > 1 else tokens
        _precondition(total, squares, bases, request)
    return {plain_name(name, adapter): value.cpu() for name, value in _checked(total, request).items()}


def _precondition(total: Direction, squares: Direction, bases: dict[str, Basis], request: LossDerivative) -> None:
    if request.preconditioner == "adam":
        for name, value in total.items():
            value /= squares[name].sqrt() + ADAM_EPSILON
    elif request.preconditioner == "fisher_diagonal":
        damping = request.damping * _mean(list(squares.values()))
        for name, value in total.items():
            value /= squares[name] + damping
    elif request.preconditioner == "ekfac":
        for name, value in total.items():
            damped = squares[name] + request.damping * _mean([squares[name]])
            if not damped.any():
                continue  # no gradient, as that of a fresh adapter's A
            basis = bases.get(name)
            total[name] = value / damped if basis is None else basis.leave(basis.enter(value) / damped)


def _mean(parts: Sequence[Tensor]) -> float:
    return sum(float(part.sum(dtype=torch.float64)) for part in parts) / sum(part.numel() for part in parts)


def _kronecker_bases(
    forward: Forward, parameters: dict[str, nn.Parameter], request: LossDerivative, examples: Sequence[TokenizedExample]
) -> dict[str, Basis]:
    covariances = Covariances(forward.loaded.model, parameters)
    with (
        _differentiable(parameters),
        covariances.watched(),
        progress("Target curvature", len(examples), "examples") as advance,
    ):
        for example in examples:
            _summed_gradient(forward, parameters, [example])
            advance(1)
    if not covariances.finite:
        raise _not_finite(request)
    return covariances.bases()


def _checked(total: Direction, request: LossDerivative) -> Direction:
    norm = sum(float(value.double().square().sum()) for value in total.values())
    if not norm < float("inf"):
        raise _not_finite(request)
    if norm == 0.0:
        raise ModelError(
            f"{request.target.shown}: the gradient of the target set's loss is zero: the model predicts it perfectly, "
            "and no token can help. Use another target set."
        )
    return total


def _not_finite(request: LossDerivative) -> ModelError:
    return ModelError(
        f"{request.target.shown}: the gradient of the target set's loss is not finite under this model. Check the "
        "model, or load it with model.dtype: float32."
    )


def _summed_gradient(
    forward: Forward, parameters: dict[str, nn.Parameter], members: Sequence[TokenizedExample]
) -> Direction:
    """Gradient of the summed loss, one example at a time to bound the activations; empty without response tokens."""
    sums: Direction = {}
    for example in members:
        if not example.is_response.any():
            continue
        batch = TokenBatch.collate([example], forward.loaded.device)
        chunks = target_losses(
            forward.loaded.model, forward.head, batch.input_ids, batch.attention_mask, batch.is_response
        )
        with torch.enable_grad():
            loss = torch.stack([losses.sum() for _, losses in chunks]).sum()
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                sums[name] = sums[name].add_(gradient) if name in sums else gradient.float()
    return sums


@contextmanager
def _differentiable(parameters: dict[str, nn.Parameter]) -> Iterator[None]:
    before = {name: p.requires_grad for name, p in parameters.items()}
    try:
        for p in parameters.values():
            p.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for name, p in parameters.items():
            p.requires_grad_(before[name])


def _linear(model: Any, named: dict[str, nn.Parameter], request: LossDerivative) -> dict[str, nn.Parameter]:
    outside = {id(part.weight) for part in (model.get_output_embeddings(), model.get_input_embeddings())}
    wanted = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear | Conv1D)} - outside
    return {name: p for name, p in named.items() if id(p) in wanted}


def _last_layers(model: Any, named: dict[str, nn.Parameter], request: LossDerivative) -> dict[str, nn.Parameter]:
    layers = int(model.config.get_text_config().num_hidden_layers)
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == layers]
    if not lists or not 1 <= request.k <= layers:
        have = f"this model has {layers} layers" if lists else "its layers cannot be told apart in this model"
        raise ModelError(f"parameters: last_k with k: {request.k}: {have}")
    wanted = {id(p) for layer in list(lists[0])[-request.k :] for p in layer.parameters()}
    return {name: p for name, p in named.items() if id(p) in wanted}


def _everything(model: Any, named: dict[str, nn.Parameter], request: LossDerivative) -> dict[str, nn.Parameter]:
    return named
