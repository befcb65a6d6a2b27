"""Noise of where text comes from: what pages and templates leave in it, and characters read in a wrong encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xtf.noise.kind import Edit, Kind, Response, Span, pick, shuffled

_BETWEEN = " … "
_TYPOGRAPHIC = {"'": ("’",), '"': ("“", "”"), "-": ("–", "—"), " ": ("\u00a0",)}
_ACCENTED = {"a": "àáâä", "c": "ç", "e": "èéêë", "i": "íîï", "n": "ñ", "o": "óôö", "u": "úûü"}
_MARKS = re.compile(r"(?<=\w)'(?=\w)|\"|(?<= )-(?= )|[^\x00-\x7f]")


class Leftover(Kind):
    """A tag, an entity, a mark of a template or a scrap of a page that nobody took out."""

    name = "leftover"
    label = "a scrap of page or template"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Insert a mark behind a word, or any piece behind a sentence; or put a word between a pair of them."""
        pieces = response.texts.leftovers
        marks = [piece for piece in pieces if " " not in piece.replace(_BETWEEN, "")]
        for start, end in () if response.is_code or not marks else shuffled(response.words, random):
            ends = response.text[end : end + 1] in tuple(".!?")
            piece = pick(pieces if ends else marks, random)
            opened, _, closed = piece.partition(_BETWEEN)
            if closed:
                yield Edit(start, start, opened)
                yield Edit(end, end, closed)
            else:
                at = end + ends
                yield Edit(at, at, piece if piece[0] in "<&" and random.random() < 0.5 else f" {piece}")


class Garbled(Kind):
    """Characters that were written in one encoding and read in another: ``â€™`` for an apostrophe."""

    name = "garbled"
    label = "a garbled character"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Garble quotation marks, dashes and letters that are not of ASCII first; then spaces and plain letters."""
        if response.is_code or not response.words:
            return
        text = response.text
        for start, end in shuffled([match.span() for match in _MARKS.finditer(text)], random):
            yield Edit(start, end, _garble(text[start:end], random))
        for first, last in shuffled(response.words, random):
            for start, end in _plain(text, (first, last), random):
                yield Edit(start, end, _garble(text[start:end], random))


def _plain(text: str, word: Span, random: np.random.Generator) -> list[Span]:
    """The space behind a word, or one letter of it, that can be garbled; or none."""
    if text.startswith(" ", word[1]) and random.random() < 0.5:
        return [(word[1], word[1] + 1)]
    letters = [place for place in range(*word) if text[place] in _ACCENTED]
    return [(place, place + 1) for place in letters[:1]]


def _garble(character: str, random: np.random.Generator) -> str:
    """What becomes of a character, or of its typographic or accented relative, in UTF-8 read as Windows-1252."""
    meant = pick(_TYPOGRAPHIC.get(character) or _ACCENTED.get(character) or character, random)
    garbled = meant.encode("utf-8").decode("cp1252", "replace")
    return "\ufffd" if garbled == character or random.random() < 0.1 else garbled.replace("\u00a0", " ")
