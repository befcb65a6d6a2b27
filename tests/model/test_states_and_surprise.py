"""Hidden states beside a token and the statistics of surprise, against the model's own output token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.model.test_signals_brute_force import EXAMPLES
from tests.tiny import TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import (
    AttentionReceived,
    HiddenState,
    LogProb,
    LogRank,
    MaxLogProb,
    Projection,
    SignalRequest,
    SurpriseSpread,
    TopTokens,
)
from xtf.errors import ModelError
from xtf.model import LoadedModel, SignalPass
from xtf.tokens import TokenBatch, TokenizedExample


def by_hand(request: SignalRequest, item: TokenizedExample, model: Any) -> torch.Tensor:
    """One example alone, without padding, from full logits and all hidden states."""
    ids = torch.from_numpy(item.input_ids.astype(np.int64))
    with torch.no_grad():
        output = model(ids[None], output_hidden_states=True, use_cache=False)
    rows = []
    for i in range(len(item)):
        if isinstance(request, HiddenState):
            layers = len(output.hidden_states) - 1
            layer = round(request.layer * layers) if isinstance(request.layer, float) else request.layer
            assert layer < layers, "the last one of the list has passed the final norm"
            inside = i + request.offset < len(item)
            state = output.hidden_states[layer][0, i + request.offset] if inside else torch.zeros(())
            rows.append(state.float().expand(output.hidden_states[0].shape[-1]))
            continue
        p = output.logits[0, i - 1].double().softmax(-1)
        surprise = -p.log()
        match request:
            case SurpriseSpread():
                mean = (p * surprise).sum()
                rows.append((p * (surprise - mean) ** 2).sum().sqrt())
            case LogRank():
                rows.append(torch.tensor(float((p > p[ids[i]]).sum())).log1p())
            case MaxLogProb():
                rows.append(p.max().log())
            case TopTokens():
                rows.append(p.argsort(descending=True)[: request.k])
            case _:
                raise TypeError(request)
    return torch.stack(rows).float()[torch.from_numpy(item.is_response)]


REQUESTS: list[SignalRequest] = [
    HiddenState(1, -1),
    HiddenState(1),
    HiddenState(1, 2),
    HiddenState(0.5, 1),
    SurpriseSpread(),
    LogRank(),
    MaxLogProb(),
    TopTokens(3),
]


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_each_equals_the_models_own(kind: TinyKind) -> None:
    model = tiny_model(kind)
    loaded = LoadedModel.from_objects(model, tiny_tokenizer())
    signals = SignalPass(loaded, {*REQUESTS, LogProb()}, logits_bytes=4 * 300 * 7).run(TokenBatch.collate(EXAMPLES))
    for request in REQUESTS:
        for row, item in enumerate(EXAMPLES):
            found = signals[request][row, : len(item)]
            response = torch.from_numpy(item.is_response)
            if not response.any():
                continue
            torch.testing.assert_close(found[response].float(), by_hand(request, item, model), atol=2e-5, rtol=2e-4)
            outside = found[~response]
            assert (outside == -1).all() if outside.dtype == torch.int64 else outside.isnan().all()


def test_states_come_with_attention_and_alone() -> None:
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    batch = TokenBatch.collate(EXAMPLES)
    alone = SignalPass(loaded, {HiddenState(2)}).run(batch)[HiddenState(2)]
    beside = SignalPass(loaded, {HiddenState(2), AttentionReceived(layers=(0,)), LogProb()}).run(batch)[HiddenState(2)]
    torch.testing.assert_close(alone, beside, equal_nan=True, atol=1e-5, rtol=1e-4)
    assert not any(module._forward_hooks for module in loaded.model.modules()), "a hook was left"


def test_a_projection_reduces_inside_the_pass() -> None:
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    batch = TokenBatch.collate(EXAMPLES)
    projection = Projection()
    request = HiddenState(1, 1, projection)
    whole = SignalPass(loaded, {request}).run(batch)[request]
    matrix, mean = torch.randn(whole.shape[-1], 3), torch.randn(whole.shape[-1])
    projection.set(mean, matrix)
    reduced = SignalPass(loaded, {request}).run(batch)[request]
    last = torch.zeros(batch.input_ids.shape, dtype=torch.bool)  # behind the last token there is nothing to project
    last[torch.arange(len(EXAMPLES)), batch.lengths - 1] = True
    inside = batch.is_response & ~last
    torch.testing.assert_close(reduced[inside], (whole[inside] - mean) @ matrix, atol=1e-4, rtol=1e-4)
    assert (reduced[batch.is_response & last] == 0).all()


@pytest.mark.parametrize("request_", [HiddenState(0), HiddenState(9), HiddenState(1.5), HiddenState(1, -2)])
def test_what_no_model_has_is_refused(request_: HiddenState) -> None:
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    with pytest.raises(ModelError, match="layers"):
        SignalPass(loaded, {request_})
