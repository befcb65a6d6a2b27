"""Planted noise: kinds of wrong edits, planting them, and truth files that say which tokens are wrong.

Begin reading in ``kind`` (what a kind is) and ``plant``; ``kinds/`` holds the built-in ones, one file a family.
"""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
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
__getattr__ = on_demand(
    __name__,
    {
        "xtf.noise.code": "looks_like_code",
        "xtf.noise.kind": "Edit Kind Response",
        "xtf.noise.plant": "Coder Planted Planting WrongSpan plant_examples plant_response",
        "xtf.noise.registry": "choose_kinds known_kinds",
        "xtf.noise.texts": "Texts read_texts",
    },
)
