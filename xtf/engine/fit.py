"""Fitting scorers once, and remembering what they learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.attribute.registry import AnyAttribute
from xtf.config import ColumnsConfig, DataConfig
from xtf.files import digest
from xtf.runs.folder import RunFolder
from xtf.runs.vocabulary import Vocabulary
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    import torch

    from xtf.model import Embedder


class EngineFitContext:
    """The engine's side of :class:`xtf.attribute.FitContext`."""

    def __init__(
        self,
        examples: Sequence[TokenizedExample],
        seed: int,
        vocabulary: Vocabulary,
        embedder: Embedder,
        columns: ColumnsConfig | None = None,
    ) -> None:
        self.examples = examples
        self.seed = seed
        self._columns = columns if columns is not None else ColumnsConfig()
        self._vocabulary = vocabulary
        self._embedder = embedder

    def decode(self, ids: NDArray[np.int32]) -> str:
        """The text of token ids."""
        return self._vocabulary.text(ids)

    def texts(self, path: str) -> list[str]:
        """The response texts of another data file, whose columns are named as in ``data.columns``."""
        from xtf.data import response_texts

        return response_texts(DataConfig(path=path, columns=self._columns))

    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> torch.Tensor:
        """Context-free embeddings of token ids, ``(k, dim)`` float32."""
        return self._embedder.embed_tokens(ids, source)

    def embed_texts(self, texts: Sequence[str], source: str) -> torch.Tensor:
        """One embedding a text, ``(k, dim)`` float32."""
        return self._embedder.embed_texts(texts, source)


def fit_attributes(
    folder: RunFolder,
    attributes: Mapping[str, AnyAttribute],
    fingerprints: Mapping[str, str],
    context: EngineFitContext,
) -> None:
    """Fit each scorer, or restore what an earlier start of the same run learned."""
    for name, attribute in attributes.items():
        key = f"fitted-{name}-{digest(fingerprints[name])}"
        state = folder.read_tensors(key)
        if state is not None:
            attribute.load_state(state)
            continue
        attribute.fit(context)
        learned = attribute.state()
        if learned:
            folder.write_tensors(key, learned)
