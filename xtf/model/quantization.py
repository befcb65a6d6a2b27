"""Weights in 8 or 4 bits, by bitsandbytes: the linear layers of the decoder; embeddings, head and norms stay whole."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import torch

from xtf.config.sections import Quantization
from xtf.errors import ModelError

WIDTHS = {"8bit": 1.0, "4bit": 0.516}
"""Bytes of a quantised weight: of NF4 4 bits, 8 for each 64 weights, and 32 for each 64 × 256."""


def quantized_loading(kind: Quantization, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What ``from_pretrained`` is told: 8 bits as LLM.int8() (arXiv 2208.07339), 4 as QLoRA's NF4 (arXiv 2305.14314).

    Args:
        kind: How many bits.
        dtype: What layers compute in, and what is not quantised is held in.
        device: Where the weights are put at once; they cannot be moved afterwards.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    if kind == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"model.quantization: {kind} needs bitsandbytes: pip install 'xtf-tokens[quantization]'")
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says at every product that inputs are cast
    make: Any = BitsAndBytesConfig
    settings = make(
        load_in_8bit=kind == "8bit",
        llm_int8_threshold=0.0,
        load_in_4bit=kind == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def leave_codes_unpacked(model: Any) -> None:
    """Keep 4-bit codes as they were made, where bitsandbytes would pack them anew for a CPU with bfloat16 products.

    Its product of packed codes refuses widths below 64, rounds to bfloat16 whatever is asked, and passes no gradient
    back, and a layer stays packed when training begins.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_quantized(model: Any) -> bool:
    """Whether some of a model's weights are codes that no gradient reaches; also of one that was saved so."""
    return bool(getattr(model, "is_quantized", False))


def refuse_quantized(model: Any, what: str, instead: str) -> None:
    """Refuse what needs the weights themselves.

    Args:
        model: The base.
        what: What needs them, as the sentence's subject.
        instead: What to do.

    Raises:
        ModelError: the model is quantised.
    """
    if is_quantized(model):
        raise ModelError(
            f"{what} needs weights that are not quantised, and those of {type(model).__name__} are. {instead}"
        )
