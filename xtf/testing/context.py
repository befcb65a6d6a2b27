"""What a scorer may look at while it is fitted, without a model."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import torch
from numpy.typing import NDArray

from xtf.attribute import SignalRequest, Signals
from xtf.testing.examples import VOCABULARY
from xtf.testing.signals import make_up, vector, words
from xtf.tokens import TokenBatch, TokenizedExample


class MadeUpFitContext:
    """A :class:`xtf.attribute.FitContext` without a model."""

    def __init__(self, examples: Sequence[TokenizedExample], seed: int = 0) -> None:
        self.examples = examples
        self.seed = seed

    def decode(self, ids: NDArray[np.int32]) -> str:
        """Words made of the ``(n,)`` ids."""
        return words(ids.tolist())

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ``(n,)`` ids of words made of ids; other words by their letters."""
        words = text.split()
        ids = [int(w[1:]) if w[1:].isdigit() else zlib.crc32(w.encode()) for w in words]
        return np.array([i % VOCABULARY for i in ids], np.int32)

    def pieces(self, ids: NDArray[np.int32]) -> list[bytes]:
        """A word and the space before it for each of ``(n,)`` ids; the first has none."""
        return [f"{' ' if place else ''}w{i}".encode() for place, i in enumerate(ids)]

    def vocabulary(self) -> Sequence[str]:
        """The words of all ids."""
        return [f" w{i}" for i in range(VOCABULARY)]

    def signals(
        self, examples: Sequence[TokenizedExample], requests: AbstractSet[SignalRequest]
    ) -> Iterator[tuple[list[int], Signals]]:
        """Made-up signals of each example alone."""
        for position, example in enumerate(examples):
            yield [position], make_up(requests, TokenBatch.collate([example]))

    def texts(self, path: str) -> list[str]:
        """Two texts that depend on ``path``."""
        return [f"{path} w1 w2", f"{path} w3"]

    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> torch.Tensor:
        """``(k, dim)`` float32 vectors that depend on id and source."""
        return torch.stack([vector(f"{source}:{int(i)}") for i in ids])

    def embed_texts(self, texts: Sequence[str], source: str) -> torch.Tensor:
        """``(k, dim)`` float32 vectors that depend on text and source."""
        return torch.stack([vector(f"{source}:{text}") for text in texts])
