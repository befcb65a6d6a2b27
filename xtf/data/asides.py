"""Columns beside prompt and response that nothing reads, though they may belong to either: what to set for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xtf.data.flag_names import plain_name
from xtf.data.report import Remark
from xtf.data.suggestion import yaml_name
from xtf.data.text_rows import Pair, text_alone

CONTEXT = re.compile(
    r"(?:.*_)?(?:contexts?|inputs?|passages?|documents?|docs|background|evidence|knowledge|article|paragraph|story|"
    r"source_text|reference_text|supporting_facts?)"
)
ASKED = ("prompt", "question", "instruction", "query", "problem", "input")
"""Columns of what a user asks."""
THOUGHTS = re.compile(
    r"(?:.*_)?(?:reasoning|thinking|thoughts?|cot|chain_of_thoughts?|rationale|scratchpad)"
    r"(?:_(?:content|text|trace|traces|process|chain))?"
)


def possible_asides(row: Mapping[str, Any], unread: Iterable[str], read: Any) -> Iterator[Remark]:
    """Yield what to set for columns of text that may be part of the prompt, or what the assistant thought.

    Args:
        row: Column to value.
        unread: Columns that nothing read.
        read: What read the row; the configuration line is made for a :class:`~xtf.data.text_rows.Pair`.
    """
    for column in unread:
        names = plain_name(column), column.lower()  # Complex_CoT, sourceText
        if not _is_text(row.get(column)):
            continue
        if read is text_alone and column.lower() in ASKED:
            how = f"to learn the text as an answer: data.columns: {{prompt: {yaml_name(column)}, response: text}}"
            yield Remark(f"{column!r} is not used: the rows are read as plain text", how)
        elif any(map(CONTEXT.fullmatch, names)):
            how = _line(read, "input", column) or "to use it, write it into the messages"
            yield Remark(f"{column!r} may belong to the prompt, and is not used", how)
        elif any(map(THOUGHTS.fullmatch, names)):
            how = _line(read, "reasoning", column) or "to learn it, write it into the message as reasoning_content"
            yield Remark(f"{column!r} may be what the assistant thought, and is not used", how)


def _line(read: Any, setting: str, column: str) -> str:
    """The configuration with which a column is read, "" where there is none."""
    if not isinstance(read, Pair):
        return ""
    columns = {"prompt": read.prompt, "response": read.response, "input": read.more, "reasoning": read.reasoning}
    shown = (f"{key}: {yaml_name(name)}" for key, name in (columns | {setting: column}).items() if name is not None)
    return f"to use it: data.columns: {{{', '.join(shown)}}}"


def _is_text(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_is_text, value))
    if isinstance(value, Mapping):
        return any(map(_is_text, value.values()))
    return isinstance(value, str) and bool(value.strip())
