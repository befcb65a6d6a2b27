"""Re-scoring in training: the same losses and weights as loops in plain PyTorch, wherever they are interrupted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file

import xtf
from tests.conftest import Cli, chat_rows, tiny_config, write_config
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.attribute import registry
from xtf.errors import ConfigError
from xtf.runs import RunReader
from xtf.steps.labellings import labellings
from xtf.steps.preparing import Given
from xtf.steps.rescoring import RescoredLabels, Rescorer, current_signals, why_not_rescored
from xtf.steps.training import loaded_model
from xtf.tokens import FloatArray, TokenizedExample
from xtf.training.rescoring import RescoringTrainer

RATE = 1e-3
KEEP = 0.6
TRAINING = {
    "arms": ["xtf"],
    "learning_rate": RATE,
    "schedule": "constant",
    "warmup_ratio": 0.0,
    "max_grad_norm": None,
    "lora": {"r": 2, "alpha": 4},
    "epochs": 2,
}

Weigh = Callable[[Any, Sequence[TokenizedExample]], list[FloatArray]]


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny model with the same tokenizer."""
    folder = tmp_path_factory.mktemp("other")
    tiny_model(seed=1).save_pretrained(str(folder))
    tiny_tokenizer().save_pretrained(str(folder))
    return folder


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Which rows were labelled anew, block by block."""
    seen: list[list[int]] = []
    label = RescoredLabels.label

    def recorded(self: RescoredLabels, model: Any, places: Sequence[int]) -> Any:
        seen.append(list(places))
        return label(self, model, places)

    monkeypatch.setattr(RescoredLabels, "label", recorded)
    return seen


def dft_config(folder: Path, model: Path, **training: Any) -> dict[str, Any]:
    settings = {**TRAINING, "objective": "weight", **training}
    config = tiny_config(folder, model, chat_rows(6), attributes={"dft": {}}, training=settings)
    return {**config, "combine": {"weight_by": "dft"}}


def rho_config(folder: Path, model: Path, other: Path, **training: Any) -> dict[str, Any]:
    return tiny_config(
        folder,
        model,
        chat_rows(6),
        attributes={"influence": {"reference": {"path": str(other)}}},
        thresholds={"influence": {"kind": "top_share", "keep": KEEP, "scope": "dataset"}},
        training={**TRAINING, **training},
    )


def cross_entropy(model: Any, example: TokenizedExample) -> torch.Tensor:
    """``(seq,)`` loss of each token, 0 at position 0."""
    ids = torch.from_numpy(example.input_ids.astype(np.int64))[None]
    found = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none")
    return torch.cat([torch.zeros(1), found])


def probabilities(model: Any, examples: Sequence[TokenizedExample]) -> list[FloatArray]:
    """The weights of DFT: the probability of each response token."""
    with torch.no_grad():
        return [np.exp(-cross_entropy(model, one).numpy()) * one.is_response for one in examples]


def best_of(reference: Any) -> Weigh:
    """The weights of Rho-1: 1 for the tokens of all rows together whose excess loss is among the highest."""

    def weigh(model: Any, examples: Sequence[TokenizedExample]) -> list[FloatArray]:
        with torch.no_grad():
            excess = [(cross_entropy(model, one) - cross_entropy(reference, one)).numpy() for one in examples]
        ranked = [one.is_response & ~one.is_protected for one in examples]
        everything = np.sort(np.concatenate([e[where] for e, where in zip(excess, ranked, strict=True)]))
        cut = everything[int((1 - KEEP) * len(everything) + 1e-9)]
        weights = []
        for one, own, where in zip(examples, excess, ranked, strict=True):
            kept = where & (own >= cut)
            weights.append(((kept | one.is_protected) if kept.any() else np.zeros(len(one), bool)).astype(np.float32))
        return weights

    return weigh


def train_by_hand(
    model: Any,
    examples: Sequence[TokenizedExample],
    blocks: Sequence[Sequence[int]],
    rows_an_update: int,
    weigh: Weigh,
    by_weights: bool,
) -> list[float]:
    """Weigh each block by the model as it is, then learn it, so many rows an update; returns the losses."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    losses = []
    for block in blocks:
        rows = [examples[place] for place in block]
        weights = weigh(model, rows)
        for first in range(0, len(rows), rows_an_update):
            part = slice(first, first + rows_an_update)
            summed = torch.zeros(())
            for row, weight in zip(rows[part], weights[part], strict=True):
                summed = summed + (torch.from_numpy(weight) * cross_entropy(model, row)).sum()
            counted = weights[part] if by_weights else [row.is_response for row in rows[part]]
            loss = summed / float(sum(float(one.sum()) for one in counted))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
    return losses


