"""Planted noise: kinds of wrong edits, planting them, and truth files that say which tokens are wrong.

Begin reading in ``kind`` (what a kind is) and ``plant``; ``kinds/`` holds the built-in ones, one file a family.
"""

from xtf.noise.code import looks_like_code
from xtf.noise.kind import Edit, Kind, Response
from xtf.noise.plant import Coder, Planted, Planting, WrongSpan, plant_examples, plant_response
from xtf.noise.registry import choose_kinds, known_kinds
from xtf.noise.texts import Texts, read_texts

__all__ = [
    "Coder",
    "Edit",
    "Kind",
    "Planted",
    "Planting",
    "Response",
    "Texts",
    "WrongSpan",
    "choose_kinds",
    "known_kinds",
    "looks_like_code",
    "plant_examples",
    "plant_response",
    "read_texts",
]
