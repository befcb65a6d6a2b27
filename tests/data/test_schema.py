"""Rows of every known schema become the same conversation; what is not understood says why."""

from __future__ import annotations

from typing import Any

import pytest

from xtf.config import ColumnsConfig
from xtf.data import Conversation, PreTokenized, Row, RowError, to_conversation
from xtf.data.schema import check_columns
from xtf.errors import DataError

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}


def conversation(value: dict[str, Any], **columns: str) -> Conversation:
    result = to_conversation(Row("data/a.jsonl:7", 6, value), ColumnsConfig(**columns))
    assert isinstance(result, Conversation)
    return result


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [USER, ASSISTANT]},
        {"messages": [USER, ASSISTANT], "prompt": "ignored", "completion": "ignored"},
        {"messages": [USER | {"name": None}, {"role": "model", "content": [{"type": "text", "text": "Hello"}]}]},
        {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [USER, ASSISTANT], "messages": None},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"prompt": [USER], "completion": "Hello"},
        {"instruction": "Hi", "output": "Hello"},
        {"instruction": "Hi", "input": " ", "output": "Hello"},
        {"question": "Hi", "answer": "Hello"},
    ],
)
def test_known_schemas(value: dict[str, Any]) -> None:
    assert conversation(value).messages == (USER, ASSISTANT)


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"q": "Hi", "a": "Hello"}, {"prompt": "q", "response": "a"}),
        ({"q": "Hi", "a": "Hello", "messages": []}, {"prompt": "q", "response": "a"}),
        ({"chat": [USER, ASSISTANT]}, {"messages": "chat"}),
    ],
)
def test_mapped_columns(value: dict[str, Any], columns: dict[str, str]) -> None:
    assert conversation(value, **columns).messages == (USER, ASSISTANT)


def test_system_and_input() -> None:
    asked = {"role": "user", "content": "Add\n\n1 and 2"}
    assert conversation({"instruction": "Add", "input": "1 and 2", "output": "Hello"}).messages == (asked, ASSISTANT)
    columns = {"prompt": "q", "input": "i", "response": "a", "system": "s"}
    mapped = conversation({"q": "Add", "i": "1 and 2", "a": "Hello", "s": "Be brief."}, **columns)
    assert (mapped.messages, mapped.responses()) == ((SYSTEM, asked, ASSISTANT), [2])
    assert conversation({"system": "Be brief.", "conversations": [USER, ASSISTANT]}).messages[0] == SYSTEM
    assert conversation({"system": "other", "messages": [SYSTEM, USER, ASSISTANT]}).messages[0] == SYSTEM


def test_turns_within_a_prompt_are_context() -> None:
    row = {"prompt": [SYSTEM, USER, ASSISTANT, USER], "completion": [ASSISTANT], "system": "other"}
    assert conversation(row).responses() == [4]
    assert conversation({"messages": [USER, ASSISTANT, USER, ASSISTANT]}).responses() == [1, 3]


