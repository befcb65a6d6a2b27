"""What training does to a model, and how it is undone, so that every arm starts from the same base."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, set_seed
from transformers.pytorch_utils import Conv1D

from xtf.config import LoraSettings, TrainingConfig
from xtf.errors import ModelError
from xtf.model.precision import automatic_dtype
from xtf.model.quantization import refuse_quantized


def resolve_auto(config: TrainingConfig, model: PreTrainedModel) -> TrainingConfig:
    """The same training with each ``auto`` replaced: the dtype by what fits this model and device, the normaliser.

    A normaliser that no selector has brought is the sum of the weights.
    """
    if config.normalise == "auto":
        config = config.model_copy(update={"normalise": "kept"})
    if config.dtype != "auto":
        return config
    parameters = list(model.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    dtype = automatic_dtype(parameters[0].device, size)
    return config.model_copy(update={"dtype": str(dtype).removeprefix("torch.")})


def weights_dtype(config: TrainingConfig) -> torch.dtype:
    """Return the dtype in which the base weights are held while training and evaluating.

    Adapters are always float32, so frozen weights may be bfloat16. Full fine-tuning keeps float32 weights, because
    small updates vanish in bfloat16; its forward pass then runs under automatic mixed precision.
    """
    return torch.bfloat16 if config.method == "lora" and config.dtype == "bfloat16" else torch.float32


@contextmanager
def held_in(model: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Hold the floating-point weights in ``dtype`` while open; afterwards they have their former values."""
    undo = _cast(model, dtype)
    try:
        yield
    finally:
        undo()


def make_trainable(model: PreTrainedModel, config: TrainingConfig, seed: int, undo: ExitStack) -> Any:
    """Return the model to train: ``model`` with fresh adapters, or ``model`` itself.

    Args:
        model: Changed in place.
        config: LoRA or full, and the dtype.
        seed: Of the adapters; the global random state is set as well.
        undo: Receives what makes ``model`` the base again.

    Raises:
        ModelError: the model's weights are quantised, and all are to be trained.
    """
    if config.method == "full":
        refuse_quantized(model, "training.method: full", "Use training.method: lora, or model.quantization: none.")
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    undo.callback(_restore_flags, model, flags, model.training)
    undo.callback(_cast(model, weights_dtype(config)))
    set_seed(seed)
    if config.method == "lora":
        wrapped = with_adapters(model, config.lora)
        undo.callback(wrapped.unload)
    if config.gradient_checkpointing:
        _recompute_activations(model, undo)
    if config.method == "lora":
        return wrapped
    undo.callback(_refill, [(parameter, parameter.detach().to("cpu", copy=True)) for parameter, _ in flags])
    for parameter, _ in flags:
        parameter.requires_grad_(parameter.is_floating_point())
    return model


def _recompute_activations(model: Any, undo: ExitStack) -> None:
    """Keep only what enters each layer; its activations are computed again in the backward pass."""
    try:
        model.activation_checkpointing_enable()
    except ValueError as error:
        raise ModelError(
            f"training.gradient_checkpointing: {type(model).__name__} cannot compute its activations again: its "
            "layers are not made for it. Leave it out, or lower training.batch_size or data.max_length."
        ) from error
    undo.callback(model.activation_checkpointing_disable)


def with_adapters(model: PreTrainedModel, settings: LoraSettings) -> Any:
    """``model`` under fresh adapters, wrapped by PEFT and changed in place.

    Raises:
        ModelError: the settings do not fit the model.
    """
    from peft import LoraConfig, get_peft_model

    targets = settings.target_modules
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with warnings.catch_warnings():  # of peft's own making: names about to be dropped, ranks of experts
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to True", category=UserWarning)
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys", category=RuntimeWarning)
        try:
            return get_peft_model(model, lora)
        except ValueError as error:
            if settings.dropout and "lora_dropout" in str(error):
                raise ModelError(
                    f"training.lora.dropout: adapters on the experts of {type(model).__name__} take none ({error}). "
                    "Set it to 0, or leave the experts out: training.lora.target_modules: [q_proj, v_proj]"
                ) from error
            raise ModelError(
                f"training.lora.target_modules: {targets!r} does not fit this model ({error}). Use 'all-linear', or "
                "a list of names of its linear layers, for example [q_proj, v_proj]."
            ) from error


def _cast(model: PreTrainedModel, dtype: torch.dtype) -> Callable[[], None]:
    """Cast the weights, but no buffers, and return how to undo that; what a cast would lose is kept in memory."""
    changed: list[tuple[torch.nn.Parameter, torch.Tensor | None, torch.dtype]] = []
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != dtype:
            loses = torch.finfo(dtype).eps > torch.finfo(parameter.dtype).eps
            former = parameter.data.to("cpu", copy=True) if loses else None
            changed.append((parameter, former, parameter.dtype))
            parameter.data = parameter.data.to(dtype)

    def undo() -> None:
        for parameter, former, former_dtype in changed:
            source = parameter.data if former is None else former
            parameter.data = source.to(parameter.device, former_dtype)

    return undo


@torch.no_grad()
def _refill(former: list[tuple[torch.nn.Parameter, torch.Tensor]]) -> None:
    for parameter, value in former:
        parameter.copy_(value)


def _restore_flags(model: PreTrainedModel, flags: list[tuple[torch.nn.Parameter, bool]], was_training: bool) -> None:
    model.train(was_training)
    for parameter, flag in flags:
        parameter.grad = None
        parameter.requires_grad_(flag)
