"""The same example under several runs, one under the other, with the tokens marked that they treat otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from xtf.display import counted, visible
from xtf.explain.marks import DIFFERS, PROMPT_STYLE, PROTECTED_STYLE, WORDS, bracketed
from xtf.explain.terminal import attributes_of, first_lacking, is_plain, legend, noise_style, shown_text

if TYPE_CHECKING:
    from xtf.explain import ExampleExplanation


def print_comparison(console: Console, runs: Sequence[tuple[str, ExampleExplanation]]) -> None:
    """Print each run's view of the example; the runs must have tokenised it alike for tokens to be compared."""
    explanations = [explanation for _, explanation in runs]
    first = explanations[0]
    alike = all(_ids(one) == _ids(first) for one in explanations)
    differing = differences(explanations) if alike else frozenset()
    plain = is_plain(console)
    share_legend = len({tuple(attributes_of(one)) for one in explanations}) == 1
    console.print(Text(visible(first.example_id), style="bold"))
    for name, explanation in runs:
        console.print(Text(f"\n{visible(name)}: {explanation.noise_share:.0%} masked", style="bold"))
        console.print(_text(explanation, differing, plain))
        if not share_legend:
            console.print(legend(explanation, plain))
    console.print()
    if share_legend:
        console.print(legend(first, plain))
    if alike:
        response = sum(token.is_response for token in first.tokens)
        console.print(
            f"{DIFFERS} {WORDS['differs']}: {len(differing):,} of {counted(response, 'response token')}", markup=False
        )
    else:
        console.print("The runs tokenise this example differently, so its tokens cannot be compared.")


def differences(explanations: Sequence[ExampleExplanation]) -> frozenset[int]:
    """Positions masked under one run and not under another; all must have the same tokens."""
    rows = zip(*(explanation.tokens for explanation in explanations), strict=True)
    return frozenset(
        place for place, row in enumerate(rows) if len({(token.is_response, token.noise) for token in row}) > 1
    )


def _ids(explanation: ExampleExplanation) -> list[int]:
    return [token.token_id for token in explanation.tokens]


def _text(explanation: ExampleExplanation, differing: frozenset[int], plain: bool) -> Text:
    text, attributes = Text(), len(attributes_of(explanation))
    for token in explanation.tokens:
        shown = shown_text([token])
        if token.index in differing:
            text.append(DIFFERS, "bold")
        emphasis = " reverse" if token.index in differing else ""
        if not token.is_response:
            text.append(shown, PROMPT_STYLE + emphasis)
        elif token.noise:
            marked = bracketed(shown, first_lacking(token), attributes) if plain else shown
            text.append(marked, noise_style(token) + emphasis)
        else:
            text.append(shown, (PROTECTED_STYLE if token.is_protected else "") + emphasis)
    return text
