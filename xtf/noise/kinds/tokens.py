"""Noise at the level of tokens: N1 to N6."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from xtf.noise.kind import Edit, Kind, Response, pick, shuffled


class Uniform(Kind):
    """N1: any token of the vocabulary."""

    name = "uniform"
    label = "a random token"
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a token by one drawn from the vocabulary."""
        if response.vocabulary:
            for start, end in shuffled(response.spans, random):
                yield Edit(start, end, pick(response.vocabulary, random))


class Plausible(Kind):
    """N2: a wrong token that the model finds likely in that place."""

    name = "plausible"
    label = "a plausible but wrong token"
    needs: ClassVar[frozenset[str]] = frozenset({"tokens", "alternatives"})

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a token by one that the model would rather have written, of another wording."""
        alternatives = response.alternatives()
        if not alternatives:
            return
        for place in random.permutation(len(response.spans)):
            start, end = response.spans[int(place)]
            true = response.text[start:end]
            others = [text for text in alternatives[int(place)] if text.strip().lower() != true.strip().lower()]
            if others:
                yield Edit(start, end, pick(others, random))


class Digits(Kind):
    """N3: a digit or an arithmetic operator changed."""

    name = "digits"
    label = "a changed digit or operator"

    _PLACE = re.compile(r"[0-9]|(?<=[\d\s)])[-+*/×÷](?=[\d\s(])")

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace one digit by another, or one operator by another."""
        for start, end in shuffled([match.span() for match in self._PLACE.finditer(response.text)], random):
            true = response.text[start:end]
            options = "0123456789" if true.isdigit() else "+-*/"
            yield Edit(start, end, pick(options.replace(true, ""), random))


class OffDomain(Kind):
    """N4: a stretch of unrelated text in place of some words."""

    name = "off_domain"
    label = "foreign text"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace 3 to 12 words by as many of a passage from another domain."""
        words = [match.span() for match in re.finditer(r"\S+", response.text)]
        if not words or not response.texts.passages:
            return
        for _ in range(len(words)):
            length = min(int(random.integers(3, 13)), len(words))
            first = int(random.integers(0, len(words) - length + 1))
            passage = pick(response.texts.passages, random).split()
            begin = int(random.integers(0, max(1, len(passage) - length)))
            yield Edit(words[first][0], words[first + length - 1][1], " ".join(passage[begin : begin + length]))


class Boilerplate(Kind):
    """N5: a stock phrase put between sentences; a model predicts it well."""

    name = "boilerplate"
    label = "a stock phrase"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert a phrase at the start, between two sentences or lines, or at the end."""
        places = [0, *(match.end() for match in re.finditer(r"[.!?](?=\s)|\n", response.text)), len(response.text)]
        for place in random.permutation(len(places)):
            at, phrase = places[int(place)], pick(response.texts.phrases, random)
            before, behind = response.text[at - 1 : at], response.text[at : at + 1]
            left = "" if not before or before.isspace() else " "
            right = "" if not behind or behind.isspace() else " "
            yield Edit(at, at, left + phrase + right)


class Moved(Kind):
    """N6: a token of the same answer, from another place."""

    name = "moved"
    label = "a token from another place"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a token by another of the same response."""
        texts = [response.text[start:end] for start, end in response.spans]
        others = sorted({text for text in texts if text.strip()})
        for start, end in shuffled(response.spans, random) if len(others) > 1 else ():
            moved = pick(others, random)
            if moved.strip() != response.text[start:end].strip():
                yield Edit(start, end, moved)
