"""Embeddings of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xtf.attribute.signals.base import SignalRequest


@dataclass(frozen=True, slots=True)
class TokenEmbedding(SignalRequest):
    """An embedding of each response token, ``(batch, seq, dim)`` float32; elsewhere NaN or unspecified.

    ``source`` is ``"hidden"`` (last hidden state of the base model with the token fed alone, no context), ``"input"``
    (row of the input-embedding matrix), or ``"encoder:PATH"`` (a sentence-transformers model reads the whole example;
    each token gets the mean of the encoder tokens it overlaps). With ``prompts``, those of prompts too.
    """

    name: ClassVar[str] = "token_embedding"
    source: str = "hidden"
    prompts: bool = False
