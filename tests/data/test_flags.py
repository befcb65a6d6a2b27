"""What rows, turns and parts mark as not to be learnt is not learnt, in every spelling; nothing else is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.data.tokenizers import byte_tokenizer, tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, read_examples, response_texts
from xtf.tokens import Ruling, TokenizedExample

BYTES = byte_tokenizer("chatml")
"""One token for each character, so that the text of the learnt tokens is the learnt text."""
WORDS = tiny_tokenizer("chatml")
USER, AGAIN = {"role": "user", "content": "Hi"}, {"role": "user", "content": "More"}
END = "<|im_end|>"


def read(row: dict[str, Any], tokenizer: Any = BYTES, **settings: Any) -> tuple[TokenizedExample | None, DataReport]:
    report = DataReport()
    config = DataConfig(path="unused", **settings)
    examples = list(read_examples(config, tokenizer, report, [row, {"prompt": "a", "completion": "b", "id": "z"}]))
    return (examples[0] if len(examples) > 1 else None), report


def learnt(row: dict[str, Any], tokenizer: Any = BYTES, **settings: Any) -> str:
    """The text of the tokens that are targets; "" if the row is left out."""
    example, _ = read(row, tokenizer, **settings)
    if example is None:
        return ""
    assert np.array_equal(example.weights > 0, example.is_response)
    return str(tokenizer.decode(example.input_ids[example.is_response].tolist()))


def two_turns(**first: Any) -> dict[str, Any]:
    answers = [{"role": "assistant", "content": "Bad", **first}, {"role": "assistant", "content": "Good"}]
    return {"messages": [USER, answers[0], AGAIN, answers[1]]}


def one_turn(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", "content": content, **more}]}


@pytest.mark.parametrize(
    "flag",
    [
        *({name: False} for name in ("train", "training", "trainable", "loss", "loss_mask", "learn", "train_on")),
        *({name: 0} for name in ("weight", "loss_weight", "loss_scale", "train", "loss_mask")),
        *({name: True} for name in ("masked", "ignore_loss")),
        *({"weight": value} for value in (0.0, "0", "false", False)),
        *({name: 0} for name in ("Weight", "lossWeight", "loss-weight", "LOSS MASK", "output_with_loss")),
        *({name: True} for name in ("no_train", "isMasked")),
        {"train": True, "weight": 0},
        {"train_detail": []},
        {"train_detail": [{"begin_offset": 0, "end_offset": 2, "train": False}]},
    ],
)
def test_a_turn_marked_by_any_flag_is_context(flag: dict[str, Any]) -> None:
    assert learnt(two_turns(**flag)) == f"Good{END}"
    example, report = read(two_turns(**flag))
    assert example is not None
    excluded = example.rulings == Ruling.FLAGGED
    assert BYTES.decode(example.input_ids[excluded].tolist()) == f"Bad{END}"
    assert report.decided[next(iter(report.decided))].tokens == 4
    assert any("says so (row 1)" in line for line in report.lines())


@pytest.mark.parametrize("flag", [{"train": True}, {"weight": 1}, {"weight": 1.0}, {"masked": False}, {"loss": None}])
def test_a_flag_that_says_learn_changes_nothing(flag: dict[str, Any]) -> None:
    _, report = read(two_turns(**flag))
    assert learnt(two_turns(**flag)) == f"Bad{END}Good{END}"
    assert not report.decided


def test_flags_do_not_reach_the_template_and_sharegpt_has_them_too() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Hi", "weight": 0.0},
            {"from": "gpt", "value": "Bad", "weight": 0.0},
            {"from": "human", "value": "More", "weight": 0.0},
            {"from": "gpt", "value": "Good", "weight": 1.0},
        ]
    }
    assert learnt(row) == f"Good{END}"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"train": False}, ""),
        ({"weight": 0}, ""),
        ({"loss_mask": [0, 0, 0, 1]}, f"Good{END}"),
        ({"loss_mask": [0, 1]}, f"Good{END}"),
        ({"train": [True, False]}, f"Bad{END}"),
        ({"weights": [1.0, 0.0]}, f"Bad{END}"),
        ({"mask": [0, 0, 0, 1]}, f"Good{END}"),
        ({"masked": [True, False]}, f"Good{END}"),
        ({"loss_mask": [0, 0, 0, 0]}, ""),
        ({"loss_mask": [0, 0, 1], "system": "Be brief."}, None),
        ({"loss_mask": [0, 0, 0, 1], "system": "Be brief."}, f"Good{END}"),
        ({"loss_mask": [0, 0, 0, 0, 1], "system": "Be brief."}, f"Good{END}"),
        ({"mask": [1, 0]}, None),
        ({"mask": "Assistant"}, None),
        ({"metadata": {"masked": True}}, None),
        ({"mask": "User"}, f"Bad{END}Good{END}"),
        ({"Weight": 0}, ""),
        ({"lossMask": [0, 1]}, f"Good{END}"),
        ({"metadata": {"train": True, "weight": 2.5, "source": "a"}}, f"Bad{END}Good{END}"),
        ({"loss": 2.31}, None),
        ({"weight": "heavy"}, None),
    ],
)
def test_flags_of_the_row(row: dict[str, Any], expected: str | None) -> None:
    _, report = read({**two_turns(), **row})
    if expected is None:
        assert list(report.skipped) == ["a flag that is not understood"]
        name = next(iter(row))
        name = name if name != "metadata" else "masked"
        assert f"'{name}'" in report.skipped["a flag that is not understood"].detail
    else:
        assert learnt({**two_turns(), **row}) == expected
    if expected == "":
        assert list(report.skipped) == ["nothing in the row is to be learnt"]
        assert report.skipped["nothing in the row is to be learnt"].locations == ["row 1"]


def test_flags_and_system_text_of_exchanges() -> None:
    """XTuner's layout, and what is not read of an exchange or a message is told."""
    first = {"system": "Be brief.", "input": "Hi", "output": "Bad", "output_with_loss": False}
    second = {"input": "More", "output": "Good", "output_with_loss": True, "need_eos_token": True}
    example, report = read({"conversation": [first, second]})
    assert example is not None
    assert str(BYTES.decode(example.input_ids.tolist())).startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert learnt({"conversation": [first, second]}) == f"Good{END}"
    assert report.unused == {"messages[].need_eos_token": 1}


