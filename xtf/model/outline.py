"""What a model's configuration alone says of it: its class and parameters, without reading a weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from xtf.config import ModelConfig
from xtf.config.sections import Quantization
from xtf.errors import ModelError
from xtf.model.architecture import refuse_architecture
from xtf.model.load import adapter_base, model_device
from xtf.model.precision import automatic_dtype
from xtf.model.quantization import WIDTHS
from xtf.model.source import find_model
from xtf.model.tokenizer import quiet


@dataclass(frozen=True, eq=False)
class Outline:
    """A model that has shapes but no weights.

    Attributes:
        name: As the configuration names it.
        config: The transformers configuration.
        dtype: What its weights will be loaded in here.
        device: Where they will lie.
        trusted: Whether Python code that comes with it may run.
        quantization: What its linear layers will be held in.
    """

    name: str
    config: Any
    dtype: torch.dtype
    device: torch.device
    trusted: bool = False
    quantization: Quantization = "none"

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model on the meta device: shapes only."""
        return self.built(self.config, "meta")

    def built(self, config: Any, device: torch.device | str) -> PreTrainedModel:
        """A model of a configuration of this kind with random weights; with none on the device ``meta``."""
        auto: Any = AutoModelForCausalLM
        with quiet(), torch.device(device):
            model: PreTrainedModel = auto.from_config(config, dtype=self.dtype, trust_remote_code=self.trusted)
        return model

    @property
    def parameters(self) -> int:
        """Parameters, those that are shared counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def weight_bytes(self, width: int) -> int:
        """Bytes of its weights, where one that is not quantised takes ``width``."""
        codes = 0 if self.quantization == "none" else sum(a * b for a, b in self.linear_sides())
        return round((self.parameters - codes) * width + codes * WIDTHS.get(self.quantization, 0))

    @property
    def largest(self) -> int:
        """Parameters of its largest matrix: what memory must hold where weights stay on disk until they run."""
        return max(parameter.numel() for parameter in self.model.parameters())

    @property
    def layers(self) -> int:
        """Layers of its decoder."""
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def hidden(self) -> int:
        """Width of its hidden states."""
        return int(self.config.get_text_config().hidden_size)

    @property
    def inner(self) -> int:
        """Width inside its feed-forward layers."""
        text = self.config.get_text_config()
        return int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * self.hidden)

    @property
    def vocabulary(self) -> int:
        """Columns of its logits."""
        return int(self.config.get_text_config().vocab_size)

    def linear_sides(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear layer inside the decoder: what ``all-linear`` adapts."""
        untyped: Any = self.model
        outside = {id(untyped.get_output_embeddings()), id(untyped.get_input_embeddings())}
        found = [m for m in untyped.modules() if isinstance(m, nn.Linear) and id(m) not in outside]
        return [(module.in_features, module.out_features) for module in found]


def outline(config: ModelConfig) -> Outline:
    """Read what a configuration's model will be; of a folder that holds an adapter alone, its base.

    Raises:
        ModelError: there is no such model or device, or it is no causal language model.
    """
    place = find_model(config.path, config.revision, weights=False, code=config.trust_remote_code)
    if base := adapter_base(place):
        return outline(config.model_copy(update={"path": base, "revision": None}))
    device, found = model_device(config), _configuration(place, config)
    if config.dtype != "auto":
        dtype = getattr(torch, config.dtype)
        return Outline(config.path, found, dtype, device, config.trust_remote_code, config.quantization)
    stored = getattr(found, "dtype", None) or torch.float32
    rough = Outline(config.path, found, stored, device, config.trust_remote_code, config.quantization)
    return replace(rough, dtype=automatic_dtype(device, rough.parameters * stored.itemsize))


def _configuration(place: Path, config: ModelConfig) -> Any:
    auto: Any = AutoConfig
    options = {"trust_remote_code": config.trust_remote_code, "local_files_only": True}
    try:
        with quiet():
            if place.is_file():
                found = auto.from_pretrained(str(place.parent), gguf_file=place.name, **options)
            else:
                found = auto.from_pretrained(str(place), **options)
    except Exception as error:  # whatever transformers raises on damaged or foreign files
        raise ModelError(f"{config.path}: its configuration cannot be read: {error}") from error
    refuse_architecture(found, config.path)
    return found
