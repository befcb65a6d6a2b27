"""Messages with a weight for each assistant turn, as OpenAI's fine-tuning and services like it read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtf.data import MaskedTurn
from xtf.exporters.exporter import TextExporter
from xtf.exporters.text import TextExample

KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
"""What such a message may hold."""
FINER = "masked tokens in turns that are learnt, for a weight speaks of a whole turn"
ENDS = "turns of which only the end would be learnt, and nothing is: a weight speaks of a whole turn"
SPEAKERS = "learnt tokens in turns of other speakers, which this format does not learn"
OTHERS = "parts of messages, such as thoughts, without a place in this format, which are left out"


class OpenaiExporter(TextExporter):
    """``messages``, where an assistant turn of which no word is learnt has ``weight`` 0, and others 1; ``tools``."""

    name = "openai"
    grain = "turn"
    carries_ids = False

    def row(self, example: TextExample) -> Mapping[str, Any] | None:
        if example.conversation.is_text or not any(map(_is_learnt, _assistants(example))):
            return None
        messages = []
        for number, message in enumerate(example.messages):
            kept = {key: message[key] for key in KEYS if message.get(key) is not None}
            if kept.get("tool_calls"):
                kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
            if message["role"] == "assistant":
                kept["weight"] = int(_is_learnt(example.turn(number)))
            messages.append(kept)
        return {"messages": messages, **({"tools": example.conversation.tools} if example.conversation.tools else {})}

    def lost(self, example: TextExample) -> Mapping[str, int]:
        assistants = _assistants(example)
        learnt = [turn for turn in assistants if _is_learnt(turn)]
        others = sum(key not in KEYS and bool(value) for one in example.messages for key, value in one.items())
        return {
            FINER: sum(turn.written - turn.learnt for turn in learnt),
            ENDS: sum(turn.rest_learnt and not _is_learnt(turn) for turn in assistants),
            SPEAKERS: sum(turn.learnt for turn in example.turns if turn not in assistants),
            OTHERS: others,
        }


def _assistants(example: TextExample) -> list[MaskedTurn]:
    return [turn for turn in example.turns if example.is_assistant(turn)]


def _is_learnt(turn: MaskedTurn | None) -> bool:
    """Whether a word of a turn is learnt, or, of a turn that only calls tools, anything."""
    return turn is not None and (turn.learnt > 0 or (turn.written == 0 and turn.rest_learnt))


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call with its arguments as JSON text."""
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {**call, "function": function}