def test_tool_calls_take_one_form() -> None:
    function = {"name": "get_weather", "arguments": {"city": "Paris"}}
    call = {"type": "function", "function": function}
    result = {"role": "tool", "content": "sunny"}
    text = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
    spoken = {"role": "assistant", "content": "", "tool_calls": [call]}
    for value in (
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, result, ASSISTANT]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [function]}, result, ASSISTANT]},
        {"messages": [USER, {"role": "assistant", "function_call": function}, result, ASSISTANT]},
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{"function": {**function, "arguments": '{"city": "Paris"}'}}]},
                result,
                ASSISTANT,
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": text},
                {"from": "observation", "value": "sunny"},
                {"from": "gpt", "value": "Hello"},
            ]
        },
    ):
        found = conversation({**value, "tools": '[{"type": "function"}]'})
        assert found.messages == (USER, spoken, result, ASSISTANT)
        assert found.tools == [{"type": "function"}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"questions": "Hi", "answers": "Hello"},
            "no known columns: expected 'messages', 'conversations', 'prompt'+'completion', "
            "'instruction'(+'input')+'output', 'question'+'answer' or 'input_ids'+'labels', "
            "found keys 'answers', 'questions'. Map them with data.columns.",
        ),
        ({"prompt": "Hi", "completion": " \n"}, "empty response"),
        ({"messages": [SYSTEM, USER]}, "no assistant turn: roles: system, user"),
        ({"messages": []}, "no assistant turn: roles: none"),
        ({"messages": {"role": "user"}}, "malformed messages: 'messages' is an object, expected a list of messages"),
        ({"messages": ["Hi"]}, "malformed messages: messages[0] is a string, expected an object with role and content"),
        ({"messages": [{"text": "Hi"}]}, "malformed messages: messages[0]: expected role and content, found keys text"),
        (
            {"messages": "[{"},
            "broken JSON inside a column: messages: Expecting property name enclosed in double quotes",
        ),
        ({"messages": [{"role": "user"}, ASSISTANT]}, "content is not text: messages[0] has no 'content'"),
        ({"prompt": "Hi", "completion": 5}, "content is not text: completion is a number"),
        ({"prompt": "Hi", "completion": {"a": 1}}, "content is not text: completion is an object"),
        ({"prompt": "Hi", "completion": "a\ud800"}, "not valid Unicode: completion: lone surrogate at character 2"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0] holds a part of type 'image'"),
        (
            {"messages": [{"role": "judge", "content": "x"}]},
            "unknown role: messages[0]: 'judge'. Known: ai, assistant, bard, bing, bot, chatbot, chatgpt, claude, ",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "malformed tool call: messages[0]"),
        ({"messages": [USER, ASSISTANT], "tools": {"a": 1}}, "malformed tools: found an object, expected a list"),
        ({"messages": [USER, ASSISTANT], "tools": ["\ud800"]}, "not valid Unicode: tools"),
        (
            {"messages": [USER, ASSISTANT], "chat_template_kwargs": "[1]"},
            "malformed chat_template_kwargs: found a list",
        ),
    ],
)
def test_unusable_rows(value: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError) as caught:
        conversation(value)
    assert str(caught.value).startswith("data/a.jsonl:7: ")
    assert message in str(caught.value)


def test_mapped_column_that_is_not_there() -> None:
    with pytest.raises(RowError, match=r"no column 'q': data.columns names it; found keys 'answer', 'question'"):
        conversation({"question": "Hi", "answer": "Hello"}, prompt="q", response="answer")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": "q"}, "'prompt' is given without 'response'"),
        ({"response": "a"}, "'response' is given without 'prompt'"),
        ({"labels": "l"}, "'labels' is given without 'input_ids'"),
        ({"input": "i"}, "'input' is given without 'prompt' and 'response'"),
        ({"messages": "m", "prompt": "q", "response": "a"}, "'messages', 'prompt' exclude each other"),
    ],
)
def test_half_a_schema(columns: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_columns(ColumnsConfig(**columns))


def test_tokens() -> None:
    row = {"input_ids": [5, 6, 7, 0, 0], "labels": [5, -100, 7, -100, -100], "attention_mask": [1, 1, 1, 0, 0]}
    tokens = to_conversation(Row("a:1", 0, row), ColumnsConfig())
    assert isinstance(tokens, PreTokenized)
    assert tokens.input_ids.tolist() == [5, 6, 7]
    assert tokens.is_response.tolist() == [False, False, True]  # nothing predicts the first


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"input_ids": [1, 2], "labels": [1]}, "differ in length: 2 and 1"),
        ({"input_ids": [1, 2, 3], "labels": [2, 3, -100]}, "position 0: label 2, token 1"),
        ({"input_ids": [1, 2], "labels": [-100, -100]}, "empty response: every label is -100"),
        ({"input_ids": [], "labels": []}, "empty response"),
        ({"input_ids": [1.5], "labels": [1]}, "input_ids is not a list of whole numbers"),
        ({"input_ids": [[1], [2, 3]], "labels": [1]}, "input_ids is not a list of whole numbers"),
        ({"input_ids": [2**40], "labels": [1]}, "no token can have"),
    ],
)
def test_unusable_tokens(value: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        to_conversation(Row("a:1", 0, value), ColumnsConfig())
