"""Sentence-transformers models: one embedding a text, or one for each piece of a text, read in context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtf.errors import ModelError, first_line
from xtf.model.source import find_model, read_json, require_safetensors
from xtf.model.tokenizer import quiet

_WINDOWS_PER_BATCH = 32


class Encoder:
    """A sentence-transformers model, loaded from safetensors alone.

    Args:
        path: Hub id, folder, or ``package:NAME[/FOLDER]``.
        device: Where it runs.

    Raises:
        ModelError: when it cannot be found or loaded.
    """

    def __init__(self, path: str, device: torch.device) -> None:
        folder = find_model(path)
        if not folder.is_dir():
            raise ModelError(f"encoder:{path}: expected the folder of a sentence-transformers model")
        require_safetensors(folder, f"encoder:{path}")
        for module in sorted(p.parent for p in folder.glob("*/*.bin")):
            require_safetensors(module, f"encoder:{path}")
        with quiet():
            from sentence_transformers import SentenceTransformer

            try:
                self._model: Any = SentenceTransformer(
                    str(folder), device=str(device), local_files_only=True, model_kwargs={"use_safetensors": True}
                )
            except Exception as error:  # sentence-transformers raises many kinds for damaged or foreign folders
                first = first_line(error)
                raise ModelError(f"encoder:{path}: cannot be loaded: {first}") from error
        self._model.eval().requires_grad_(False)
        self._device = device
        self._tokenizer: Any = self._model.tokenizer
        if not getattr(self._tokenizer, "is_fast", False):
            raise ModelError(f"encoder:{path}: its tokenizer cannot say where in the text its tokens lie (no fast one)")
        self._window = int(self._model.max_seq_length or read_json(folder / "config.json")["max_position_embeddings"])

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """One sentence embedding a text, ``(k, dim)`` float32."""
        embeddings: Tensor = self._model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False)
        return embeddings.float()

    @torch.no_grad()
    def embed_pieces(self, text: str, spans: NDArray[np.int64]) -> Tensor:
        """Embed parts of one text in the context of all of it.

        Args:
            text: The text; one longer than the encoder's window is read window by window.
            spans: ``(n, 2)``, start and end of each piece, in characters.

        Returns:
            ``(n, dim)`` float32: the mean over the encoder tokens a piece overlaps; where it overlaps none (white
            space), the nearest one before it, or after it at the start; all zeros when the text is empty.
        """
        windows = self._tokenizer(
            text,
            truncation=True,
            max_length=self._window,
            stride=0,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            padding=True,
            return_tensors="pt",
        )
        content = windows["special_tokens_mask"] == 0
        content &= windows["attention_mask"] == 1
        offsets = windows["offset_mapping"][content].numpy()
        vectors = []
        for start in range(0, len(content), _WINDOWS_PER_BATCH):
            part = slice(start, start + _WINDOWS_PER_BATCH)
            names = ("input_ids", "attention_mask", "token_type_ids")
            features = {name: windows[name][part].to(self._device) for name in names if name in windows}
            states = self._model[0](features)["token_embeddings"]
            vectors.append(states.float().cpu()[content[part]])
        tokens = torch.cat(vectors)
        if not len(tokens):
            return torch.zeros(len(spans), tokens.shape[-1], device=self._device)
        return _overlap_means(tokens, offsets, spans).to(self._device)


def _overlap_means(tokens: Tensor, offsets: NDArray[np.int64], spans: NDArray[np.int64]) -> Tensor:
    """Mean of ``tokens`` ``(m, dim)``, which lie in order at ``offsets`` ``(m, 2)``, over each of ``spans``."""
    first = np.searchsorted(offsets[:, 1], spans[:, 0], side="right")  # the first token that ends after the start
    last = np.searchsorted(offsets[:, 0], spans[:, 1], side="left")  # one past the last that starts before the end
    none = (last <= first) | (spans[:, 1] <= spans[:, 0])
    first = np.where(none, np.clip(first - 1, 0, len(tokens) - 1), first)
    last = np.where(none, first + 1, last)
    sums = torch.cat([tokens.new_zeros(1, tokens.shape[1]), tokens]).double().cumsum(dim=0)
    begin, end = (torch.from_numpy(edge) for edge in (first, last))
    return ((sums[end] - sums[begin]) / (end - begin)[:, None]).float()
