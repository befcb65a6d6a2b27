"""Fitting scorers once, and remembering what they learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import SignalRequest, Signals
from xtf.attribute.registry import AnyAttribute
from xtf.config import ColumnsConfig, DataConfig
from xtf.engine.batches import TokenBudget, fitting_tokens
from xtf.files import digest
from xtf.progress import busy, progress
from xtf.runs.folder import RunFolder
from xtf.runs.vocabulary import read_vocabulary
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    import torch

    from xtf.model import Embedder, LoadedModel


class EngineFitContext:
    """The engine's side of :class:`xtf.attribute.FitContext`.

    Args:
        examples: The sample of the data.
        loaded: The base model.
        embedder: Shares its cache of embeddings.
        seed: The run's seed.
        columns: How other files name their columns.
        budget: Of a batch; what fits the device, if not given.
    """

    def __init__(
        self,
        examples: Sequence[TokenizedExample],
        loaded: LoadedModel,
        embedder: Embedder,
        *,
        seed: int = 0,
        columns: ColumnsConfig | None = None,
        budget: TokenBudget | None = None,
    ) -> None:
        self.examples = examples
        self.seed = seed
        self._columns = columns if columns is not None else ColumnsConfig()
        self._loaded, self._embedder, self._budget = loaded, embedder, budget
        self._vocabulary = read_vocabulary(loaded.tokenizer)
        self._ordinary: list[str] = []

    def decode(self, ids: NDArray[np.int32]) -> str:
        """The text of ``(n,)`` token ids."""
        return self._vocabulary.text(ids)

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ``(n,)`` token ids of a text, as it would go on behind other text."""
        plain = self._ids(text)
        if self._vocabulary.text(plain) == text:
            return plain
        anchored = self._ids("\n" + text)  # vocabularies that put a space before the first word
        lengths = np.cumsum([len(self._vocabulary.pieces[int(i)]) for i in anchored])
        start = int(np.searchsorted(lengths, lengths[-1] - len(text.encode()), side="right")) if len(lengths) else 0
        return anchored[start:]

    def pieces(self, ids: NDArray[np.int32]) -> list[bytes]:
        """The bytes that each of ``(n,)`` tokens spells."""
        return [self._vocabulary.pieces[int(i)] for i in ids]

    def vocabulary(self) -> Sequence[str]:
        """The texts of all ordinary tokens."""
        if not self._ordinary:
            self._ordinary = self._vocabulary.ordinary()
        return self._ordinary

    def signals(
        self, examples: Sequence[TokenizedExample], requests: AbstractSet[SignalRequest]
    ) -> Iterator[tuple[list[int], Signals]]:
        """Run the base model over examples, in batches that fit."""
        from xtf.engine.score import run_batches
        from xtf.model import SignalPass

        signal_pass = SignalPass(self._loaded, requests, embedder=self._embedder)
        with progress("Reading the model", len(examples), "examples") as advance:
            for rows, signals in run_batches(examples, signal_pass, self._budget or fitting_tokens(self._loaded)):
                yield rows, signals
                advance(len(rows))

    def _ids(self, text: str) -> NDArray[np.int32]:
        return np.asarray(self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"], np.int32)

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
) -> dict[str, str | None]:
    """Fit each scorer, or restore what an earlier start of the same run learned.

    Returns:
        Attribute name to the tensors in the folder's ``state/`` that hold what it learned; None if it learned nothing.
    """
    keys: dict[str, str | None] = {}
    for name, attribute in attributes.items():
        key = f"fitted-{name}-{digest(fingerprints[name])}"
        state = folder.read_tensors(key)
        if state is not None:
            attribute.load_state(state)
        else:
            with busy(f"Fitting {name}"):
                attribute.fit(context)
            state = attribute.state()
            if state:
                folder.write_tensors(key, state)
        keys[name] = key if state else None
    return keys
