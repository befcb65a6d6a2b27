"""Conversations for axolotl to tokenise again: which characters of a turn are learnt, as its span details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtf.data import MaskedTurn
from xtf.display import counted
from xtf.exporters.axolotl import CONFIG, axolotl_settings
from xtf.exporters.exporter import Export, TextExporter
from xtf.exporters.settings import settings_file
from xtf.exporters.text import TextExample

ENDS = "masked ends of turns that are learnt, for axolotl learns the end of a turn of which anything is learnt"
UNENDED = "ends of turns that are not learnt, for nothing else of their turn is"
KEYS = ("role", "content", "name")
_HEAD = """{rows}, which axolotl tokenises with the template of base_model. Start: axolotl train {config}
train_detail names the first and the last character of each span that is learnt or not; train speaks of a whole turn.
sequence_len is the longest row by the tokenizer of the run."""


class AxolotlTextExporter(TextExporter):
    """``messages`` with ``train``, and ``train_detail`` where a part of a turn is masked; ``axolotl.yaml``.

    Left out: plain text, and rows with thoughts or tool calls, whose tokens axolotl's details of a turn do not reach.
    """

    name = "axolotl-text"

    def row(self, example: TextExample) -> Mapping[str, Any] | None:
        if example.conversation.is_text or example.conversation.tools:
            return None
        if any(message.get("tool_calls") or message.get("reasoning_content") for message in example.messages):
            return None
        messages = [self._message(example, number) for number in range(len(example.messages))]
        if not any(message["train"] for message in messages):
            return None
        return {"id": example.example_id, "messages": messages}

    def _message(self, example: TextExample, number: int) -> dict[str, Any]:
        message, turn = example.messages[number], example.turn(number)
        kept = {key: message[key] for key in KEYS if message.get(key) is not None}
        details, place = [], 0
        for text, learnt in example.pieces(number):
            details.append({"begin_offset": place, "end_offset": place + len(text) - 1, "train": learnt})
            place += len(text)
        is_learnt = turn is not None and turn.learnt > 0
        some = is_learnt and not all(detail["train"] for detail in details)
        return {**kept, "train": is_learnt, "train_detail": details if some else None}

    def lost(self, example: TextExample) -> Mapping[str, int]:
        turns: Sequence[MaskedTurn] = example.turns
        return {
            ENDS: sum(turn.learnt > 0 and not turn.rest_learnt for turn in turns),
            UNENDED: sum(turn.learnt == 0 and turn.rest_learnt for turn in turns),
        }

    def sidecars(self, export: Export) -> Mapping[str, str]:
        folder = export.folder.resolve()
        chat = {
            "ds_type": "json",
            "type": "chat_template",
            "field_messages": "messages",
            "message_property_mappings": {"role": "role", "content": "content"},
            "message_field_training": "train",
            "message_field_training_detail": "train_detail",
            "roles_to_train": [],
            "train_on_eos": "turn",
        }
        datasets = [{"path": str(folder / name), **chat} for name in export.files]
        settings = axolotl_settings(export, datasets) | {
            "chat_template": "tokenizer_default",
            "sequence_len": export.longest,
        }
        if arguments := export.config.data.template_args:
            settings["chat_template_kwargs"] = arguments
        return {CONFIG: settings_file(_HEAD.format(rows=counted(export.rows, "conversation"), config=CONFIG), settings)}

    def command(self, export: Export) -> Sequence[str]:
        return ("axolotl", "train", str(export.folder / CONFIG))
