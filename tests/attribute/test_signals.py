"""Signals are plug-ins: built-in and third-party kinds keep one contract, and the engine reads them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import xtf
from tests.conftest import tiny_config
from tests.model.test_signals_brute_force import EXAMPLES
from tests.tiny import tiny_model, tiny_tokenizer
from xtf import testing
from xtf.attribute import (
    AlternativeLogProb,
    AttentionBlock,
    AttentionReceived,
    AttentionSignal,
    AttentionToPrompt,
    Continuation,
    Divergence,
    Entropy,
    GradientNorm,
    HiddenState,
    LayerReading,
    LogProb,
    LogProbAlone,
    LogRank,
    LossDerivative,
    MaxLogProb,
    PredictionSignal,
    Reference,
    SignalRequest,
    StateSignal,
    SurpriseSpread,
    Target,
    TokenEmbedding,
    TopTokens,
)
from xtf.attribute.signals.known import SIGNALS, load_signal, refuse_unknown
from xtf.errors import PluginError
from xtf.model import LoadedModel, SignalPass
from xtf.tokens import TokenBatch

Margin: Any = load_signal("margin")
"""Of ``tests/plugin_package``."""

KINDS: list[SignalRequest] = [
    LogProb(),
    LogProb(Reference(path="somewhere")),
    Entropy(),
    Entropy(top_k=3),
    SurpriseSpread(),
    LogRank(),
    MaxLogProb(),
    AlternativeLogProb(),
    GradientNorm(),
    TopTokens(3),
    Continuation(),
    Continuation(rank=2, margin=0),
    LogProbAlone(),
    Divergence(Reference(path="somewhere")),
    Divergence(Reference(path="somewhere"), under="reference"),
    HiddenState(2),
    HiddenState(0.5, -1),
    HiddenState(1, 3),
    AttentionReceived(),
    AttentionReceived((0, -1), "all"),
    AttentionToPrompt(),
    AttentionToPrompt(row="own"),
    TokenEmbedding(),
    TokenEmbedding("encoder:somewhere"),
    LossDerivative(Target(path="trusted.jsonl")),
    Margin(),
    Margin(rank=5),
]


@testing.parametrize_signals_with_checks(KINDS)
def test_contract(signal: SignalRequest, check: Any) -> None:
    check(signal)


def test_every_kind_is_covered_and_found_by_its_entry_point() -> None:
    assert {signal.name for signal in KINDS} == set(SIGNALS.points())
    assert {load_signal(signal.name) for signal in KINDS} == {type(signal) for signal in KINDS}
    assert SIGNALS.provider("margin") == "xtf-rarity 0.1.0"


def test_made_up_predictions_are_those_of_one_model() -> None:
    requests = {LogProb(), MaxLogProb(), Entropy(), SurpriseSpread(), LogRank(), TopTokens(2)}
    batch = TokenBatch.collate(testing.example_batch())
    signals = testing.make_up(requests, batch)
    own, best, rank = (signals[request][batch.is_response] for request in (LogProb(), MaxLogProb(), LogRank()))
    assert (own <= best).all()
    assert ((rank == 0) == (own == best)).all()
    assert (signals[Entropy()][batch.is_response] <= np.log(50)).all()
    first = signals[TopTokens(2)][batch.is_response]
    assert (first[:, 0] != first[:, 1]).all()
    likeliest = first[:, 0] == batch.input_ids[batch.is_response]
    assert torch.equal(likeliest, rank == 0)


def test_a_third_partys_signal_is_read_from_the_models_own_logits() -> None:
    model = tiny_model("qwen3")
    signals = SignalPass(LoadedModel.from_objects(model, tiny_tokenizer()), {Margin(3), LogProb()}).run(
        TokenBatch.collate(EXAMPLES)
    )
    for row, item in enumerate(EXAMPLES):
        logits = model(torch.from_numpy(item.input_ids.astype(np.int64))[None]).logits[0]
        best = logits.double().sort(descending=True).values
        for i in np.flatnonzero(item.is_response):
            expected = best[i - 1, 0] - best[i - 1, 2]
            assert signals[Margin(3)][row, i].item() == pytest.approx(expected.item(), abs=1e-4)


def test_a_scorer_by_it_goes_from_configuration_to_labels(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.label(xtf.score(tiny_config(tmp_path, tiny_folder, attributes={"hesitation": {}})))
    shard = next(iter(run.shards()))
    scores = shard.scores["hesitation"][shard.is_response]
    assert ((scores > 0) & (scores <= 1)).all()


def test_a_change_of_the_signals_code_scores_again(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtf.config import RunConfig
    from xtf.steps.fingerprints import attribute_fingerprint
    from xtf.steps.scorers import build_attributes

    config = RunConfig.model_validate(tiny_config(tmp_path, tiny_folder, attributes={"hesitation": {}}))
    inputs = {"data": "d", "model": "m", "seed": "0"}
    scorer = build_attributes(config)["hesitation"]
    before = attribute_fingerprint(scorer, inputs, config)
    assert attribute_fingerprint(scorer, inputs, config) == before
    real = xtf.steps.fingerprints.source_of
    monkeypatch.setattr(
        "xtf.steps.fingerprints.source_of", lambda kind: [*real(kind), *(["x"] if kind is Margin else [])]
    )
    assert attribute_fingerprint(scorer, inputs, config) != before


@dataclass(frozen=True, slots=True)
class LastKey(AttentionSignal):
    """Attention that the predicting position pays to itself."""

    name: ClassVar[str] = "last_key"
    layers: Any = "all"

    def begin(self, tokens: TokenBatch) -> LayerReading:
        return _Diagonal(tokens)


class _Diagonal(LayerReading):
    def __init__(self, tokens: TokenBatch) -> None:
        self.found = torch.zeros(tokens.input_ids.shape)

    def add(self, block: AttentionBlock) -> None:
        own = block.mean[:, :, block.queries].diagonal(dim1=1, dim2=2)
        self.found[:, block.queries] = own

    def finish(self) -> torch.Tensor:
        return self.found


@dataclass(frozen=True, slots=True)
class StateNorm(StateSignal):
    """Length of a layer's hidden state."""

    name: ClassVar[str] = "state_norm"
    layer: int | float = 1
    offset: int = 0

    def reduce(self, states: torch.Tensor) -> torch.Tensor:
        return states.square().sum(dim=-1).sqrt()


