"""Models, from a configuration or from objects, ready for scoring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from xtf.config import ModelConfig
from xtf.errors import ModelError, first_line, raise_if_forbidden
from xtf.model.architecture import refuse_architecture
from xtf.model.gguf import plain_model
from xtf.model.placing import device_of, holds_back, is_spread, keep_with, placed_loading
from xtf.model.precision import automatic_dtype
from xtf.model.quantization import is_quantized, leave_codes_unpacked, quantized_loading
from xtf.model.source import (
    file_fingerprint,
    find_model,
    folder_fingerprint,
    name_for_others,
    object_fingerprint,
    read_json,
    require_safetensors,
)
from xtf.model.tokenizer import load_tokenizer, quiet
from xtf.progress import busy

_HELD_IN = " in "


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model with its tokenizer, frozen and in evaluation mode.

    Attributes:
        model: The model; none of its parameters requires a gradient.
        tokenizer: Its tokenizer; no id of it lies beyond the model's embeddings.
        fingerprint: Identifies the weights by content, not by name.
        dtype: The dtype of the weights.
        device: Where the weights lie; of a model that is spread, where it takes its inputs.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def from_objects(
        cls, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, fingerprint: str | None = None
    ) -> LoadedModel:
        """Wrap a model that is already loaded; it is put in evaluation mode and frozen, in place.

        Adapters of ``peft`` stay active. Without a ``fingerprint`` one is taken from the parameters.

        Raises:
            ModelError: when the two do not belong together, or it is no causal language model of transformers.
        """
        plain: Any = model
        if hasattr(plain, "get_base_model"):  # peft: the model within, its layers replaced by adapted ones
            if getattr(plain, "active_peft_config", None) is not None and plain.active_peft_config.is_prompt_learning:
                raise ModelError("prompt-learning adapters change the sequence itself and cannot be scored")
            plain = plain.get_base_model()
        if not isinstance(plain, PreTrainedModel):
            raise ModelError(f"expected a transformers model, got {type(model).__name__}")
        untyped: Any = plain
        refuse_architecture(untyped.config, type(model).__name__, type(plain).__name__)
        if untyped.get_output_embeddings() is None:
            raise ModelError(f"{type(plain).__name__} is not a causal language model: it has no output head")
        _check_vocabulary(plain, tokenizer, type(plain).__name__)
        untyped.requires_grad_(False).eval()
        leave_codes_unpacked(plain)
        if fingerprint is None and holds_back(plain):
            raise ModelError(
                f"{type(plain).__name__}: some of its weights are on disk or in host memory until they run "
                "(device_map), so that they cannot be told from others. Name the model in the configuration: "
                "model.path, model.device_map"
            )
        dtype = next(plain.parameters()).dtype
        return cls(plain, tokenizer, fingerprint or object_fingerprint(plain), dtype, device_of(plain))


def load_model(config: ModelConfig) -> LoadedModel:
    """Load the model and tokenizer that a configuration names.

    Raises:
        ModelError: when either cannot be found, is not safe to open, is no causal language model, or does not fit
            the other.
    """
    device = model_device(config)
    tokenizer = load_tokenizer(config)
    place = find_model(config.path, config.revision, code=config.trust_remote_code)
    dtype = _dtype(config.dtype, device, place)
    with busy(f"Loading {config.path}"), quiet():
        model = _load_weights(place, config, dtype, device)
        untyped: Any = model
        if not is_quantized(model) and not is_spread(model):
            untyped.to(device)
    return LoadedModel.from_objects(model, tokenizer, _fingerprint(place, config))


def model_dtype(config: ModelConfig) -> str:
    """The dtype that the model of a configuration will have here, without loading its weights.

    Raises:
        ModelError: when there is no such model, or no such device where the device decides.
    """
    place = find_model(config.path, config.revision, code=config.trust_remote_code)
    if config.dtype != "auto":
        return config.dtype
    return str(_dtype(config.dtype, model_device(config), place)).removeprefix("torch.")


def model_device(config: ModelConfig) -> torch.device:
    """The device that a configuration means on this machine.

    Raises:
        ModelError: when it cannot be used here.
    """
    name = config.device
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"model.device: {name!r} cannot be used here: {first_line(error)}") from None
    return device


def model_fingerprint(config: ModelConfig) -> str:
    """The fingerprint that the model of a configuration will have, without loading its weights.

    Raises:
        ModelError: when there is no such model.
    """
    return _fingerprint(find_model(config.path, config.revision, code=config.trust_remote_code), config)


def _fingerprint(place: Path, config: ModelConfig | None = None) -> str:
    """Of the weights; as they are held, if a configuration is given."""
    if config is not None and config.quantization != "none":
        return f"{_fingerprint(place)}{_HELD_IN}{config.quantization}"
    if place.is_file():
        return f"gguf:{file_fingerprint(place)}"
    base = adapter_base(place)
    return f"{folder_fingerprint(place)}+{_fingerprint(find_model(base))}" if base else folder_fingerprint(place)


def stored_fingerprint(fingerprint: str) -> str:
    """The fingerprint of the same weights as they are stored, whatever they are quantised to in memory."""
    return fingerprint.partition(_HELD_IN)[0]


def adapter_base(place: Path) -> str:
    """The base model of a folder that holds an adapter alone, or nothing."""
    if (place / "config.json").exists():
        return ""
    return str(read_json(place / "adapter_config.json").get("base_model_name_or_path") or "")


def _load_weights(place: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    if place.is_file():
        return _load_folder(plain_model(place), config, dtype, device)
    base_path = adapter_base(place)
    if not base_path:
        return _load_folder(place, config, dtype, device)
    if config.quantization != "none":
        raise ModelError(
            f"{config.path}: an adapter, which would be merged into weights of {config.quantization}. Merge it first "
            "(PeftModel.merge_and_unload, save_pretrained) and give the folder of the whole model."
        )
    if config.device_map is not None:
        raise ModelError(
            f"{config.path}: an adapter, which cannot be merged into weights that are spread (model.device_map). Merge "
            "it first (PeftModel.merge_and_unload, save_pretrained) and give the folder of the whole model."
        )
    from peft import PeftModel

    require_safetensors(place, config.path)
    base_config = config.model_copy(update={"path": base_path, "revision": None})
    base = _load_weights(find_model(base_path, code=config.trust_remote_code), base_config, dtype, device)
    merged: PreTrainedModel = PeftModel.from_pretrained(base, str(place)).merge_and_unload()
    return merged


def _load_folder(folder: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    shown = config.path
    if not (folder / "config.json").exists():
        raise ModelError(f"{shown}: no config.json in {folder}. Give a folder written by save_pretrained.")
    require_safetensors(folder, shown)
    options = {"trust_remote_code": config.trust_remote_code, "local_files_only": True}
    quantized, placed = quantized_loading(config.quantization, dtype, device), placed_loading(config)
    model_class: Any = AutoModelForCausalLM
    model: Any = None
    try:
        model_config = AutoConfig.from_pretrained(str(folder), **options)
        refuse_architecture(model_config, shown)
        if getattr(model_config, "quantization_config", None) is not None:  # saved so; it goes where it is to stay
            if quantized:
                raise ModelError(f"{shown}: its weights are quantised already; leave model.quantization out")
            quantized = {"device_map": {"": device}}
        model, info = model_class.from_pretrained(
            str(folder),
            config=model_config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **quantized | placed,
        )
    except ModelError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, SafetensorError, ... for bad files
        raise_if_forbidden(error)
        own_code = "auto_map" in read_json(folder / "config.json") and not config.trust_remote_code
        hint = " If you trust the Python code that comes with it: model.trust_remote_code: true" if own_code else ""
        raise ModelError(f"{shown}: cannot be loaded: {first_line(error)}{hint}") from error
    finally:
        keep_with(model, placed)
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"{shown}: {len(missing)} weights are missing, {missing[0]} among them; they would be random numbers."
        )
    loaded: PreTrainedModel = model
    loaded.name_or_path = loaded.config._name_or_path = name_for_others(shown)  # what adapters record as their base
    return loaded


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, shown: str) -> None:
    embeddings: Any = model.get_input_embeddings()
    rows = int(embeddings.weight.shape[0])
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise ModelError(
            f"{shown}: the tokenizer's highest id is {highest}, but the model embeds {rows} tokens only (0 to "
            f"{rows - 1}). Give the model's own tokenizer, or resize the model's embeddings."
        )


def _dtype(name: str, device: torch.device, place: Path) -> torch.dtype:
    if name == "auto":
        return automatic_dtype(device, _weights_bytes(place))
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _weights_bytes(place: Path) -> int:
    """Size of the files that hold the weights; of the base, for a folder that holds an adapter alone."""
    if place.is_file():
        return place.stat().st_size
    base = adapter_base(place)
    return _weights_bytes(find_model(base)) if base else sum(p.stat().st_size for p in place.glob("*.safetensors"))
