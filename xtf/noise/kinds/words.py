"""Noise in words: what people mistype, misinflect, confuse, leave out and add."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from xtf.noise.kind import Edit, Kind, Response, pick, shuffled
from xtf.noise.words import AUXILIARIES, FUNCTION_WORDS, OPPOSITES, inflect, like, misspell

_ROW_OF = {word: row for row in FUNCTION_WORDS for word in row}
_OPPOSITE_OF: dict[str, list[str]] = {}
for _left, _right in OPPOSITES:
    _OPPOSITE_OF.setdefault(_left, []).append(_right)
    _OPPOSITE_OF.setdefault(_right, []).append(_left)


class Spelling(Kind):
    """A misspelt word, as fingers and ears misspell."""

    name = "spelling"
    label = "a misspelt word"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Change one letter, or swap two, behind the first of a word of four letters or more."""
        for start, end in () if response.is_code else shuffled(response.words, random):
            word = response.text[start:end]
            if len(word) >= 4 and not word.isupper():
                wrong = misspell(word, int(random.integers(5)), int(random.integers(len(word))))
                if wrong != word:
                    yield Edit(start, end, wrong)


class Inflection(Kind):
    """A word in another form: number, tense or person."""

    name = "inflection"
    label = "a wrong form of a word"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a word by another form of it."""
        for start, end in () if response.is_code else shuffled(response.words, random):
            if forms := inflect(response.text[start:end]):
                yield Edit(start, end, pick(forms, random))


class FunctionWord(Kind):
    """A small word confused with another: article, preposition, pronoun, conjunction."""

    name = "function_word"
    label = "a wrong small word"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace an article, preposition, pronoun, conjunction or auxiliary by another of its group."""
        for start, end in () if response.is_code else shuffled(response.words, random):
            word = response.text[start:end]
            row = _ROW_OF.get(word.lower(), ())
            if others := [other for other in row if other != word.lower()]:
                yield Edit(start, end, like(pick(others, random), word))


class LeftOut(Kind):
    """A word left out; what follows the gap is marked."""

    name = "left_out"
    label = "a missing word before it"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Remove a word that another one follows on the same line, with the space behind it."""
        words = () if response.is_code else response.words
        followed = [word for word, behind in pairwise(words) if behind[0] == word[1] + 1]
        for start, end in shuffled(followed, random):
            if response.text[end] == " ":
                yield Edit(start, end + 1, "")


class Added(Kind):
    """A word too many: repeated, or a small word that does not belong."""

    name = "added"
    label = "a word too many"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert a small word, or the word itself again, behind a word."""
        small = [word for row in FUNCTION_WORDS[:4] for word in row]
        for start, end in () if response.is_code else shuffled(response.words, random):
            word = response.text[start:end]
            yield Edit(end, end, " " + (word.lower() if random.random() < 0.3 else pick(small, random)))


class Negation(Kind):
    """A statement turned into its contrary."""

    name = "negation"
    label = "a statement turned around"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert or remove "not" behind an auxiliary, or exchange a word for its opposite."""
        for start, end in () if response.is_code else shuffled(response.words, random):
            word = response.text[start:end]
            if word.lower() in _OPPOSITE_OF:
                yield Edit(start, end, like(pick(_OPPOSITE_OF[word.lower()], random), word))
            elif word.lower() in AUXILIARIES:
                if response.text.startswith(" not ", end):
                    yield Edit(end, end + 4, "")
                else:
                    yield Edit(end, end, " not")
