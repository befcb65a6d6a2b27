"""Which examples a report of a large run embeds: some drawn by chance, and those worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from xtf.config import words
from xtf.display import command
from xtf.errors import RunError, did_you_mean
from xtf.report.html.facts import FactsTable

MAX_EXAMPLES = 1000
MAX_VALUES = 1_200_000
"""Embedded tokens times (attributes + 3): keeps the page near 8 MB."""
_SHARES = {"most masked": 0.15, "least masked": 0.15, "attributes disagree": 0.15}


@dataclass(frozen=True, slots=True)
class Sample:
    """The examples to embed.

    Attributes:
        places: Their places in the corpus, rising.
        why: Why each is there: ``all``, ``chosen``, ``random``, ``most masked``, ``least masked`` or
            ``attributes disagree``.
        total: Examples in the corpus.
    """

    places: tuple[int, ...]
    why: tuple[str, ...]
    total: int

    @property
    def complete(self) -> bool:
        """Whether every example is embedded."""
        return len(self.places) == self.total


def choose(
    facts: FactsTable,
    attributes: int,
    examples: Sequence[str] | None = None,
    max_examples: int = MAX_EXAMPLES,
    max_values: int = MAX_VALUES,
) -> Sample:
    """All examples if they fit; else just over half drawn by chance (always the same ones) and the rest by interest.

    Args:
        facts: What is known of every example.
        attributes: How many attributes the run has.
        examples: The ids asked for, which are then the only ones.
        max_examples: Most examples.
        max_values: Most embedded tokens times (attributes + 3).

    Raises:
        RunError: for an id that is not in the run.
    """
    if examples is not None:
        return _chosen(facts, examples)
    max_tokens = max_values // (attributes + 3)
    tokens, *_ = facts.columns()
    if len(facts) <= max_examples and int(tokens.sum()) <= max_tokens:
        return Sample(tuple(range(len(facts))), ("all",) * len(facts), len(facts))
    taken: dict[int, str] = {}
    orders = _orders(facts)
    random_share = 1.0 - sum(_SHARES.values())
    for why, share in {"random": random_share, **_SHARES}.items():
        left_examples, left_tokens = int(max_examples * share), int(max_tokens * share)
        for place in map(int, orders[why]):
            size = int(tokens[place])
            if left_examples <= 0:
                break
            if place in taken or size > left_tokens:
                if why == "random" and place not in taken:
                    break  # skipping the long ones would bias what was drawn
                continue
            taken[place] = why
            left_examples, left_tokens = left_examples - 1, left_tokens - size
    if not taken and len(orders["random"]):
        taken[int(orders["random"].min())] = "random"
    places = tuple(sorted(taken))
    return Sample(places, tuple(taken[place] for place in places), len(facts))


def _orders(facts: FactsTable) -> dict[str, NDArray[np.int64]]:
    """The places of the examples that have a response, by chance and by interest; ties stay in corpus order."""
    _, response, masked, disagree = facts.columns()
    some = np.flatnonzero(response)
    sizes = response[some]
    rate = masked[some] / sizes
    return {
        "random": np.random.default_rng(0).permutation(some),
        "most masked": some[np.lexsort((-sizes, -rate))],
        "least masked": some[np.lexsort((-sizes, rate))],
        "attributes disagree": some[np.argsort(-disagree[some] / sizes, kind="stable")],
    }


def _chosen(facts: FactsTable, examples: Sequence[str]) -> Sample:
    examples = [examples] if isinstance(examples, str) else examples
    known = facts.places_of(examples)
    for example in examples:
        if example not in known:
            parts = words(example)
            is_list = len(parts) > 1 and len(facts.places_of(parts)) == len(set(parts))
            each = "".join(f" {command(f'--example={part}')}" for part in parts)
            hint = f" Name each by itself:{each}" if is_list else did_you_mean(example, islice(facts.ids(), 1000))
            raise RunError(f"no example {example!r} in this run.{hint}")
    places = tuple(sorted(known.values()))
    return Sample(places, ("chosen",) * len(places), len(facts))
