"""The configuration line that would make a row readable, guessed from its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from xtf.config import quoted

ASKED = ("prompt", "question", "instruction", "query", "problem", "input", "user", "human", "task", "source", "ask")
SAID = (
    "response",
    "completion",
    "chosen",
    "answer",
    "output",
    "solution",
    "assistant",
    "target",
    "reply",
    "label",
    "bot",
    "gpt",
)
YAML_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off"))
PLAIN = ("text", "content", "body", "document", "article", "passage", "abstract")


MESSAGE = frozenset(("role", "from", "speaker", "user", "human"))
"""Keys of which a message has one, and which say who speaks."""
NUMBERED = re.compile(r"(.+?)(?:_[a-z]|[_ ]?\d+)", re.IGNORECASE)
"""``answer_0`` and ``answer_1``, ``ref_A`` and ``ref_B``: which of them is the good one, the names do not say."""
UNWANTED = re.compile(
    r"reject|negative|incorrect|wrong|unprefer|non_?prefer|disprefer|undesir|unaccept|inferior|(?<![a-z])(?:neg|disliked?|lose[rs]?|losing|bad|worse|worst)(?![a-z])",
    re.IGNORECASE,
)
"""Names of answers that nobody wants learnt."""
SPEAKS = re.compile(r"\W*(?:human|user|assistant|system)\s*:", re.IGNORECASE)
"""How a whole conversation begins that is written as one text."""


def columns_line(row: Mapping[Any, Any]) -> str:
    """A sentence with the columns there are and, if any could be read, the configuration line that names them."""
    keys = ", ".join(repr(key) for key in sorted(map(str, row))) or "none"
    columns = _guessed({str(key): value for key, value in row.items() if value is not None})
    if not columns:
        return f"found {keys}. Name them with data.columns."
    line = ", ".join(f"{name}: {yaml_name(column)}" for name, column in columns.items())
    return f"found {keys}. Name them, for example: data.columns: {{{line}}}."


def _guessed(row: Mapping[str, Any]) -> dict[str, str]:
    """What each setting of ``data.columns`` could be."""
    objects = [key for key, value in row.items() if _is_list_of(value, Mapping)]
    if objects:
        return {"messages": objects[0]} if len(objects) == 1 and MESSAGE & set(row[objects[0]][0]) else {}
    numbers = [key for key, value in row.items() if _is_list_of(value, int)]
    if len(numbers) == 2 and len(row[numbers[0]]) == len(row[numbers[1]]):
        labels = _like(("label", "target"), numbers)
        return {"input_ids": next(key for key in numbers if key != labels), "labels": labels} if labels else {}
    texts = {key: value for key, value in row.items() if isinstance(value, str) and value.strip()}
    stems = Counter(match[1].casefold() for key in texts if (match := NUMBERED.fullmatch(key)))
    if max(stems.values(), default=0) > 1 or any(map(SPEAKS.match, texts.values())):
        return {}
    return _guessed_of_texts([key for key in texts if key.casefold() != "id" and not UNWANTED.search(key)])


def _guessed_of_texts(columns: Sequence[str]) -> dict[str, str]:
    asked, said, plain = (_like(words, columns) for words in (ASKED, SAID, PLAIN))
    if len(columns) < 2:
        return {"text": columns[0]} if columns and asked is None else {}  # a question alone is nothing to learn
    if plain is not None and asked is None and said is None:
        return {"text": plain}
    said = said or [column for column in columns if column != asked][-1]
    others = [column for column in columns if column != said]
    return {"prompt": _like(ASKED, others) or others[0], "response": said}


def _like(words: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column whose name holds the first of ``words`` that any name holds, or is a word's first letter."""
    named = {column: column.casefold() for column in columns}
    return next((key for word in words for key in columns if word in named[key] or named[key] == word[0]), None)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], kind)


def yaml_name(name: str) -> str:
    """The name of a column as YAML writes it, in quotes where it needs them."""
    plain = name.isidentifier() and name.casefold() not in YAML_WORDS
    return name if plain else quoted(name)
