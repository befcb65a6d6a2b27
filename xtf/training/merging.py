"""Adapters one after another: merged into the weights to train the next, and kept as one adapter on the base.

A sum of low-rank products is one product of the matrices side by side: ``B1 A1 + B2 A2 = [B1 B2] [A1; A2]``. So what
many rounds have added to the base stays an adapter of it, exactly, and no second set of weights is written.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from xtf.files import write_json
from xtf.model.quantization import refuse_quantized

_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"


def merge_adapter(model: Any, folder: Path, dtype: torch.dtype, undo: ExitStack) -> None:
    """Add an adapter's products to the weights of its layers, rounded to ``dtype``; ``undo`` takes them off exactly.

    Raises:
        ModelError: the model's weights are quantised.
    """
    refuse_quantized(
        model, "a fresh adapter for each round", "Use strategy.adapters: continue, or model.quantization: none."
    )
    config, weights = _read(folder)
    scale = config["lora_alpha"] / config["r"]
    for name in [name for name in weights if name.endswith(_A)]:
        layer = model.get_submodule(name.removeprefix(_PREFIX).removesuffix(_A))
        before = layer.weight.data
        undo.callback(setattr, layer.weight, "data", before)
        product = scale * (weights[name.removesuffix(_A) + _B].float() @ weights[name].float())
        product = product.T if config["fan_in_fan_out"] else product
        layer.weight.data = (before.float() + product.to(before.device)).to(dtype).to(before.dtype)


def join_adapters(earlier: Path, folder: Path) -> None:
    """Make the adapter in ``folder`` the sum of itself and an earlier one of the same scale, on the bare base.

    Raises:
        ValueError: their scales differ.
    """
    (config, own), (before, weights) = _read(folder), _read(earlier)
    if config["lora_alpha"] * before["r"] != before["lora_alpha"] * config["r"]:
        raise ValueError(f"{folder} and {earlier}: alpha / r differ, so that they are no one adapter")
    joined = {
        name: torch.cat([weights[name], tensor], dim=0 if name.endswith(_A) else 1).contiguous()
        for name, tensor in own.items()
    }
    config |= {"r": before["r"] + config["r"], "lora_alpha": before["lora_alpha"] + config["lora_alpha"]}
    save_file(joined, folder / _WEIGHTS, metadata={"format": "pt"})
    write_json(folder / _CONFIG, config)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((folder / _CONFIG).read_text(encoding="utf-8")), load_file(folder / _WEIGHTS)
