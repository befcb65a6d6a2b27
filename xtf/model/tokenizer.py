"""Tokenizers, from a configuration, without any weights and without what loads models."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from xtf.config import ModelConfig
from xtf.errors import ModelError, first_line, raise_if_forbidden
from xtf.model.gguf import plain_tokenizer
from xtf.model.source import find_model, read_json

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer that a configuration names, without any weights.

    Raises:
        ModelError: when there is none, or it cannot be read.
    """
    shown = config.tokenizer or config.path
    revision = None if config.tokenizer else config.revision
    place = find_model(shown, revision, weights=False, code=config.trust_remote_code)
    with quiet():
        folder = plain_tokenizer(place) if place.is_file() else place
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        if not any((folder / name).exists() for name in _TOKENIZER_FILES):
            if base and not config.tokenizer:
                return load_tokenizer(config.model_copy(update={"path": base, "revision": None}))
            raise ModelError(f"{shown}: no tokenizer in {folder}. Name one with model.tokenizer.")
        auto: Any = AutoTokenizer
        try:
            tokenizer = auto.from_pretrained(
                str(folder), trust_remote_code=config.trust_remote_code, local_files_only=True
            )
        except Exception as error:  # whatever tokenizer libraries raise on damaged or foreign files
            raise_if_forbidden(error)
            raise ModelError(f"{shown}: its tokenizer cannot be loaded: {first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"{shown}: expected a tokenizer, found {type(tokenizer).__name__}")
    return tokenizer


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Identify a tokenizer by what it does: its vocabulary and rules, special tokens and chat template."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    parts = (rules, str(sorted(map(str, tokenizer.all_special_tokens))), str(tokenizer.chat_template))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and warnings of transformers; real trouble is raised, not logged."""
    logs: Any = transformers_logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
