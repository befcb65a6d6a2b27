from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, GptOssConfig

import xtf.model.attention
import xtf.model.blocks
from tests.architectures import architecture
from tests.tiny import TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import (
    AttentionReceived,
    AttentionToPrompt,
    Entropy,
    LogProb,
    Reference,
    SignalRequest,
    TokenEmbedding,
)
from xtf.errors import ModelError
from xtf.model import LoadedModel, SignalPass
from xtf.model.blocks import BlockMask
from xtf.model.forward import Forward
from xtf.tokens import TokenBatch, TokenizedExample

REQUESTS: frozenset[SignalRequest] = frozenset(
    {
        LogProb(),
        Entropy(),
        Entropy(top_k=4),
        AttentionReceived(),
        AttentionReceived(queries="all"),
        AttentionToPrompt(),
        TokenEmbedding("hidden"),
    }
)


def example(name: str, length: int, seed: int = 0) -> TokenizedExample:
    ids = np.random.default_rng([seed, length]).integers(0, 300, length).astype(np.int32)
    mask = np.arange(length) >= max(1, length // 3)
    return TokenizedExample(name, ids, mask, np.zeros_like(mask))


def loaded_tiny(kind: TinyKind = "llama", **options: Any) -> LoadedModel:
    return LoadedModel.from_objects(tiny_model(kind, **options), tiny_tokenizer())


def from_config(config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0.0, 0.25)
    return model.eval().requires_grad_(False)


def assert_same(found: torch.Tensor, expected: torch.Tensor, what: object) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4, equal_nan=True, msg=lambda m: f"{what}: {m}")


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_values_do_not_depend_on_batch_padding_or_order(kind: TinyKind) -> None:
    items = [example(f"e{length}", length) for length in (23, 6, 17, 2)]
    signal_pass = SignalPass(loaded_tiny(kind), REQUESTS)
    alone = [signal_pass.run(TokenBatch.collate([item])) for item in items]
    for order in ([0, 1, 2, 3], [3, 1, 2, 0]):
        together = signal_pass.run(TokenBatch.collate([items[position] for position in order]))
        for row, position in enumerate(order):
            for request in REQUESTS:
                assert_same(together[request][row, : len(items[position])], alone[position][request][0], request)


@pytest.mark.parametrize("kind", ["gemma3", "mistral"])
def test_values_do_not_depend_on_masks_made_in_blocks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = LoadedModel.from_objects(architecture(kind), tiny_tokenizer())
    batch = TokenBatch.collate([example("a", 40), example("b", 17)])
    whole = SignalPass(loaded, REQUESTS).run(batch)
    monkeypatch.setattr(xtf.model.attention, "MASK_BYTES", 0)
    monkeypatch.setattr(xtf.model.blocks, "MASK_BYTES", 0)
    block = Mock(side_effect=BlockMask.block)
    monkeypatch.setattr(BlockMask, "block", lambda *given: block(*given))
    in_blocks = SignalPass(loaded, REQUESTS, block_bytes=2000).run(batch)
    assert block.called
    for request in REQUESTS:
        assert_same(in_blocks[request], whole[request], request)


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_values_do_not_depend_on_the_number_of_threads(kind: TinyKind) -> None:
    batch = TokenBatch.collate([example("a", 190), example("b", 111)])
    signal_pass = SignalPass(loaded_tiny(kind, vocab_size=5000), REQUESTS)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(signal_pass.run(batch))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for request in REQUESTS:
            assert_same(other[request], found[0][request], request)


def test_memory_bounds_do_not_change_values() -> None:
    batch = TokenBatch.collate([example("a", 23), example("b", 11)])
    loaded = loaded_tiny("gemma3")
    free = SignalPass(loaded, REQUESTS, block_bytes=1 << 30, logits_bytes=1 << 30).run(batch)
    for block_bytes, logits_bytes in ((1, 1), (2 * 4 * 23 * 4 * 3, 7 * 4 * 300)):
        tight = SignalPass(loaded, REQUESTS, block_bytes=block_bytes, logits_bytes=logits_bytes).run(batch)
        for request in REQUESTS:
            assert_same(tight[request], free[request], request)


