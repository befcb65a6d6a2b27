"""What one training will hold in memory, part by part, and how many updates it makes; nothing is loaded for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from xtf.config import LoraSettings, TrainingConfig
from xtf.model.head import LOGITS_BYTES
from xtf.model.outline import Outline
from xtf.training.weights import with_adapters

_FLOAT = 4
_LOGITS_AT_ONCE = 4
"""A piece of the head's work holds its logits, their log-softmax, and the gradients of both."""

_HEAP_BLOCK = 32 * 2**20
"""glibc takes smaller blocks from its heap, where those that are let go leave holes; larger ones it gives back."""

_HOLES = 21
"""As many layers' activations lie in such holes: measured with SmolLM2, with gradient checkpointing and without."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of training.

    Attributes:
        examples: In it.
        longest: Tokens of the longest, to which the others are padded.
    """

    examples: int
    longest: int

    @property
    def tokens(self) -> int:
        """Padded tokens."""
        return self.examples * self.longest


def training_memory(
    outline: Outline, config: TrainingConfig, batch: Batch, kept: tuple[float, float] | None = None
) -> dict[str, int]:
    """Bytes by part, at the peak of an update.

    Args:
        outline: The model.
        config: The training, its dtype settled.
        batch: The largest one.
        kept: Bytes that a token keeps for the backward pass, once and in each layer, as a trial found them; by the
            sizes of the layers if None.
    """
    trained = trained_parameters(outline, config)
    low = config.method == "lora" and config.dtype == "bfloat16"
    width = 2 if low else _FLOAT
    once, layer = kept or (0.0, float(width * floats_kept(outline)))
    if config.gradient_checkpointing:
        activations = batch.tokens * (once + layer + outline.layers * outline.hidden * width)
    else:
        activations = batch.tokens * (once + layer * outline.layers)
    parts = {
        "weights": outline.weight_bytes(width),
        "adapters" if config.method == "lora" else "gradients": trained
        * _FLOAT
        * (2 if config.method == "lora" else 1),
        "optimiser (AdamW)": 2 * trained * _FLOAT,
        "activations": round(activations),
        "logits": _LOGITS_AT_ONCE * min(LOGITS_BYTES, batch.tokens * outline.vocabulary * _FLOAT),
    }
    if outline.device.type == "cpu" and batch.tokens * outline.hidden * width < _HEAP_BLOCK:
        parts["holes in the heap"] = round(min(_HOLES, outline.layers) * batch.tokens * layer)
    if config.method == "full":
        parts["copy of the base, to begin each arm from"] = outline.parameters * _FLOAT
    return parts


def floats_kept(outline: Outline) -> int:
    """Numbers that a token keeps in one layer for LoRA's backward pass.

    Seven vectors as wide as the hidden states (norms, queries, keys, values, attention, residuals), four as wide as the
    feed-forward layer; SmolLM2 keeps 10,050 where this says 10,176.
    """
    return 7 * outline.hidden + 4 * outline.inner


def trained_parameters(outline: Outline, config: TrainingConfig) -> int:
    """Parameters that are trained: all, or those of the adapters that PEFT puts on a model of these shapes."""
    return outline.parameters if config.method == "full" else _adapter_parameters(outline, config.lora)


@lru_cache(maxsize=8)
def _adapter_parameters(outline: Outline, settings: LoraSettings) -> int:
    adapted = with_adapters(outline.built(outline.config, "meta"), settings)
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


def examples_seen(config: TrainingConfig, examples: int) -> int:
    """Examples that one training runs over, each as often as it comes."""
    if config.max_steps is None:
        return round(config.epochs * examples)
    return config.max_steps * min(examples, config.batch_size * config.gradient_accumulation)
