"""Loops of templates stop where they would only go round, and no rendering changes by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, TemplateError

from tests.data.shapes import PLANS, shape
from tests.data.test_template_matrix import TEMPLATES, tokenizer_of
from xtf.data import Conversation
from xtf.data.loops import stop_idle_loops

JINJA = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
FOUND = "{% set ns = namespace(found=false, it='') %}"
TAIL = "|{{ ns.it }}|"


def rendered(source: str) -> tuple[str, int]:
    """The text, and how many of 100 items the loops have taken."""
    taken = 0

    def items(*bounds: int) -> Iterator[int]:
        nonlocal taken
        for number in range(*bounds):
            taken += 1
            yield number

    return JINJA.from_string(source).render({"range": items, "words": items(100)}), taken


@pytest.mark.parametrize(
    ("loop", "taken"),
    [
        (
            "{%- for i in range(100) -%}\n  {%- if not ns.found -%}{%- if i == 7 -%}{%- set ns.found = true -%}"
            "{%- set ns.it = i -%}{%- endif -%}{%- endif -%}\n{%- endfor -%}",
            9,
        ),
        (
            "{% for i in range(100) %}\n{% if ns.found or ns.it == 3 %}\n{% elif i == 4 %}{% set ns.found = true %}"
            "{% else %}<{{ i }}>{% endif %}\n{% endfor %}",
            6,
        ),
        (
            "{% for i in range(100) -%}{{ '{' }}{%- if not ns.found %}{% set ns.found = true %}{% endif %}{% endfor %}",
            100,
        ),
        ("{% for i in range(100) %}{% if i < 5 %}{{ i }}{% endif %}{% endfor %}", 100),
        ("{% for i in range(100) %}{% if loop.index is odd %}{{ i }}{% endif %}{% endfor %}", 100),
        ("{% for i in range(100) %}{% if ns.it.__len__() %}{{ i }}{% endif %}{% endfor %}", 100),
        ("{% for i in range(100) %}{% if ns.it %}a{% else %}{{ i }}{% endif %}{% endfor %}", 100),
        ("{% for i in range(100) %}{% if not ns.it %}{% endif %} {% endfor %}", 100),
        ("{% for i in range(100) %}{% set it = i %}{% if not ns.it %}x{% endif %}{% endfor %}", 100),
        ("{% for i in range(100) %}{% if ns.it %}{% endif %}{% else %}none{% endfor %}", 100),
        ("{% for i in range(100) if i %}{% if ns.it %}{% endif %}{% endfor %}", 100),
        ("{% for i in words %}{% if ns.it %}{% endif %}{% endfor %}", 100),
        ("{% set it = [1, 2] | select %}{% for i in range(100) %}{% if 1 in it %}{{ i }}{% endif %}{% endfor %}", 100),
    ],
)
def test_only_idle_loops_stop(loop: str, taken: int) -> None:
    source = FOUND + loop + TAIL
    text, all_taken = rendered(source)
    assert all_taken == 100
    assert rendered(stop_idle_loops(source)) == (text, taken)
    assert (stop_idle_loops(source) == source) == (taken == 100)
    windows = source.replace("\n", "\r\n")
    assert rendered(stop_idle_loops(windows)) == (text, taken)


@pytest.mark.parametrize("source", ["{% for %}", "no loop", "", "{% for i in range(100) %}{% if not ns.it %}"])
def test_what_is_no_template_and_what_has_no_loop_is_left_alone(source: str) -> None:
    assert stop_idle_loops(source) == source


@pytest.mark.parametrize("path", TEMPLATES)
def test_published_templates_render_the_same(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    stopping = stop_idle_loops(source)
    if stopping == source:
        assert "gemma4" not in path.stem or path.stem == "gemma4_v2"
        return
    tokenizer: Any = tokenizer_of(path)[0]
    used = 0
    for plan in PLANS:
        text, same = (_text(tokenizer, shape(plan), template) for template in (source, stopping))
        assert same == text, plan
        used += not text.startswith("refused")
    assert used >= 2


def _text(tokenizer: Any, conversation: Conversation, template: str) -> str:
    asked = {"tools": conversation.tools, "chat_template": template, "tokenize": False}
    try:
        return str(tokenizer.apply_chat_template(list(conversation.messages), **asked))
    except (TemplateError, TypeError) as error:
        return f"refused: {error}"
