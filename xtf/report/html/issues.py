"""The worst examples in a notebook; all data are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from xtf.display import visible
from xtf.explain.marks import mark
from xtf.report.terminal.issues import figures, shortened

if TYPE_CHECKING:
    from xtf.explain.issues import ExampleIssue, SpanIssue

_BOX = (
    "background:#fff;color:#1c1e22;border:1px solid #dedcd5;border-radius:8px;padding:10px 14px;"
    "font:14px/1.6 system-ui,sans-serif;overflow-wrap:anywhere"
)
_QUIET = "color:#666c76"


def issues_html(headline: str, examples: Sequence[ExampleIssue], total: int) -> str:
    """What a notebook shows of the ``examples`` that come first of ``total``."""
    items = "".join(f"<li>{_example(one)}</li>" for one in examples)
    more = f'<p style="{_QUIET}">{total - len(examples):,} more examples</p>' if total > len(examples) else ""
    return f'<div style="{_BOX}"><b>{escape(headline)}</b><ol>{items}</ol>{more}</div>'


def _example(one: ExampleIssue) -> str:
    head = f'<b>{escape(visible(one.example_id))}</b> <span style="{_QUIET}">{escape(figures(one))}</span>'
    hidden = one.span_count - len(one.spans)
    more = f'<div style="{_QUIET}">… and {hidden} more spans</div>' if hidden else ""
    return head + "".join(map(_span, one.spans)) + more


def _span(span: SpanIssue) -> str:
    one = mark(0 if span.kind == "wrong" else 1)
    style = f"color:{one.light};border-bottom:2px {one.line} {one.light};unicode-bidi:isolate"
    before, after = (f'<span style="{_QUIET}">{escape(text)}</span>' for text in _around(span))
    marked = f'<span style="{style}">{escape(shortened(span.text))}</span>'
    reason = f"<div>{escape(visible(span.reason))}</div>"
    return f'<div style="margin-top:4px">{span.score:.2f} {span.kind} {before}{marked}{after}{reason}</div>'


def _around(span: SpanIssue) -> tuple[str, str]:
    return f"…{visible(span.before)}", f"{visible(span.after)}…"
