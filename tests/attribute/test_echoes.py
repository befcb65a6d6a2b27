"""Stretches of tokens that stand earlier, against a search of every pair of places."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from xtf_attributes.label_quality.echoes import LENGTHS, echo_batch, find_echoes

from xtf.tokens import TokenBatch, TokenizedExample

IDS = st.lists(st.integers(0, 3), max_size=40)


def search_echoes(ids: list[int]) -> list[list[bool]]:
    found = [[False] * len(LENGTHS) for _ in ids]
    for column, length in enumerate(LENGTHS):
        for start in range(len(ids) - length + 1):
            if any(ids[before : before + length] == ids[start : start + length] for before in range(start)):
                for place in range(start, start + length):
                    found[place][column] = True
    return found


@given(IDS)
def test_echoes_are_those_of_a_search(ids: list[int]) -> None:
    assert find_echoes(np.array(ids, np.int64)).tolist() == search_echoes(ids)


def test_padding_and_other_examples_are_no_echo() -> None:
    examples = [
        TokenizedExample(name, np.array(ids, np.int32), np.arange(len(ids)) > 0, np.zeros(len(ids), np.bool_))
        for name, ids in (("a", [5, 6, 7, 1, 5, 6, 7]), ("b", [5, 6, 7]), ("c", [0, 0]))
    ]
    found = echo_batch(TokenBatch.collate(examples, torch.device("cpu")))
    assert found[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert not found[1:].any()
    assert not found[:, :, 1:].any()
