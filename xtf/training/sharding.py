"""Training with weights in shards: FSDP 2 or DeepSpeed, as the launch's own accelerate configuration asks for it.

Each process keeps the whole base in host memory, from which every arm starts and into which a trained model returns to
be evaluated and saved; what is in shards is on its device only as such while it trains: weights, gradients and the
optimiser's state by FSDP and ZeRO 3, gradients and that state by ZeRO 2, that state by ZeRO 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils import disable_fsdp_ram_efficient_loading
from torch.distributed.fsdp import CPUOffloadPolicy
from torch.distributed.tensor import DTensor

from xtf.config import TrainingConfig
from xtf.errors import ConfigError, ModelError
from xtf.model.quantization import refuse_quantized
from xtf.training.zero import refuse_deepspeed, whole

_SHARDED = {DistributedType.FSDP: "FSDP", DistributedType.DEEPSPEED: "DeepSpeed"}


def refuse_first_version() -> None:
    """Refuse FSDP 1, which accelerate cannot even set up on CPUs.

    Raises:
        ModelError: the launch asks for it.
    """
    if _asks_for_shards() and os.environ.get("FSDP_VERSION", "1") != "2":
        raise ModelError("training: this launch asks for FSDP 1. Set fsdp_version: 2 in the accelerate configuration")


def shards_weights(accelerator: Accelerator) -> bool:
    """Whether the launch asks for FSDP; of a launch on CPUs, which accelerate would replicate, FSDP is made here."""
    state = accelerator.state
    if _asks_for_shards() and state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, FullyShardedDataParallelPlugin()
    if state.distributed_type != DistributedType.FSDP:
        return False
    disable_fsdp_ram_efficient_loading()  # models loaded from now on are whole in every process
    state.fsdp_plugin.cpu_ram_efficient_loading = False
    state.fsdp_plugin.mixed_precision_policy = None  # autocast, as in one process; this would round losses and weights
    return True


def _asks_for_shards() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def refuse_launch(accelerator: Accelerator, config: TrainingConfig, model: Any, precision: str) -> None:
    """Refuse a launch under which training could not be what the configuration says.

    Args:
        accelerator: Of the launch.
        config: The training section.
        model: What is to be trained.
        precision: What the configuration asks of accelerate: ``no`` or ``bf16``.

    Raises:
        ConfigError: the precision of the launch is another.
        ModelError: its way of sharding weights, or what is asked of it, is not supported.
    """
    kind = accelerator.distributed_type
    if kind == DistributedType.DEEPSPEED:
        refuse_deepspeed(accelerator)
    if accelerator.mixed_precision != precision:
        raise ConfigError(
            f"training.dtype: {config.dtype} is trained with mixed precision '{precision}', but the launch asks for "
            f"'{accelerator.mixed_precision}'. Set mixed_precision: '{precision}' in the accelerate configuration, or "
            "training.dtype"
        )
    if kind == DistributedType.MEGATRON_LM:
        raise ModelError(
            "training: this launch asks for Megatron-LM, which has an optimiser and divisors of its own. For weights "
            "in shards choose FSDP in accelerate config, with fsdp_version: 2, or DeepSpeed; for whole ones multi-GPU"
        )
    if kind == DistributedType.FSDP:
        _refuse_settings(accelerator)
    if (name := _SHARDED.get(kind)) is None:
        return
    if config.save_steps is not None:
        raise ModelError(
            "training.save_steps: no checkpoints are written of weights in shards. Leave it out; a training that is "
            "interrupted begins anew, and those that are finished are kept"
        )
    refuse_quantized(model, f"training with {name}", f"Use a launch without {name}, or model.quantization: none.")


def _refuse_settings(accelerator: Accelerator) -> None:
    """Refuse settings of FSDP that training cannot follow."""
    plugin = accelerator.state.fsdp_plugin
    if plugin.activation_checkpointing:
        raise ModelError(
            "training: fsdp_activation_checkpointing: training.gradient_checkpointing decides this. Set that, and "
            "leave it out of the accelerate configuration"
        )
    if accelerator.device.type == "cpu" and isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise ModelError("training: fsdp_offload_params: the weights are in host memory already. Set it to false")


@contextmanager
def sharded_copy(model: Any) -> Iterator[Any]:
    """A copy to be sharded, since a sharded model is not put together again in place.

    Its weights share the memory of the model's until accelerate cuts them into shards. When the block ends, the model
    has the trained weights, whole, in every process, on the device where it was.

    Args:
        model: It waits in host memory meanwhile.
    """
    device = next(model.parameters()).device
    model.to("cpu")
    shared = {id(own): torch.nn.Parameter(own.data, own.requires_grad) for own in model.parameters()}
    copy = deepcopy(model, shared)
    yield copy
    with torch.no_grad():
        for own, shard in zip(model.parameters(), copy.parameters(), strict=True):
            if own.requires_grad:
                _fill(own, shard)
    model.to(device)


def _fill(own: torch.nn.Parameter, shard: Any) -> None:
    """Copy the whole of a parameter, also of one whose shards are in host memory; every process must ask for it."""
    if isinstance(shard, DTensor):
        on_device: Any = shard.to(shard.device_mesh.device_type)
        own.copy_(on_device.full_tensor())
        return
    with whole(shard) as trained:
        own.copy_(trained)
