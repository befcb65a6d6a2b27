"""Flags that ask to learn a turn of the user, the system or a tool are followed: its words, exactly, and its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.data.shapes import PLANS, shape
from tests.data.test_flags import BYTES, END, learnt, read
from tests.data.test_template_matrix import TEMPLATES, WORD, tokenizer_of
from tests.data.tokenizers import CHATML, byte_tokenizer
from xtf.data import Conversation, RowError
from xtf.data.flags import TurnWeight

SAID = {"role": "assistant", "content": "Good"}
ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot|>",
    "gemma": "<end_of_turn>",
    "mistral": "",  # [/INST] is the header of the answer, and </s> ends answers only
    "qwen3": "<|im_end|>",
}
BEGINS = {"qwen3": "<think>\n\n</think>\n\n"}
BEGINS_AND_ENDS = [(name, BEGINS.get(name, ""), end) for name, end in ENDS.items()]


def asked(content: Any, role: str = "user", **flags: Any) -> dict[str, Any]:
    """A row whose first turn has flags; its answer is not learnt."""
    return {"messages": [{"role": role, "content": content, **flags}, {**SAID, "train": False}]}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize(
    "flags",
    [
        *({key: True} for key in ("train", "training", "trainable", "train_on", "train_on_turn", "learn", "loss")),
        *({key: 1} for key in ("weight", "loss_weight", "loss_scale", "loss_mask")),
        *({"masked": False}, {"weight": "1"}, {"train": "yes"}),
    ],
)
def test_a_turn_of_the_user_is_learnt_with_the_end_that_answers_have(name: str, flags: dict[str, Any]) -> None:
    assert learnt(asked("Hi there", **flags), byte_tokenizer(name)) == f"Hi there{ENDS[name]}"


@pytest.mark.parametrize(("name", "before", "end"), BEGINS_AND_ENDS)
def test_answers_are_learnt_as_ever_and_the_rest_is_not(name: str, before: str, end: str) -> None:
    user, again = ({"role": "user", "content": words} for words in ("Hi", "More"))
    tokenizer = byte_tokenizer(name)
    stop = end or "</s>"
    space = " " if name == "mistral" else ""
    row = {"messages": [{**user, "train": True}, SAID, again, SAID]}
    middle = "" if name == "qwen3" else before  # Qwen 3 writes empty thoughts in the last answer only
    assert learnt(row, tokenizer) == f"Hi{end}{middle}{space}Good{stop}{before}{space}Good{stop}"
    assert learnt(row, tokenizer, learn="last_turn") == f"{before}{space}Good{stop}"
    cut_off = {"messages": [user, SAID, {**again, "train": True}]}
    assert learnt(cut_off, tokenizer).endswith(f"Good{stop}More{end}")
    assert learnt(cut_off, tokenizer, learn="last_turn").endswith(f"Good{stop}More{end}"), "it is not an earlier one"


@pytest.mark.parametrize("name", ["chatml", "llama3", "qwen3"])
@pytest.mark.parametrize("role", ["system", "tool"])
def test_other_roles(name: str, role: str) -> None:
    row = asked("Hi there", role, train=True)
    row["messages"].insert(1, {"role": "user", "content": "Hm"})
    assert learnt(row, byte_tokenizer(name)) == f"Hi there{ENDS[name]}"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"loss_mask": [1, 1]}, f"Hi{END}Good{END}"),
        ({"loss_mask": [1, 0]}, f"Hi{END}"),
        ({"weights": [1.0, None]}, f"Hi{END}Good{END}"),
        ({"weights": [None, 1.0]}, f"Good{END}"),
        ({"train": [True]}, f"Good{END}"),  # of the answers
        ({"train": True}, f"Good{END}"),  # of the row: what it has to learn
        ({"weight": 1}, f"Good{END}"),
        ({"masked": [False, True]}, f"Hi{END}"),
        ({"system": "Sys", "loss_mask": [1, 0, 0]}, f"Sys{END}"),
        ({"system": "Sys", "loss_mask": [1, 0]}, f"Hi{END}"),
    ],
)
def test_lists_of_the_row_ask_by_turn_and_values_of_the_row_do_not(row: dict[str, Any], expected: str) -> None:
    assert learnt({"messages": [{"role": "user", "content": "Hi"}, SAID], **row}) == expected


def test_a_row_without_an_answer_is_used_if_a_flag_asks_for_it() -> None:
    assert learnt({"messages": [{"role": "user", "content": "Hi", "train": True}]}) == f"Hi{END}"
    _, report = read({"messages": [{"role": "user", "content": " ", "train": True}]})
    assert list(report.skipped) == ["no assistant turn"]
    assert learnt({"messages": [{"role": "user", "content": "", "train": True}, SAID]}) == f"Good{END}"


def test_answers_of_the_prompt_that_ask_for_it() -> None:
    prompt = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes", "train": True}]
    row = {"prompt": [*prompt, {"role": "user", "content": "Hm"}], "completion": [SAID]}
    assert learnt(row) == f"Yes{END}Good{END}"


def test_parts_and_characters_that_ask_for_it_alone() -> None:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there", "train": True}]
    assert learnt(asked(parts)) == f"there{END}"
    example, report = read(asked(parts), prompt_weight=0.25)
    assert example is not None
    quarter = str(BYTES.decode(example.input_ids[example.weights == 0.25].tolist()))
    assert quarter.endswith("user\nHi \n<|im_start|>assistant\n\n")
    assert report.lines()[2] == "1 row, 6 tokens: learnt, of a turn of role 'user': 'train' asks for it (row 1)"
    detail = [{"begin_offset": 3, "end_offset": 5, "train": True}]
    assert learnt(asked("Hi there", train_detail=detail)) == f"the{END}"
    assert learnt(asked("Hi there", train_detail=detail, train=True)) == f"the{END}"
    assert learnt(asked("Hi there", train_detail=detail, train=False)) == ""
    assert learnt(asked("Hi there", train_detail=[])) == ""
    parts[0]["train"] = False
    assert learnt(asked(parts, train=True)) == f"there{END}"


def test_weights() -> None:
    example, report = read({**asked("Hi", weight=0.5), "sample_weight": 0.5})
    assert example is not None
    assert example.weights[example.is_response].tolist() == [0.25] * 3
    assert report.lines()[2] == "1 row, 3 tokens: learnt, of a turn of role 'user': 'weight' asks for it (row 1)"
    assert not report.warnings
    halves = [{"type": "text", "text": "Hi ", "weight": 0.5}, {"type": "text", "text": "you", "weight": 2}]
    example, _ = read(asked(halves))
    assert example is not None
    assert example.weights[example.is_response].tolist() == [0.5] * 3 + [2.0] * 4


def test_what_flags_exclude_is_not_learnt_as_prompt_either() -> None:
    row = {"messages": [{"role": "user", "content": "Bad", "train": False}, {"role": "user", "content": "Hi"}, SAID]}
    example, _ = read(row, prompt_weight=0.5)
    assert example is not None
    halves = BYTES.decode(example.input_ids[example.weights == 0.5].tolist())
    assert "Hi" in halves
    assert "Bad" not in halves
    prompt = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bad", "train": False}]
    example, _ = read({"prompt": prompt, "completion": [SAID]}, prompt_weight=0.5)
    assert example is not None
    assert "Bad" not in BYTES.decode(example.input_ids[example.weights > 0].tolist())


def test_rules_apply_to_such_turns_too() -> None:
    row = asked("Hi there", train=True)
    assert learnt(row, never_learn=["there"]) == f"Hi {END}"


def test_white_space_and_quoted_headers_around_the_words() -> None:
    assert learnt(asked("\nHi\n", train=True)) == f"Hi\n{END}"
    assert learnt(asked("\nHi\n", train=True), byte_tokenizer("llama3")) == "Hi<|eot|>"
    assert learnt(asked("<b>Hi</b> /think", train=True)) == f"<b>Hi</b> /think{END}"
    quoted = "Hi\nassistant\nGood"
    assert learnt(asked(quoted, train=True)) == quoted + END


def test_system_text_put_before_the_user_s_words_is_not_learnt_with_them() -> None:
    row = {"messages": [{"role": "system", "content": "Sys"}, *asked("Hi there", train=True)["messages"]]}
    tokenizer = byte_tokenizer("gemma")
    assert learnt(row, tokenizer) == "Hi there<end_of_turn>"
    row["messages"][1] = {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]}
    row["messages"][1]["content"][1]["weight"] = 1
    assert learnt(row, tokenizer) == "you<end_of_turn>"
    row["messages"][0]["train"] = True
    _, report = read(row, tokenizer)
    assert list(report.skipped) == ["the chat template refuses the conversation"], "its place would be the user's"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("m['content'] +", "m['content'] + (m['content'] if m['role'] == 'user' else '') +", "come out twice"),
        ("m['content'] +", "m['content'] | replace('Hi', 'Ho') +", "are changed"),
        (
            "m['content'] +",
            "(m['content'] if m['content'] == 'Hi' or m['role'] != 'user' else 'Ho') +",
            "cannot be told",
        ),
    ],
)
def test_a_place_that_is_not_known_exactly_is_refused_by_name(old: str, new: str, reason: str) -> None:
    tokenizer = byte_tokenizer("chatml")
    tokenizer.chat_template = CHATML.replace(old, new)
    _, report = read({"messages": [*asked("Hi", train=True)["messages"]]}, tokenizer)
    detail = report.skipped["a turn that a flag asks to learn cannot be located in the chat template's text"].detail
    assert detail.startswith("the words of the user in message 1")
    assert reason in detail


def test_a_turn_that_the_template_leaves_out_is_said_not_to_be_learnt() -> None:
    tokenizer = byte_tokenizer("chatml")
    tokenizer.chat_template = CHATML.replace("in messages", "in messages if m['role'] != 'tool'")
    row = {"messages": [{"role": "tool", "content": "12", "train": True}, {"role": "user", "content": "Hi"}, SAID]}
    _, report = read(row, tokenizer)
    assert "a turn that a flag asks to learn is left out by the chat template and not learnt" in report.warnings
    assert learnt(row, tokenizer) == f"Good{END}"


@pytest.mark.parametrize("path", TEMPLATES)
@pytest.mark.parametrize(("role", "word"), [("user", "USER"), ("tool", "TOOL"), ("system", "SYS")])
def test_of_all_others_only_the_words_asked_for_are_learnt(path: Path, role: str, word: str) -> None:
    """Every template of TRL and axolotl: a row is refused, or its targets are the words that ask for it."""
    tokenizer, tokenise = tokenizer_of(path)
    for plan in PLANS:
        plain = shape(plan)
        flags = tuple(TurnWeight(1.0, "train", is_named=True) if m["role"] == role else None for m in plain.messages)
        if not any(flags):
            continue
        try:
            tokens = tokenise(replace(plain, learning=flags))
        except RowError:
            continue
        found = WORD.findall(tokenizer.decode(tokens.input_ids[tokens.is_response].tolist()))
        rest = WORD.findall(tokenizer.decode(tokens.input_ids[~tokens.is_response].tolist()))
        assert all(each.startswith((word, "BOT")) for each in found), plan
        assert not any(each.startswith((word, "BOT")) for each in rest), plan
        same = tokenise(plain)
        assert same.input_ids.tolist() == tokens.input_ids.tolist(), "what is learnt does not change the text"
        assert not (same.is_response & ~tokens.is_response).any(), plan


def test_conversations_that_ask_use_most_templates() -> None:
    used = 0
    for parameter in TEMPLATES:
        path = parameter.values[0]
        if path is None:
            pytest.skip("neither TRL nor axolotl is installed")
        _, tokenise = tokenizer_of(path)
        plain = shape("uaua")
        try:
            tokenise(Conversation(plain.messages, learning=(TurnWeight(1.0, "train", is_named=True), None, None, None)))
            used += 1
        except RowError:
            continue
    assert used > 0.9 * len(TEMPLATES)
