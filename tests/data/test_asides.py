"""Columns beside prompt and response that may belong to them are named, and read when they are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.tokenizers import byte_tokenizer
from xtf.config import ColumnsConfig, DataConfig
from xtf.data import DataReport, read_examples
from xtf.data.conversation import Conversation
from xtf.data.schema import to_conversation
from xtf.data.sources import Row
from xtf.errors import DataError

CHATML = byte_tokenizer("chatml")
PAIR = {"query": "Hi", "response": "Hello"}


def warnings(row: dict[str, Any]) -> str:
    report = DataReport()
    list(read_examples(DataConfig(path="unused"), CHATML, report, [row]))
    return "\n".join(f"{text}: {count.detail}" for text, count in report.warnings.items())


@pytest.mark.parametrize("name", ["context", "contexts", "input", "documents", "background", "Passage"])
def test_what_may_belong_to_the_prompt_is_named_with_what_to_set(name: str) -> None:
    line = f"data.columns: {{prompt: query, response: response, input: {name}}}"
    for value in ("More.", ["One.", "Two."], [{"title": "a", "text": "b"}]):
        assert line in warnings(PAIR | {name: value})


@pytest.mark.parametrize("name", ["reasoning", "thinking", "reasoning_content", "Complex_CoT", "chain_of_thought"])
def test_thoughts_are_named_with_what_to_set(name: str) -> None:
    line = f"data.columns: {{prompt: query, response: response, reasoning: {name}}}"
    assert line in warnings(PAIR | {name: "Hm."})


def test_beside_messages_the_message_is_where_to_write_it() -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    assert "write it into the messages" in warnings(row | {"context": "More."})
    assert "reasoning_content" in warnings(row | {"thinking": "Hm."})


@pytest.mark.parametrize("more", [{"context": ""}, {"context": 3}, {"source": "web"}, {"context_id": "a"}])
def test_nothing_else_is_named(more: dict[str, Any]) -> None:
    assert warnings(PAIR | more) == ""


def test_both_are_read_when_they_are_asked_for() -> None:
    columns = ColumnsConfig(prompt="query", response="response", input="contexts", reasoning="thinking")
    row = Row("x:1", 0, PAIR | {"contexts": ["One.", "Two."], "thinking": "Hm."})
    conversation = to_conversation(row, columns)
    assert isinstance(conversation, Conversation)
    asked, said = conversation.messages
    assert asked["content"] == "Hi\n\nOne.\n\nTwo."
    assert said == {"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}


def test_reasoning_without_prompt_and_response_is_refused() -> None:
    config = DataConfig(path="unused", columns=ColumnsConfig(reasoning="thinking"))
    with pytest.raises(DataError, match="'reasoning' is given without 'prompt' and 'response'"):
        list(read_examples(config, CHATML, DataReport(), [PAIR]))


def test_a_question_beside_plain_text_is_named() -> None:
    assert "data.columns: {prompt: question, response: text}" in warnings({"text": "Hello there.", "question": "Hi?"})


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        *(
            (text, True)
            for text in ("### Human: a\n### Assistant: b", "<s>[INST] a [/INST] b </s>", "<|im_start|>user")
        ),
        *((text, True) for text in ("Human: a\n\nAssistant: b", "### Instruction:\na\n\n### Response:\nb")),
        *((text, False) for text in ("The assistant: a play.", "A [INST] alone.", "# Response", "Hello.")),
    ],
)
def test_plain_text_that_looks_like_a_conversation_is_told(text: str, looks: bool) -> None:
    assert ("the words of all who speak in it are learnt" in warnings({"text": text})) == looks


def test_a_null_where_text_is_needed_is_named() -> None:
    report = DataReport()
    rows = [{"instruction": "a", "output": None}, PAIR]
    list(read_examples(DataConfig(path="unused"), CHATML, report, rows))
    assert report.skipped["a column that is needed holds null"].detail == "'output'"