def test_flags_of_pairs() -> None:
    assert learnt({"prompt": "Hi", "completion": "Bad", "train": False}) == ""
    answer = [{"role": "assistant", "content": "Bad", "train": False}, {"role": "assistant", "content": "Good"}]
    assert learnt({"prompt": [USER], "completion": answer}) == f"Good{END}"


@pytest.mark.parametrize("tokenizer", [BYTES, WORDS])
def test_marked_characters(tokenizer: Any) -> None:
    """As axolotl's own example has it: the last character of a span is the one at end_offset."""
    detail = [
        {"begin_offset": 0, "end_offset": 8, "train": False},
        {"begin_offset": 9, "end_offset": 18, "train": True},
        {"begin_offset": 19, "end_offset": 30, "train": False},
    ]
    text = "I'm doing very well, thank you!"
    expected = text[9:19] + END
    row = one_turn(text, train_detail=detail)
    assert learnt(row, BYTES) == expected
    assert set(learnt(row, tokenizer).replace(END, "").strip()) <= set(expected)
    assert learnt(row, tokenizer).replace(END, "") in expected, "a token with one excluded character is not learnt"
    assert learnt(one_turn(text, train_detail=detail, train=False)) == ""
    assert learnt(one_turn(text, train_detail=detail[:2])) == expected, "what no span names is not learnt"


def test_flags_on_parts_of_a_content() -> None:
    parts = [
        {"type": "text", "text": "Bad. ", "train": False},
        {"type": "text", "text": "Good."},
        "Plain. ",
        {"type": "text", "text": "Half.", "weight": 0.5},
    ]
    example, report = read(one_turn(parts))
    assert example is not None
    assert learnt(one_turn(parts)) == f"Good.Plain. Half.{END}"
    halves = example.weights == 0.5
    assert BYTES.decode(example.input_ids[halves].tolist()) == "Half."
    assert report.lines()[-1] == "1 row, 5 tokens: weighted by 'weight' (row 1)"


def test_flagged_thoughts() -> None:
    tokenizer = byte_tokenizer("qwen3")
    content = "<think>\nLong thoughts.\n</think>\n\nForty two."
    end = content.index("\n\nForty")
    detail = [{"begin_offset": 0, "end_offset": end - 1, "train": False}]
    detail += [{"begin_offset": end, "end_offset": len(content) - 1, "train": True}]
    assert learnt(one_turn(content, train_detail=detail), tokenizer).strip() == f"Forty two.{END}"


