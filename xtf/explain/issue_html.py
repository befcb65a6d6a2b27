"""One example with its worst spans in a notebook; all data are escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from xtf.display import counted, visible
from xtf.explain.marks import mark

if TYPE_CHECKING:
    from xtf.explain.issues import ExampleIssue, SpanIssue

QUIET = "color:#666c76"


def issue_html(one: ExampleIssue) -> str:
    """Its figures, then its worst spans between their neighbours, each with its reason."""
    head = f'<b>{escape(visible(one.example_id))}</b> <span style="{QUIET}">{escape(one.figures())}</span>'
    hidden = one.span_count - len(one.spans)
    said = f"… and {counted(hidden, 'more span')}"
    more = f'<div style="{QUIET}">{said}</div>' if hidden else ""
    return head + "".join(map(span_html, one.spans)) + more


def span_html(span: SpanIssue) -> str:
    """Its score and kind, its text between its neighbours, and its reason."""
    one = mark(0 if span.kind == "wrong" else 1)
    style = f"color:{one.light};border-bottom:2px {one.line} {one.light};unicode-bidi:isolate"
    around = (f"…{visible(span.before)}", f"{visible(span.after)}…")
    before, after = (f'<span style="{QUIET}">{escape(text)}</span>' for text in around)
    marked = f'<span style="{style}">{escape(span.shown())}</span>'
    reason = f"<div>{escape(visible(span.reason))}</div>"
    return f'<div style="margin-top:4px">{span.score:.2f} {span.kind} {before}{marked}{after}{reason}</div>'
