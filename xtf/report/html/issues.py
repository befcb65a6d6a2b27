"""The worst examples in a notebook; all data are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtf.display import counted, html_box
from xtf.explain.issue_html import QUIET, issue_html

if TYPE_CHECKING:
    from xtf.explain.issues import ExampleIssue


def issues_html(headline: str, examples: Sequence[ExampleIssue], total: int) -> str:
    """What a notebook shows of the ``examples`` that come first of ``total``."""
    items = "".join(f"<li>{issue_html(one)}</li>" for one in examples)
    said = counted(total - len(examples), "more example")
    more = f'<p style="{QUIET}">{said}</p>' if total > len(examples) else ""
    return html_box(headline, f"<ol>{items}</ol>{more}")
