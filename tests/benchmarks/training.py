"""Masked LoRA training against TRL's ``SFTTrainer`` on the same masked rows, batch, adapter and steps."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.paired import compare
from tests.benchmarks.setting import Setting
from xtf.config import TrainingConfig
from xtf.training import TrainingJob, TrainingRow, train_model

STEPS, BATCH = 4, 8


def training(work: Setting, pairs: int) -> dict[str, Any]:
    """Tokens a second, ours ÷ TRL's, with nothing masked and with half of the response masked."""
    figures = {}
    for masked in (0.0, 0.5):
        rows = masked_rows(work, masked)
        losses: dict[str, list[float]] = {}

        def ours(rows: list[TrainingRow] = rows, losses: dict[str, list[float]] = losses) -> None:
            losses["ours"] = _ours(work, rows)

        def theirs(rows: list[TrainingRow] = rows, losses: dict[str, list[float]] = losses) -> None:
            losses["trl"] = _trl(work, rows)

        figures["training.tokens_per_s_over_trl" + (".half_masked" if masked else "")] = {
            **compare(theirs, ours, pairs, warm_up=0),
            "first_loss_ours": losses["ours"][0],
            "first_loss_trl": losses["trl"][0],
        }
    return figures


def masked_rows(work: Setting, share: float) -> list[TrainingRow]:
    """The first rows with a random ``share`` of their response tokens masked."""
    generator = np.random.default_rng(0)
    rows = []
    for example in work.examples[: STEPS * BATCH]:
        weights = example.is_response.astype(np.float32)
        weights[example.is_response & (generator.random(len(example)) < share)] = 0.0
        rows.append(TrainingRow(example.example_id, example.input_ids, weights, example.is_response))
    return rows


def _ours(work: Setting, rows: list[TrainingRow]) -> list[float]:
    config = TrainingConfig(max_steps=STEPS, batch_size=BATCH, schedule="constant", warmup_ratio=0.0, dtype="float32")
    with (
        tempfile.TemporaryDirectory() as folder,
        train_model(work.loaded.model, work.loaded.tokenizer, rows, config, TrainingJob(Path(folder), "")) as done,
    ):
        return list(done.losses)


def _trl(work: Setting, rows: list[TrainingRow]) -> list[float]:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {
                "input_ids": row.input_ids.tolist(),
                "labels": np.where(row.weights > 0, row.input_ids, -100).tolist(),
            }
            for row in rows
        ]
    )
    adapter = LoraConfig(r=8, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=STEPS,
            learning_rate=2e-4,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            dataset_kwargs={"skip_prepare_dataset": True},
            seed=0,
        )
        trainer = SFTTrainer(
            copy.deepcopy(work.loaded.model),
            args=arguments,
            train_dataset=data,
            processing_class=work.loaded.tokenizer,
            peft_config=adapter,
        )
        trainer.train()
        return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
