"""Roles, keys and parts of messages under the names that trainers and data sets give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.data.tokenizers import response_text, tiny_tokenizer
from xtf.config import ColumnsConfig, DataConfig
from xtf.data import Conversation, DataReport, Row, RowError, read_examples, to_conversation
from xtf.data.messages import as_messages
from xtf.data.turns import EMPTY_TURN

CALL = {"name": "lookup", "arguments": {"city": "Oslo"}}


def messages(value: Any, roles: dict[str, str] | None = None) -> tuple[dict[str, Any], ...]:
    result = to_conversation(Row("a.jsonl:1", 0, {"messages": value}), ColumnsConfig(), roles or {})
    assert isinstance(result, Conversation)
    return tuple(dict(message) for message in result.messages)


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (["system", "System", "developer", "sys"], "system"),
        (["user", "USER", "human", "Human ", "prompter", "User:", "<|user|>"], "user"),
        (
            ["assistant", "Assistant", "gpt", "chatgpt", "model", "bot", "ai", "AI", "bing", "bard", "claude"],
            "assistant",
        ),
        (["tool", "function", "observation", "ipython", "tool_response", "function-response", "Tool Result"], "tool"),
    ],
)
def test_roles_known_by_themselves(names: list[str], role: str) -> None:
    for name in names:
        found = messages([{"role": name, "content": "x"}, {"role": "assistant", "content": "y"}])
        assert found[0]["role"] == role, name


def test_roles_of_the_users_own_go_first() -> None:
    value = [{"role": "Agent", "content": "x"}, {"role": "user", "content": "y"}]
    assert [m["role"] for m in messages(value, {"agent": "assistant", "user": "system"})] == ["assistant", "system"]
    with pytest.raises(RowError, match=r'Map others, for example data\.roles: \{"Agent": assistant\}'):
        messages(value)


@pytest.mark.parametrize(
    "first",
    [
        {"role": "user", "value": "Hi"},
        {"from": "human", "content": "Hi"},
        {"role": None, "from": "human", "content": None, "value": "Hi"},
        {"role": "user", "content": [{"type": "text", "value": "H"}, {"type": "text", "text": "i"}]},
        {"role": "user", "content": [{"type": "text", "content": "Hi"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "user", "content": ["H", "i"]},
    ],
)
def test_mixed_keys_and_parts(first: dict[str, Any]) -> None:
    assert messages([first, {"role": "assistant", "content": "Hello"}])[0] == {"role": "user", "content": "Hi"}


def test_parts_that_are_thoughts_and_calls() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "value": "Wait."},
        {"type": "tool_call", "value": json.dumps(CALL)},
    ]
    assert messages([{"role": "assistant", "content": parts}])[0] == {
        "role": "assistant",
        "content": "Wait.",
        "reasoning_content": "hm",
        "tool_calls": [{"type": "function", "function": CALL}],
    }


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"temp": -2, "sky": "grå"}, '{"temp": -2, "sky": "grå"}'),
        (4, "4"),
        ([{"a": 1}], '[{"a": 1}]'),
        (["a", "b"], "ab"),
    ],
)
def test_a_tool_s_result_may_be_data(result: Any, text: str) -> None:
    assert messages([{"role": "tool", "content": result}, {"role": "assistant", "content": "y"}])[0]["content"] == text


def test_calls_in_messages_of_their_own_become_one_turn() -> None:
    call = {"role": "tool_call", "content": json.dumps(CALL)}
    value = [{"role": "user", "content": "?"}, call, call, {"role": "tool_response", "content": "1"}, call]
    found = messages(value)
    assert [m["role"] for m in found] == ["user", "assistant", "tool", "assistant"]
    assert [len(m["tool_calls"]) for m in (found[1], found[3])] == [2, 1]


@pytest.mark.parametrize("nothing", ["", " \n", None])
def test_an_empty_turn_does_not_cost_the_row(nothing: str | None) -> None:
    turns = [("user", "Hi"), ("assistant", nothing), ("user", "Hello?"), ("assistant", "Yes.")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    tokenizer, report = tiny_tokenizer("chatml"), DataReport()
    example = next(read_examples(DataConfig(path="rows"), tokenizer, report, [row]))
    assert response_text(tokenizer, example) == "Yes.<|im_end|>"
    assert list(report.warnings) == [EMPTY_TURN]


def test_a_row_of_empty_turns_is_refused() -> None:
    with pytest.raises(RowError, match="empty response"):
        messages([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}])


@pytest.mark.parametrize(
    "messages",
    [
        [{"human": "Hi", "assistant": "Hello"}],
        [{"user": "Hi"}, {"assistant": "Hello"}],
        [{"speaker": "human", "text": "Hi"}, {"speaker": "gpt", "text": "Hello"}],
        [{"role": "user", "message": "Hi"}, {"role": "assistant", "message": "Hello"}],
        [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Hel"}, {"text": "lo"}]}],
    ],
)
def test_other_forms_of_messages(messages: list[dict[str, Any]]) -> None:
    assert as_messages(messages, "messages") == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


def test_a_role_that_nobody_wants_learnt_is_not_proposed_as_the_assistant() -> None:
    for name, proposed in (("doctor", True), ("rejected", False)):
        with pytest.raises(RowError) as caught:
            messages([{"role": name, "content": "x"}])
        assert (f'for example data.roles: {{"{name}": assistant}}' in str(caught.value)) == proposed


@pytest.mark.parametrize(
    "answer", [{"content": None, "refusal": "I cannot."}, {"content": [{"type": "refusal", "refusal": "I cannot."}]}]
)
def test_a_refusal_is_what_the_assistant_says(answer: dict[str, Any]) -> None:
    assert messages([{"role": "user", "content": "Hi"}, {"role": "assistant", **answer}])[1]["content"] == "I cannot."
