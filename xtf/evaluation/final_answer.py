"""Where a text says what its final answer is."""

from __future__ import annotations

import re

_SAID = re.compile(
    r"\b(?:(?:final\s+|correct\s+)?answer|correct\s+(?:option|choice))(?:\s+is)?\s*(?::|(?<=is)\b)\s*"
    r"(?:\*\*)?\s*(?P<said>[^\n]+)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[\w)\]}$%*])\.(?:\s|\*|$).*")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def marked_answer(text: str) -> str | None:
    r"""The answer that ``text`` marks as its last: after ``####``, in ``\boxed{}``, or after "the answer is".

    The first of these marks that occurs counts, and of several the last; None without any.

    >>> marked_answer("3 + 4 = 7, so the answer is 7. Done.")
    '7'
    >>> marked_answer(r"Thus \boxed{\frac{3}{4}}.")
    '\\frac{3}{4}'
    """
    _, mark, after = text.rpartition("####")
    if mark:
        return after.strip().split("\n")[0].strip() or None
    boxed = _last_box(text)
    if boxed is not None:
        return boxed
    said = list(_SAID.finditer(text))
    return _SENTENCE_END.sub("", said[-1]["said"]).strip(" *!") or None if said else None


def _last_box(text: str) -> str | None:
    found = list(_BOX.finditer(text))
    if not found:
        return None
    depth, start = 1, found[-1].end()
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip() or None
    return None
