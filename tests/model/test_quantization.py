"""Weights in 8 and 4 bits: scores are what transformers computes with them; what needs whole weights is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import xtf
from tests.conftest import chat_rows, tiny_config
from xtf.config import ModelConfig
from xtf.errors import ConfigError, ModelError, RunError
from xtf.model import load_model, model_fingerprint
from xtf.model.outline import outline

KINDS = ("8bit", "4bit")
TRAINING = {"arms": ["xtf"], "max_steps": 2, "batch_size": 2, "lora": {"r": 2}, "learning_rate": 0.01}


def config(folder: Path, model: Path, kind: str, **more: Any) -> dict[str, Any]:
    rows = chat_rows(4)
    return {
        **tiny_config(folder, model, rows, attributes={"knowledge_novelty": {}, "random": {}}, **more),
        "model": {"path": str(model), "dtype": "float32", "quantization": kind},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_model_that_transformers_quantises(
    kind: str, tmp_path: Path, tiny_folder: Path, recwarn: pytest.WarningsRecorder
) -> None:
    run = xtf.score(config(tmp_path, tiny_folder, kind))
    make: Any = BitsAndBytesConfig
    settings = make(
        load_in_8bit=kind == "8bit",
        llm_int8_threshold=0.0,
        load_in_4bit=kind == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(tiny_folder, quantization_config=settings, device_map={"": "cpu"}).eval()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # on such CPUs it cannot multiply by weights as narrow as these
    whole = auto.from_pretrained(tiny_folder).eval()
    for shard in run.shards():
        found = shard.scores["knowledge_novelty"]
        for first, end in zip(shard.offsets, shard.offsets[1:], strict=False):
            ids = torch.from_numpy(shard.input_ids[first:end].astype("int64"))[None]
            with torch.no_grad():
                expected, unlike = (
                    1 - m(input_ids=ids).logits[0, :-1].float().softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
                    for m in (model, whole)
                )
            own = shard.is_response[first:end][1:]
            np.testing.assert_allclose(found[first:end][1:][own], expected[own], rtol=0, atol=5e-3)
            assert (expected - unlike)[own].abs().max() > 1e-4


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # PEFT's, of transformers
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_trained_on_quantised_weights_and_loads_on_whole_ones(
    kind: str, tmp_path: Path, tiny_folder: Path
) -> None:
    raw = config(tmp_path, tiny_folder, kind, training={**TRAINING, "gradient_checkpointing": True})
    run = xtf.label(xtf.score(raw))
    loaded = load_model(ModelConfig.model_validate(raw["model"]))
    before = [parameter.clone() for parameter in loaded.model.parameters()]
    metrics = xtf.train(run, model=loaded.model, tokenizer=loaded.tokenizer)
    assert metrics["arms"][0]["steps"] == 2
    for now, former in zip(loaded.model.parameters(), before, strict=True):
        assert torch.equal(now, former)
    auto: Any = AutoModelForCausalLM
    adapted = PeftModel.from_pretrained(auto.from_pretrained(tiny_folder), run.path / "model" / "xtf-seed0" / "model")
    weights = dict(adapted.named_parameters())
    trained = [one for name, one in weights.items() if "lora_B" in name]
    assert trained
    assert all(one.abs().sum() > 0 for one in trained)


def test_another_quantization_is_another_model(tmp_path: Path, tiny_folder: Path) -> None:
    prints = {
        model_fingerprint(ModelConfig(path=str(tiny_folder), quantization=kind)) for kind in ("none", "8bit", "4bit")
    }
    assert len(prints) == 3
    xtf.score(config(tmp_path, tiny_folder, "8bit"))
    with pytest.raises(RunError, match="changed: model"):
        xtf.score(config(tmp_path, tiny_folder, "4bit"))


def test_a_reference_is_trained_on_quantised_weights(tmp_path: Path, tiny_folder: Path) -> None:
    raw = config(tmp_path, tiny_folder, "4bit")
    raw["attributes"] = {"influence": {"method": "reference", "reference": {"share": 0.5, "epochs": 1, "r": 2}}}
    (shard,) = xtf.score(raw).shards()
    assert np.isfinite(shard.scores["influence"][shard.is_response]).all()


def test_what_needs_whole_weights_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    raw = config(tmp_path, tiny_folder, "8bit")
    with pytest.raises(ConfigError, match=r"training\.method: full trains all weights"):
        xtf.load_config({**raw, "training": {"method": "full"}})
    with pytest.raises(ConfigError, match=r"strategy\.adapters: merge"):
        xtf.load_config({**raw, "training": {}, "strategy": {"kind": "self_evolving", "adapters": "merge"}})
    with pytest.raises(ModelError, match="derivative of a loss needs weights that are not quantised"):
        xtf.score({**raw, "attributes": {"influence": {"method": "gradient"}}})
    loaded = load_model(ModelConfig.model_validate(raw["model"]))
    raw["model"]["quantization"] = "none"  # the object that is given is quantised all the same
    run = xtf.label(xtf.score(raw, model=loaded.model, tokenizer=loaded.tokenizer, overwrite=True))
    with pytest.raises(ModelError, match=r"training\.method: full needs weights that are not quantised"):
        xtf.train(run, ["training={method: full, arms: [xtf]}"], model=loaded.model, tokenizer=loaded.tokenizer)


def test_without_bitsandbytes_it_says_what_to_install(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "bitsandbytes" else find(name, *more)
    )
    with pytest.raises(ModelError, match=r"pip install 'xtf-tokens\[quantization\]'"):
        xtf.score(config(tmp_path, tiny_folder, "4bit"))


def test_an_adapter_is_not_merged_into_codes(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.label(xtf.score(config(tmp_path, tiny_folder, "none", training=TRAINING)))
    xtf.train(run)
    adapter = run.path / "model" / "xtf-seed0" / "model"
    with pytest.raises(ModelError, match="an adapter, which would be merged"):
        load_model(ModelConfig(path=str(adapter), quantization="8bit"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_forecast_knows_the_bytes_of_codes(kind: Any, tiny_folder: Path) -> None:
    model: Any = load_model(ModelConfig(path=str(tiny_folder), dtype="float32", quantization=kind)).model
    said = outline(ModelConfig(path=str(tiny_folder), dtype="float32", quantization=kind)).weight_bytes(4)
    held = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    assert 1.0 <= said / held < 1.01


def test_codes_are_not_packed_anew_for_products_without_gradient(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    model: Any = load_model(ModelConfig(path=str(tiny_folder), dtype="float32", quantization="4bit")).model
    found = [module.support_avx512bf16_for_cpu for module in model.modules() if type(module).__name__ == "Linear4bit"]
    assert found
    assert not any(found)
