"""Noise in facts: numbers, units, names, entities."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xtf.noise.kind import Edit, Kind, Response, Span, pick, shuffled

_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_SPELT = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "hundred")
_UNITS: tuple[tuple[str, ...], ...] = (
    ("seconds", "minutes", "hours", "days", "weeks", "months", "years"),
    ("second", "minute", "hour", "day", "week", "month", "year"),
    ("inches", "feet", "yards", "miles", "meters", "metres", "kilometers", "km", "cm", "mm"),
    ("grams", "kilograms", "kg", "pounds", "ounces", "tons"),
    ("cents", "dollars", "euros", "pounds"),
    ("liters", "litres", "gallons", "cups", "milliliters", "ml"),
    ("degrees", "radians"),
    ("percent", "points"),
    ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November", "December"),
)
_UNITS_OF = {unit: row for row in _UNITS for unit in row}
_NAME = re.compile(r"\b[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*\b")
_ENTITIES: tuple[tuple[str, ...], ...] = (
    ("Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Tokyo", "Cairo", "Sydney", "Toronto", "Chicago", "Lima"),
    ("France", "Germany", "Spain", "Italy", "Japan", "China", "India", "Brazil", "Canada", "Egypt", "Kenya", "Norway"),
    ("Anna", "Maria", "Sarah", "Emma", "Laura", "Julia", "Nina", "Alice", "Clara", "Grace", "Helen", "Ruth"),
    ("John", "Peter", "David", "Thomas", "Mark", "Paul", "Henry", "Simon", "Frank", "Oscar", "Walter", "Hugo"),
    ("Einstein", "Newton", "Darwin", "Curie", "Galileo", "Tesla", "Pasteur", "Kepler", "Faraday", "Maxwell"),
    ("Google", "Microsoft", "Apple", "Amazon", "Toyota", "Siemens", "Nokia", "Boeing", "Nestle", "Samsung"),
    ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "purple", "grey"),
    ("gold", "silver", "iron", "copper", "lead", "zinc", "oxygen", "nitrogen", "carbon", "hydrogen", "helium"),
    ("apples", "oranges", "bananas", "pears", "lemons", "grapes", "cherries", "melons"),
    ("dog", "cat", "horse", "cow", "sheep", "goat", "rabbit", "duck", "bird", "fish"),
)
_ENTITIES_OF = {name: row for row in _ENTITIES for name in row}


class Number(Kind):
    """A number that is wrong as a whole, or a unit in place of another."""

    name = "number"
    label = "a changed number or unit"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a number by a near, a rescaled or another one of the same text; a unit by one of its group."""
        if response.is_code:
            return
        numbers = [match.span() for match in _NUMBER.finditer(response.text)]
        spelt = [word for word in response.words if response.text[slice(*word)].lower() in (*_SPELT, *_UNITS_OF)]
        for start, end in shuffled([*numbers, *spelt], random):
            true = response.text[start:end]
            wrong = self._wrong_word(true, random) if true[0].isalpha() else self._wrong_number(true, random)
            if wrong != true:
                yield Edit(start, end, wrong)

    def _wrong_word(self, true: str, random: np.random.Generator) -> str:
        row = _UNITS_OF.get(true) or _UNITS_OF.get(true.lower()) or _SPELT
        return pick([word for word in row if word != true.lower() and word != true], random)

    def _wrong_number(self, true: str, random: np.random.Generator) -> str:
        decimals = len(true.partition(".")[2])
        value = float(true.replace(",", ""))
        step = 10.0**-decimals
        near = value + step * int(random.integers(1, max(3, int(value / step * 0.3) + 2))) * pick_sign(random)
        wrong = [abs(near), value * 10, value / 10 if value >= 10 else value + 10 * step, value * 2][
            int(random.choice(4, p=[0.6, 0.15, 0.1, 0.15]))
        ]
        return f"{wrong:,.{decimals}f}" if "," in true else f"{wrong:.{decimals}f}"


class SwappedNames(Kind):
    """One name of the answer in place of another."""

    name = "swapped_names"
    label = "a name in place of another"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a name by another name of the same response."""
        if response.is_code:
            return
        names = list(_names(response))
        texts = sorted({response.text[slice(*span)] for span in names})
        for start, end in shuffled(names, random) if len(texts) > 1 else ():
            yield Edit(start, end, pick([text for text in texts if text != response.text[start:end]], random))


class Entity(Kind):
    """A person, place, thing or material replaced by one that was never spoken of."""

    name = "entity"
    label = "a thing never spoken of"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a known entity by another of its group, and any other name by that of a person or a place."""
        if response.is_code:
            return
        known = [word for word in response.words if response.text[slice(*word)] in _ENTITIES_OF]
        for start, end in shuffled(sorted({*known, *_names(response)}), random):
            true = response.text[start:end]
            row = _ENTITIES_OF.get(true) or _ENTITIES[int(random.integers(0, 4))]
            yield Edit(start, end, pick([name for name in row if name not in response.text], random))


def _names(response: Response) -> Iterator[Span]:
    """Capitalised words that do not begin a sentence, or that occur twice."""
    text = response.text
    for match in _NAME.finditer(text):
        before = text[: match.start()].rstrip(" ")
        begins = not before or before[-1] in ".!?:\n"
        if not begins or len(re.findall(rf"\b{re.escape(match.group())}\b", text)) > 1:
            yield match.span()


def pick_sign(random: np.random.Generator) -> int:
    """1 or -1."""
    return 1 if random.random() < 0.5 else -1
