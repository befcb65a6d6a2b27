"""What scoring will hold in memory, part by part, and how often it runs the model over the data."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from xtf.attribute import (
    AttentionSignal,
    Continuation,
    Divergence,
    LogProbAlone,
    LossDerivative,
    PredictionSignal,
    SignalRequest,
    StateSignal,
    TokenEmbedding,
)
from xtf.model.blocks import BLOCK_BYTES, CPU_BLOCK_BYTES
from xtf.model.continuations import TOKENS_AT_ONCE
from xtf.model.outline import Outline
from xtf.model.prediction import LOGITS_BYTES

_AT_ONCE = 3
"""Logits and attention probabilities are held with what is computed from them: twice their size more."""

_DERIVATIVE = {"linear": 2.8, "all": 2.8, "lora": 2.3, "last_k": 1.4}
"""Forwards that the exact derivative of a loss takes (docs/benchmarks.md, influence.tangent_over_forward)."""

_CENTRAL_DIFFERENCES = 2.1


def scoring_memory(
    outline: Outline, requests: AbstractSet[SignalRequest], tokens: int, distinct: int
) -> dict[str, int]:
    """Bytes by part.

    Args:
        outline: The base model.
        requests: The signals asked for.
        tokens: Padded tokens in a batch.
        distinct: Distinct tokens of the data, each embedded once.
    """
    width = outline.dtype.itemsize
    block = CPU_BLOCK_BYTES if outline.device.type == "cpu" else BLOCK_BYTES
    derivatives = [request for request in requests if isinstance(request, LossDerivative)]
    parts = {
        "weights": outline.weight_bytes(width),
        "activations": round(1.5 * tokens * width * (4 * outline.hidden + 3 * outline.inner)),
        "logits": _AT_ONCE * min(LOGITS_BYTES, 4 * tokens * outline.vocabulary),
        "attention": _AT_ONCE * block * any(isinstance(request, AttentionSignal) for request in requests),
        "embeddings": 4 * distinct * outline.hidden * any(isinstance(r, TokenEmbedding) for r in requests),
        "answers being written": _cache_bytes(outline, max(tokens, TOKENS_AT_ONCE))
        * any(isinstance(r, Continuation) for r in requests),
        "directions": sum(_direction_bytes(outline, request) for request in derivatives),
    }
    return {name: size for name, size in parts.items() if size}


def passes(requests: AbstractSet[SignalRequest], response_share: float, reach: float) -> dict[str, float]:
    """Forward passes over the data, in units of one of the base model, by what asks for them.

    Args:
        requests: The signals asked for.
        response_share: Share of the tokens that are responses.
        reach: Mean length of the example that a response token stands in.
    """
    found: dict[str, float] = {}
    derivatives = [request for request in requests if isinstance(request, LossDerivative)]
    models = {request.reference for request in requests if isinstance(request, PredictionSignal | AttentionSignal)}
    if any(isinstance(request, StateSignal | Continuation) for request in requests):
        models.add(None)
    models -= {request.adapter for request in derivatives if request.mode != "finite"}  # its own pass answers for it
    models |= {model for r in requests if isinstance(r, Divergence) for model in (None, r.reference)}
    for model in sorted(models, key=repr):
        found["the base model" if model is None else model.shown] = 1.0
    if any(isinstance(request, LogProbAlone) for request in requests):
        found["answers without their prompt"] = response_share
    if continued := [request for request in requests if isinstance(request, Continuation)]:
        written = sum(response_share * (reach + request.margin) for request in continued)  # at most: read and written
        found["an answer written in place of each token"] = written
    for request in derivatives:
        factor = _CENTRAL_DIFFERENCES if request.mode == "finite" else _DERIVATIVE[request.parameters]
        found[f"the derivative along {request.target.shown}"] = factor
    return found


def _cache_bytes(outline: Outline, tokens: int) -> int:
    """Keys and values of so many tokens in all layers."""
    text = outline.config.get_text_config()
    heads = int(text.num_attention_heads)
    width = int(getattr(text, "head_dim", None) or outline.hidden // heads)
    shared = int(getattr(text, "num_key_value_heads", None) or heads)
    return 2 * tokens * outline.layers * shared * width * outline.dtype.itemsize


def _direction_bytes(outline: Outline, request: LossDerivative) -> int:
    """A direction and its preconditioned copy, in float32; of adapters, thin matrices."""
    sides = outline.linear_sides()
    if request.parameters == "lora":
        return 8 * sum(request.r * (inputs + outputs) for inputs, outputs in sides)
    if request.parameters == "last_k":
        return 8 * outline.parameters * request.k // outline.layers
    return 8 * (outline.parameters if request.parameters == "all" else sum(a * b for a, b in sides))
