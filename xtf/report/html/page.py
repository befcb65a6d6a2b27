"""The payload and the page's own code, put into one HTML file that asks nothing of any server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from xtf.explain.marks import MARKS, OTHERWISE
from xtf.report.html.encode import script_json

_MODULES = (
    *("base", "decode", "trials", "figures", "charts", "model", "kinds"),
    *("differences", "roles", "panel", "tokens", "mistakes", "overview", "clusters", "whole"),
    *("card", "list", "examples", "verdicts", "app"),
)
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", *(f"js/{name}.js" for name in _MODULES))
_PLOT_STYLE = "vendor/plot-style.css"
"""The style element that Observable Plot puts into every chart; it must be admitted by its hash."""


def page(payload: Mapping[str, Any], title: str) -> str:
    """The whole page. Nothing in ``payload`` can act as markup: it is one JSON text without ``<``, ``>`` and ``&``."""
    from jinja2 import Environment

    scripts = [_asset(name) for name in _SCRIPTS]
    style = marks_style() + _asset("style.css") + _asset("verdicts.css")
    environment = Environment(autoescape=False, keep_trailing_newline=True)  # noqa: S701 - each value is made safe here
    return environment.from_string(_asset("page.html.j2")).render(
        policy=_policy(scripts, style),
        title=_escaped(title),
        style=style,
        scripts=scripts,
        payload=script_json(payload),
    )


def marks_style() -> str:
    """The colours and lines of ``xtf.explain.marks`` as custom properties, for light and dark."""
    marks = {**{str(i): mark for i, mark in enumerate(MARKS)}, "other": OTHERWISE}
    light = "".join(f"--mark-{i}:{mark.light};" for i, mark in marks.items())
    dark = "".join(f"--mark-{i}:{mark.dark};" for i, mark in marks.items())
    lines = "".join(
        f".line-{i}{{--mark:var(--mark-{i});--line-style:{mark.line}}}"
        f".fill-{i}{{fill:var(--mark-{i})}}.stroke-{i}{{stroke:var(--mark-{i})}}"
        for i, mark in marks.items()
    )
    return (
        f":root{{{light}}}\n:root[data-theme=dark]{{{dark}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n{lines}\n"
    )


@cache
def _asset(name: str) -> str:
    text = files("xtf.report.html").joinpath(name).read_text(encoding="utf-8")
    if "</script" in text.lower() and name.endswith(".js"):
        raise ValueError(f"xtf/report/html/{name}: holds '</script', which would end its element")
    return text


def _policy(scripts: list[str], style: str) -> str:
    """Nothing may load or run but these very texts."""
    allowed = " ".join(_hash(text) for text in scripts)
    styles = f"{_hash(style)} {_hash(_asset(_PLOT_STYLE))}"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {styles}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escaped(text: str) -> str:
    from html import escape

    return escape(text, quote=True)
