"""Explanations in a notebook: the same marks and words, as HTML in which all data are escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from xtf.display import visible
from xtf.explain.marks import WORDS, mark
from xtf.explain.terminal import first_lacking, shown_text

if TYPE_CHECKING:
    from xtf.explain import ExampleExplanation, TokenExplanation

_BOX = (
    "background:#fff;color:#1c1e22;border:1px solid #dedcd5;border-radius:8px;padding:10px 14px;"
    "font:14px/1.8 system-ui,sans-serif;white-space:pre-wrap;overflow-wrap:anywhere"
)


def example_html(explanation: ExampleExplanation) -> str:
    """Running text; pointing at a token shows its sentence."""
    tokens = "".join(_span(token) for token in explanation.tokens)
    names = next(([v.name for v in token.verdicts] for token in explanation.tokens if token.verdicts), [])
    masked = ", ".join(f'<span style="{_noise(place)}">{escape(name)}</span>' for place, name in enumerate(names))
    stale = "".join(f'<b style="color:#8a5a00">{escape(visible(one))}</b>\n' for one in explanation.stale)
    head = f"<b>{escape(visible(explanation.example_id))}</b>: {explanation.noise_share:.0%} masked"
    if any(token.noise and first_lacking(token) is None for token in explanation.tokens):
        masked += f' · <span style="{_noise(None)}">{WORDS["otherwise"]}</span>'
    further = f" · {WORDS['further']}" if any(token.parts > 1 for token in explanation.tokens) else ""
    key = (
        f'<span style="color:#666c76">{WORDS["prompt"]}</span> · {WORDS["kept"]} · '
        f'<i style="color:#0f5f6e">{WORDS["protected"]}</i> · {WORDS["masked"]} {masked}{further}'
    )
    return f'<div style="{_BOX}">{stale}{head}\n{tokens}\n<small>{key}</small></div>'


def token_html(token: TokenExplanation) -> str:
    """The sentence, what would turn it, and a table of the attributes."""
    lines = [f"<b>{escape(token.name)}</b> token {token.index}, id {token.token_id}", escape(token.sentence)]
    lines += [escape(token.flip)] if token.flip else []
    rows = "".join(
        f"<tr><td>{escape(verdict.name)}</td><td>{verdict.value:.4g}</td><td>{verdict.percentile:.1f}</td>"
        f"<td>{escape(verdict.cut)}</td><td>{'' if verdict.margin is None else f'{verdict.margin:+.3g}'}</td>"
        f"<td>{'lacks' if verdict.lacking else 'enough'}</td><td>{escape(verdict.meaning or '')}</td></tr>"
        for verdict in (*token.verdicts, *([token.combined] if token.combined else []))
    )
    names = ("attribute", "value", "percentile", "cut", "margin", "verdict", "meaning")
    head = "".join(f"<th>{name}</th>" for name in names)
    table = f"<table><tr>{head}</tr>{rows}</table>" if rows else ""
    return f'<div style="{_BOX}">' + "\n".join(lines) + table + "</div>"


def _span(token: TokenExplanation) -> str:
    shown, title = escape(shown_text([token])), escape(visible(token.sentence), quote=True)
    if not token.is_response:
        style = "color:#666c76"
    elif token.noise:
        style = _noise(first_lacking(token))
    else:
        style = "color:#0f5f6e;font-style:italic" if token.is_protected else ""
    return f'<span style="unicode-bidi:isolate;{style}" title="{title}">{shown}</span>'


def _noise(place: int | None) -> str:
    one = mark(place)
    return f"color:{one.light};text-decoration:line-through;border-bottom:2px {one.line} {one.light}"
