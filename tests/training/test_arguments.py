"""``training.args``: handed on to transformers where the loop honours them, refused where it does not."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import TrainingArguments

from tests.tiny import tiny_model
from tests.training.test_trainer import CONFIG, state, train
from xtf.config import TrainingConfig
from xtf.config.trainer_args import HONOURED, problems_of_arguments
from xtf.errors import ConfigError
from xtf.training.loop import training_arguments


def test_the_names_are_those_of_transformers() -> None:
    assert set(HONOURED) <= {field.name for field in fields(TrainingArguments)}


def test_arguments_reach_the_trainer(tmp_path: Path) -> None:
    given = {"optim": "adafactor", "adam_beta2": 0.5, "dataloader_num_workers": 2, "ddp_timeout": 77}
    arguments = training_arguments(tiny_model(), CONFIG.model_copy(update={"args": given}), 0, tmp_path)
    assert (arguments.optim, arguments.adam_beta2, arguments.dataloader_num_workers) == ("adafactor", 0.5, 2)
    assert (arguments.ddp_timeout, arguments.learning_rate) == (77, CONFIG.learning_rate)


def test_another_optimiser_takes_its_own_step(tmp_path: Path) -> None:
    """Plain gradient descent, one update of all rows: each weight moves by the rate times its gradient."""
    settings: dict[str, Any] = {"method": "full", "batch_size": 5, "max_steps": 1, "max_grad_norm": None}
    config = CONFIG.model_copy(update={**settings, "args": {"optim": "sgd"}})
    model = tiny_model()
    before = state(model)
    moved = {}
    for rate in (1e-2, 2e-2):
        with train(tmp_path / str(rate), config=config.model_copy(update={"learning_rate": rate}), model=model) as done:
            moved[rate] = {name: value - before[name] for name, value in state(done.model).items()}
    for name, step in moved[1e-2].items():
        torch.testing.assert_close(2 * step, moved[2e-2][name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"learning_rate": 1e-3}, r"args: learning_rate: training\.learning_rate decides this"),
        ({"bf16": True}, r"bf16: training\.dtype decides this"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor: not for this loop: the loss is XTF's own"),
        ({"fsdp": "full_shard"}, "fsdp: not for this loop: weights in shards are asked of the launch"),
        ({"optm": "sgd"}, "optm: not among the arguments that are handed on. Did you mean 'optim'"),
        ({"optm": 1, "seed": 3}, r"optm.*; seed: training\.seeds decides this"),
    ],
)
def test_contradictions_and_what_the_loop_cannot_honour_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TrainingConfig(args=given)


def test_no_batch_is_fetched_ahead_of_labels_taken_anew() -> None:
    assert problems_of_arguments({"dataloader_num_workers": 2}, rescores=False) == []
    with pytest.raises(ValidationError, match="dataloader_num_workers: with rescore_steps"):
        TrainingConfig(args={"dataloader_num_workers": 2}, rescore_steps=1)


def test_a_value_that_transformers_does_not_take_is_named(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"args": {"optim": "nonsense"}})
    with pytest.raises(ConfigError, match=r"training\.args: transformers takes no optim: 'nonsense'"):
        train(tmp_path, config=config)