def test_logits_are_never_held_at_once() -> None:
    loaded = loaded_tiny()
    signal_pass = SignalPass(loaded, {LogProb()}, logits_bytes=4 * 300 * 5)
    head: Any = loaded.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    rows: list[int] = []
    head.register_forward_hook(lambda _module, _inputs, output: rows.append(len(output)))
    batch = TokenBatch.collate([example("a", 20), example("b", 8)])
    signal_pass.run(batch)
    assert max(rows) == 5
    assert sum(rows) == int(batch.is_response.sum()), "the head ran on other positions than the response"


def test_the_head_rests_and_layers_stop_when_nobody_asks() -> None:
    loaded = loaded_tiny("qwen3")
    signal_pass = SignalPass(loaded, {AttentionReceived(layers=(0,))})
    model: Any = loaded.model
    calls: list[str] = []
    model.lm_head.register_forward_hook(lambda *_: calls.append("head"))
    for layer in model.model.layers:
        layer.mlp.register_forward_hook(lambda *_: calls.append("mlp"))
    signals = signal_pass.run(TokenBatch.collate([example("a", 9)]))
    assert signals[AttentionReceived(layers=(0,))].isfinite().any()
    assert calls == []


def test_the_attention_implementation_is_restored_even_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_tiny()
    loaded.model.set_attn_implementation("eager")
    signal_pass = SignalPass(loaded, {LogProb(), AttentionReceived()})
    batch = TokenBatch.collate([example("a", 9)])
    signal_pass.run(batch)
    assert loaded.model.config._attn_implementation == "eager"

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("xtf.model.asked.predictions", fail)
    with pytest.raises(RuntimeError, match="broken"):
        signal_pass.run(batch)
    assert loaded.model.config._attn_implementation == "eager"


def test_two_passes_over_one_model_do_not_mix() -> None:
    loaded = loaded_tiny("gemma3")
    first = SignalPass(loaded, {AttentionReceived(layers=(0,))})
    second = SignalPass(loaded, {AttentionReceived(layers=(1,)), LogProb()})
    batch = TokenBatch.collate([example("a", 19)])
    before = first.run(batch)[AttentionReceived(layers=(0,))]
    other = second.run(batch)
    assert set(other) == {AttentionReceived(layers=(1,)), LogProb()}
    assert_same(first.run(batch)[AttentionReceived(layers=(0,))], before, "again")
    assert not torch.allclose(before, other[AttentionReceived(layers=(1,))], equal_nan=True)


@pytest.mark.parametrize("name", ["softcap", "sinks"])
def test_attention_with_softcap_or_sinks_equals_eager(name: str) -> None:
    shape: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 5,
        "eos_token_id": 1,
        "bos_token_id": None,
        "pad_token_id": 2,
    }
    if name == "softcap":
        model = from_config(Gemma2Config(**shape, attn_logit_softcapping=0.5, query_pre_attn_scalar=8))
    else:
        model = from_config(GptOssConfig(**shape, num_local_experts=2, num_experts_per_tok=1))
        for layer in model.model.layers:
            layer.self_attn.sinks.data.fill_(1.0)
    loaded = LoadedModel.from_objects(model, tiny_tokenizer())
    everything: set[SignalRequest] = {LogProb(), AttentionReceived(queries="all"), AttentionToPrompt(layers=(1,))}
    item = example("a", 17)
    signals = SignalPass(loaded, everything).run(TokenBatch.collate([item, example("b", 21)]))
    model.set_attn_implementation("eager")
    ids = torch.from_numpy(item.input_ids.astype(np.int64))
    output = model(ids[None], output_attentions=True, use_cache=False)
    response = torch.from_numpy(item.is_response)
    maps = torch.stack([layer[0].mean(0) for layer in output.attentions])
    log_probs = output.logits[0].log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]
    assert_same(signals[LogProb()][0, :17][response], log_probs[response[1:]], "log-probability")
    received = maps.mean(0).mean(0)[response]
    assert_same(signals[AttentionReceived(queries="all")][0, :17][response], received, "received")
    to_prompt = maps[1][:, ~response].sum(-1)[:-1][response[1:]]
    assert_same(signals[AttentionToPrompt(layers=(1,))][0, :17][response], to_prompt, "to prompt")


