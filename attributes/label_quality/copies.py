"""Copies of the run's own examples with known mistakes in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xtf.attribute import FitContext
from xtf.noise import Kind, Planted, Planting, looks_like_code, plant_examples
from xtf.tokens import TokenizedExample

_RATES = (0.06, 0.12)
_ENOUGH = 400
_MOST_COPIES = 5
_CODE_FIRST = 0.8

Predict = Callable[[TokenizedExample], Sequence[Sequence[str]]]


def copies_of_each(examples: int) -> int:
    """How often each of so many examples is copied: few of them more often, since little text teaches little."""
    return int(np.clip(-(-_ENOUGH // max(examples, 1)), 2, _MOST_COPIES))


def plant_copies(
    context: FitContext, examples: Sequence[TokenizedExample], kinds: Sequence[Kind], predict: Predict
) -> list[Planted]:
    """Plant mistakes in copies of ``examples``, each of one kind that fits it, by turns 6 and 12 % of its tokens.

    The kind is drawn by chance from those that fit, but one of which less than half as many tokens were planted as of
    the mean kind has its turn first, so that rare ones are learned too. Program text mostly gets the kinds that only
    program text has: a bug is one wrong name or constant, and a detector that has seen much coarser mistakes overlooks
    it.
    """
    turns = dict.fromkeys(kinds, 0)
    planted: list[Planted] = []
    for copy in range(copies_of_each(len(examples))):
        planting = Planting(kinds, _RATES[copy % len(_RATES)], context.seed + copy, "fit")
        planted += [_plant_in_turn(context, example, planting, turns, predict) for example in examples]
    return planted


def _plant_in_turn(
    context: FitContext, example: TokenizedExample, planting: Planting, planted: dict[Kind, int], predict: Predict
) -> Planted:
    """Plant the first kind that fits; ``planted`` counts the tokens planted of each, and the tries in vain."""
    random = planting.random("turn", example.example_id)
    is_code = looks_like_code(context.decode(example.input_ids[example.is_response]))
    code_first = is_code and random.random() < _CODE_FIRST
    enough = sum(planted.values()) / len(planted) / 2
    drawn = random.permutation(len(planting.kinds))
    for i in sorted(drawn, key=lambda i: _late(planting.kinds[i], code_first, planted, enough)):
        kind = planting.kinds[i]
        alone = Planting([kind], planting.rate, planting.seed, planting.split)
        (one,) = plant_examples([example], context, alone, predict)
        wrong = int((one.kinds >= 0).sum())
        planted[kind] += max(1, wrong)
        if wrong:
            return Planted(one.example, np.where(one.kinds >= 0, i, -1).astype(np.int16))
    return Planted(example, np.full(len(example), -1, np.int16))


def _late(kind: Kind, code_first: bool, planted: dict[Kind, int], enough: float) -> tuple[bool, bool]:
    """Orders kinds: those of programs before others where these come first, then rare ones before the rest."""
    return code_first and not _is_for_code(kind), planted[kind] >= enough


def _is_for_code(kind: Kind) -> bool:
    return type(kind).__module__.endswith(".code")
