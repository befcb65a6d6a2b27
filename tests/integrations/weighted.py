"""Weighted rows, and the gradients of one update: by TRL, by our own trainer, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional
from transformers import TrainerCallback
from trl import SFTConfig

from tests.tiny import tiny_model, tiny_tokenizer
from xtf.config import TrainingConfig
from xtf.integrations.trl import WeightedSFTTrainer
from xtf.training import TrainingRow
from xtf.training.loop import MaskedTrainer
from xtf.training.loss import loss_as_forward

Gradients = dict[str, Tensor]
LENGTHS = (14, 9, 23, 8, 17, 12, 20, 11)


def weighted_rows(lengths: Sequence[int] = LENGTHS, seed: int = 0) -> list[TrainingRow]:
    """Rows with a prompt of 3 tokens; their targets weigh from -1 to 2, a third of them nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, length in enumerate(lengths):
        is_response = np.arange(length) >= 3
        drawn = rng.choice([0.0, 0.0, -0.6, -1.0, 0.3, 0.7, 1.0, 2.0], length) * is_response
        ids = rng.integers(3, 300, length).astype(np.int32)
        rows.append(TrainingRow(f"row-{index}", ids, drawn.astype(np.float32), is_response))
    return rows


def dataset_of(rows: Sequence[TrainingRow]) -> Dataset:
    """The rows as ``labels/`` has them, as far as trainers read it."""
    return Dataset.from_list(
        [
            {
                "input_ids": row.input_ids.tolist(),
                "labels": np.where(row.weights > 0, row.input_ids, -100).tolist(),
                "weights": row.weights.tolist(),
                "noise": (row.is_response & (row.weights <= 0)).tolist(),
            }
            for row in rows
        ]
    )


class Gradient(TrainerCallback):
    """Keeps the gradients of the first update, and the loss that was reported for it."""

    def __init__(self) -> None:
        self.found: Gradients = {}
        self.loss = float("nan")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.found = {name.removeprefix("module."): p.grad.detach().clone() for name, p in named if p.grad is not None}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])


def model_to_train(kind: Any = "llama") -> Any:
    """A tiny model in float64: what is then apart by 1e-6 is another loss, not the order in which layers add up."""
    model = tiny_model(kind).double().requires_grad_(True)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def sft_config(folder: Path, **settings: Any) -> SFTConfig:
    usual: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 1,
        "max_length": None,
        "activation_checkpointing": False,
        "max_grad_norm": 0.0,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return SFTConfig(**{**usual, **settings})


def by_trl(folder: Path, data: Any, model: Any = None, options: Any = None, **settings: Any) -> Gradient:
    """The update of :class:`WeightedSFTTrainer`."""
    seen = Gradient()
    trainer = WeightedSFTTrainer(
        model_to_train() if model is None else model,
        sft_config(folder, **settings),
        data,
        processing_class=tiny_tokenizer(),
        callbacks=[seen],
        **(options or {}),
    )
    trainer.train()
    return seen


def by_our_trainer(folder: Path, rows: Sequence[TrainingRow], model: Any = None, **settings: Any) -> Gradient:
    """The update of the trainer of ``xtf train``, over all rows."""
    usual = {
        "method": "full",
        "dtype": "float32",
        "normalise": "kept",
        "max_steps": 1,
        "warmup_ratio": 0.0,
        "batch_size": len(rows),
    }
    seen, model = Gradient(), model_to_train() if model is None else model
    trainer = MaskedTrainer(model, rows, TrainingConfig(**{**usual, "max_grad_norm": None, **settings}), 0, folder)
    trainer.add_callback(seen)
    with loss_as_forward(model, None):
        trainer.train()
    return seen


def by_hand(rows: Sequence[TrainingRow], model: Any = None, normaliser: float | None = None) -> Gradients:
    """Row by row and token by token, from full logits."""
    model = model_to_train() if model is None else model
    total = torch.zeros(())
    for row in rows:
        ids = torch.from_numpy(row.input_ids.astype(np.int64))
        logits = model(input_ids=ids[None]).logits[0]
        for place in np.flatnonzero(row.weights):
            loss, weight = functional.cross_entropy(logits[place - 1], ids[place]), float(row.weights[place])
            total = total + weight * (loss if weight > 0 else torch.minimum(loss, torch.tensor(np.log(300.0))))
    weighing = sum(float(row.weights.clip(min=0).sum()) for row in rows)
    (total / (weighing if normaliser is None else normaliser)).backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def apart(first: Gradients, second: Gradients) -> float:
    """The largest difference, beside the largest gradient; 3e-7 of it is that trainers round logits to float32."""
    assert first.keys() == second.keys()
    size = max(float(value.abs().max()) for value in second.values())
    assert size > 0
    return max(float((first[name] - second[name]).abs().max()) for name in first) / size