def test_a_model_with_logits_of_its_own_making_is_run_whole() -> None:
    model: Any = tiny_model("llama")
    plain_forward = type(model).forward

    class Odd(type(model)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = plain_forward(self, *args, **kwargs)
            output.logits = output.logits * 3.0
            return output

    item = example("a", 12)
    ids = torch.from_numpy(item.input_ids.astype(np.int64))
    expected = (3.0 * model(ids[None]).logits[0]).log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]
    model.__class__ = Odd
    loaded = LoadedModel.from_objects(model, tiny_tokenizer())
    assert Forward(loaded).head is None
    found = SignalPass(loaded, {LogProb()}).run(TokenBatch.collate([item, example("b", 15)]))[LogProb()][0, :12]
    assert_same(found[1:][item.is_response[1:]], expected[item.is_response[1:]], "log-probability")


def test_a_model_that_sees_the_future_is_refused() -> None:
    model: Any = tiny_model("gemma3")
    config = model.config
    config.use_bidirectional_attention = True
    with pytest.raises(ModelError, match="depend on later tokens"):
        SignalPass(LoadedModel.from_objects(from_config(config), tiny_tokenizer()), {LogProb()})


def test_layers_that_do_not_exist_are_named() -> None:
    with pytest.raises(ModelError, match=r"no layer 2; this model has 2, from 0 to 1"):
        SignalPass(loaded_tiny("llama"), {AttentionReceived(layers=(0, 2))})


def test_attention_out_of_reach_is_reported() -> None:
    loaded = loaded_tiny("llama")
    signal_pass = SignalPass(loaded, {AttentionReceived(layers=(1,)), LogProb()})
    model: Any = loaded.model
    model.model.layers[1].self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(ModelError, match="attention of layer 1 cannot be read"):
        signal_pass.run(TokenBatch.collate([example("a", 9)]))


def test_a_reference_with_another_vocabulary_is_refused() -> None:
    reference = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer(vocab_size=280))
    with pytest.raises(ModelError, match=r"other: the reference model reads other token ids"):
        SignalPass(loaded_tiny(), {LogProb(Reference(path="other"))}, lambda _: reference)
    with pytest.raises(ModelError, match="no way to load one"):
        SignalPass(loaded_tiny(), {LogProb(Reference(path="other"))})


def test_each_reference_is_loaded_once_and_the_base_rests_when_unasked() -> None:
    loads: list[str] = []

    def loader(reference: Reference) -> LoadedModel:
        loads.append(str(reference.path))
        return loaded_tiny(seed=1)

    base = loaded_tiny()
    signal_pass = SignalPass(base, {LogProb(Reference(path="r"))}, loader)
    calls: list[int] = []
    base.model.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(2):
        signal_pass.run(TokenBatch.collate([example("a", 9)]))
    assert loads == ["r"]
    assert calls == []


def test_bfloat16_stays_close_to_float32() -> None:
    exact = loaded_tiny("llama")
    model: Any = tiny_model("llama")
    rough = LoadedModel.from_objects(model.bfloat16(), tiny_tokenizer())
    batch = TokenBatch.collate([example("a", 23), example("b", 9)])
    wanted: set[SignalRequest] = {LogProb(), Entropy(), AttentionReceived(), AttentionToPrompt()}
    expected, found = SignalPass(exact, wanted).run(batch), SignalPass(rough, wanted).run(batch)
    for request in wanted:
        assert found[request].dtype == torch.float32
        difference = (found[request] - expected[request])[batch.is_response].abs()
        assert 0 < difference.mean() < 0.05, request


def test_a_batch_without_response_tokens_is_all_nan() -> None:
    item = example("a", 9)
    empty = TokenizedExample("a", item.input_ids, np.zeros(9, np.bool_), np.zeros(9, np.bool_))
    signals = SignalPass(loaded_tiny(), {LogProb(), AttentionReceived()}).run(TokenBatch.collate([empty]))
    assert signals[LogProb()].isnan().all()
    assert signals[AttentionReceived()].isnan().all()