@pytest.mark.parametrize("weight", [0.25, 3])
def test_a_weight_becomes_the_weight_of_each_token_of_the_turn(weight: float) -> None:
    example, report = read(two_turns(weight=weight))
    assert example is not None
    weights = example.weights[example.is_response].tolist()
    assert weights == [weight] * 4 + [1.0] * 5
    assert report.lines()[-1] == "1 row, 4 tokens: weighted by 'weight' (row 1)"
    whole, _ = read({**two_turns(weight=weight), "weight": 0.5})
    assert whole is not None
    assert whole.weights[whole.is_response].tolist() == [weight / 2] * 4 + [0.5] * 5


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"train": "maybe"}, "'train' is 'maybe'"),
        ({"weight": -1}, "'weight' is -1"),
        ({"weight": float("nan")}, "'weight' is nan"),
        ({"weight": [0, 1]}, "'weight' is a list"),
        ({"masked": 0.5}, "'masked' is 0.5"),
        ({"mask": True}, "'mask'"),
        ({"do_not_train": True}, "'do_not_train'"),
        ({"lossMaskOfTurn": 0}, "'lossMaskOfTurn'"),
        ({"skip": True}, "'skip'"),
        ({"exclude-from training": True}, "'exclude-from training'"),
        ({"rejected": True}, "'rejected' is True; set train: false"),
        ({"isChosen": False}, "'isChosen' is False"),
        ({"target": False}, "'target' is False; set train: false"),
        ({"include": False}, "'include' is False"),
        ({"metadata": {"train": False}}, "metadata: 'train' is False; set it on the turn"),
        ({"extra": {"loss-weight": 0}}, "extra: 'loss-weight' is 0"),
        ({"train_detail": "all"}, "train_detail is a string"),
        (
            {"train_detail": [{"begin_offset": 2, "end_offset": 9, "train": True}]},
            "character 9 is named, but the content has 3",
        ),
        ({"train_detail": [{"begin_offset": 2, "end_offset": 1, "train": True}]}, "is no span"),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 1}]}, "is no span"),
        ({"weight": 0.5, "loss_weight": 0.25}, "'loss_weight', 'weight' contradict each other"),
    ],
)
def test_a_flag_that_is_not_understood_is_refused_by_name_and_place(message: dict[str, Any], named: str) -> None:
    _, report = read(two_turns(**message))
    fault = report.skipped["a flag that is not understood"]
    assert named in fault.detail
    assert fault.detail.startswith("messages[1]")
    assert fault.locations == ["row 1"]


def test_a_flag_on_a_part_that_is_not_understood_is_refused() -> None:
    _, report = read(one_turn([{"type": "text", "text": "Hi", "mask": 1}]))
    assert report.skipped["a flag that is not understood"].detail.startswith("messages[1].content[0]: 'mask'")
    _, report = read(one_turn([{"type": "text", "text": "Hi", "meta": {"train": False}}]))
    assert report.skipped["a flag that is not understood"].detail.startswith("messages[1].content[0].meta: 'train'")


def test_texts_of_answers_leave_out_those_not_to_be_learnt(tmp_path: Any) -> None:
    import json

    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(two_turns(train=False)))
    assert response_texts(DataConfig(path=str(path))) == ["Good"]


@pytest.mark.parametrize("column", ["completion_mask", "assistant_masks", "loss_mask", "response_mask"])
def test_mask_columns(column: str) -> None:
    example, _ = read({"input_ids": [9, 5, 6, 7, 8], column: [0, 0, 1, 0, 1]})
    assert example is not None
    assert example.is_response.tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("column", ["prompt_mask", "labelMask", "my_masks"])
def test_tokens_with_a_mask_that_is_not_known_are_not_all_learnt(column: str) -> None:
    row = {"input_ids": [9, 5, 6], "attention_mask": [1, 1, 1], "special_tokens_mask": [1, 0, 0]}
    example, report = read({**row, column: [1, 1, 0]})
    assert example is None
    assert report.skipped["a mask that is not understood"].detail.startswith(repr(column))
    example, _ = read(row)
    assert example is not None
    assert example.is_response.tolist() == [False, True, True]


def test_switches_beside_tokens_are_honoured_or_refused() -> None:
    row = {"input_ids": [9, 5, 6], "labels": [-100, 5, 6]}
    assert list(read({**row, "train": False})[1].skipped) == ["nothing in the row is to be learnt"]
    assert list(read({**row, "exclude": True})[1].skipped) == ["a flag that is not understood"]


def test_masks_beside_each_other_must_agree_and_weights_are_read() -> None:
    row = {"input_ids": [9, 5, 6, 7, 8], "labels": [-100, 5, 6, 7, -100], "assistant_masks": [0, 1, 1, 1, 1]}
    example, report = read({**row, "completion_mask": [1, 1, 0, 1, 1], "weights": [1, 0.5, 1, 0, 1]})
    assert example is not None
    assert example.is_response.tolist() == [False, True, False, False, False]
    assert example.weights.tolist() == [0, 0.5, 0, 0, 0]
    assert example.rulings.tolist() == [0, 0, 0, Ruling.FLAGGED, 0]
    assert report.lines()[-2:] == [
        "1 row, 1 token: not learnt: 'weights' says so (row 1)",
        "1 row, 1 token: weighted by 'weights' (row 1)",
    ]
    _, report = read({"input_ids": [9, 5, 6], "completion_mask": [0, 1]})
    assert list(report.skipped) == ["input_ids and completion_mask differ in length"]


