"""Where the user's own rules about learning apply in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xtf.config import TextRule
from xtf.data.markers import Span


def matches(rule: TextRule, text: str, within: Span) -> Iterator[Span]:
    """Yield the spans of characters in ``text[within]`` that a rule names; none is empty.

    A tag that is not closed reaches to the end. A closing tag alone reaches from the beginning if its opening stands
    right before it, as where a template opens ``<think>`` for the model.
    """
    if rule.tag is not None:
        yield from _tagged(rule.tag, text, within)
        return
    pattern = re.compile(re.escape(rule.text) if rule.text is not None else rule.regex or "")
    start, end = within
    for match in pattern.finditer(text[start:end]):
        if match.end() > match.start():
            yield start + match.start(), start + match.end()


def _tagged(tag: str, text: str, within: Span) -> Iterator[Span]:
    start, end = within
    name = re.escape(tag)
    pattern = re.compile(rf"<(/?){name}(?:\s[^<>]*?)?(/?)>")
    opened = bool(re.search(rf"<{name}(?:\s[^<>]*)?(?<!/)>\s*\Z", text[max(0, start - 200) : start]))
    depth, begin = (1, start) if opened else (0, end)
    for match in pattern.finditer(text, start, end):
        if match[2] and not match[1]:  # <name/> is all there is of it
            if depth == 0:
                yield match.span()
            continue
        if match[1] and depth == 0:
            continue
        if not match[1] and depth == 0:
            begin = match.start()
        depth += -1 if match[1] else 1
        if depth == 0 and begin < match.end():
            yield begin, match.end()
    if depth and begin < end:
        yield begin, end
