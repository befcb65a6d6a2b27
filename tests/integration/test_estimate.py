"""The forecast of a run against the run itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import xtf
from tests.architectures import architecture
from tests.conftest import Cli, chat_rows, tiny_config, write_config
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import ConfigError
from xtf.model.trial import Cost, kept_bytes
from xtf.steps import estimating

TRAINING = {"arms": ["base", "full", "xtf"], "epochs": 2, "batch_size": 5, "gradient_accumulation": 2, "seeds": [0, 1]}
FOLDERS = ("tokens", "scores", "labels", "model")
ARRAY = {"lora": "adapter_model.safetensors", "full": "model.safetensors"}


def weightless(folder: Path, name: str = "llama") -> Path:
    """A model folder without its weights."""
    architecture(name).save_pretrained(str(folder))
    tiny_tokenizer().save_pretrained(str(folder))
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("method", ["lora", "full"])
def test_counts_are_those_of_the_run(tmp_path: Path, tiny_folder: Path, method: str) -> None:
    training = {**TRAINING, "method": method}
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), training=training)
    forecast = xtf.estimate(config)
    assert forecast["time_from"] == "trial"
    assert min(forecast["scoring"]["seconds"], forecast["training"]["seconds"]) > 0

    run = xtf.label(xtf.score({**config, "model": {"path": str(tiny_folder)}}))
    arms = xtf.train(run)["arms"]
    shards = list(run.shards())
    assert forecast["data"]["examples"] == sum(map(len, shards)) == 12
    lengths = [len(shard.example(index).input_ids) for shard in shards for index in range(len(shard))]
    assert (forecast["data"]["tokens"], forecast["data"]["longest"]) == (sum(lengths), max(lengths))
    assert forecast["data"]["response_tokens"] == sum(int(shard.is_response.sum()) for shard in shards)
    assert forecast["model"]["parameters"] == sum(parameter.numel() for parameter in tiny_model().parameters())
    found = forecast["training"]
    assert (found["trainings"], {found["updates"]}) == (4, {arm["steps"] for arm in arms if arm["arm"] != "base"})
    saved = load_file(run.path / "model/full-seed0/model" / ARRAY[method])
    assert found["trained_parameters"] == sum(tensor.numel() for tensor in saved.values())
    assert found["memory"]["optimiser (AdamW)"] == 2 * 4 * found["trained_parameters"]
    disk = {folder: sum(f.stat().st_size for f in (run.path / folder).rglob("*") if f.is_file()) for folder in FOLDERS}
    assert forecast["disk"]["tokens"] == disk["tokens"]
    assert forecast["disk"] == pytest.approx(disk, rel=0.2)


def test_a_stated_throughput_takes_the_place_of_the_trial(tmp_path: Path) -> None:
    model = weightless(tmp_path / "model")
    config = tiny_config(tmp_path, model, attributes={"entropy": {}}, training=TRAINING)
    forecast = xtf.estimate(config, throughput=50.0)
    tokens = forecast["data"]["tokens"]
    assert forecast["scoring"]["passes"] == {"the base model": 1.0}
    assert forecast["scoring"]["seconds"] == pytest.approx(tokens / 50)
    assert forecast["training"]["seconds"] == pytest.approx(4 * 2 * tokens * 3 / 50)
    again = {**config, "training": {**TRAINING, "gradient_checkpointing": True}}
    assert xtf.estimate(again, throughput=50.0)["training"]["seconds"] == pytest.approx(4 * 2 * tokens * 4 / 50)
    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="throughput: expected tokens a second"):
            xtf.estimate(config, throughput=wrong)


def test_references_derivatives_and_fitting_are_counted_as_passes(tmp_path: Path) -> None:
    other = weightless(tmp_path / "other", "gpt2")
    attributes: dict[str, dict[str, object]] = {
        "influence": {"target": {"share": 0.5}, "method": "gradient"},
        "novelty": {"attribute": "knowledge_novelty", "reference": {"path": str(other)}},
        "label_quality": {"examples": 6},
    }
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), attributes=attributes)
    scoring = xtf.estimate(config, throughput=1.0)["scoring"]
    assert scoring["memory"]["reference models"] == 4 * sum(p.numel() for p in architecture("gpt2").parameters())
    passes = scoring["passes"]
    assert passes.pop("fitting label_quality") == 6 * 6 / 12  # each of six examples once, and five copies of it
    assert passes.pop("the derivative along the last 50% of the data") > 2  # which reads the base as well
    assert passes == {str(other): 1.0}
    attributes["influence"]["mode"] = "finite"
    passes = xtf.estimate(config, throughput=1.0)["scoring"]["passes"]
    assert {name: passes[name] for name in ("the base model", str(other))} == {"the base model": 1.0, str(other): 1.0}


def test_answers_that_are_written_are_counted_as_what_is_read_and_written(tmp_path: Path) -> None:
    attributes = {"critical_token": {"alternatives": 2, "margin": 5}}
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), chat_rows(1), attributes=attributes)
    found = xtf.estimate(config, throughput=1.0)
    tokens, written = found["data"]["tokens"], found["data"]["response_tokens"]
    passes = found["scoring"]["passes"]
    assert passes.pop("an answer written in place of each token") == pytest.approx(2 * written * (tokens + 5) / tokens)
    assert passes == {"the base model": 1.0}
    assert (
        found["scoring"]["memory"]["answers being written"] == 4096 * 2 * 2 * 2 * 8 * 4
    )  # layers, heads, width, bytes


def test_long_data_is_counted_from_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), chat_rows(30), attributes={"entropy": {}})
    exact = xtf.estimate(config, throughput=1.0)["data"]
    monkeypatch.setattr(estimating, "SAMPLE", 9)
    sampled = xtf.estimate(config, throughput=1.0)["data"]
    assert (sampled["tokenised"], sampled["examples"]) == (9, exact["examples"])
    assert sampled["tokens"] == pytest.approx(exact["tokens"], rel=0.2)
    assert xtf.estimate({**config, "data": {**config["data"], "limit": 20}}, throughput=1.0)["data"]["examples"] == 20


def test_what_would_make_it_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), attributes={"entropy": {}}, training=TRAINING)
    config |= {"training": {**TRAINING, "dtype": "float32"}, "scoring": {"tokens_per_batch": 64}}
    path = write_config(tmp_path / "config.yaml", config)
    monkeypatch.setattr(estimating, "own_memory", lambda device: 0)
    monkeypatch.setattr(estimating, "memory_at_hand", lambda device: 1 << 40)
    roomy = xtf.estimate(config, throughput=1.0)
    assert (roomy["fits"], roomy["would_fit"]) == ({"scoring": True, "training": True}, [])
    assert "It fits: 1024.00 GiB at hand" in cli("estimate", path, "--throughput", "1").out

    needed = sum(roomy["training"]["memory"].values())
    monkeypatch.setattr(estimating, "memory_at_hand", lambda device: needed - 1)
    forecast = xtf.estimate(config, throughput=1.0)
    assert forecast["fits"]["training"] is False
    *_, last = forecast["would_fit"]
    assert last["fits"]
    assert last["set"][0] == "training.gradient_checkpointing=true"
    shown = cli("estimate", path, "--throughput", "1").out
    assert "It does not fit: training need" in shown
    settings = [one for step in last["set"] for one in step.split()]
    assert " ".join(f"--set {one}" for one in settings) in shown
    outcome = cli(
        "estimate", path, "--throughput", "1", "--json", *(part for one in settings for part in ("--set", one))
    )
    assert json.loads(outcome.out)["fits"] == {"scoring": True, "training": True}

    monkeypatch.setattr(estimating, "memory_at_hand", lambda device: 1)
    assert "No setting makes it fit here" in cli("estimate", path, "--throughput", "1").out


def test_a_model_larger_than_the_memory_is_scored_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    config = tiny_config(tmp_path, weightless(tmp_path / "model"), attributes={"entropy": {}})
    config["scoring"] = {"tokens_per_batch": 64}
    config["model"] |= {"dtype": "bfloat16", "quantization": "4bit"}  # nothing lighter in memory
    path = write_config(tmp_path / "config.yaml", config)
    monkeypatch.setattr(estimating, "own_memory", lambda device: 0)
    whole = xtf.estimate(config, throughput=1.0)["scoring"]
    assert whole["read_for_every_batch"] == 0
    weights = whole["memory"]["weights"]
    room = sum(whole["memory"].values()) - weights + 300 * 32 * 2  # the embeddings, its largest matrix
    monkeypatch.setattr(estimating, "memory_at_hand", lambda device: room)
    *_, last = xtf.estimate(config, throughput=1.0)["would_fit"]
    assert last["fits"]
    assert last["set"][-1] == "model.device=auto model.device_map=auto"

    shown = cli("estimate", path, "--throughput", "1", "--set", "model.device_map=auto").out
    assert "It fits" in shown
    assert "of the weights stay on disk" in shown
    spread = xtf.estimate({**config, "model": {**config["model"], "device_map": "auto"}}, throughput=1.0)["scoring"]
    assert spread["read_for_every_batch"] == weights - 300 * 32 * 2
    monkeypatch.setattr(estimating, "memory_at_hand", lambda device: room - 1)
    assert "No setting makes it fit here" in cli("estimate", path, "--throughput", "1").out


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "qwen3_moe", "bamba"])
def test_architectures_are_tried_or_said_not_to_be(tmp_path: Path, name: str) -> None:
    config = tiny_config(tmp_path, weightless(tmp_path / "model", name), attributes={"entropy": {}}, training=TRAINING)
    forecast = xtf.estimate(config)
    assert forecast["model"]["parameters"] == sum(parameter.numel() for parameter in architecture(name).parameters())
    assert forecast["time_from"] == "trial" or "state a throughput" in forecast["time_from"]
    assert (forecast["scoring"]["seconds"] is None) == (forecast["time_from"] != "trial")


def test_bytes_kept_for_the_backward_pass_are_those_of_distinct_tensors() -> None:
    layer = torch.nn.Linear(8, 16)
    inputs = torch.randn(4, 8, requires_grad=True)

    def loss() -> torch.Tensor:
        total: torch.Tensor = (
            layer(inputs).exp().square().sum()
        )  # keeps the inputs, exp's result (twice), and the weights
        return total

    assert kept_bytes(layer, loss) == 4 * (4 * 8 + 4 * 16)


def test_a_cost_grows_with_the_layers() -> None:
    assert Cost.of(5.0, 7.0, 2).total(10) == 3.0 + 10 * 2.0
    assert Cost.of(5.0, 13.0, 5).total(10) == 3.0 + 10 * 2.0
