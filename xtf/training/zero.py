"""Training by DeepSpeed: ZeRO of stages 1 to 3, as the launch's own accelerate configuration asks for it.

DeepSpeed brings an engine of its own, which sums gradients, clips them and steps. What it does is what one process does
with the same rows; what would differ is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import compare_versions
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from xtf.errors import ConfigError, ModelError, listed

OLDEST = "0.19.8"
"""The version that was tried. 0.18.2 keeps of an update in stage 2 the gradients of its last micro-batch alone."""

_ELSEWHERE = {
    "optimizer": "training.learning_rate, training.weight_decay and training.args (optim) decide this",
    "scheduler": "training.schedule decides this",
    "amp": "training.dtype decides this",
    "torch_autocast": "training.dtype decides this",
    "tensor_parallel": "weights are shared out by ZeRO alone",
}
"""Sections of a DeepSpeed configuration that training cannot follow, and why."""


def asks_for_deepspeed() -> bool:
    """Whether the launch asks for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"


def load_models_whole() -> None:
    """Have models that are loaded from now on be whole in every process, also under a launch with stage 3."""
    os.environ["ACCELERATE_DEEPSPEED_ZERO3_INIT"] = "false"


def refuse_deepspeed(accelerator: Accelerator) -> None:
    """Refuse settings of DeepSpeed under which training could not be what the configuration says.

    Args:
        accelerator: Of a launch that asks for DeepSpeed.

    Raises:
        ConfigError: the launch contradicts the configuration.
        ModelError: what it asks of DeepSpeed is not supported.
    """
    if compare_versions("deepspeed", "<", OLDEST):
        raise ModelError(
            f"training: DeepSpeed {metadata.version('deepspeed')} is older than {OLDEST}, the first that was tried "
            "here: an older one lost gradients where training.gradient_accumulation is above 1. "
            f"pip install 'deepspeed>={OLDEST}'"
        )
    settings = accelerator.state.deepspeed_plugin.hf_ds_config
    for kind in ("bf16", "fp16"):
        if settings.is_true(f"{kind}.enabled"):
            raise ConfigError(
                f"training.dtype: DeepSpeed's {kind} rounds the weights, which training.dtype does not: with bfloat16 "
                "it computes in bfloat16 and trains float32. Set mixed_precision: 'no' in the accelerate "
                "configuration, and leave fp16 and bf16 out of that of DeepSpeed"
            )
    if (stage := settings.get_value("zero_optimization.stage", 0)) not in (1, 2, 3):
        raise ModelError(f"training: zero_stage {stage} shares nothing out. Set it to 1, 2 or 3, or choose multi-GPU")
    for section, why in _ELSEWHERE.items():
        if settings.get_value(section):
            raise ModelError(f"training: {section} in the DeepSpeed configuration: {why}. Leave it out")
    for part in ("optimizer", "param"):
        place = settings.get_value(f"zero_optimization.offload_{part}.device") or "none"
        if place != "none" and (place != "cpu" or accelerator.device.type == "cpu"):
            here = "the weights are in host memory already" if place == "cpu" else "no more than host memory is used"
            raise ModelError(f"training: offload_{part}_device: {place}: {here}. Set it to none")
    if settings.mismatches:
        which = listed([line.removeprefix("- ") for line in settings.mismatches])
        raise ConfigError(
            "training: the DeepSpeed configuration of this launch (ds) contradicts the section training, as it was "
            f"handed to transformers (hf): {which}. Set it to 'auto' there, or leave it out"
        )


@contextmanager
def whole(parameter: Any) -> Iterator[torch.Tensor]:
    """The whole of a parameter, ``(...)`` as the model has it, of which a process may hold a shard.

    Every process must ask for it.
    """
    if not hasattr(parameter, "ds_id"):
        yield parameter
        return
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([parameter]):
        yield parameter


def is_gathered_by_hooks(module: torch.nn.Module) -> bool:
    """Whether stage 3 gathers the weights of a module when it is called."""
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())


def close_engine(engine: Any) -> None:
    """Let go of what an engine holds beside the model, and of what it told transformers of models to come."""
    forget: Any = unset_hf_deepspeed_config
    engine.destroy()
    forget()
