"""Tiny random models of the architectures that users fine-tune: dense, mixtures of experts, and hybrids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.tiny import SLIDING_WINDOW, TINY_KINDS, VOCAB_SIZE, TinyKind, tiny_model

_CONFIGS: Any = transformers
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_MAMBA: dict[str, Any] = {
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
_HALVED: dict[str, Any] = {"logits_scaling": 2.0, "residual_multiplier": 0.5}

_OTHERS: dict[str, Callable[[], Any]] = {
    "mistral": lambda: _CONFIGS.MistralConfig(**_SHAPE, sliding_window=SLIDING_WINDOW),
    "phi3": lambda: _CONFIGS.Phi3Config(**_SHAPE),
    "olmo2": lambda: _CONFIGS.Olmo2Config(**_SHAPE),
    "granite": lambda: _CONFIGS.GraniteConfig(**_SHAPE, **_HALVED, attention_multiplier=0.3),
    "qwen3_moe": lambda: _CONFIGS.Qwen3MoeConfig(**_SHAPE, **_EXPERTS, head_dim=8, num_experts=4),
    "mixtral": lambda: _CONFIGS.MixtralConfig(**_SHAPE, num_local_experts=4),
    "jamba": lambda: _CONFIGS.JambaConfig(
        **_SHAPE, attn_layer_period=3, attn_layer_offset=1, num_experts=2, mamba_d_state=8
    ),
    "bamba": lambda: _CONFIGS.BambaConfig(**_SHAPE, **_MAMBA, attn_layer_indices=[1]),
    "granite_hybrid": lambda: _CONFIGS.GraniteMoeHybridConfig(
        **_SHAPE,
        **_MAMBA,
        **_HALVED,
        layer_types=["mamba", "attention", "mamba"],
        num_local_experts=0,
        shared_intermediate_size=64,
    ),
}
HYBRIDS = ("jamba", "bamba", "granite_hybrid")
"""Of three layers the middle one has attention, the others mix tokens by a state space (Mamba)."""

ATTENTIVE = (*TINY_KINDS, *(name for name in _OTHERS if name not in HYBRIDS))
"""Attention in every layer."""


def architecture(name: str) -> PreTrainedModel:
    """A random float32 model of that architecture, in evaluation mode and frozen."""
    kinds: dict[str, TinyKind] = {kind: kind for kind in TINY_KINDS}
    if name in kinds:
        return tiny_model(kinds[name])
    auto: Any = AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = auto.from_config(_OTHERS[name](), dtype=torch.float32)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0.0, 0.2)
    evaluated: PreTrainedModel = model.requires_grad_(False).eval()
    return evaluated
