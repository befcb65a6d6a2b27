"""Rows of every known schema become the same conversation; what is not understood says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from xtf.config import ColumnsConfig
from xtf.data import Conversation, PreTokenized, Row, RowError, to_conversation
from xtf.data.schema import LOOKS_LIKE_TURNS, PLACEHOLDER, SCHEMAS, TWO_SYSTEMS, check_columns, recognise
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
        {"conversations": "[{'from': 'human', 'value': 'Hi'}, {'from': 'gpt', 'value': \"Hello\"}]"},
        {"conversations": [USER, ASSISTANT], "messages": None},
        {"messages": {"role": ["user", "assistant"], "content": ["Hi", "Hello"]}},
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


ABSTRACT = {"contexts": ["One.", "Two."], "labels": ["BACKGROUND", "RESULTS"], "meshes": ["Humans"]}


@pytest.mark.parametrize(
    ("value", "asked", "said", "unused"),
    [  # as the data sets are published: the columns of their cards
        ({"prompt": "Hi", "response": "Hello"}, "Hi", "Hello", ()),
        ({"task_id": "HumanEval/0", "prompt": "Hi", "canonical_solution": "Hello"}, "Hi", "Hello", ("task_id",)),
        (
            {"instruction": "Hi", "context": "x", "response": "Hello", "category": "qa"},
            "Hi\n\nx",
            "Hello",
            ("category",),
        ),
        ({"instruction": "Hi", "context": "", "response": "Hello"}, "Hi", "Hello", ()),
        ({"instruction": "", "input": "Hi", "output": "Hello"}, "Hi", "Hello", ()),
        ({"query": "Hi", "response": "Hello", "original_question": "Ho"}, "Hi", "Hello", ("original_question",)),
        ({"input": "Hi", "output": "Hello"}, "Hi", "Hello", ()),
        ({"problem": "Hi", "solution": "Hello", "answer": "4", "level": 5}, "Hi", "Hello", ("answer", "level")),
        ({"source": "olympiads", "problem": "Hi", "solution": "Hello"}, "Hi", "Hello", ("source",)),
        ({"Problem": "Hi", "Answer": "Hello"}, "Hi", "Hello", ()),
        (
            {"context": "A passage.", "question": "Hi", "answers": {"text": ["Hello", "Ho"]}},
            "A passage.\n\nHi",
            "Hello",
            (),
        ),
        ({"question": "Hi", "answer": ["Hello", "Ho"]}, "Hi", "Hello", ()),
        ({"question": "Hi", "answer": {"value": "Hello", "aliases": ["Ho"]}}, "Hi", "Hello", ()),
        (
            {"question": "Hi", "context": ABSTRACT, "long_answer": "Hello", "final_decision": "yes", "pubid": 7},
            "One.\n\nTwo.\n\nHi",
            "Hello\n\nyes",
            ("pubid",),
        ),
        (
            {"QUESTION": "Hi", "CONTEXTS": ["One."], "LONG_ANSWER": "Hello", "final_decision": "no", "YEAR": "2010"},
            "One.\n\nHi",
            "Hello\n\nno",
            ("year",),
        ),
        ({"conversation": [{"input": "Hi", "output": "Hello"}], "source": "x"}, "Hi", "Hello", ("source",)),
        (
            {"chat_rounds": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
            "Hi",
            "Hello",
            (),
        ),
    ],
)
def test_published_forms(value: dict[str, Any], asked: str, said: str, unused: tuple[str, ...]) -> None:
    found = recognise(Row("a:1", 0, value), ColumnsConfig())
    assert isinstance(found.value, Conversation)
    assert [message["content"] for message in found.value.messages] == [asked, said]
    assert (found.value.responses(), found.unused) == ([1], unused)


@pytest.mark.parametrize("system", ["system_prompt", "system", "system_message"])
def test_system_prompt_of_openorca(system: str) -> None:
    row = {"id": "flan.1", system: "Be brief.", "question": "Hi", "response": "Hello"}
    assert conversation(row).messages == (SYSTEM, USER, ASSISTANT)


def test_alpaca_history_is_learnt() -> None:
    row = {"instruction": "And?", "output": "Done.", "history": [["Hi", "Hello"]], "system": "Be brief."}
    found = conversation(row)
    assert [message["content"] for message in found.messages] == ["Be brief.", "Hi", "Hello", "And?", "Done."]
    assert found.responses() == [2, 4]


def test_plain_text() -> None:
    found = conversation({"text": "All of it.", "url": "x"})
    assert (found.messages, found.is_text) == (({"role": "assistant", "content": "All of it."},), True)


def test_bare_functions_become_tools() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    wanted = [{"type": "function", "function": function}]
    forms = ({"functions": [function]}, {"available_tools": [function]}, {"tools": [function]})
    for given in (*forms, {"tools": [{"type": "function", **function}]}):
        assert conversation({"messages": [USER, ASSISTANT], **given}).tools == wanted


def test_a_placeholder_without_a_picture_is_told() -> None:
    row = {"prompt": "<image>Hi", "completion": "Hello"}
    assert [remark.text for remark in recognise(Row("a:1", 0, row), ColumnsConfig()).remarks] == [PLACEHOLDER]


def test_an_address_of_a_picture_is_told_as_not_used() -> None:
    row = {"prompt": "Hi", "completion": "Hello", "image": "a.jpg"}
    assert recognise(Row("a:1", 0, row), ColumnsConfig()).unused == ("image",)


@pytest.mark.parametrize(
    "text", ["USER: Hi ASSISTANT: Yes", "Human: Hi. Assistant: Yes.", "A chat. User: Hi AI: Yes", "Hi\n\nBot: Yes"]
)
def test_text_that_looks_like_a_conversation_is_told(text: str) -> None:
    for given, told in ((text, True), ("Assistant professors, users and AI: a book.", False)):
        remarks = recognise(Row("a:1", 0, {"text": given}), ColumnsConfig()).remarks
        assert (LOOKS_LIKE_TURNS in [remark.text for remark in remarks]) == told


def test_columns_that_hold_nothing_are_not_reported() -> None:
    row = {"messages": [USER, ASSISTANT], "id": 1, "example_id": "x", "images": [], "a": None, "b": "", "c": 0, "k": 1}
    assert recognise(Row("a:1", 0, row), ColumnsConfig(id="k")).unused == ("c",)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"a": "Hello", "q": "Hi"}, "{prompt: q, response: a}"),
        ({"User Query": "Hi", "Bot": "Hello"}, '{prompt: "User Query", response: Bot}'),
        ({"ask": "Hi", "rejected": "No", "chosen_one": "Yes"}, "{prompt: ask, response: chosen_one}"),
        ({"x": "1", "y": "2"}, "{prompt: x, response: y}"),
        ({"x": "Hi", "win": "Yes", "lose": "No", "id": "7"}, "{prompt: x, response: win}"),
        ({"ask": "Hi", "positive": "Yes", "negative": "No"}, "{prompt: ask, response: positive}"),
        ({"ask": "Hi", "liked": "Yes", "inferior": "No"}, "{prompt: ask, response: liked}"),
        ({"chat": [USER], "n": 1}, "{messages: chat}"),
        ({"tokens": [1, 2], "targets_": [1, 2]}, "{input_ids: tokens, labels: targets_}"),
        ({"body": "Hi", "url": "x"}, "{text: body}"),
        ({"on": "Hi"}, '{text: "on"}'),
    ],
)
def test_the_line_that_would_read_the_row(value: dict[str, Any], line: str) -> None:
    with pytest.raises(RowError) as caught:
        conversation(value)
    assert f"data.columns: {line}." in str(caught.value)
    columns = yaml.safe_load(line)
    if "messages" not in columns:  # that row asks a question only
        recognise(Row("a:1", 0, value), ColumnsConfig(**columns))


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": "Hi", "preference": {"chosen": "Yes", "rejected": "No"}},
        {"question": "Hi", "answer_0": "Yes", "answer_1": "No"},
        {"history": "Hi", "human_ref_A": "Yes", "human_ref_B": "No"},
        {"conversation_a": [USER], "conversation_b": [USER]},
        {"prompt": "Hi", "answers": [{"answer": "No", "rank": 2}, {"answer": "Yes", "rank": 1}]},
        {"system": "SYSTEM: Be brief.", "chat": "USER: Hi\n\nASSISTANT: Hello"},
        {"title": "T", "paragraphs": [{"context": "C", "qas": []}]},
        {"info": {"post": "Hi"}, "summaries": [{"text": "Yes"}, {"text": "No"}]},
        {"prompt_ids": [1, 2], "completion_ids": [3, 4]},
    ],
)
def test_what_may_hold_words_of_others_or_bad_answers_is_not_proposed_to_be_learnt(value: dict[str, Any]) -> None:
    with pytest.raises(RowError, match=r"found '.*'\. Name them with data\.columns\."):
        conversation(value)


@pytest.mark.parametrize("column", ["role", "from", "speaker"])
def test_one_turn_in_a_row_of_its_own_is_no_plain_text(column: str) -> None:
    turn = {"message_id": "1", "text": "Hi", column: "prompter"}
    with pytest.raises(RowError, match=rf"a single turn of a conversation: '{column}' is 'prompter'; put the turns"):
        conversation(turn)
    assert conversation(turn, text="text").is_text
    assert conversation({**turn, column: "Goethe"}).is_text


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


def test_two_system_texts_are_told() -> None:
    row = Row("a", 0, {"messages": [SYSTEM, USER, ASSISTANT], "system": "Be long."})
    (remark,) = recognise(row, ColumnsConfig()).remarks
    assert (remark.text, remark.detail) == (TWO_SYSTEMS, "not used: 'Be long.'")
    assert not recognise(Row("a", 0, {**row.value, "system": "Be brief. "}), ColumnsConfig()).remarks


def test_arguments_that_are_json_within_json() -> None:
    for written in ('{"city": "Paris"}', '"{\\"city\\": \\"Paris\\"}"'):
        call = {"type": "function", "function": {"name": "f", "arguments": written}}
        found = conversation({"messages": [USER, {"role": "assistant", "tool_calls": [call]}]})
        assert found.messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Paris"}
        as_text = conversation({"messages": [USER, {"role": "assistant", "tool_calls": json.dumps([call])}]})
        assert as_text.messages == found.messages


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
            {"questions": "Hi", "reply": "Hello"},
            "no known columns: found 'questions', 'reply'. Name them, for example: "
            "data.columns: {prompt: questions, response: reply}. Known: input_ids + labels",
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
        ({"text": [USER, ASSISTANT]}, "text holds messages; name such a column: data.columns.messages"),
        (
            {"messages": [{"role": "judge", "content": "x"}]},
            "unknown role: messages[0]: 'judge'. Known: ai, assistant, bard, bing, bot, chatbot, chatgpt, claude, ",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "malformed tool call: messages[0]"),
        ({"messages": [USER, ASSISTANT], "images": ["a.jpg"]}, "where only text is read: column 'images'"),
        ({"prompt": "<image>\nHi", "completion": "Yes", "image": "a.jpg"}, "where only text is read: column 'image'"),
        ({"messages": [USER | {"images": ["a.jpg"]}, ASSISTANT]}, "where only text is read: messages[0].images"),
        ({"messages": {"role": ["user"], "content": ["a", "b"]}}, "malformed messages: 'messages' is an object"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": '"x"'}]}]},
            "broken JSON inside a column: messages[0]: arguments",
        ),
        ({"instruction": "Hi", "output": "Hello", "history": ["Ho"]}, "malformed history: history[0]"),
        ({"context": "c", "question": "Hi", "answers": {"text": []}}, "empty response: answers is an empty list"),
        ({"text": " "}, "empty text"),
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


def test_the_documentation_names_every_schema() -> None:
    text = (Path(__file__).parents[2] / "docs" / "run.md").read_text(encoding="utf-8")
    table = text[text.index("| schema |") : text.index("Tools stand in")]
    spelt = {column for schema in SCHEMAS for column in schema.columns if column != "contexts"}
    assert {column for column in spelt if f"`{column}`" not in table} == set()


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
        ({"input_ids": [1, 2], "labels": [-100, -100]}, "empty response: no label or mask marks"),
        ({"input_ids": [], "labels": []}, "empty response"),
        ({"input_ids": [1.5], "labels": [1]}, "input_ids is not a list of whole numbers"),
        ({"input_ids": [[1], [2, 3]], "labels": [1]}, "input_ids is not a list of whole numbers"),
        ({"input_ids": [2**40], "labels": [1]}, "no token can have"),
    ],
)
def test_unusable_tokens(value: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        to_conversation(Row("a:1", 0, value), ColumnsConfig())
