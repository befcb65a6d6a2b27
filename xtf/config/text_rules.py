"""Rules of the user's own about which characters are learnt: a text, a regular expression, or a pair of tags."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from xtf.config.base import Section

_TAG_PAIR = re.compile(r"<([A-Za-z_|][^\s<>/]*)>\s*(?:…|\.\.\.)\s*</\1>")


class TextRule(Section):
    """What a rule looks for in the text of a turn: one of the three. A text alone is short for ``text``."""

    text: str | None = Field(None, min_length=1, description="These characters, wherever they stand.")
    regex: str | None = Field(None, min_length=1, description="What this regular expression of Python matches.")
    tag: str | None = Field(
        None, min_length=1, description="From <TAG> to </TAG>, tags included; also written <TAG>…</TAG>."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pair = _TAG_PAIR.fullmatch(value.strip())
        return {"tag": pair[1]} if pair else {"text": value}

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _names_one(self) -> TextRule:
        if sum(given is not None for given in (self.text, self.regex, self.tag)) != 1:
            raise ValueError("expected a text, or one of text, regex and tag")
        return self

    def __str__(self) -> str:
        if self.tag is not None:
            return f"<{self.tag}>…</{self.tag}>"
        return repr(self.text) if self.text is not None else f"/{self.regex}/"


def as_rules(value: Any) -> Any:
    """One rule stands for a list of one."""
    return [value] if isinstance(value, (str, dict, TextRule)) else value