@pytest.mark.parametrize(
    ("more", "packed"),
    [
        ({"seq_lengths": [2, 3]}, True),  # TRL
        ({"seq_lengths": [5]}, False),
        ({"attention_mask": [1, 1, 2, 2, 2]}, True),  # LLaMA-Factory
        ({"position_ids": [0, 1, 0, 1, 2]}, True),
        ({"position_ids": [0, 0, 0, 1, 2]}, False),  # padded
        ({"position_ids": [0, 1, 2, 0, 0], "attention_mask": [1, 1, 1, 0, 0]}, False),
        ({"position_ids": "none"}, False),
    ],
)
def test_packed_rows_are_told(more: dict[str, Any], packed: bool) -> None:
    _, report = read({"input_ids": [9, 5, 6, 7, 8], "labels": [-100, 5, 6, 7, 8], **more})
    assert any("several texts are packed in a row" in line for line in report.lines()) == packed


def test_nothing_is_lost_without_flags() -> None:
    example, report = read(two_turns())
    assert example is not None
    assert not example.rulings.any()
    assert np.array_equal(example.weights, example.is_response.astype(np.float32))
    assert report.lines()[1:] == ["columns: messages in 1 row, prompt + completion in 1 row"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("never_train", True),
        ("do_not_learn", False),
        ("is_loss", True),
        ("train_detail", []),
        ("trainDetailLoss", True),
    ],
)
def test_a_column_that_looks_like_a_flag_is_refused_too(name: str, value: Any) -> None:
    _, report = read({**two_turns(), name: value})
    assert report.skipped["a flag that is not understood"].detail.startswith(f"the row: {name!r}")
    _, report = read({**two_turns(), "train_loss": 2.31, "loss_history": [1, 2], "is_long": True})
    assert list(report.unused) == ["train_loss", "loss_history", "is_long"], "measures are none"


@pytest.mark.parametrize("name", ["turn_weights", "train_turns", "weights_of_turns", "maskPerTurn"])
def test_a_list_for_the_turns_that_looks_like_flags_is_refused(name: str) -> None:
    for values in ([0, 1], [0, 1, 0, 1]):
        _, report = read({**two_turns(), name: values})
        assert report.skipped["a flag that is not understood"].detail.startswith(f"the row: {name!r}")
    for other in ([0, 1, 2, 3, 4], ["a", "b"]):
        named = {} if name == "train_turns" else {name: 1}
        assert read({**two_turns(), name: other})[1].unused == named, "train_turns may hold their numbers, or roles"


def test_weights_of_tokens_under_an_unknown_name_are_refused() -> None:
    tokens = {"input_ids": [10, 11, 12], "labels": [-100, 11, 12], "attention_mask": [1, 1, 1]}
    _, report = read({**tokens, "token_weights": [0, 1, 0]})
    assert report.skipped["a flag that is not understood"].detail.startswith("the row: 'token_weights'")
    assert read({**tokens, "special_tokens_mask": [1, 0, 0]})[0] is not None


@pytest.mark.parametrize(
    ("row", "named"),
    [
        *(({name: value}, f"the row: {name!r}") for name in ("do_not_train", "skip") for value in ("true", 1, "yes")),
        *(({name: "0"}, f"the row: {name!r}") for name in ("for_training", "train_flag", "masked_prompt")),
        *(({name: [1]}, f"the row: {name!r}") for name in ("train_on_turns", "masked_roles", "roles_to_train")),
        ({"learn_turns": "last"}, "the row: 'learn_turns'"),
        ({"completion_weights": [0, 0, 1]}, "the row: 'completion_weights'"),
        ({"metadata": {"train": "false"}}, "the row.metadata: 'train'"),
        ({"metadata": {"sft": {"loss_mask": [0, 0, 0, 1]}}}, "the row.metadata.sft: 'loss_mask'"),
        ({"metadata": {"do_not_train": 1}}, "the row.metadata: 'do_not_train'"),
    ],
)
def test_what_says_not_to_learn_in_words_numbers_or_objects_is_refused_and_can_be_settled(
    row: dict[str, Any], named: str
) -> None:
    _, report = read({**two_turns(), **row})
    detail = report.skipped["a flag that is not understood"].detail
    assert detail.startswith(named)
    ((column, value),) = row.items()
    while isinstance(value, dict):
        ((key, value),) = value.items()
        column = f"{column}.{key}"
    assert f"{column if '.' not in column else chr(34) + column + chr(34)}: any}}" in detail
    assert learnt({**two_turns(), **row}, only={column: "any"}) == f"Bad{END}Good{END}"