def test_kinds_of_a_notebook_read_attention_and_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtf.attribute.signals.known._registered", {})
    model: Any = tiny_model("llama")
    loaded = LoadedModel.from_objects(model, tiny_tokenizer())
    with pytest.raises(PluginError, match=r"'last_key': .*LastKey is not what is known.*xtf\.signals.*xtf\.register"):
        SignalPass(loaded, {LastKey()})
    xtf.register(LastKey)
    xtf.register(StateNorm)
    requests = {LastKey(), LastKey((1,)), StateNorm(), StateNorm(2, -1)}
    signals = SignalPass(loaded, requests, block_bytes=4 * 4 * 3 * 20).run(TokenBatch.collate(EXAMPLES))
    model.set_attn_implementation("eager")
    for row, item in enumerate(EXAMPLES):
        ids = torch.from_numpy(item.input_ids.astype(np.int64))[None]
        output = model(ids, output_attentions=True, output_hidden_states=True, use_cache=False)
        maps = torch.stack([layer[0].mean(0).diagonal() for layer in output.attentions])
        response = torch.from_numpy(item.is_response)
        for request, expected in (
            (LastKey(), maps.mean(0)),
            (LastKey((1,)), maps[1]),
            (StateNorm(), output.hidden_states[1][0].norm(dim=-1)),
        ):
            found = signals[request][row, : len(item)]
            torch.testing.assert_close(found[response], expected[response], atol=1e-5, rtol=1e-4)
            assert found[~response].isnan().all()


def wanting(**parts: Any) -> type[Any]:
    """A class of signals with the parts given."""
    return type("Wanting", (PredictionSignal,), parts)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (wanting(read=lambda self, prediction: None), "is no class of signals with a name"),
        (dataclass(frozen=True)(wanting(name="wanting")), "does not implement read"),
        (wanting(name="wanting", read=lambda self, prediction: None), "must be a frozen dataclass"),
        (dataclass(frozen=True)(type("Odd", (SignalRequest,), {"name": "odd"})), "must derive from one of Prediction"),
        (int, "is no class of signals"),
    ],
)
def test_a_kind_that_forgets_a_part_is_refused(kind: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtf.attribute.signals.known._registered", {})
    from xtf.attribute.signals.known import register_signal

    with pytest.raises(PluginError, match=says):
        register_signal(kind)


def test_an_installed_name_cannot_be_taken() -> None:
    own = dataclass(frozen=True)(wanting(name="entropy", read=lambda self, prediction: None))
    with pytest.raises(PluginError, match="already provides"):
        xtf.register(own)
    with pytest.raises(PluginError, match="not what is known"):
        refuse_unknown(own())


def test_a_signal_of_the_wrong_length_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Margin, "read", lambda self, prediction: prediction.logits[:, 0][:1])
    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    with pytest.raises(PluginError, match=r"signal 'margin': read.* one entry for each"):
        SignalPass(loaded, {Margin()}).run(TokenBatch.collate(EXAMPLES))
