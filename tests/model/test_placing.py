"""Models spread over host memory and disk by accelerate: the same scores; what needs whole weights is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from tests.architectures import architecture
from tests.conftest import chat_rows, tiny_config
from tests.model.test_signals import REQUESTS, assert_same, example
from tests.tiny import tiny_tokenizer
from tests.training.test_trainer import train
from xtf.attribute import GradientNorm, HiddenState, LogProbAlone, LossDerivative, SignalRequest, Target, TokenEmbedding
from xtf.config import ModelConfig, RunConfig
from xtf.errors import ModelError
from xtf.model import LoadedModel, SignalPass, load_model
from xtf.model.adapters import Adapters
from xtf.model.placing import is_spread
from xtf.steps.preparing import Given
from xtf.steps.training import loaded_model
from xtf.tokens import TokenBatch

ASKED: frozenset[SignalRequest] = REQUESTS | {
    GradientNorm(),
    HiddenState(2),
    LogProbAlone(),
    TokenEmbedding("input"),
}
AROUND = {"model.embed_tokens": "disk", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "disk"}
LAYERS = {"model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "disk"}
MAPS: dict[str, Any] = {
    "gemma3": {**AROUND, **LAYERS},
    "qwen3_moe": {**AROUND, **LAYERS},
    "gpt2": {"": "disk"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models on disk, each with its tokenizer."""
    found = {}
    for kind in MAPS:
        found[kind] = tmp_path_factory.mktemp(kind)
        architecture(kind).save_pretrained(found[kind])
        tiny_tokenizer().save_pretrained(found[kind])
    return found


@pytest.mark.parametrize(("kind", "dtype"), [("gemma3", "bfloat16"), ("qwen3_moe", "float32"), ("gpt2", "float32")])
def test_a_spread_model_has_the_signals_of_a_whole_one(kind: str, dtype: Any, folders: dict[str, Path]) -> None:
    batch = TokenBatch.collate([example("a", 23), example("b", 9)])
    plain = ModelConfig(path=str(folders[kind]), dtype=dtype)
    spread = load_model(plain.model_copy(update={"device_map": MAPS[kind]}))
    assert is_spread(spread.model)
    whole = load_model(plain)
    assert spread.fingerprint == whole.fingerprint
    found, expected = (SignalPass(loaded, ASKED).run(batch) for loaded in (spread, whole))
    for request in ASKED:
        assert_same(found[request], expected[request], request)


def test_what_exceeds_the_memory_is_read_from_disk(tiny_folder: Path) -> None:
    model: Any = load_model(ModelConfig(path=str(tiny_folder), device_map="auto", max_memory={"cpu": "110KB"})).model
    assert set(model.hf_device_map.values()) == {"cpu", "disk"}
    assert not is_spread(load_model(ModelConfig(path=str(tiny_folder), device_map="auto")).model)


def test_training_derivatives_and_adapters_are_refused_by_name(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, chat_rows(2), training={"arms": ["base"]})
    config["model"]["device_map"] = {"": "disk"}
    with pytest.raises(ModelError, match=r"training needs all weights on one device.*model\.device_map"):
        loaded_model(RunConfig(**config), Given())
    loaded = load_model(RunConfig(**config).model)
    with pytest.raises(ModelError, match="training needs all weights"):
        train(tmp_path / "trained", model=loaded.model)
    derivative = LossDerivative(Target(path="t.jsonl"))
    with pytest.raises(ModelError, match="influence by derivative needs all weights on one device"):
        SignalPass(loaded, {derivative})
    with pytest.raises(ModelError, match="an adapter needs all weights"):
        Adapters(loaded).fresh(2, 0)


def test_a_spread_object_cannot_be_told_from_others(folders: dict[str, Path]) -> None:
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(folders["gpt2"], device_map={"": "disk"})
    with pytest.raises(ModelError, match="cannot be told from others"):
        LoadedModel.from_objects(model, tiny_tokenizer())
    assert LoadedModel.from_objects(model, tiny_tokenizer(), "f").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"device_map": "auto", "device": "cpu"}, "device_map decides this"),
        ({"max_memory": {"cpu": "1GB"}}, "says nothing without device_map"),
        ({"device_map": "everywhere"}, "balanced_low_0"),
        ({"device_map": {"lm_head": "tape"}}, "disk"),
    ],
)
def test_places_that_contradict_each_other_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ModelConfig(path="m", **given)


def test_a_map_that_leaves_weights_out_is_named(folders: dict[str, Path]) -> None:
    config = ModelConfig(path=str(folders["gemma3"]), device_map={"model.layers.0": "cpu", "lm_head": "disk"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(config)
