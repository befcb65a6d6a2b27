"""Texts and which of their characters are not learnt, for whoever tokenises again with any tokenizer and template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xtf.data import MaskedTurn
from xtf.exporters.exporter import Export, TextExporter
from xtf.exporters.text import TextExample


def _turn(turn: MaskedTurn, causes: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    masked = [
        {"key": span.key, "start": span.start, "end": span.end, "reasons": list(causes[span.cause])}
        for span in turn.masked
    ]
    found = {"message": turn.message, "masked": masked, "rest_learnt": turn.rest_learnt}
    if turn.shared:
        found["shared"] = [asdict(span) | {"learnt": list(span.learnt)} for span in turn.shared]
    return found


class SpansExporter(TextExporter):
    """``id``, ``messages`` or ``text``, and ``turns``: the masked characters of each assistant turn, with reasons.

    A span is ``{"key", "start", "end", "reasons"}``: characters ``messages[turn["message"]][key][start:end]``, the end
    not included. Where tokens share a character (``÷`` may be two) and only some are learnt, ``shared`` tells them
    apart, for tokenizers that make as many of them. ``rest_learnt`` says whether what the template adds to the turn,
    such as its end, is learnt. Turns without an entry are not learnt; those of other speakers have one only where a
    flag of the data asks to learn them.
    """

    name = "spans"
    grain = "token"

    def row(self, example: TextExample) -> Mapping[str, Any]:
        conversation = example.conversation
        row: dict[str, Any] = {"id": example.example_id}
        if conversation.is_text:
            row["text"] = conversation.messages[0]["content"]
        else:
            row["messages"] = [dict(message) for message in conversation.messages]
            if conversation.tools:
                row["tools"] = conversation.tools
            if conversation.template_args:
                row["chat_template_kwargs"] = dict(conversation.template_args)
        turns = [turn for turn in example.turns if example.is_assistant(turn) or example.turn(turn.message)]
        row["turns"] = [_turn(turn, example.causes) for turn in turns]
        return row

    def command(self, export: Export) -> Sequence[str]:
        model = export.config.model.tokenizer or export.config.model.path
        data = export.config.data
        settings: list[str] = []
        for name in ("system", "template_adds", "template_args"):
            value = getattr(data, name)
            if value != type(data).model_fields[name].get_default(call_default_factory=True):
                settings += ["--set", f"data.{name}={json.dumps(value)}"]
        return ("xtf", "apply-spans", str(export.folder), "--model", model, *settings)
