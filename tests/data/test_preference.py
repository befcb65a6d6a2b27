"""Of preference data, in every documented layout, the chosen answer is learnt and the rejected one never."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.tokenizers import byte_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, read_examples
from xtf.data.preference import NOTE
from xtf.errors import DataError

BYTES = byte_tokenizer("chatml")
END = "<|im_end|>"
ASKED = {"role": "user", "content": "A river?"}
SAID = {"role": "assistant", "content": "The Danube."}
WRONG = {"role": "assistant", "content": "Everest."}
OTHER = {"prompt": "a", "completion": "b", "id": "z"}

PAIRS: dict[str, dict[str, Any]] = {
    "text": {"prompt": "A river?", "chosen": "The Danube.", "rejected": "Everest."},
    "messages": {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "A river?"}],
        "chosen": {"from": "gpt", "value": "The Danube."},
        "rejected": {"from": "gpt", "value": "Everest."},
    },
    "shared prompt": {"chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]},
    "shared prompt beside its text": {"prompt": "A river?", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]},
    "speakers in text": {
        "chosen": "\n\nHuman: A river?\n\nAssistant: The Danube.",
        "rejected": "\n\nHuman: A river?\n\nAssistant: Everest.",
    },
    "shared text": {"chosen": "A river? The Danube.", "rejected": "A river? Everest."},
    "alpaca": {"instruction": "A", "input": "river?", "chosen": "The Danube.", "rejected": "Everest."},
    "former alpaca": {"instruction": "A river?", "output": ["The Danube.", "Everest."]},
    "question": {"question": "A river?", "chosen": "The Danube.", "rejected": "Everest."},
    "axolotl": {"prompt": "A river?", "chosen_response": "The Danube.", "rejected_response": "Everest."},
    "ms-swift": {"messages": [ASKED, SAID], "rejected_response": "Everest."},
    "ms-swift messages": {"messages": [ASKED, SAID], "rejected_messages": [ASKED, WRONG]},
    "query": {"query": "A river?", "response": "The Danube.", "rejected_response": "Everest."},
    "openai": {"input": {"messages": [ASKED]}, "preferred_output": [SAID], "non_preferred_output": [WRONG]},
    "scores beside": {
        "prompt": "A river?",
        "chosen": "The Danube.",
        "rejected": "Everest.",
        "rejected_model": "x",
        "chosen_model": "y",
        "rejected_score": 1.0,
        "chosen_score": 2.0,
    },
}


def read(row: dict[str, Any], **settings: Any) -> tuple[str, str, DataReport]:
    """The learnt text, the whole text, and the report."""
    report = DataReport()
    examples = list(read_examples(DataConfig(path="unused", **settings), BYTES, report, [row, OTHER]))
    if len(examples) < 2:
        return "", "", report
    ids, learnt = examples[0].input_ids, examples[0].is_response
    return str(BYTES.decode(ids[learnt].tolist())), str(BYTES.decode(ids.tolist())), report


@pytest.mark.parametrize("layout", PAIRS)
def test_the_chosen_answer_is_learnt_and_the_rejected_one_is_not_even_there(layout: str) -> None:
    learnt, whole, report = read(PAIRS[layout])
    assert learnt == f"The Danube.{END}"
    assert "river?" in whole.partition("The Danube.")[0]
    assert "Everest" not in whole
    assert NOTE in report.lines()[1]
    assert not {"chosen", "rejected", "rejected_response"} & set(report.unused)


@pytest.mark.parametrize("layout", PAIRS)
def test_preference_rows_can_be_refused(layout: str) -> None:
    learnt, _, report = read(PAIRS[layout], preference="refuse")
    assert not learnt
    assert list(report.skipped) == ["preference data is refused (data.preference: refuse)"]


def test_the_case_of_column_names_does_not_count() -> None:
    learnt, whole, _ = read({"Prompt": "A river?", "Chosen": "The Danube.", "Rejected": "Everest."})
    assert learnt == f"The Danube.{END}"
    assert "Everest" not in whole


def test_earlier_answers_of_the_prompt_are_context() -> None:
    row = {
        **PAIRS["sharegpt"],
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Earlier."}],
    }
    row["conversations"] = [*row["conversations"], {"from": "human", "value": "A river?"}]
    assert read(row)[0] == f"The Danube.{END}"
    chosen, rejected = [ASKED, SAID, ASKED, SAID], [ASKED, SAID, ASKED, WRONG]
    assert read({"chosen": chosen, "rejected": rejected})[0] == f"The Danube.{END}"


@pytest.mark.parametrize(
    "flag",
    [
        *({"label": value} for value in (False, 0, 0.0, -1, "False", "0", "-1", "undesirable", "Rejected", "no")),
        *({"kto_tag": value} for value in (False, 0)),
        *({name: False} for name in ("Label", "KTO_tag", "chosen", "is_desirable", "preferred", "is_accepted")),
        *({name: True} for name in ("rejected", "is_rejected", "undesirable")),
    ],
)
@pytest.mark.parametrize("stop", ["skip", "stop"])
def test_an_answer_that_kto_rejects_is_left_out(flag: dict[str, Any], stop: str) -> None:
    learnt, _, report = read({"prompt": "A river?", "completion": "Everest.", **flag}, on_error=stop)
    assert not learnt
    assert report.skipped["a rejected answer of preference data is never learnt (KTO)"].locations == ["row 1"]


@pytest.mark.parametrize(
    "flag", [{"label": True}, {"preferred": True}, {"kto_tag": True}, {"label": 1}, {"label": "1"}, {"rejected": False}]
)
def test_an_answer_that_kto_likes_is_learnt_and_said_so(flag: dict[str, Any]) -> None:
    row = {"prompt": [ASKED], "completion": [SAID], **flag}
    learnt, _, report = read(row)
    assert learnt == f"The Danube.{END}"
    assert report.warnings[NOTE].count == 1
    assert not read(row, preference="refuse")[0]


def test_a_class_is_no_verdict() -> None:
    learnt, _, report = read({"question": "A river?", "answer": "The Danube.", "label": 0})
    assert learnt == f"The Danube.{END}"
    assert report.unused == {"label": 1}


def test_answers_that_read_like_verdicts_are_answers() -> None:
    assert read({"prompt": "A river?", "chosen": "False", "rejected": "True"})[0] == f"False{END}"
    learnt, _, report = read({"prompt": "A river?", "response": "The Danube.", "chosen": 0})
    assert learnt == f"The Danube.{END}"
    assert report.unused == {"chosen": 1}, "the place of the better of several answers, perhaps"


def test_flags_hold_in_preference_rows() -> None:
    assert read({"prompt": [ASKED], "chosen": [{**SAID, "train": False}], "rejected": [WRONG]})[0] == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "A river?", "rejected": "Everest."}, "a rejected answer without a chosen one"),
        ({"chosen": "The Danube.", "rejected": "Everest."}, "a preference pair without a prompt"),
        ({"messages": [ASKED], "rejected_response": "Everest."}, "a rejected answer without a chosen one"),
    ],
)
def test_half_a_pair_is_refused_by_name(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_examples(DataConfig(path="unused", on_error="stop"), BYTES, DataReport(), [row]))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "A river?", "accepted": "Danube.", "rejected": "Everest."},
        {"prompt": "A river?", "chosen": "Danube.", "rejected": ""},
        {"instruction": "A river?", "output": ["Danube.", "Everest."]},
    ],
)
def test_other_names_and_an_empty_rejected_answer(row: dict[str, Any]) -> None:
    learnt, _, report = read(row)
    assert learnt == f"Danube.{END}"
    assert " + ".join(row) in [schema.partition(" (")[0] for schema in report.schemas]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "A river?", "chosen": "The Danube.", "rejected": None},
        {"chosen": [ASKED, SAID], "rejected": None},
        {"prompt": [ASKED], "chosen": [SAID], "rejected": None},
        {"conversations": [ASKED], "chosen": SAID, "rejected": None},
        {"prompt": "A river?", "preferred": "The Danube.", "unpreferred": None},
        {"prompt": "A river?", "preferred": "The Danube.", "unpreferred": "Everest."},
    ],
)
def test_an_answer_that_is_chosen_is_learnt_where_none_is_rejected(row: dict[str, Any]) -> None:
    import pyarrow as pa

    learnt, whole, report = read(row)
    assert learnt == f"The Danube.{END}"
    assert "river?" in whole
    assert NOTE in report.lines()[1]
    (example,) = read_examples(DataConfig(path="x"), BYTES, DataReport(), pa.Table.from_pylist([row]))
    assert BYTES.decode(example.input_ids[example.is_response].tolist()) == learnt
    assert not read(row, preference="refuse")[0]
    assert not read({"prompt": "A river?", "chosen": "response_a", "response_a": "x", "response_b": "y"})[0]
