"""Foreign text and stock phrases written for this repository, in two halves that share no sentence."""

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
    """

    phrases: tuple[str, ...]
    passages: tuple[str, ...]


@cache
def read_texts(split: Split) -> Texts:
    """The texts of a split."""
    return Texts(_lines(f"phrases-{split}.txt"), _lines(f"passages-{split}.txt"))


def _lines(name: str) -> tuple[str, ...]:
    text = files("xtf.noise").joinpath("texts", name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