def in_training_by_hand(method: str) -> Any:
    model: Any = tiny_model()
    if method == "full":
        return model.requires_grad_(True)
    torch.manual_seed(0)
    settings = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, lora_dropout=0.0, target_modules="all-linear")
    with warnings.catch_warnings():  # peft asks transformers for a name that it is about to drop
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, settings)


def saved(run: RunReader) -> dict[str, torch.Tensor]:
    return dict(load_file(next((run.path / "model/xtf-seed0/model").glob("*model.safetensors"))))


def assert_same_training(run: RunReader, model: Any, losses: Sequence[float]) -> None:
    assert run.metrics["arms"][0]["train_losses"][0] == pytest.approx(losses, abs=1e-5)
    expected = get_peft_model_state_dict(model) if hasattr(model, "peft_config") else model.state_dict()
    found = saved(run)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], atol=1e-5), name


def first_examples(run: RunReader) -> Sequence[TokenizedExample]:
    return labellings(run, {})[0]


CASES = [("full", 2, 1, 1), ("full", 1, 2, 2), ("lora", 2, 3, 1), ("lora", 2, 1, 2)]
"""Method, batch size, batches in an update, updates in a block."""


@pytest.mark.parametrize(("method", "batch", "accumulation", "steps"), CASES)
def test_dft_is_weighed_anew_as_by_hand(
    tmp_path: Path, tiny_folder: Path, blocks: list[list[int]], method: str, batch: int, accumulation: int, steps: int
) -> None:
    settings = {"method": method, "batch_size": batch, "gradient_accumulation": accumulation, "rescore_steps": steps}
    run = xtf.run(dft_config(tmp_path, tiny_folder, **settings))
    rows = batch * accumulation
    a_pass = [min(steps * rows, 6 - first) for first in range(0, 6, steps * rows)]
    assert [len(block) for block in blocks] == a_pass * 2
    model = in_training_by_hand(method)
    losses = train_by_hand(model, first_examples(run), blocks, rows, probabilities, by_weights=False)
    assert_same_training(run, model, losses)
    assert run.metrics["rescoring"] == {"attributes": ["dft"], "kept": {}}


@pytest.mark.parametrize(("method", "batch", "accumulation", "steps"), CASES)
def test_rho_ranks_the_tokens_of_a_batch_as_by_hand(
    tmp_path: Path,
    tiny_folder: Path,
    other_folder: Path,
    blocks: list[list[int]],
    method: str,
    batch: int,
    accumulation: int,
    steps: int,
) -> None:
    settings = {"method": method, "batch_size": batch, "gradient_accumulation": accumulation, "rescore_steps": steps}
    run = xtf.run(rho_config(tmp_path, tiny_folder, other_folder, **settings))
    model = in_training_by_hand(method)
    weigh = best_of(tiny_model(seed=1))
    losses = train_by_hand(model, first_examples(run), blocks, batch * accumulation, weigh, by_weights=True)
    assert_same_training(run, model, losses)
    assert run.metrics["arms"][0]["mask_share"] == pytest.approx(1 - KEEP, abs=0.1)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("interrupt_at", [2, 5])
