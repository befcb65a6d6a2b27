"""Models spread over several GPUs, host memory and disk: placed by accelerate, whose hooks bring weights and inputs."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch

from xtf.config import ModelConfig
from xtf.errors import ModelError


def placed_loading(config: ModelConfig) -> dict[str, Any]:
    """What ``from_pretrained`` is told of places; nothing where the configuration names none."""
    if config.device_map is None:
        return {}
    logging.getLogger("accelerate.big_modeling").setLevel(logging.ERROR)  # it says that weights are held back, as asked
    options: dict[str, Any] = {"device_map": config.device_map, "offload_folder": tempfile.mkdtemp(prefix="xtf-")}
    return options if config.max_memory is None else {**options, "max_memory": config.max_memory}


def keep_with(model: Any, options: dict[str, Any]) -> None:
    """Let the folder of :func:`placed_loading` go with the model, or now if there is none or nothing is in it.

    Weights that lie so in no file of the model, for example experts that are stored one by one, are in it.
    """
    folder = options.get("offload_folder")
    if folder is not None and model is not None and any(Path(folder).iterdir()):
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    elif folder is not None:
        shutil.rmtree(folder)


def is_spread(model: Any) -> bool:
    """Whether accelerate has placed parts of a model on different devices, or holds weights back until they run."""
    return len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1 or holds_back(model)


def holds_back(model: Any) -> bool:
    """Whether weights of a model are on no device until they run."""
    return any(parameter.is_meta for parameter in model.parameters())


def device_of(model: Any) -> torch.device:
    """Where a model takes its inputs and this package keeps what it reads of it; its embeddings compute there."""
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is not None:
        return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    found: torch.device = next(model.parameters()).device
    return found


def refuse_spread(model: Any, what: str, instead: str) -> None:
    """Refuse what needs all weights on one device.

    Args:
        model: The base.
        what: What needs them, as the sentence's subject.
        instead: What to do.

    Raises:
        ModelError: the model is spread.
    """
    if is_spread(model):
        raise ModelError(
            f"{what} needs all weights on one device, and those of {type(model).__name__} are spread over several "
            f"(device_map). {instead}"
        )
