"""Loops of a chat template that go on after they have found what they look for, made to stop there.

Templates look back through all turns for each turn, ``{% for j in … %}{% if not found %}…``, for Jinja has no ``break``
of its own (Gemma 4). That takes time with the square of the turns. Once such a condition fails, nothing in the loop
can change it, for nothing in the loop is done any more; so to stop there changes no rendering.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from jinja2 import TemplateError, nodes

from xtf.data.syntax import SYNTAX

_STABLE = (nodes.Not, nodes.And, nodes.Or, nodes.Compare, nodes.Operand, nodes.Name, nodes.Const, nodes.Getattr)
"""What a condition may be made of: nothing that is called."""
NEWLINE = re.compile(r"\r\n?")
"""Line ends that Jinja reads as ``\\n``."""

Token = tuple[int, str, str]
"""Line, kind and text."""


@lru_cache(maxsize=64)
def stop_idle_loops(source: str) -> str:
    """Return a template with the same rendering, whose loops stop where they would only go round.

    ``source`` itself, if it has no such loop, or is no template.
    """
    lines = NEWLINE.sub("\n", source)
    try:
        loops, tokens = list(SYNTAX.parse(lines).find_all(nodes.For)), list(SYNTAX.lex(lines))
        ends, heads = _ends(lines, tokens), list(_heads(tokens))
        stops = {ends[head]: _stop(loop, tokens[head + 1 :]) for loop, head in zip(loops, heads, strict=True)}
    except (TemplateError, ValueError):  # no template, or its tokens do not tell where its loops are
        return source
    if not any(stops.values()):
        return source
    places = [0, *stops, len(lines)]
    return "".join(stops.get(start, "") + lines[start:end] for start, end in pairwise(places))


def _ends(source: str, tokens: Sequence[Token]) -> list[int]:
    """Where each token ends in the text; between tokens is white space that a template strips."""
    ends, end = [], 0
    for _, _, text in tokens:
        end = source.index(text, end) + len(text)
        ends.append(end)
    return ends


def _heads(tokens: Sequence[Token]) -> Iterator[int]:
    """Where the tags that open loops end, in the order of the text, which is that of the tree."""
    for at, (_, kind, _) in enumerate(tokens):
        if kind == "block_begin" and _word(tokens[at + 1 :]) == "for":
            yield next(end for end in range(at, len(tokens)) if tokens[end][1] == "block_end")


def _word(tokens: Sequence[Token]) -> str:
    return next((text for _, kind, text in tokens[:2] if kind == "name"), "")


def _stop(loop: nodes.For, behind: Sequence[Token]) -> str:
    """What makes a loop stop, to be put behind the tag that opens it; "" for a loop that is never idle."""
    if not _counts(loop) or len(loop.body) != 1 or not isinstance(only := loop.body[0], nodes.If):
        return ""
    condition = only.test
    parts = [condition, *condition.find_all(nodes.Node)]
    changing = {"loop", *map(_name, [loop.target, *loop.target.find_all(nodes.Name)])} - {""}
    if not all(isinstance(part, _STABLE) and not _takes(part) for part in parts) or changing & set(map(_name, parts)):
        return ""
    kinds = [kind for _, kind, _ in behind]
    words = behind[kinds.index("block_begin") + 1 : kinds.index("block_end")]
    test = "".join(text for _, _, text in words).strip().removeprefix("if").strip()
    if not only.elif_ and not only.else_:
        return f"{{%- if not ({test}) -%}}{{%- break -%}}{{%- endif -%}}"
    return "" if only.body else f"{{%- if {test} -%}}{{%- break -%}}{{%- endif -%}}"


def _counts(loop: nodes.For) -> bool:
    """Whether it goes over ``range(…)`` and does nothing else: what has been taken of it changes nothing elsewhere."""
    called = loop.iter.node if isinstance(loop.iter, nodes.Call) else None
    return called is not None and _name(called) == "range" and not loop.else_ and loop.test is None


def _takes(node: nodes.Node) -> bool:
    """Whether it may use up what it looks through, so that it cannot be asked twice."""
    return isinstance(node, nodes.Operand) and node.op in {"in", "notin"}


def _name(node: nodes.Node) -> str:
    return str(node.name) if isinstance(node, nodes.Name) else ""
