"""The pass of an exact derivative answers what else is asked of its model, as a plain pass would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from tests.model.test_loss_derivative_brute_force import SCORED, TRUSTED, Parameters, Preconditioner, wide_adapter
from tests.model.test_signals import assert_same, loaded_tiny
from tests.tiny import TinyKind
from xtf.attribute import (
    AttentionReceived,
    AttentionToPrompt,
    Entropy,
    GradientNorm,
    HiddenState,
    LogProb,
    LogProbAlone,
    LossDerivative,
    Reference,
    SignalRequest,
    Signals,
    Target,
    TopTokens,
)
from xtf.model import LoadedModel, SignalPass
from xtf.model.adapters import Adapter, Adapters
from xtf.model.direction import task_direction
from xtf.model.forward import Forward
from xtf.tokens import TokenBatch

REQUESTS: frozenset[SignalRequest] = frozenset(
    {
        LogProb(),
        Entropy(top_k=4),
        TopTokens(3),
        GradientNorm(),
        LogProbAlone(),
        AttentionReceived(),
        AttentionReceived(layers=(-1,), queries="all"),
        AttentionToPrompt(),
        HiddenState(1),
        HiddenState(2, offset=-1),
    }
)
BATCH = TokenBatch.collate(SCORED)


@contextmanager
def counted(loaded: LoadedModel) -> Iterator[list[int]]:
    """How many tokens each run of the model's first layer reads."""
    read: list[int] = []
    layers = next(m for m in loaded.model.modules() if isinstance(m, torch.nn.ModuleList))
    handle = layers[0].register_forward_pre_hook(lambda _, given: read.append(given[0].shape[:2].numel()))
    try:
        yield read
    finally:
        handle.remove()


def passed(
    loaded: LoadedModel, requests: set[SignalRequest], adapter: Adapter | None = None, **bounds: Any
) -> tuple[Signals, int]:
    """The signals, and how often the model read the whole batch for them."""

    def direction(request: LossDerivative) -> Any:
        if adapter is None:
            return task_direction(Forward(loaded), request, TRUSTED), None
        with adapter.on():
            return task_direction(Forward(loaded), request, TRUSTED, adapter.name), adapter

    def model(_: Reference) -> Adapter:
        assert adapter is not None
        return adapter

    signal_pass = SignalPass(loaded, requests, model, direction_loader=direction, **bounds)
    with counted(loaded) as read:
        signals = signal_pass.run(BATCH)
    return signals, read.count(BATCH.input_ids.numel())


@pytest.mark.parametrize(
    ("kind", "parameters", "preconditioner"),
    [
        ("llama", "linear", "adam"),
        ("llama", "last_k", "none"),
        ("llama", "lora", "adam"),
        ("gpt2", "all", "none"),
        ("gemma3", "all", "fisher_diagonal"),
    ],
)
def test_one_pass_answers_all(kind: TinyKind, parameters: Parameters, preconditioner: Preconditioner) -> None:
    derivative = LossDerivative(Target(path="t"), parameters=parameters, k=1, preconditioner=preconditioner)
    bounds: dict[str, Any] = {"logits_bytes": 300 * 4 * 10, "block_bytes": 3000}
    loaded = loaded_tiny(kind)
    plain, runs = passed(loaded, {*REQUESTS}, **bounds)
    assert runs == 1
    with Adapters(loaded) as adapters:
        adapter = adapters.fresh(derivative.r, derivative.seed) if parameters == "lora" else None
        alone, _ = passed(loaded, {derivative}, adapter, **bounds)
        together, runs = passed(loaded, {*REQUESTS, derivative}, adapter, **bounds)
    assert runs == 1
    torch.testing.assert_close(together[derivative], alone[derivative], atol=1e-3, rtol=1e-4, equal_nan=True)
    for request in REQUESTS:
        assert together[request].dtype == plain[request].dtype
        assert_same(together[request], plain[request], request)


def test_a_derivative_at_an_adapted_model_answers_for_that_model_only() -> None:
    reference = Reference(adapter="a")
    derivative = LossDerivative(Target(path="t"), parameters="lora", adapter=reference)
    asked: set[SignalRequest] = {LogProb(), LogProb(reference), AttentionToPrompt(model=reference)}
    loaded = loaded_tiny()
    with Adapters(loaded) as adapters:
        adapter = wide_adapter(adapters)
        plain, _ = passed(loaded, asked, adapter)
        together, runs = passed(loaded, {*asked, derivative}, adapter)
        assert runs == 2
    assert not torch.equal(plain[LogProb()].nan_to_num(), plain[LogProb(reference)].nan_to_num())
    for request in asked:
        assert_same(together[request], plain[request], request)


def test_differences_answer_nothing() -> None:
    derivative = LossDerivative(Target(path="t"), mode="finite")
    loaded = loaded_tiny()
    plain, _ = passed(loaded, {*REQUESTS})
    together, runs = passed(loaded, {*REQUESTS, derivative})
    assert runs == 3
    for request in REQUESTS:
        torch.testing.assert_close(together[request], plain[request], atol=0.0, rtol=0.0, equal_nan=True)
