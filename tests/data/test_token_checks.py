"""Prepared rows with the faults that public bug reports tell of; a row as the template makes it has none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.tokenizers import tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, read_examples
from xtf.data.token_checks import BEHIND, EVERYTHING, HEADER, NO_END, PADDING, TWO_BEGINNINGS

TOKENIZER = tiny_tokenizer("chatml", pad_token="<start_of_turn>")
END: Any = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
PAD: Any = TOKENIZER.pad_token_id


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


ASKED, HEAD = ids("<|im_start|>user\nHi<|im_end|>\n"), ids("<|im_start|>assistant\n")
SAID, TAIL = ids("Hello."), ids("\n")


def row(*parts: tuple[list[int], bool]) -> dict[str, Any]:
    """Tokens part by part, and whether each is learnt."""
    tokens = [token for part, _ in parts for token in part]
    return {"input_ids": tokens, "labels": [t if learnt else -100 for part, learnt in parts for t in part]}


def remarks(value: dict[str, Any]) -> list[str]:
    report = DataReport()
    list(read_examples(DataConfig(path="unused"), TOKENIZER, report, [value]))
    return list(report.warnings)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (row((ASKED, False), (HEAD, False), (SAID, True), ([END], True), (TAIL, False)), []),
        (row((ASKED, False), (HEAD, False), (SAID[:1], True), (SAID[1:], False), ([END], True)), []),  # labels of a run
        (row((ASKED, False), (HEAD, False), (SAID, True), ([END], True), (TAIL, True)), [BEHIND]),
        (row((ASKED, True), (HEAD, True), (SAID, True), ([END], True)), [EVERYTHING]),
        (row((ASKED, False), (HEAD[:1], False), (HEAD[1:], True), (SAID, True), ([END], True)), [HEADER]),
        (row((ASKED, False), (HEAD, True), (SAID, True), ([END], True)), [HEADER]),
        (row((ASKED, False), (HEAD, False), (SAID, True), ([END], False), (TAIL, True)), [NO_END]),
        (row((ASKED, False), (HEAD, False), (SAID, True)), [NO_END]),
        (row((ASKED[:4], False), (ASKED[4:], True), (HEAD, False), (SAID, True), ([END], True)), [BEHIND]),
        (row((ASKED, False), (HEAD, False), (SAID, True), ([END], True), ([PAD] * 3, True)), [PADDING, BEHIND]),
        (row((ASKED, False), (HEAD, False), (SAID, True), ([END], True), ([PAD] * 3, False)), []),
        ({"input_ids": [*ASKED, *SAID]}, [EVERYTHING]),
    ],
)
def test_faults_of_prepared_rows(value: dict[str, Any], expected: list[str]) -> None:
    assert remarks(value) == expected


def test_two_beginnings() -> None:
    begin = TOKENIZER.bos_token_id
    assert remarks(row(([begin, begin], False), (SAID, True), ([END], True))) == [TWO_BEGINNINGS]


def test_padding_that_is_the_end_of_a_turn() -> None:
    """As where pad and end-of-turn token are the same: the first one is learnt rightly."""
    tokenizer: Any = tiny_tokenizer("chatml")
    tokenizer.pad_token = "<|im_end|>"
    for learnt, expected in ((False, []), (True, [PADDING])):
        report = DataReport()
        value = row((ASKED, False), (HEAD, False), (SAID, True), ([END], True), ([END] * 3, learnt))
        list(read_examples(DataConfig(path="unused"), tokenizer, report, [value]))
        assert list(report.warnings) == expected
