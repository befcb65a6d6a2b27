"""transformers.Trainer with the masked loss: it brings resumption, loggers and multi-GPU launches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from xtf.config import TrainingConfig, refuse_zero_rates, updates
from xtf.errors import ConfigError, ModelError
from xtf.progress import Advance
from xtf.training.loss import step_normaliser
from xtf.training.rows import TrainingRow, collate
from xtf.training.sharding import refuse_first_version, refuse_launch, shards_weights
from xtf.training.zero import asks_for_deepspeed, close_engine, load_models_whole

_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


class MaskedTrainer(Trainer):
    """Divides the summed loss by the whole update's normaliser: all micro-batches, all processes.

    ``model(**batch)`` must return ``{"loss": sum}``; see :func:`xtf.training.loss.loss_as_forward`.

    Raises:
        ConfigError: ``training.args`` holds a value that transformers does not take, or every learning rate is 0.
        ModelError: the launch is none that this loop can follow, or a setting does not fit the model's device.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self, model: Any, rows: Sequence[TrainingRow], config: TrainingConfig, seed: int, checkpoints: Path
    ) -> None:
        data: Any = rows  # any sequence serves as a map-style data set
        arguments = training_arguments(model, config, seed, checkpoints)
        super().__init__(model=model, args=arguments, train_dataset=data, data_collator=collate)
        refuse_launch(self.accelerator, config, model, "bf16" if arguments.bf16 else "no")
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True
        assert config.normalise != "auto"  # settled
        self.normalise: Literal["kept", "response"] = config.normalise
        processes = self.accelerator.num_processes
        refuse_zero_rates(config, len(rows), processes, where="")
        self.updates = updates(config, len(rows), processes)

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator of the launch, with FSDP or DeepSpeed where that asks for it."""
        refuse_first_version()
        load_models_whole()
        super().create_accelerator_and_postprocess()
        self.is_fsdp_enabled = shards_weights(self.accelerator)

    @property
    def has_shards(self) -> bool:
        """Whether the launch shares out weights, gradients or the optimiser's state."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def close(self) -> None:
        """Let go of DeepSpeed's engine, if the launch asked for one."""
        if self.deepspeed is not None:
            close_engine(self.deepspeed)
            self.deepspeed = None

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        count = step_normaliser(batch_samples, self.normalise).to(device)
        gathered: Tensor = self.accelerator.gather(count)
        return gathered.sum()

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return ``sum(w_i * ce_i)`` of ``(batch, seq)`` targets over the update's normaliser; 0 when that is 0."""
        assert isinstance(num_items_in_batch, Tensor)
        with self.accelerator.autocast():  # which accelerate leaves out of FSDP
            outputs = model(**inputs)
        normaliser = torch.where(num_items_in_batch > 0, num_items_in_batch, 1.0)
        loss = outputs["loss"] / normaliser * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, outputs) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if hasattr(self.model, "peft_config") and self.args.should_save:
            save_model(self.model, Path(output_dir or str(self.args.output_dir)))
        else:
            with without_bars():
                super()._save(output_dir, state_dict)


class StepCounter(TrainerCallback):
    """Reports every update, and those that a checkpoint brought along."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.advance(state.global_step, found=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.advance(1)


def training_arguments(model: Any, config: TrainingConfig, seed: int, checkpoints: Path) -> TrainingArguments:
    """Translate the configuration; every update is logged, nothing is printed.

    Raises:
        ConfigError: ``training.args`` holds a value that transformers does not take.
        ModelError: a setting does not fit the model's device.
    """
    device = next(model.parameters()).device
    own: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": _SCHEDULES[config.schedule],
        "warmup_steps": config.warmup_ratio if config.warmup_ratio < 1 else 0.999999,  # from 1 on it would count steps
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm or 0.0,
        "bf16": computes_in_bfloat16(config) and not asks_for_deepspeed(),  # whose engine would round the weights
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps" if config.save_steps else "no",
        "save_steps": config.save_steps or 500,
        "save_total_limit": 1,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": list(config.report_to) or "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["weights"],
        "dataloader_pin_memory": device.type == "cuda",
        "use_cpu": device.type == "cpu",
        "ddp_find_unused_parameters": False,  # a batch without a kept token still touches every adapter, by zero
    }
    try:
        arguments = TrainingArguments(**{**own, **config.args})
    except (TypeError, ValueError, ImportError) as error:
        given = ", ".join(f"{name}: {value!r}" for name, value in config.args.items())
        raise ConfigError(f"training.args: transformers takes no {given}: {error}") from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs are for launchers (torchrun, accelerate launch), not for DataParallel
    if device.type == "cuda" and arguments.device != device:
        raise ModelError(
            f"model.device: training runs on {arguments.device} here, but the model is on {device}. Choose the GPU "
            f"with CUDA_VISIBLE_DEVICES={device.index} and leave model.device at 'cuda'."
        )
    return arguments


def computes_in_bfloat16(config: TrainingConfig) -> bool:
    """Whether weights held in float32 are computed with in bfloat16."""
    return config.method == "full" and config.dtype == "bfloat16"


def save_model(model: Any, folder: Path) -> None:
    """Write a model or an adapter as safetensors, without asking the hub about the base model's vocabulary."""
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    with without_bars():
        model.save_pretrained(folder, **options)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars for shards of weights."""
    logs: Any = transformers_logging
    shown = logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logs.enable_progress_bar()
