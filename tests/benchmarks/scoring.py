"""What scoring costs, against a plain forward, the published procedure, and the machine's peak."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tests.benchmarks.paired import compare
from tests.benchmarks.setting import TOKENS_PER_BATCH, Setting, plain_forward
from xtf.attribute import registry
from xtf.attribute.registry import AnyAttribute
from xtf.engine.fit import EngineFitContext
from xtf.engine.score import checked_scores, requests_of
from xtf.model import Embedder, SignalPass

SAMPLE = 64
"""Examples for comparisons that need no whole shard."""

THREE = ("reasoning_importance", "knowledge_novelty", "task_relevance")


def three_attributes(work: Setting, embedder: Embedder | None = None) -> None:
    """Score the examples under XTF's three attributes; without ``embedder`` every distinct token is embedded anew."""
    embedder = embedder if embedder is not None else Embedder(work.loaded)
    attributes = fitted(work, embedder)
    signal_pass = SignalPass(work.loaded, requests_of(attributes.values()), None, embedder=embedder)
    for batch in work.batches():
        signals = signal_pass.run(batch)
        for name, attribute in attributes.items():
            checked_scores(name, attribute, signals)


def fitted(work: Setting, embedder: Embedder) -> Mapping[str, AnyAttribute]:
    """The three attributes, fitted on the examples."""
    attributes = {name: registry.build(name, {}) for name in THREE}
    context = EngineFitContext(work.examples, work.loaded, embedder)
    for attribute in attributes.values():
        attribute.fit(context)
    return attributes


@torch.no_grad()
def published(work: Setting) -> None:
    """The published procedure, written plainly: batch 1, a pass per attribute, full maps, a forward per token id."""
    model: Any = work.loaded.model
    former = model.config._attn_implementation
    seen: set[int] = set()
    for example in work.examples:
        ids = torch.from_numpy(example.input_ids.astype(np.int64))[None].to(work.loaded.device)
        model.set_attn_implementation("eager")
        attention = model(ids, output_attentions=True).attentions[0]
        attention.mean(dim=1).mean(dim=-1)
        model.set_attn_implementation(former)
        logits = model(ids).logits[0]
        for position in np.flatnonzero(example.is_response):
            torch.softmax(logits[position - 1].float(), -1)[ids[0, position]].item()
        for token in set(example.input_ids.tolist()) - seen:  # of the prompt as well
            one = torch.tensor([[token]], device=work.loaded.device)
            model(one, output_hidden_states=True).hidden_states[-1][0, -1]
            seen.add(token)


def scoring(work: Setting, pairs: int) -> dict[str, Any]:
    """The comparisons of one dtype: ``work`` is a whole shard, whose distinct tokens are embedded once."""
    sample = work.first(SAMPLE)
    embedder = Embedder(work.loaded)
    three_attributes(sample, embedder)
    plain_forward(sample)
    later = compare(partial(three_attributes, sample, embedder), partial(plain_forward, sample), pairs, warm_up=0)
    first = compare(partial(three_attributes, work), partial(plain_forward, work), pairs, warm_up=0)
    distinct = len({int(token) for example in work.examples for token in example.input_ids[example.is_response]})
    facts = {"tokens": work.tokens, "distinct_tokens_embedded": distinct}
    speed = {"tokens_per_second": round(work.tokens / first["seconds"])}
    return {
        work.named("scoring.three_attributes_over_forward"): {**first, **facts, **speed},
        work.named("scoring.three_attributes_over_forward.embedded_before"): later,
        work.named("scoring.share_of_matmul_peak"): {
            "median": round(share_of_peak(work, first["seconds"]), 3),
            "of_the_plain_forward": round(share_of_peak(work, first["seconds_of_other"]), 3),
            "gigaflops_of_the_product": round(matmul_rate(work) / 1e9),
        },
    }


def against_published(settings: Sequence[Setting], pairs: int) -> dict[str, Any]:
    """The published procedure in float32 ÷ ours, in each dtype; the first setting is float32."""
    plain = settings[0].first(SAMPLE // 2)
    figures = {}
    for work in settings:
        ours = partial(three_attributes, work.first(SAMPLE // 2))
        figures[work.named("scoring.published_over_ours")] = compare(partial(published, plain), ours, pairs, warm_up=0)
    return figures


def share_of_peak(work: Setting, seconds: float) -> float:
    """Operations that the model must do, over what the machine's matrix product does in the same time."""
    return model_operations(work) / (seconds * matmul_rate(work))


def model_operations(work: Setting) -> float:
    """Multiply-adds × 2: linear layers on every token, attention on every visible pair, the head on targets."""
    model: Any = work.loaded.model
    config = model.config
    linear = sum(m.weight.numel() for m in model.model.modules() if isinstance(m, torch.nn.Linear))
    heads = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    pairs = sum(len(e) * (len(e) + 1) / 2 for e in work.examples)
    targets = sum(int(e.is_response.sum()) for e in work.examples)
    head = config.vocab_size * config.hidden_size
    operations: float = 2.0 * (linear * work.tokens + 2 * heads * config.num_hidden_layers * pairs + head * targets)
    return operations


def matmul_rate(work: Setting) -> float:
    """Operations a second of a matrix product of the shapes of this model's widest layer, best of several."""
    config = work.loaded.model.config
    dtype, device = work.loaded.dtype, work.loaded.device
    left = torch.randn(TOKENS_PER_BATCH, config.hidden_size, dtype=dtype, device=device)
    right = torch.randn(config.intermediate_size, config.hidden_size, dtype=dtype, device=device)
    best = 0.0
    for _ in range(12):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2.0 * left.shape[0] * left.shape[1] * right.shape[0] / (time.perf_counter() - started))
    return best


def padding_share(work: Setting) -> float:
    """Share of computed positions that hold no token."""
    computed = sum(batch.input_ids.numel() for batch in work.batches())
    return 1.0 - work.tokens / computed
