"""The public contract suite of exporters that read texts.

In a test file of your own package::

    from xtf.testing import parametrize_text_exporters_with_checks

    @parametrize_text_exporters_with_checks([MyExporter()])
    def test_contract(exporter, check):
        check(exporter)

No model and no run is needed: conversations are made up, with several turns, a turn wholly masked, neighbouring spans
of different causes, a tool call, thoughts, and plain text.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from xtf.data import Conversation, MaskedSpan, MaskedTurn
from xtf.exporters import TextExample, TextExporter
from xtf.steps.exporting import write_lines
from xtf.testing.exporters import check_exporter_known, check_exporter_sidecars
from xtf.testing.suite import parametrize_checks

TextExporterCheck = Callable[[TextExporter], None]

CAUSES = (("label_quality",), ("label_quality", "task_relevance"), ("flag of the data",))


def parametrize_text_exporters_with_checks(
    exporters: Sequence[TextExporter], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``exporter`` and ``check``; see :func:`xtf.testing.parametrize_with_checks`."""
    return parametrize_checks("exporter", {one.name: one for one in exporters}, TEXT_EXPORTER_CHECKS, expected_failures)


def made_up_texts() -> list[TextExample]:
    """Examples as text: see the head of this file."""
    ask, call = {"role": "user", "content": 'Say "ñ"\n\\ 🦊'}, {"name": "add", "arguments": {"a": 1}}
    once = ({"role": "system", "content": "Be brief."}, ask, {"role": "assistant", "content": "It is 12 🦊 or 13."})
    twice = (ask, {"role": "assistant", "content": "No."}, ask, {"role": "assistant", "content": "Yes, 7."})
    tools = (
        ask,
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "reasoning_content": "Hm, two.", "content": "Two."},
    )
    return [
        _example("plain", Conversation(once), MaskedTurn(2, (), True, 6, 6)),
        _example("some", Conversation(once), MaskedTurn(2, (_span(6, 9), _span(9, 13, cause=1)), True, 6, 3)),
        _example(
            "whole turn",
            Conversation(twice),
            MaskedTurn(1, (_span(0, 3, cause=2),), False, 2, 0),
            MaskedTurn(3, (_span(5, 6),), True, 4, 3),
        ),
        _example("one turn rendered", Conversation(twice), MaskedTurn(3, (), True, 4, 4)),
        _example(
            "tools",
            Conversation(tools, tools=[{"type": "function", "function": {"name": "add"}}]),
            MaskedTurn(1, (), True, 0, 0),
            MaskedTurn(3, (MaskedSpan("reasoning_content", 0, 2), _span(0, 3)), True, 4, 2),
        ),
        _example(
            "text",
            Conversation(({"role": "assistant", "content": "Once, twice."},), is_text=True),
            MaskedTurn(0, (_span(0, 4),), True, 4, 3),
        ),
    ]


def _span(start: int, end: int, cause: int = 0) -> MaskedSpan:
    return MaskedSpan("content", start, end, cause)


def _example(name: str, conversation: Conversation, *turns: MaskedTurn) -> TextExample:
    return TextExample(name, conversation, turns, CAUSES, 40)


def check_text_exporter_rows(exporter: TextExporter) -> None:
    """Rows are JSON objects, the same in every call, and survive the file that they are written to."""
    rows = [exporter.row(example) for example in made_up_texts()]
    assert rows == [exporter.row(example) for example in made_up_texts()], "a second call gives another row"
    there = [dict(row) for row in rows if row is not None]
    assert there, "no example has a row"
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"part{exporter.suffix}"
        write_lines(path, there)
        read = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert read == there, "the file reads back otherwise"


def check_text_exporter_keeps_input(exporter: TextExporter) -> None:
    """The examples it is given stay as they are."""
    for example in made_up_texts():
        before = copy.deepcopy(example.conversation)
        row: Any = exporter.row(example)
        if row is not None:
            json.loads(json.dumps(row))
        assert example.conversation == before, f"example {example.example_id!r}: its messages were changed"


def check_text_exporter_tells_masks(exporter: TextExporter) -> None:
    """What is masked shows: in the row, or in a count of what the row cannot carry."""
    plain, some = made_up_texts()[:2]
    assert not any(exporter.lost(plain).values()), "something is lost where every token is learnt"
    same = exporter.row(some) is not None and _without_id(exporter.row(some)) == _without_id(exporter.row(plain))
    assert not same or any(exporter.lost(some).values()), "masked characters leave no trace and are not counted"
    for said, count in exporter.lost(some).items():
        assert said.strip(), "a count without words"
        assert isinstance(count, int), f"{said!r}: {count!r}"


def _without_id(row: Any) -> Any:
    return {key: value for key, value in row.items() if value not in ("plain", "some")}


TEXT_EXPORTER_CHECKS: tuple[TextExporterCheck, ...] = (
    check_exporter_known,
    check_text_exporter_rows,
    check_text_exporter_keeps_input,
    check_text_exporter_tells_masks,
    check_exporter_sidecars,
)
