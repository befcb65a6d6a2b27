"""Characters that several tokens spell together, as byte-level vocabularies split an emoji: shown once, by their parts.

``🦙`` of three tokens reads ``🦙₂₃``: the character stands for its first token, a lowered number for each other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
FURTHER = "₂ ₃ … more tokens of one character"
"""What a legend says of the lowered numbers."""


class Spelt(NamedTuple):
    """What one token spells.

    Attributes:
        text: Its text; of a part of a character the whole character, with what its other tokens hold beside it.
        part: Which of the tokens that spell ``text`` together it is, from 1.
        parts: How many these are; 1 where the token stands alone.
    """

    text: str
    part: int = 1
    parts: int = 1

    @property
    def once(self) -> str:
        """What the token adds to a text: of a character's tokens the first one gives it."""
        return self.text if self.part == 1 else ""

    @property
    def shown(self) -> str:
        """What stands for the token in a text that shows each token."""
        return self.text if self.part == 1 else str(self.part).translate(LOWERED)

    @property
    def suffix(self) -> str:
        """What tells the parts apart where tokens are named: ``(2/3)`` behind a space, or nothing."""
        return f" ({self.part}/{self.parts})" if self.parts > 1 else ""


def spell(pieces: Sequence[bytes]) -> list[Spelt]:
    """What each of ``(n,)`` tokens spells, from the bytes that it holds.

    Bytes that are no UTF-8 with their neighbours either show as ``<E2>``, each in its own token.

    >>> spell([b"a", b"\\xe2\\x82", b"\\xac", b"\\xff"])  # doctest: +NORMALIZE_WHITESPACE
    [Spelt(text='a', part=1, parts=1), Spelt(text='€', part=1, parts=2), Spelt(text='€', part=2, parts=2),
     Spelt(text='<FF>', part=1, parts=1)]
    """
    alone: dict[bytes, Spelt | None] = {}
    found: list[Spelt] = []
    while (start := len(found)) < len(pieces):
        piece = pieces[start]
        if piece not in alone:
            alone[piece] = _alone(piece)
        one = alone[piece]
        found += [one] if one is not None else _together(pieces, start)
    return found


def _alone(piece: bytes) -> Spelt | None:
    """What a piece spells that holds whole characters."""
    try:
        return Spelt(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _together(pieces: Sequence[bytes], start: int) -> list[Spelt]:
    """What the fewest pieces from ``start`` on spell that are UTF-8 together; the first alone if none are."""
    joined = b""
    for stop in range(start, len(pieces)):
        joined += pieces[stop]
        try:
            text = joined.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                break
        else:
            parts = stop + 1 - start
            return [Spelt(text, part, parts) for part in range(1, parts + 1)]
    return [Spelt(readable(pieces[start]))]


def readable(piece: bytes) -> str:
    """Bytes as text, those that are no UTF-8 as ``<E2>``."""
    text = piece.decode("utf-8", "surrogateescape")
    return "".join(f"<{ord(one) - 0xDC00:02X}>" if "\udc80" <= one <= "\udcff" else one for one in text)
