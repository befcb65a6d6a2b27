"""Made-up examples: what every check of scorers and signals runs on."""

from __future__ import annotations

import zlib

import numpy as np
import torch

from xtf.tokens import TokenBatch, TokenizedExample

VOCABULARY = 50


def example_batch() -> list[TokenizedExample]:
    """Three short examples of different lengths: one with two turns, one with a single response token."""
    plans = [("two-turns", 17, [(4, 9), (12, 17)]), ("short", 6, [(5, 6)]), ("plain", 11, [(3, 11)])]
    examples = []
    for example_id, length, turns in plans:
        generator = np.random.default_rng(zlib.crc32(example_id.encode()))
        is_response = np.zeros(length, np.bool_)
        is_protected = np.zeros(length, np.bool_)
        for start, end in turns:
            is_response[start:end] = True
            is_protected[end - 1] = end - start > 1
        ids = generator.integers(0, VOCABULARY, length).astype(np.int32)
        examples.append(TokenizedExample(example_id, ids, is_response, is_protected))
    return examples


def padded(batch: TokenBatch, row: int | None = None, padding: int = 0) -> TokenBatch:
    """The batch, or one example of it without its padding, with more padding on the right."""
    rows = slice(None) if row is None else slice(row, row + 1)
    width = batch.input_ids.shape[1] if row is None else int(batch.lengths[row])
    ids, mask, response, in_turn = (
        torch.nn.functional.pad(part[rows, :width], (0, padding))
        for part in (batch.input_ids, batch.attention_mask, batch.is_response, batch.in_turn)
    )
    return TokenBatch(ids, mask, response, batch.example_ids[rows], in_turn)
