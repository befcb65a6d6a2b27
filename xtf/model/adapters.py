"""LoRA adapters on one set of base weights, switched on for a pass and off after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from xtf.config import ModelConfig
from xtf.errors import ModelError
from xtf.model.load import LoadedModel, model_fingerprint, stored_fingerprint
from xtf.model.placing import refuse_spread
from xtf.model.source import PACKAGE, folder_fingerprint, is_hub_id, read_json
from xtf.model.tokenizer import quiet


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter on a base model.

    Attributes:
        loaded: The base model, which computes without the adapter except inside :meth:`on`.
        name: The adapter's name in PEFT's registry.
        owner: Where it is registered.
    """

    loaded: LoadedModel
    name: str
    owner: Adapters

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let the base model compute with this adapter."""
        self.owner.switch(self.name)
        try:
            yield
        finally:
            self.owner.switch(None)


class Adapters:
    """The adapters of one base model; its weights are in memory once, and :meth:`close` gives it back as it was."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._wrapped: Any = None
        self._count = 0

    def load(self, folder: Path, shown: str, *, check_base: bool = True) -> Adapter:
        """Add the adapter that a folder holds, switched off.

        Args:
            folder: Written by ``save_pretrained`` of PEFT.
            shown: How messages name it.
            check_base: Whether the base named in the folder must be this one.

        Raises:
            ModelError: no adapter there, another kind than LoRA, or an adapter for another base.
        """
        from peft import PeftConfig

        if not (folder / "adapter_config.json").exists():
            raise ModelError(
                f"{shown}: no adapter_config.json in {folder}. Give the folder of a LoRA adapter, written by "
                "save_pretrained; a whole model goes under path."
            )
        if not (folder / "adapter_model.safetensors").exists():
            raise ModelError(f"{shown}: no adapter_model.safetensors in {folder}. Save the adapter again with PEFT.")
        if check_base:
            self._check_base(str(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or ""), shown)
        with quiet():
            config = PeftConfig.from_pretrained(str(folder))
        if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
            raise ModelError(f"{shown}: an adapter of kind {config.peft_type}; only LoRA adapters can be used here.")
        config.inference_mode = True
        try:
            name = self._add(config)
            with quiet():
                result = self._wrapped.load_adapter(str(folder), name, torch_device=str(self.loaded.device))
            stray = [*result.unexpected_keys, *(key for key in result.missing_keys if f".{name}." in key)]
        except (ValueError, RuntimeError, KeyError) as error:
            raise self._foreign(shown, str(error).strip().splitlines()[0]) from error
        if stray:
            raise self._foreign(shown, f"{len(stray)} of its matrices have no place there, {stray[0]} among them")
        self._settle()
        return Adapter(self.loaded, name, self)

    def fresh(self, r: int, seed: int) -> Adapter:
        """Add an untrained adapter on all linear layers, with alpha ``r``: A random, B zero, so it changes nothing."""
        from peft import LoraConfig

        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=r,
            lora_alpha=r,
            target_modules="all-linear",
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in self.loaded.model.modules()),
        )
        with torch.random.fork_rng(devices=[self.loaded.device] if self.loaded.device.type == "cuda" else []):
            torch.manual_seed(seed)
            name = self._add(config)
        self._settle()
        return Adapter(self.loaded, name, self)

    def switch(self, name: str | None) -> None:
        """Switch one adapter on, or all off."""
        if name is None:
            self._wrapped.base_model.disable_adapter_layers()
        else:
            self._wrapped.base_model.enable_adapter_layers()
            self._wrapped.base_model.set_adapter(name, inference_mode=True)

    def close(self) -> None:
        """Take every adapter off again."""
        if self._wrapped is not None:
            self._wrapped.unload()
            self._wrapped = None

    def __enter__(self) -> Adapters:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _add(self, config: Any) -> str:
        from peft import PeftModel

        refuse_spread(self.loaded.model, "an adapter", "Leave model.device_map out, or merge the adapter first.")
        name = f"xtf{self._count}"
        self._count += 1
        with quiet():
            if self._wrapped is None:
                self._wrapped = PeftModel(self.loaded.model, config, adapter_name=name)
            else:
                self._wrapped.add_adapter(name, config)
        return name

    def _settle(self) -> None:
        untyped: Any = self.loaded.model
        untyped.requires_grad_(False).eval()
        self.switch(None)

    def _check_base(self, named: str, shown: str) -> None:
        """Refuse an adapter whose base is known to be another; shapes alone do not tell a model from its sibling."""
        own = str(getattr(self.loaded.model.config, "_name_or_path", "") or "")
        if not named or named == own:
            return
        if Path(named).expanduser().exists() or named.startswith(PACKAGE):
            ours = {stored_fingerprint(self.loaded.fingerprint)} | (
                {folder_fingerprint(Path(own))} if Path(own).is_dir() else set()
            )
            known = not self.loaded.fingerprint.startswith("object:") or Path(own).is_dir()
            if known and model_fingerprint(ModelConfig(path=named)) not in ours:
                raise self._foreign(shown, f"it names {named} as its base")
        elif is_hub_id(own) and "models--" + own.replace("/", "--") not in named:  # nor a snapshot of it elsewhere
            raise self._foreign(shown, f"it names {named} as its base")

    def _foreign(self, shown: str, reason: str) -> ModelError:
        return ModelError(
            f"{shown}: an adapter for another base model: {reason}. Use an adapter trained on the run's own model, or "
            "set model.path to the adapter's base."
        )