@pytest.mark.parametrize(
    "row",
    [
        *({name: 1} for name in ("train_number", "skipped_count", "train_loss", "losses_total")),
        {"train_loss": 0.0, "masked_words": "two", "weight_class": "yes"},
        {"metadata": {"train": 1, "weight": 0.5, "lossless": 0, "weights": [1, 1]}},
    ],
)
def test_counts_and_measures_are_no_orders(row: dict[str, Any]) -> None:
    assert learnt({**two_turns(), **row}) == f"Bad{END}Good{END}"


@pytest.mark.parametrize(
    "message",
    [
        {"rejected": "true"},
        {"is_chosen": 0},
        {"label": "False"},
        {"prompt_only": True},
        {"metadata": {"sft": {"weight": "0"}}},
    ],
)
def test_what_a_turn_says_in_words_or_numbers_is_refused_and_can_be_settled(message: dict[str, Any]) -> None:
    _, report = read(two_turns(**message))
    assert 'data.only: {"messages[].' in report.skipped["a flag that is not understood"].detail
    (key,) = message
    assert learnt(two_turns(**message), only={f"messages[].{key}": "any"}) == f"Bad{END}Good{END}"


@pytest.mark.parametrize(
    "flag", [{"is_correct": False}, {"mask": 1}, {"metadata": {"train": False}}, {"chosen": False}]
)
def test_what_a_part_says_can_be_settled_too(flag: dict[str, Any]) -> None:
    parts = [{"type": "text", "text": "Bad. ", **flag}, {"type": "text", "text": "Good."}]
    example, report = read(one_turn(parts))
    assert 'data.only: {"messages[].' in "\n".join(report.lines())
    assert example is None or learnt(one_turn(parts)) == f"Good.{END}"
    (key,) = flag
    assert learnt(one_turn(parts), only={f"messages[].{key}": "any"}) == f"Bad. Good.{END}"


def test_what_tools_are_called_with_or_answer_is_no_flag() -> None:
    call = {"name": "run", "arguments": {"train": False, "loss_mask": [0]}}
    asks = {"role": "assistant", "content": "", "function_call": call}
    answers = {"role": "tool", "content": {"weight": 0, "train": False}}
    row = {"messages": [USER, asks, answers, {"role": "assistant", "content": "Good"}]}
    assert "Good" in learnt(row, byte_tokenizer("qwen3"))


def test_cells_of_text_files_hold_flags_too() -> None:
    assert learnt({**two_turns(), "loss_mask": "[0, 1]"}) == f"Good{END}"
    assert learnt({**two_turns(), "train": "", "weight": " "}) == f"Bad{END}Good{END}"
    assert learnt({**two_turns(), "train": "False"}) == ""


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"label_ids": [-100, 5, 6]}, "data.columns: {input_ids: input_ids, labels: label_ids}"),
        ({"target_ids": [9, 5, 6]}, "labels: target_ids}"),
        ({"supervision": [-100, 5, 6]}, "labels: supervision}"),
        ({"prompt_length": 2}, "'prompt_length': write a 'loss_mask'"),
        ({"source_token_len": 2}, "'source_token_len'"),
    ],
)
def test_tokens_beside_what_may_say_which_are_learnt_are_not_all_learnt(more: dict[str, Any], named: str) -> None:
    example, report = read({"input_ids": [9, 5, 6], **more})
    assert example is None
    assert named in "".join(count.detail for count in report.skipped.values())
    (column,) = more
    example, _ = read({"input_ids": [9, 5, 6], "position_ids": [0, 1, 2], "length": 3, **more}, only={column: "any"})
    assert example is not None
    assert example.is_response.tolist() == [False, True, True]


def test_masks_of_floats_and_tokens_under_their_other_name() -> None:
    for ids in ("input_ids", "tokens"):
        example, _ = read({ids: [9, 5, 6], "loss_mask": [0.0, 0.0, 1.0]})
        assert example is not None
        assert example.is_response.tolist() == [False, False, True]
    _, report = read({"input_ids": [9, 5, 6], "loss_mask": [0.0, 0.5, 1.0]})
    assert list(report.skipped) == ["loss_mask is not a list of whole numbers"]
