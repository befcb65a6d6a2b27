"""Which architectures can be scored and trained: causal language models that read text alone."""

from __future__ import annotations

from typing import Any

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from xtf.errors import ModelError

_PERCEIVING = (*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values(), *MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.values())
_SENSES = ("vision_config", "audio_config", "image_config", "video_config", "encoder_config", "speech_config")


def refuse_architecture(config: Any, shown: str, class_name: str = "") -> None:
    """Refuse whatever is no causal language model of text alone, saying what it is instead.

    Args:
        config: A transformers configuration.
        shown: The model, as the user named it.
        class_name: Of the model, when it is loaded already; else what the configuration records.

    Raises:
        ModelError: an encoder-decoder, a model of text and images or sound, or no language model.
    """
    architectures = [class_name] if class_name else list(config.architectures or [])
    name = architectures[0] if architectures else f"model_type {config.model_type}"
    if getattr(config, "is_encoder_decoder", False) or _among(architectures, _encoder_decoders()):
        raise ModelError(
            f"{shown}: {name} is an encoder-decoder model: its decoder attends to an encoder's states, so it has no "
            "single sequence of tokens to score. XTF scores causal (decoder-only) language models: give one of these."
        )
    if _among(architectures, _PERCEIVING) or any(getattr(config, sense, None) is not None for sense in _SENSES):
        raise ModelError(
            f"{shown}: {name} is a vision-language or otherwise multimodal model: it reads images or sound beside "
            "text, which XTF's data does not hold. Give a text-only model; many families have one of the same "
            "tokenizer, or their text part saved as a model of its own."
        )
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    unknown = architectures and not _among(architectures, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    if unknown and not class_name and not own_code:
        raise ModelError(f"{shown}: {name} is not a causal language model; XTF scores next-token predictors.")


def _encoder_decoders() -> list[str]:
    """Models that map a sequence of text to another; those of sound are told by what they hear."""
    return [name for name in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values() if name not in _PERCEIVING]


def _among(architectures: list[str], names: Any) -> bool:
    return not set(architectures).isdisjoint(names)
