"""Foreign text, stock phrases and scraps of pages written for this repository, in two halves that share no sentence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Split = Literal["fit", "judge"]
"""What a detector is fitted on, and what it is judged by, draw on different texts."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one split.

    Attributes:
        phrases: Stock phrases, a sentence each.
        passages: Passages of two to four sentences from some twenty domains.
        leftovers: What pages and templates leave in text; of a pair, such as a tag and its end, " … " lies between.
    """

    phrases: tuple[str, ...]
    passages: tuple[str, ...]
    leftovers: tuple[str, ...]


@cache
def read_texts(split: Split) -> Texts:
    """The texts of a split."""
    return Texts(*(_lines(f"{name}-{split}.txt") for name in ("phrases", "passages", "leftovers")))


def _lines(name: str) -> tuple[str, ...]:
    text = files("xtf.noise").joinpath("texts", name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
