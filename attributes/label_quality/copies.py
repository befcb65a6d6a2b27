"""Copies of the run's own examples with known mistakes in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xtf.attribute import FitContext
from xtf.noise import Kind, Planted, Planting, looks_like_code, plant_examples
from xtf.tokens import TokenizedExample

RATES = (0.06, 0.12)
"""Shares of wrong tokens in a response, by turns."""

_ENOUGH = 600
_MOST_COPIES = 4
_CODE_FIRST = 0.8

Predict = Callable[[TokenizedExample], Sequence[Sequence[str]]]


def copies_of_each(examples: int) -> int:
    """How often each of so many examples is copied: few examples more often."""
    return int(np.clip(-(-_ENOUGH // max(examples, 1)), 2, _MOST_COPIES))


def plant_copies(
    context: FitContext, examples: Sequence[TokenizedExample], kinds: Sequence[Kind], predict: Predict
) -> list[Planted]:
    """Plant mistakes in copies of ``examples``: each copy gets those of one kind that fits it.

    Program text mostly gets the kinds that only program text has: a bug is one wrong name or constant, and a detector
    that has seen much coarser mistakes overlooks it.
    """
    planted: list[Planted] = []
    only_code = [kind for kind in kinds if _is_for_code(kind)]
    for copy in range(copies_of_each(len(examples))):
        for example in examples:
            planting = Planting(kinds, RATES[copy % len(RATES)], context.seed + copy, "fit")
            draw = planting.random("code", example.example_id).random()
            text = context.decode(example.input_ids[example.is_response])
            if only_code and draw < _CODE_FIRST and looks_like_code(text):
                (one,) = plant_examples([example], context, _of(planting, only_code), predict)
                planted.append(_renumbered(one, only_code, kinds))
            else:
                planted += plant_examples([example], context, planting, predict)
    return planted


def _is_for_code(kind: Kind) -> bool:
    return type(kind).__module__.endswith(".code")


def _of(planting: Planting, kinds: Sequence[Kind]) -> Planting:
    return Planting(kinds, planting.rate, planting.seed, planting.split)


def _renumbered(planted: Planted, old: Sequence[Kind], new: Sequence[Kind]) -> Planted:
    index = np.array([*(new.index(kind) for kind in old), -1], np.int16)
    return Planted(planted.example, index[planted.kinds])
