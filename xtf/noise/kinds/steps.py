"""Noise in steps of an argument: one said twice, one contradicted."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xtf.noise.kind import Edit, Kind, Response, Span, pick, shuffled
from xtf.noise.kinds.facts import Number
from xtf.noise.kinds.words import Negation

_STEP = re.compile(r"[^\n.!?]+(?:[.](?=\d)[^\n.!?]*)*[.!?]?(?=\s|$)")
_OPENERS = ("Again, ", "So, once more, ", "As said before, ", "To repeat: ", "That is, ")
_CONTRARY = ("Actually, ", "But in fact, ", "On the other hand, ", "However, ", "Wait, ")


def _steps(text: str) -> list[Span]:
    """The characters of each sentence or line of at least twelve characters."""
    return [match.span() for match in _STEP.finditer(text) if len(match.group().strip()) >= 12]


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


class Repeated(Kind):
    """A sentence said again."""

    name = "repeated"
    label = "a sentence said twice"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert a copy of a sentence behind it or behind a later one, sometimes with an opening such as "Again,"."""
        steps = [] if response.is_code else _steps(response.text)
        for start, end in shuffled(steps, random):
            sentence = response.text[start:end].strip()
            later = [stop for _, stop in steps if stop >= end]
            at = later[min(int(random.integers(0, 2)), len(later) - 1)]
            said = pick(_OPENERS, random) + _decapitalised(sentence) if random.random() < 0.3 else sentence
            yield Edit(at, at, ("\n" if "\n" in response.text[end : end + 1] else " ") + said)


class Contradiction(Kind):
    """A step that contradicts the one before it."""

    name = "contradiction"
    label = "a step that contradicts"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert a sentence behind itself with a number changed or the statement turned around."""
        steps = [] if response.is_code else _steps(response.text)
        for start, end in shuffled(steps, random):
            sentence = response.text[start:end].strip()
            said = Response(sentence, (), response.texts)
            edit = next(Number().propose(said, random), None) or next(Negation().propose(said, random), None)
            if edit is not None:
                wrong = sentence[: edit.start] + edit.replacement + sentence[edit.end :]
                gap = "\n" if "\n" in response.text[end : end + 1] else " "
                yield Edit(end, end, gap + pick(_CONTRARY, random) + _decapitalised(wrong))
