"""``training.args``: which arguments of ``transformers.TrainingArguments`` the training loop honours as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtf.errors import did_you_mean, listed

HONOURED = (
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "dataloader_num_workers",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "ddp_backend",
    "ddp_broadcast_buffers",
    "ddp_bucket_cap_mb",
    "ddp_timeout",
    "lr_scheduler_kwargs",
    "neftune_noise_alpha",
    "optim",
    "optim_args",
    "run_name",
    "tf32",
    "torch_empty_cache_steps",
)
"""Arguments of the optimiser, of loading and of distributed processes, for which XTF has no settings."""

OWN = {
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "num_train_epochs": "epochs",
    "max_steps": "max_steps",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warmup_ratio",
    "warmup_ratio": "warmup_ratio",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "bf16": "dtype",
    "fp16": "dtype",
    "seed": "seeds",
    "data_seed": "seeds",
    "save_steps": "save_steps",
    "save_strategy": "save_steps",
    "report_to": "report_to",
    "gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing",
}
"""Arguments that a setting of the section ``training`` decides."""

_SHARDED = "weights in shards are asked of the launch: accelerate launch with a configuration of FSDP 2 or DeepSpeed"

_AGAINST = {
    "label_smoothing_factor": "the loss is XTF's own, of weighted targets",
    "use_liger_kernel": "the loss is XTF's own, and its head is run in pieces already",
    "logging_steps": "every update is logged, since metrics.json holds the loss of each",
    "logging_strategy": "every update is logged, since metrics.json holds the loss of each",
    "eval_strategy": "arms are compared on held-out rows after training, by the section evaluation",
    "load_best_model_at_end": "nothing is evaluated while training",
    "output_dir": "each training has its folder in the run",
    "push_to_hub": "a trained model is pushed by hand, once it is judged",
    "train_sampling_strategy": "every arm must see the same rows in the same order, which the seed decides",
    "group_by_length": "every arm must see the same rows in the same order, which the seed decides",
    "remove_unused_columns": "rows hold what the masked loss needs and nothing else",
    "fsdp": _SHARDED,
    "deepspeed": _SHARDED,
}


def problems_of_arguments(arguments: Mapping[str, Any], rescores: bool) -> list[str]:
    """What is wrong with ``training.args``: contradictions of settings, what the loop cannot honour, unknown names."""
    found = []
    if rescores and arguments.get("dataloader_num_workers"):
        found.append("dataloader_num_workers: with rescore_steps no batch may be fetched before its labels are made")
    for name in arguments:
        if name in OWN:
            found.append(f"{name}: training.{OWN[name]} decides this; set that")
        elif name in _AGAINST:
            found.append(f"{name}: not for this loop: {_AGAINST[name]}")
        elif name not in HONOURED:
            hint = did_you_mean(name, HONOURED)
            found.append(f"{name}: not among the arguments that are handed on.{hint} These are: {listed(HONOURED)}")
    return found