def test_resuming_within_a_block_equals_never_having_stopped(
    tmp_path: Path,
    tiny_folder: Path,
    blocks: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    interrupt_at: int,
) -> None:
    settings = {
        "method": method,
        "batch_size": 1,
        "rescore_steps": 4,
        "save_steps": 1,
        "lora": {"r": 2, "alpha": 4, "dropout": 0.2},
    }
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = xtf.run(dft_config(tmp_path / "whole", tiny_folder, **settings))
    uninterrupted = list(blocks)
    config = dft_config(tmp_path / "parts", tiny_folder, **settings)
    step = RescoringTrainer.training_step

    def interrupted(self: RescoringTrainer, *given: Any) -> torch.Tensor:
        if self.state.global_step == interrupt_at:
            raise KeyboardInterrupt
        return step(self, *given)

    blocks.clear()
    with monkeypatch.context() as patched:
        patched.setattr(RescoringTrainer, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            xtf.run(config)
    resumed = xtf.run(config)
    assert blocks == uninterrupted, "a block that was begun is not labelled again"
    assert resumed.metrics["arms"][0]["train_losses"] == whole.metrics["arms"][0]["train_losses"]
    assert resumed.metrics["arms"][0]["tokens_kept"] == whole.metrics["arms"][0]["tokens_kept"]
    expected = saved(whole)
    for name, value in saved(resumed).items():
        assert torch.equal(value, expected[name]), name


def test_what_each_scorer_reads_of_the_model_in_training(tmp_path: Path, tiny_folder: Path) -> None:
    attributes = {
        "ss_token": {"current": {"in_training": True}, "gamma": 1.0},
        "talr": {},
        "random": {},
        "task_relevance": {},
    }
    thresholds = {"talr": {"kind": "below", "cut": 0.5}}
    training = {**TRAINING, "rescore_steps": 1}
    raw = tiny_config(
        tmp_path, tiny_folder, chat_rows(6), attributes=attributes, thresholds=thresholds, training=training
    )
    run = xtf.label(xtf.score(raw))
    examples = first_examples(run)
    rescorer = Rescorer(run, run.config, examples, loaded_model(run.config, Given()))
    assert list(rescorer.scorers) == ["ss_token", "talr"]
    assert list(rescorer.kept) == ["random", "task_relevance"]
    rescorer.labels_of(run.rules)
    rescorer.prepare()
    base, model, places = tiny_model(), tiny_model(seed=2), [4, 1, 3]
    shard = rescorer.scores(model, places, list(attributes))
    rows = [examples[place] for place in places]
    with torch.no_grad():
        now = [cross_entropy(model, row).numpy()[row.is_response] for row in rows]
        before = [cross_entropy(base, row).numpy()[row.is_response] for row in rows]
    progress = [b - n for b, n in zip(before, now, strict=True)]
    scaled = np.concatenate([(one - one.min()) / (one.max() - one.min()) for one in progress])
    np.testing.assert_allclose(shard.scores["ss_token"][shard.is_response], scaled, atol=1e-4)
    weights = np.maximum(np.exp(-np.concatenate(now) / np.median([one.mean() for one in now])), 0.01)
    np.testing.assert_allclose(shard.scores["talr"][shard.is_response], weights, atol=1e-4)
    (first,) = run.shards(["random"])
    expected = np.concatenate([first.example(place).scores["random"] for place in places])
    np.testing.assert_array_equal(shard.scores["random"], expected)


@pytest.mark.parametrize("name", ["ss_token", "clipping"])
def test_the_model_as_it_was_is_not_the_one_in_training(name: str) -> None:
    as_it_is = registry.build(name, {"current": "somewhere"})
    assert not current_signals(registry.build("loss_trajectory", {})), "the first of its stops is the base"
    assert "none of them {in_training: true}" in str(why_not_rescored(as_it_is))
    followed = registry.build(name, {"current": {"in_training": True}})
    assert why_not_rescored(followed) is None
    assert {request.reference is None for request in followed.requires() - current_signals(followed)} == {True}
    assert type(followed).rescores, "people are told that its scores are frozen"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"strategy": "self_evolving", "attributes": {"influence": {}}},
            "training.rescore_steps: not with strategy self_evolving",
        ),
        (
            {"attributes": {"ss_token": {"current": {"in_training": True}}}, "training": {}},
            "attributes.ss_token: in_training is the model that training.rescore_steps scores with",
        ),
        (
            {"attributes": {"influence": {"reference": {"in_training": True, "share": 0.2}}}},
            "got share with in_training",
        ),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path: Path, tiny_folder: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        xtf.load_config(tiny_config(tmp_path, tiny_folder, **{"training": {"rescore_steps": 1}, **more}))


def test_attributes_that_nothing_can_score_anew_are_refused(tmp_path: Path, tiny_folder: Path) -> None:
    raw = tiny_config(tmp_path, tiny_folder, attributes={"random": {}}, training={"rescore_steps": 1})
    with pytest.raises(ConfigError, match="no attribute that decides can be scored anew: random reads nothing of"):
        xtf.run(raw)


def test_frozen_scores_are_said_to_be_so_once(tmp_path: Path, tiny_folder: Path, cli: Cli) -> None:
    frozen = "frozen at the base"
    assert "set training.rescore_steps: 1" in cli("attributes", "dft").out
    assert frozen not in cli("attributes", "knowledge_novelty").out
    config = write_config(tmp_path / "config.yaml", dft_config(tmp_path, tiny_folder))
    for command in ("score", "run"):
        assert cli(command, config).out.count(f"{frozen}: dft;") == 1
    assert frozen not in cli("run", config, "--set", "training.rescore_steps=1").out
