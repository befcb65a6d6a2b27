"""One example as running text, and its tokens one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtf.display import visible
from xtf.errors import XTFError
from xtf.explain.marks import PROMPT_STYLE, PROTECTED_STYLE, WORDS, bracketed, mark

if TYPE_CHECKING:
    from xtf.explain import AttributeVerdict, ExampleExplanation, TokenExplanation


_WIDE = 110
"""Columns from which on the values of all attributes fit beside a reason."""


def print_explanation(
    console: Console, explanation: ExampleExplanation, token: int | None = None, reasons: bool = False
) -> None:
    """Print an example as text; with ``reasons`` a line for each response token; with ``token`` that one in full.

    Raises:
        XTFError: the example has no token of that number.
    """
    for line in stale_lines(explanation):
        console.print(line, soft_wrap=True)
    if token is not None:
        if not 0 <= token < len(explanation.tokens):
            raise XTFError(f"--token {token}: the example has tokens 0 to {len(explanation.tokens) - 1}")
        _print_token(console, explanation.tokens[token])
        return
    console.print(Text(f"{visible(explanation.example_id)}: {explanation.noise_share:.0%} masked", style="bold"))
    console.print(example_text(explanation, plain=is_plain(console)))
    console.print(legend(explanation, plain=is_plain(console)))
    if not reasons:
        return
    if console.width < _WIDE:
        for one in explanation.tokens:
            if one.is_response:
                console.print(Text(f"{one.index:>4} {one.sentence}"), soft_wrap=True)
    else:
        console.print(_reasons(explanation))


def stale_lines(explanation: ExampleExplanation) -> list[Text]:
    """Why what follows is stale; nothing if it is not."""
    return [Text(visible(sentence), style="bold yellow") for sentence in explanation.stale]


def is_plain(console: Console) -> bool:
    """Whether a console shows no colour, so that noise needs marks in its text."""
    return not console.is_terminal or console.no_color or console.color_system is None


def example_text(explanation: ExampleExplanation, plain: bool) -> Text:
    """The example as running text: prompt dimmed, noise struck through (between brackets if ``plain``)."""
    text, attributes = Text(), len(attributes_of(explanation))
    for tokens in alike(explanation.tokens):
        token, shown = tokens[0], shown_text(tokens)
        if not token.is_response:
            text.append(shown, PROMPT_STYLE)
        elif token.noise:
            text.append(bracketed(shown, first_lacking(token), attributes) if plain else shown, noise_style(token))
        else:
            text.append(shown, PROTECTED_STYLE if token.is_protected else "")
    return text


def alike(tokens: Iterable[TokenExplanation]) -> Iterator[Sequence[TokenExplanation]]:
    """Each token by itself, but the parts of one character together as far as they are marked alike."""
    some: list[TokenExplanation] = []
    for token in tokens:
        if some and (token.part == 1 or _look(token) != _look(some[-1])):
            yield some
            some = []
        some.append(token)
    if some:
        yield some


def _look(token: TokenExplanation) -> tuple[bool, bool, bool, int | None]:
    """What decides how a token is marked."""
    return token.is_response, token.is_protected, token.noise, first_lacking(token) if token.noise else None


def shown_text(tokens: Sequence[TokenExplanation]) -> str:
    """What stands for tokens in a running text: their texts made safe, further parts of a character as numbers.

    All parts of a character together are the character alone.
    """
    if _is_whole(tokens):
        return visible(tokens[0].text, keep_newlines=True)
    return "".join(visible(token.spelt.shown, keep_newlines=True) for token in tokens)


def _is_whole(tokens: Sequence[TokenExplanation]) -> bool:
    """Whether tokens are all parts of one character."""
    return tokens[0].part == 1 and tokens[0].parts == len(tokens)


def legend(explanation: ExampleExplanation, plain: bool) -> Text:
    """One line that says how the marks are to be read."""
    text = Text()
    text.append(WORDS["prompt"], PROMPT_STYLE)
    text.append(f" · {WORDS['kept']} · ")
    text.append(WORDS["protected"], PROTECTED_STYLE)
    text.append(f" · {WORDS['masked']} ")
    names = attributes_of(explanation)
    for position, name in enumerate(names):
        text.append(", " if position else "")
        text.append(bracketed(name, position, len(names)) if plain else name, mark(position).style)
    if any(token.noise and first_lacking(token) is None for token in explanation.tokens):
        text.append(" · ")
        text.append(bracketed(WORDS["otherwise"], None, len(names)) if plain else WORDS["otherwise"], mark(None).style)
    if not all(map(_is_whole, alike(explanation.tokens))):
        text.append(f" · {WORDS['further']}")
    return text


def attributes_of(explanation: ExampleExplanation) -> list[str]:
    """The names of the attributes that judge the example's tokens."""
    return next(([v.name for v in t.verdicts] for t in explanation.tokens if t.verdicts), [])


def noise_style(token: TokenExplanation) -> str:
    """Rich style of a noise token, by the first attribute that lacks."""
    return mark(first_lacking(token)).style


def first_lacking(token: TokenExplanation) -> int | None:
    """The place of the first attribute that lacks."""
    return next((position for position, verdict in enumerate(token.verdicts) if verdict.lacking), None)


def _print_token(console: Console, token: TokenExplanation) -> None:
    for part in token_parts(token):
        console.print(part)


def token_parts(token: TokenExplanation) -> list[Text | Table]:
    """One token in full: its sentence, what would turn it, and each attribute's figures."""
    parts: list[Text | Table] = [
        Text(f"token {token.index}: {token.name} (id {token.token_id})", style="bold"),
        Text(token.sentence),
    ]
    if token.flip:
        parts.append(Text(token.flip))
    if token.verdicts:
        table = Table("attribute", "value", "percentile", "cut", "margin", "verdict", "meaning", box=None)
        rows: Sequence[AttributeVerdict] = (*token.verdicts, *([token.combined] if token.combined else []))
        for verdict in rows:
            table.add_row(
                verdict.name,
                f"{verdict.value:.4g}",
                f"{verdict.percentile:.1f}",
                verdict.cut,
                "" if verdict.margin is None else f"{verdict.margin:+.3g}",
                Text("lacks", "red") if verdict.lacking else Text("enough"),
                Text(verdict.meaning or ""),
            )
        parts.append(table)
    return parts


def _reasons(explanation: ExampleExplanation) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("token")
    response = [token for token in explanation.tokens if token.is_response]
    for verdict in response[0].verdicts if response else ():
        table.add_column(verdict.name.replace("_", " "), justify="right")
    table.add_column("why", overflow="fold")
    for token in response:
        values = [
            Text(f"{verdict.value:.3g}", mark(i).terminal if verdict.lacking else "")
            for i, verdict in enumerate(token.verdicts)
        ]
        text = Text(token.name, noise_style(token) if token.noise else "")
        table.add_row(str(token.index), text, *values, Text(token.sentence))
    return table
