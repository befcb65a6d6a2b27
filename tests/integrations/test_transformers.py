"""Weights in transformers' own trainer: the gradients of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from tests.integrations.weighted import (
    Gradient,
    apart,
    by_hand,
    by_our_trainer,
    dataset_of,
    model_to_train,
    weighted_rows,
)
from xtf.errors import ConfigError, DataError
from xtf.integrations.transformers import WeightedTrainer

ROWS = weighted_rows()
SETTINGS: dict[str, dict[str, Any]] = {
    "padded": {"per_device_train_batch_size": len(ROWS)},
    "uneven": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3},
    "checkpointing": {"per_device_train_batch_size": len(ROWS), "activation_checkpointing": True},
}


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    usual = {"max_steps": 1, "max_grad_norm": 0.0, "report_to": "none", "use_cpu": True, "save_strategy": "no"}
    return TrainingArguments(str(folder), **{**usual, "logging_steps": 1, "disable_tqdm": True, **settings})


@pytest.mark.parametrize("name", SETTINGS)
def test_an_update_has_our_trainers_gradients(name: str, tmp_path: Path) -> None:
    seen = Gradient()
    settings = arguments(tmp_path, **SETTINGS[name])
    WeightedTrainer(model_to_train(), settings, dataset_of(ROWS), callbacks=[seen]).train()
    ours = by_our_trainer(tmp_path, ROWS)
    assert apart(seen.found, ours.found) < 1e-6
    assert apart(seen.found, by_hand(ROWS)) < 1e-6
    assert seen.loss == pytest.approx(ours.loss, rel=1e-5)


def test_the_evaluation_loss_is_weighted(tmp_path: Path) -> None:
    settings = arguments(tmp_path, per_device_eval_batch_size=len(ROWS))
    trainer = WeightedTrainer(model_to_train(), settings, dataset_of(ROWS), eval_dataset=dataset_of(ROWS))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(by_our_trainer(tmp_path, ROWS).loss, rel=1e-5)


def test_what_would_lose_weights_is_refused(tmp_path: Path) -> None:
    for name, settings, options in (
        ("data_collator", {}, {"data_collator": list}),
        ("label_smoothing_factor", {"label_smoothing_factor": 0.1}, {}),
        ("use_liger_kernel", {"use_liger_kernel": True}, {}),
    ):
        with pytest.raises(ConfigError, match=name):
            WeightedTrainer(model_to_train(), arguments(tmp_path, **settings), dataset_of(ROWS), **options)
    data = dataset_of(ROWS).remove_columns("weights")
    with pytest.raises(DataError, match="rows without weights"):
        WeightedTrainer(model_to_train(), arguments(tmp_path), data).train()
