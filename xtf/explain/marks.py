"""The marks and words for kept, masked and prompt tokens: one source for terminal, notebook and report."""

from __future__ import annotations

from dataclasses import dataclass

from xtf.characters import FURTHER


@dataclass(frozen=True, slots=True)
class Mark:
    """How noise is shown whose first lacking attribute has a given place among the attributes.

    Never by colour alone: noise is struck through everywhere, and ``line`` differs where a page can draw it.

    Attributes:
        terminal: A colour of the terminal.
        line: CSS style of the line under the token.
        light: Colour on a light page, at least 4.5:1 on white.
        dark: Colour on a dark page, at least 4.5:1 on ``#16181d``.
    """

    terminal: str
    line: str
    light: str
    dark: str

    @property
    def style(self) -> str:
        """Rich style of a noise token."""
        return f"strike {self.terminal}"


MARKS = (
    Mark("red", "solid", "#b3261e", "#ff938a"),
    Mark("yellow", "dashed", "#8a5300", "#f2b84b"),
    Mark("magenta", "dotted", "#8e2a8b", "#e59be2"),
    Mark("blue", "double", "#1f56b5", "#8fb8ff"),
    Mark("green", "groove", "#1d6b3a", "#7fd39b"),
)

OTHERWISE = Mark("bold", "solid", "#1c1e22", "#e8e6e1")
"""Of tokens that lack no single attribute and are masked all the same: by a person, or by their mean rank."""

PROMPT_STYLE = "dim"
PROTECTED_STYLE = "italic cyan"
OPEN, CLOSE = "⟦", "⟧"
"""Around noise where a terminal shows no colour: in a file, a pipe, a log."""
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
DIFFERS = "▲"
"""Before a token that another run treats otherwise."""

WORDS = {
    "prompt": "prompt",
    "kept": "kept",
    "protected": "end of turn, always kept",
    "masked": "masked because it lacks",
    "differs": "differs between the runs",
    "otherwise": "masked by a person or by its mean rank",
    "further": FURTHER,
}


def bracketed(text: str, position: int | None, attributes: int) -> str:
    """A noise token's text where no style shows: in brackets, with the number of its attribute if there are several.

    >>> bracketed(" 9", 0, 1), bracketed(" 9", 1, 3), bracketed(" 9", None, 3)
    ('⟦ 9⟧', '⟦ 9⟧²', '⟦ 9⟧')
    """
    number = str(position + 1).translate(_RAISED) if position is not None and attributes > 1 else ""
    return f"{OPEN}{text}{CLOSE}{number}"


def mark(position: int | None) -> Mark:
    """The mark of the attribute at ``position``; :data:`OTHERWISE` where a token is masked without lacking one."""
    return OTHERWISE if position is None else MARKS[position % len(MARKS)]
