"""Data in a terminal: the first examples with what is learnt marked, counts, and what became of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from xtf.characters import FURTHER
from xtf.display import counted, visible
from xtf.explain.marks import CLOSE, OPEN, PROMPT_STYLE, PROTECTED_STYLE

if TYPE_CHECKING:
    from xtf.data import ExampleView, Inspection

LEARNT_STYLE = "on blue"
PROTECTED_OPEN, PROTECTED_CLOSE = "⟪", "⟫"


def print_inspection(console: Console, inspection: Inspection) -> None:
    """Print the first examples, the response marked, and the counts."""
    for example in inspection.examples:
        learnt = sum(token.is_response for token in example.tokens)
        head = f"{visible(example.example_id)}: {counted(len(example.tokens), 'token')}, {learnt} of them learnt"
        console.print(Text(head, style="bold"))
        console.print(_example_text(example, plain=not console.is_terminal))
        console.print()
    marks = "shaded, one | after each token" if console.is_terminal else f"{OPEN}…{CLOSE}, end of turn ⟪…⟫"
    console.print(f"learnt tokens: {marks}; everything else is not learnt", markup=False)
    if any(token.parts > 1 for example in inspection.examples for token in example.tokens):
        console.print(FURTHER, markup=False)
    template = "the tokenizer's own" if inspection.has_chat_template else "none in the tokenizer: the plain one is used"
    console.print(f"chat template: {template}", markup=False)
    console.print(
        f"{counted(inspection.tokens, 'token')}, {inspection.response_tokens:,} of them learnt "
        f"({inspection.learnt_share:.1%}; "
        f"{inspection.protected_tokens:,} protected); longest example {counted(inspection.longest, 'token')}",
        markup=False,
    )
    for line in inspection.report.lines():
        console.print(visible(line), markup=False)
    if inspection.stopped_early:
        console.print(
            f"read: the first {counted(inspection.report.examples, 'example')} only; --strict reads all of them"
        )


def _example_text(example: ExampleView, plain: bool) -> Text:
    """The example as running text: what is learnt shaded, or between brackets if ``plain``."""
    text = Text()
    for token in example.tokens:
        shown = token.shown
        if not token.is_response:
            text.append(shown, PROMPT_STYLE)
        elif plain:
            marks = (PROTECTED_OPEN, PROTECTED_CLOSE) if token.is_protected else (OPEN, CLOSE)
            text.append(shown.join(marks))
        else:
            text.append(shown, PROTECTED_STYLE if token.is_protected else LEARNT_STYLE)
            text.append("|", PROMPT_STYLE)
    return text
