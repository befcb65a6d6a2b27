"""Influence by derivative against per-token gradients, formed one by one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.test_signals_brute_force import example
from tests.tiny import TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import LossDerivative, Target
from xtf.model import LoadedModel
from xtf.model.adapters import Adapter, Adapters
from xtf.model.direction import chosen_parameters, task_direction
from xtf.model.forward import Forward
from xtf.model.tangent import Mode, Tangent
from xtf.tokens import TokenBatch, TokenizedExample

SCORED = [example("a", 19, [(4, 19)], 0), example("b", 9, [(3, 5), (7, 9)], 1), example("none", 6, [], 2)]
TRUSTED = [example(f"t{i}", 8 + i, [(3, 8 + i)], 10 + i) for i in range(11)]

Parameters = Literal["linear", "last_k", "all", "lora"]
Preconditioner = Literal["none", "adam", "fisher_diagonal"]


def losses(model: Any, item: TokenizedExample) -> Tensor:
    """The loss of each response token from the model's own full logits."""
    ids = torch.from_numpy(item.input_ids.astype(np.int64))
    log_probs: Tensor = model(ids[None], use_cache=False).logits[0].float().log_softmax(-1)
    places = np.flatnonzero(item.is_response)
    return -log_probs[places - 1, ids[places]]


def names_of(model: Any, request: LossDerivative) -> list[str]:
    """What each choice of parameters means, from names alone."""
    names = [name for name, _ in model.named_parameters()]
    match request.parameters:
        case "lora":
            return [name for name in names if "lora_" in name]
        case "all":
            return [name for name in names if "lora_" not in name]
        case "last_k":
            layers = model.config.num_hidden_layers
            last = [f".{layer}." for layer in range(layers - request.k, layers)]
            return [name for name in names if any(part in name for part in last)]
        case "linear":
            parts = ("_proj.weight", "c_attn.weight", "c_proj.weight", "c_fc.weight")
            return [name for name in names if name.endswith(parts)]


def per_token_gradients(model: Any, names: list[str], items: list[TokenizedExample]) -> list[list[Tensor]]:
    named = dict(model.named_parameters())
    chosen = [named[name] for name in names]
    for parameter in chosen:
        parameter.requires_grad_(True)
    found = []
    for item in items:
        if item.is_response.any():
            with torch.enable_grad():
                for loss in losses(model, item):
                    gradients = torch.autograd.grad(loss, chosen, retain_graph=True)
                    found.append([gradient.double() for gradient in gradients])
    for parameter in chosen:
        parameter.requires_grad_(False)
    return found


def brute_force(
    model: Any,
    names: list[str],
    request: LossDerivative,
    scored: list[TokenizedExample],
    trusted: list[TokenizedExample],
) -> Tensor:
    """Dot products of gradients in float64, the preconditioner written out from its definition."""
    by_example = [per_token_gradients(model, names, [item]) for item in trusted]
    count = sum(map(len, by_example))
    flat = [[torch.cat([g.flatten() for g in token]) for token in tokens] for tokens in by_example]
    mean = torch.stack([token for tokens in flat for token in tokens]).sum(0) / count
    if request.preconditioner == "adam":
        groups = [flat[start : start + 8] for start in range(0, len(flat), 8)]
        means = [torch.stack([token for tokens in group for token in tokens]).mean(0) for group in groups]
        mean = mean / (torch.stack(means).square().mean(0).sqrt() + 1e-8)
    if request.preconditioner == "fisher_diagonal":
        fisher = torch.stack([torch.stack(tokens).sum(0).square() for tokens in flat]).sum(0) / count
        mean = mean / (fisher + request.damping * fisher.mean())
    tokens = per_token_gradients(model, names, scored)
    return torch.stack([torch.cat([g.flatten() for g in token]) @ mean for token in tokens])


def derivative(
    loaded: LoadedModel,
    request: LossDerivative,
    scored: list[TokenizedExample],
    trusted: list[TokenizedExample],
    adapter: Adapter | None,
    mode: Mode | None = None,
) -> tuple[Tensor, Tangent]:
    name = adapter.name if adapter is not None else ""
    with ExitStack() as stack:
        if adapter is not None:
            stack.enter_context(adapter.on())
        direction = task_direction(Forward(loaded), request, trusted, name)
    tangent = Tangent(loaded, request, direction, adapter, mode=mode, logits_bytes=300 * 4 * 10)
    batch = TokenBatch.collate(scored)
    values = tangent.run(batch)
    assert values.isnan().equal(~batch.is_response)
    return values[batch.is_response], tangent


def wide_adapter(adapters: Adapters) -> Adapter:
    """A fresh adapter whose B is not zero, so that A matters too."""
    adapter = adapters.fresh(4, seed=3)
    generator = torch.Generator().manual_seed(5)
    model: Any = adapters.loaded.model
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 0.1, generator=generator)
    return adapter


@pytest.mark.parametrize("preconditioner", ["none", "adam", "fisher_diagonal"])
@pytest.mark.parametrize("parameters", ["linear", "last_k", "all", "lora"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_equals_dot_products_of_gradients(
    kind: TinyKind, parameters: Parameters, preconditioner: Preconditioner
) -> None:
    request = LossDerivative(Target(path="t"), parameters=parameters, k=1, preconditioner=preconditioner)
    loaded = LoadedModel.from_objects(tiny_model(kind), tiny_tokenizer())
    with Adapters(loaded) as adapters:
        adapter = wide_adapter(adapters) if parameters == "lora" else None
        found, tangent = derivative(loaded, request, SCORED, TRUSTED, adapter)
        assert tangent.mode == "forward"
        differences, _ = derivative(loaded, request, SCORED, TRUSTED, adapter, mode="finite")
        with ExitStack() as stack:
            if adapter is not None:
                stack.enter_context(adapter.on())
            names = names_of(loaded.model, request)
            assert set(names) == set(chosen_parameters(Forward(loaded), request, adapter.name if adapter else ""))
            expected = brute_force(loaded.model, names, request, SCORED, TRUSTED)
    assert (found - expected).norm() / expected.norm() < 1e-4
    assert (found - expected).abs().max() / expected.abs().max() < 1e-4
    assert (differences - expected).norm() / expected.norm() < 1e-2
