"""Weights in TRL: one update has the gradients of our own trainer and of a computation by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from trl import pack_dataset

from tests.conftest import run_module
from tests.integrations.weighted import (
    LENGTHS,
    apart,
    by_hand,
    by_our_trainer,
    by_trl,
    dataset_of,
    model_to_train,
    sft_config,
    weighted_rows,
)
from tests.tiny import tiny_tokenizer
from xtf.errors import ConfigError, DataError
from xtf.integrations.trl import WeightedCollator, WeightedSFTTrainer
from xtf.training import TrainingRow

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for it
ROWS = weighted_rows()
ALL = len(ROWS)
SETTINGS: dict[str, dict[str, Any]] = {
    "padded": {"per_device_train_batch_size": ALL},
    "multiple": {"per_device_train_batch_size": ALL, "pad_to_multiple_of": 8},
    "accumulated": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    "uneven": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3},
    "padding-free": {"per_device_train_batch_size": ALL, "padding_free": True},
    "padding-free in parts": {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "padding_free": True,
    },
    "bfd": {"packing": True, "max_length": 40, "per_device_train_batch_size": ALL},
    "bfd in parts": {
        "packing": True,
        "max_length": 40,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
    },
    "checkpointing": {"per_device_train_batch_size": ALL, "activation_checkpointing": True},
    "long enough": {"per_device_train_batch_size": ALL, "max_length": max(LENGTHS)},
    "shuffled": {"per_device_train_batch_size": ALL, "shuffle_dataset": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_update_has_our_trainers_gradients(name: str, tmp_path: Path) -> None:
    ours = by_our_trainer(tmp_path, ROWS)
    assert apart(ours.found, by_hand(ROWS)) < 1e-6
    theirs = by_trl(tmp_path, dataset_of(ROWS), **SETTINGS[name])
    assert apart(theirs.found, ours.found) < 1e-6
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)


@pytest.mark.parametrize("kind", ["qwen3", "gemma3", "gpt2"])
def test_other_architectures(kind: str, tmp_path: Path) -> None:
    theirs = by_trl(tmp_path, dataset_of(ROWS), model_to_train(kind), per_device_train_batch_size=ALL)
    assert apart(theirs.found, by_our_trainer(tmp_path, ROWS, model_to_train(kind)).found) < 1e-6
    assert apart(theirs.found, by_hand(ROWS, model_to_train(kind))) < 1e-6


def lora(rank: int = 4) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=8, target_modules="all-linear", lora_dropout=0.0)


def adapted() -> Any:
    """A model with adapters that already do something, so that all of them have gradients."""
    torch.manual_seed(0)
    model: Any = get_peft_model(model_to_train(), lora())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 0.1)
    return model


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora(checkpointing: bool, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"per_device_train_batch_size": ALL, "activation_checkpointing": checkpointing}
    theirs = by_trl(tmp_path, dataset_of(ROWS), adapted(), **settings).found
    assert apart(theirs, by_our_trainer(tmp_path, ROWS, adapted()).found) < 1e-6
    assert apart(theirs, by_hand(ROWS, adapted())) < 1e-6


def test_lora_made_by_the_trainer(tmp_path: Path) -> None:
    made = by_trl(tmp_path, dataset_of(ROWS), options={"peft_config": lora()}, per_device_train_batch_size=ALL)
    torch.manual_seed(42)  # SFTConfig's own seed
    mine = by_our_trainer(tmp_path, ROWS, get_peft_model(model_to_train(), lora()))
    assert apart(made.found, mine.found) < 1e-6


def joined(rows: list[TrainingRow], length: int) -> list[TrainingRow]:
    """Rows end to end and cut at every multiple of ``length``; what stands first in a piece is no target."""
    ids, weights = (np.concatenate([getattr(row, name) for row in rows]) for name in ("input_ids", "weights"))
    responses = np.concatenate([row.is_response for row in rows])
    pieces = []
    for start in range(0, len(ids), length):
        here = slice(start, start + length)
        target = np.arange(len(ids[here])) > 0
        pieces.append(TrainingRow(f"piece-{start}", ids[here], weights[here] * target, responses[here] & target))
    return pieces


def test_wrapped_packing_is_training_on_its_pieces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = joined(ROWS, 25)
    settings: dict[str, Any] = {"packing": True, "packing_strategy": "wrapped", "max_length": 25}
    theirs = by_trl(tmp_path, dataset_of(ROWS), per_device_train_batch_size=len(pieces), **settings)
    lost = int(sum(np.count_nonzero(row.weights) for row in ROWS) - sum(np.count_nonzero(p.weights) for p in pieces))
    assert lost > 0
    assert f"{lost} weights stand first in a piece" in capsys.readouterr().err
    assert apart(theirs.found, by_our_trainer(tmp_path, pieces).found) < 1e-6
    assert apart(theirs.found, by_hand(pieces)) < 1e-6


def test_packing_that_splits_long_rows_is_training_on_their_pieces(tmp_path: Path) -> None:
    pieces = [piece for row in ROWS for piece in joined([row], 10)]
    settings: dict[str, Any] = {"packing": True, "packing_strategy": "bfd_split", "max_length": 10}
    theirs = by_trl(tmp_path, dataset_of(ROWS), per_device_train_batch_size=len(pieces), **settings)
    assert apart(theirs.found, by_our_trainer(tmp_path, pieces).found) < 1e-6


def test_rows_packed_beforehand_and_left_as_they_are(tmp_path: Path) -> None:
    packed = pack_dataset(dataset_of(ROWS).select_columns(["input_ids", "labels", "weights"]), 40, "bfd")
    settings: dict[str, Any] = {"dataset_kwargs": {"skip_prepare_dataset": True}, "padding_free": True}
    theirs = by_trl(tmp_path, packed, per_device_train_batch_size=len(packed), **settings)
    assert apart(theirs.found, by_hand(ROWS)) < 1e-6


def test_a_stream_of_rows(tmp_path: Path) -> None:
    theirs = by_trl(tmp_path, dataset_of(ROWS).to_iterable_dataset(), per_device_train_batch_size=ALL)
    assert apart(theirs.found, by_hand(ROWS)) < 1e-6


@pytest.mark.parametrize("packing", [False, True])
def test_divided_by_response_tokens(packing: bool, tmp_path: Path) -> None:
    responses = float(sum(row.is_response.sum() for row in ROWS))
    settings: dict[str, Any] = {"packing": packing, "max_length": 40, "per_device_train_batch_size": ALL}
    theirs = by_trl(tmp_path, dataset_of(ROWS), options={"normalise": "response"}, **settings)
    ours = by_our_trainer(tmp_path, ROWS, normalise="response")
    assert apart(theirs.found, ours.found) < 1e-6
    assert apart(theirs.found, by_hand(ROWS, normaliser=responses)) < 1e-6


def test_weights_that_sum_to_less_than_one_or_to_nothing(tmp_path: Path) -> None:
    light = [
        TrainingRow(r.example_id, r.input_ids, r.weights.clip(-1, 1) * np.float32(0.01), r.is_response) for r in ROWS
    ]
    theirs = by_trl(tmp_path, dataset_of(light), per_device_train_batch_size=ALL)
    assert apart(theirs.found, by_hand(light)) < 1e-6
    none = [TrainingRow(r.example_id, r.input_ids, r.weights * 0, r.is_response) for r in ROWS]
    nothing = by_trl(tmp_path, dataset_of(none), per_device_train_batch_size=ALL)
    assert max(float(gradient.abs().max()) for gradient in nothing.found.values()) == nothing.loss == 0.0


def test_the_evaluation_loss_is_weighted_too(tmp_path: Path) -> None:
    rows = [TrainingRow(r.example_id, r.input_ids, r.weights.clip(min=0), r.is_response) for r in ROWS]
    found: dict[str, float] = {}
    for name, data in (("weighted", dataset_of(rows)), ("labels", dataset_of(rows).remove_columns("weights"))):
        trainer = WeightedSFTTrainer(
            model_to_train(),
            sft_config(tmp_path, per_device_eval_batch_size=ALL),
            dataset_of(rows),
            eval_dataset=data,
            processing_class=tiny_tokenizer(),
        )
        found[name] = trainer.evaluate()["eval_loss"]
    kept = [TrainingRow(r.example_id, r.input_ids, np.sign(r.weights), r.is_response) for r in rows]
    for name, expected in (("weighted", rows), ("labels", kept)):
        assert found[name] == pytest.approx(by_our_trainer(tmp_path, expected).loss, rel=1e-5)


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    run_module(*launcher, "-m", "tests.integrations.two_processes", str(tmp_path))
    ours = by_our_trainer(tmp_path, ROWS)
    for name in ("padded", "padding-free", "bfd", "transformers"):
        found = [torch.load(tmp_path / f"{name}-{process}.pt") for process in (0, 1)]
        assert max(apart(gradients, ours.found) for gradients, _ in found) < 1e-6
        assert found[0][1] == pytest.approx(ours.loss, rel=1e-5)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "loss_type='dft'": ({"loss_type": "dft"}, {}),
    "label_smoothing_factor=0.1": ({"label_smoothing_factor": 0.1}, {}),
    "use_liger_kernel=True": ({"use_liger_kernel": True}, {}),
    "data_collator": ({}, {"data_collator": list}),
    "compute_loss_func": ({}, {"compute_loss_func": max}),
    "prompt learning": ({}, {"peft_config": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)}),
}


@pytest.mark.parametrize("said", REFUSED)
def test_settings_under_which_weights_would_be_lost_are_refused(said: str, tmp_path: Path) -> None:
    settings, options = REFUSED[said]
    with pytest.raises(ConfigError, match=re.escape(said)):
        by_trl(tmp_path, dataset_of(ROWS), options=options, **settings)


def test_rows_without_weights_are_refused(tmp_path: Path) -> None:
    data = dataset_of(ROWS).remove_columns("weights")
    with pytest.raises(DataError, match="no column weights"):
        by_trl(tmp_path, data)
    with pytest.raises(DataError, match="no column weights"):
        by_trl(tmp_path, data, dataset_kwargs={"skip_prepare_dataset": True})
    with pytest.raises(DataError, match="no column noise"):
        by_trl(tmp_path, dataset_of(ROWS).remove_columns("noise"), options={"normalise": "response"})


@pytest.mark.parametrize("packing", [False, True])
def test_truncation_is_refused_with_what_it_would_lose(packing: bool, tmp_path: Path) -> None:
    long = [row for row in ROWS if len(row) > 15]
    lost = sum(np.count_nonzero(row.weights[15:]) for row in long)
    said = rf"max_length=15 would cut {len(long)} of {ALL} rows, and with them {lost} of .*max_length=23"
    with pytest.raises(DataError, match=said):
        by_trl(tmp_path, dataset_of(ROWS), max_length=15, packing=packing)
    with pytest.raises(DataError, match="max_length=15 would cut"):
        by_trl(tmp_path, dataset_of(ROWS).to_iterable_dataset(), max_length=15, packing=packing)


@pytest.mark.parametrize(
    ("weights", "said"),
    [([0.0, 1.0], "2 weights for 3"), ([0.0, -1.5, 1.0], "at least -1"), ([0.0, float("nan"), 1.0], "finite")],
)
def test_impossible_weights_are_refused_with_their_row(weights: list[float], said: str, tmp_path: Path) -> None:
    rows = [{"input_ids": [3, 4, 5], "weights": [0.0, 1.0, 1.0]}, {"input_ids": [3, 4, 5], "weights": weights}]
    with pytest.raises(DataError, match=rf"row 1: .*{said}"):
        by_trl(tmp_path, Dataset.from_list(rows))


def test_a_collator_that_is_given_only_some_weights_refuses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="some rows"):
        WeightedCollator(pad_token_id=2)([{"input_ids": [3, 4], "weights": [0.0, 1.0]}, {"input_ids": [3, 4]}])
