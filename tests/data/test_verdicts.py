"""Rows that say of themselves whether they are good: plainly said is honoured, the rest is named with what to set."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.data.tokenizers import byte_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, inspect_examples, read_examples
from xtf.data.cells import Cells
from xtf.data.report import LeftOut
from xtf.data.row_tests import check_row

CHATML = byte_tokenizer("chatml")
PAIR = {"prompt": "Hi", "response": "Hello"}
USER = {"role": "user", "content": "Hi"}
SAYS, MAY, TURNS = "says that the answer is no good one", "may say which rows are good", "may say which turns are good"


def read(row: dict[str, Any], **settings: Any) -> tuple[str | None, DataReport]:
    """The text of the targets, None for a row that is left out, and the report."""
    report = DataReport()
    rows = [{**row, "id": "first"}, {"prompt": "a", "response": "b", "id": "z"}]
    for example in read_examples(DataConfig(path="unused", **settings), CHATML, report, rows):
        if example.example_id == "first":
            return str(CHATML.decode(example.input_ids[example.is_response].tolist())), report
    return None, report


def told(report: DataReport) -> str:
    return "\n".join(report.lines())


@pytest.mark.parametrize(
    "said",
    [
        *({name: False} for name in ("is_correct", "correct", "approved", "isValid", "passed", "success", "keep")),
        *({name: False} for name in ("answer_is_correct", "is_answer_correct", "is_correct_answer", "tests_passed")),
        *({name: True} for name in ("incorrect", "is_wrong", "Failed", "hallucinated", "discard", "is_bad")),
        *({"is_correct": value} for value in (0, 0.0, "0", "False", "no")),
        *({"label": word} for word in ("bad", "Wrong", "incorrect")),
        {"status": "failed"},
        {"decision": "reject"},
        {"rating": "thumbs_down"},
        {"is_correct": [False, False]},
        {"metadata": {"is_correct": False}},
        {"metadata": {"judged": {"is_correct": False}}},
    ],
)
def test_rows_that_plainly_say_that_they_are_wrong_are_left_out_and_told(said: dict[str, Any]) -> None:
    (name,) = said
    text, report = read(PAIR | said)
    assert text is None
    assert SAYS in told(report)
    inner = said[name]
    column = name
    while isinstance(inner, dict):
        ((key, inner),) = inner.items()
        column += f".{key}"
    text, report = read(PAIR | said, only={column: "any"})
    assert text == "Hello<|im_end|>"
    assert SAYS not in told(report)
    assert f"'{name}'" not in told(report)


@pytest.mark.parametrize(
    "said",
    [
        *({name: True} for name in ("is_correct", "accepted", "passed")),
        *({name: False} for name in ("incorrect", "failed", "discard")),
        *({"correct": value} for value in (0, "no", "B")),
        *({"counts": {name: value}} for name, value in (("kept", 0), ("removed", 1))),
        *({name: False} for name in ("correct_answer", "has_code", "is_final", "answer")),
        *({"label": word} for word in ("good", "sports")),
        {"is_correct": [True, False]},
        {"error": "none"},
    ],
)
def test_rows_that_say_nothing_of_the_kind_are_learnt(said: dict[str, Any]) -> None:
    text, report = read(PAIR | said)
    assert text == "Hello<|im_end|>"
    assert SAYS not in told(report)


def test_one_bad_row_does_not_stop_what_stops_at_bad_rows() -> None:
    text, report = read(PAIR | {"is_correct": False}, on_error="stop")
    assert text is None
    assert report.examples == 1


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"score": 4.5}, 'data.only: {score: ">= 4.5"}'),
        ({"reward": -1}, 'data.only: {reward: "> -1"}'),
        ({"labels": [1, -1]}, 'data.only: {labels: ">= 1"}'),
        ({"quality": "low"}, 'data.only: {quality: "!= low"}'),
        ({"verified": False}, "data.only: {verified: true}"),
        ({"is_toxic": True}, "data.only: {is_toxic: false}"),
        ({"correctness_math_verify": [True, False]}, "data.only: {correctness_math_verify: true}"),
        ({"meta": {"rating": 2}}, 'data.only: {"meta.rating": ">= 2"}'),
    ],
)
def test_what_may_be_a_verdict_is_named_with_what_to_set(said: dict[str, Any], line: str) -> None:
    text, report = read(PAIR | said)
    assert text == "Hello<|im_end|>"
    (warning,) = report.warnings.items()
    assert MAY in warning[0]
    assert line in warning[1].detail


@pytest.mark.parametrize(
    "said",
    [{"score": 4}, {"score": float("nan")}, {"verified": True}, {"toxic": False}, {"status": "ok"}, {"lang": "en"}],
)
def test_only_what_may_be_a_verdict_is_named(said: dict[str, Any]) -> None:
    _, report = read(PAIR | said, only={"score": "any"} if said == {"score": 4} else {})
    assert not report.warnings


@pytest.mark.parametrize(
    ("test", "values", "others"),
    [
        (">= 4", (4, 4.5, "5", [1, 6]), (3.9, "low", None, [1, 2], True)),
        ("< 0", (-1,), (0,)),
        ("!= web", ("book", 3), ("web", "WEB", None)),
        ("en", ("en", " EN "), ("de", None)),
        (["en", "de"], ("en", "de"), ("fr",)),
        (True, (True, 1, "true", "Yes"), (False, 0, "no", "x", 2)),
        (3, (3, 3.0, "3"), (4, True)),
        ("any", (3, None, "x"), ()),
        ([None, "> 1"], (None, 2), (1,)),
    ],
)
def test_rows_are_taken_by_what_their_columns_hold(test: Any, values: Any, others: Any) -> None:
    for value in values:
        check_row(Cells({"said": value}), {"said": test})
    for value in others:
        with pytest.raises(LeftOut, match=r"left out by data\.only: said"):
            check_row(Cells({"said": value}), {"said": test})


def test_tests_reach_into_objects_and_are_no_fault_under_strict() -> None:
    rows = [PAIR | {"meta": {"source": {"name": name}}} for name in ("web", "book")]
    config = DataConfig(path="unused", only={"meta.source.name": "book"})
    inspection = inspect_examples(config, CHATML, rows=rows)
    assert inspection.report.examples == 1
    assert inspection.faults() == []


def test_a_comparison_needs_a_number() -> None:
    with pytest.raises(ValidationError, match="expected a number behind >="):
        DataConfig(path="unused", only={"score": ">= high"})


def test_a_switch_that_is_not_understood_can_be_settled() -> None:
    text, report = read(PAIR | {"mask_names": True})
    assert text is None
    assert "a flag that is not understood" in report.skipped
    assert read(PAIR | {"mask_names": True}, only={"mask_names": "any"})[0] == "Hello<|im_end|>"


@pytest.mark.parametrize("said", [{"is_correct": False}, {"failed": True}, {"label": "bad"}])
def test_a_turn_that_plainly_says_that_it_is_wrong_is_not_learnt(said: dict[str, Any]) -> None:
    turns = [USER, {"role": "assistant", "content": "Bad", **said}, USER, {"role": "assistant", "content": "Good"}]
    text, report = read({"messages": turns})
    assert text == "Good<|im_end|>"
    assert f"not learnt: {next(iter(said))!r} says so" in told(report)


def test_what_may_be_a_verdict_on_a_turn_is_named() -> None:
    turns = [USER, {"role": "assistant", "content": "Bad", "rating": 1}]
    text, report = read({"messages": turns})
    assert text == "Bad<|im_end|>"
    assert any(TURNS in warning for warning in report.warnings)


def two_turns(**said: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", "content": "Bad", **said}, USER, GOOD]}


GOOD = {"role": "assistant", "content": "Good", "rating": 5}
BAD, BOTH = "Good<|im_end|>", "Bad<|im_end|>Good<|im_end|>"


@pytest.mark.parametrize(
    ("said", "path"), [({"is_correct": False}, "is_correct"), ({"meta": {"is_correct": "no"}}, "meta.is_correct")]
)
def test_a_verdict_on_a_turn_names_the_setting_that_overrides_it(said: dict[str, Any], path: str) -> None:
    text, report = read(two_turns(**said))
    assert text == BAD
    assert f'to learn it: data.only: {{"messages[].{path}": any}}' in told(report)
    text, report = read(two_turns(**said), only={f"messages[].{path}": "any"})
    assert text == BOTH
    assert not report.decided


@pytest.mark.parametrize(
    ("test", "expected"), [(">= 4", BAD), ([None, ">= 4"], BAD), ("<= 5", BOTH), ("any", BOTH), (">= 6", None)]
)
def test_turns_are_taken_by_what_their_keys_hold(test: Any, expected: str | None) -> None:
    text, report = read(two_turns(rating=1), only={"messages[].rating": test})
    assert text == expected
    assert ("not learnt: 'messages[].rating' says so" in report.decided) == (expected != BOTH)
    assert not report.unused


def test_what_is_asked_of_turns_is_asked_of_the_assistant_s_alone() -> None:
    text, _ = read(two_turns(), only={"messages[].rating": 5})
    assert text == BAD, "a turn without the key does not hold it"
    assert read({"prompt": [USER], "completion": [GOOD]}, only={"messages[].rating": 5})[0] == BAD
