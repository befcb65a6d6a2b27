"""What influence costs: a tangent pass, alone and answering for other attributes, and a pass under a reference."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from tests.benchmarks.paired import compare
from tests.benchmarks.setting import Setting, plain_forward
from xtf.attribute import (
    AttentionReceived,
    LogProb,
    LossDerivative,
    Reference,
    SignalRequest,
    Target,
    TokenEmbedding,
)
from xtf.model import SignalPass
from xtf.model.adapters import Adapter, Adapters
from xtf.model.direction import Direction, task_direction
from xtf.model.forward import Forward

TRUSTED = 4
"""Examples that give the direction; it is made once, outside the timing, as a run makes it once."""


def influence(work: Setting, pairs: int) -> dict[str, Any]:
    """The comparisons of one dtype: each way of influence ÷ response log-probabilities by a plain forward."""
    return {**_tangents(work, pairs), **_one_pass(work, pairs), **_reference(work, pairs)}


def _tangents(work: Setting, pairs: int) -> dict[str, Any]:
    """Derivatives over all linear weights, over a LoRA adapter's and over those of four layers; and differences."""
    linear = LossDerivative(target=Target(path="the first examples"), parameters="linear")
    lora, last = replace(linear, parameters="lora"), replace(linear, parameters="last_k", k=4)
    with Adapters(work.loaded) as adapters:
        adapter = adapters.fresh(lora.r, lora.seed)
        finite = {}
        if work.loaded.dtype == torch.float32:  # in lower precision the steps vanish
            finite = _tangent(work, pairs, replace(linear, mode="finite"), None, ".finite")
        return {
            **_tangent(work, pairs, linear, None, ""),
            **_tangent(work, pairs, lora, adapter, ".lora"),
            **_tangent(work, pairs, last, None, ".last_4"),
            **finite,
        }


def _tangent(work: Setting, pairs: int, request: LossDerivative, adapter: Adapter | None, name: str) -> dict[str, Any]:
    direction = _direction(work, request, adapter)
    signal_pass = SignalPass(work.loaded, {request}, direction_loader=lambda _: (direction, adapter))
    measured = compare(partial(_run, signal_pass, work), partial(plain_forward, work), pairs)
    mode = signal_pass.tangents[request].mode
    return {work.named(f"influence.tangent_over_forward{name}"): {**measured, "mode": mode}}


def _one_pass(work: Setting, pairs: int) -> dict[str, Any]:
    """A derivative and the signals of the three attributes by its pass ÷ by two passes; processor time."""
    read: set[SignalRequest] = {LogProb(), AttentionReceived(), TokenEmbedding("hidden")}
    linear = LossDerivative(target=Target(path="the first examples"), parameters="linear")
    figures = {}
    with Adapters(work.loaded) as adapters:
        adapter = adapters.fresh(linear.r, linear.seed)
        for request, at in ((linear, None), (replace(linear, parameters="lora"), adapter)):
            direction = _direction(work, request, at)

            def made(
                requests: set[SignalRequest], direction: Direction = direction, at: Adapter | None = at
            ) -> SignalPass:
                return SignalPass(work.loaded, requests, direction_loader=lambda _: (direction, at))

            together, apart = [made({request, *read})], [made({request}), made(read)]
            name = "" if at is None else ".lora"
            figures[work.named(f"influence.one_pass_over_two{name}")] = compare(
                partial(_run_all, together, work), partial(_run_all, apart, work), pairs, clock=time.process_time
            )
    return figures


def _run_all(passes: list[SignalPass], work: Setting) -> None:
    for signal_pass in passes:
        _run(signal_pass, work)


def _direction(work: Setting, request: LossDerivative, adapter: Adapter | None) -> dict[str, torch.Tensor]:
    trusted = list(work.examples[:TRUSTED])
    if adapter is None:
        return task_direction(Forward(work.loaded), request, trusted)
    with adapter.on():
        return task_direction(Forward(work.loaded), request, trusted, adapter.name)


def _reference(work: Setting, pairs: int) -> dict[str, Any]:
    """Losses under the base and under a LoRA adapter of rank 8 on all linear layers; its weights do not matter here."""
    reference = LogProb(Reference(adapter="fresh"))
    with Adapters(work.loaded) as adapters:
        adapter = adapters.fresh(8, 0)
        signal_pass = SignalPass(work.loaded, {LogProb(), reference}, lambda _: adapter)
        return {
            work.named("influence.reference_over_forward"): compare(
                partial(_run, signal_pass, work), partial(plain_forward, work), pairs
            )
        }


def _run(signal_pass: SignalPass, work: Setting) -> None:
    for batch in work.batches():
        signal_pass.run(batch)
