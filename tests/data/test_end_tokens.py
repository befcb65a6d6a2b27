"""An answer that ends in an end token teaches one end, not two."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.tokenizers import byte_tokenizer, tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, read_examples
from xtf.data.end_tokens import CUT
from xtf.data.reader import read_located_examples
from xtf.data.token_checks import TWICE

CHATML = byte_tokenizer("chatml")
USER = {"role": "user", "content": "Hi"}


def learnt(row: dict[str, Any], tokenizer: Any = CHATML) -> tuple[str, DataReport]:
    """The text of the targets, and the report."""
    report = DataReport()
    examples = list(
        read_examples(DataConfig(path="unused"), tokenizer, report, [row, {"prompt": "a", "response": "b"}])
    )
    first = next((example for example in examples if example.example_id == "0"), None)
    return (str(tokenizer.decode(first.input_ids[first.is_response].tolist())) if first else ""), report


@pytest.mark.parametrize(
    "end", ["<|im_end|>", "<|im_end|>\n", "</s>", "<|eot_id|>", "<|endoftext|>", " <|im_end|> </s>\n", "<end_of_turn>"]
)
def test_an_end_token_of_the_answer_s_own_is_left_out_and_told(end: str) -> None:
    text, report = learnt({"prompt": "Hi", "response": f"Good{end}"})
    assert text.replace(" ", "") == "Good<|im_end|>"
    assert report.warnings[CUT].count == 1
    assert end.split()[0] in report.warnings[CUT].detail


@pytest.mark.parametrize("template", ["mistral", "llama2", "llama3", "plain"])
def test_of_every_template_one_end_is_learnt(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    end = "<|eot|>" if template == "llama3" else "</s>"
    text, _ = learnt({"prompt": "Hi", "response": f"Good{end}"}, tokenizer)
    assert text.count(end) == 1
    assert text.strip().startswith("Good")


def test_turns_in_the_middle_and_answers_in_a_prompt_count_too() -> None:
    turns = [USER, {"role": "assistant", "content": "One<|im_end|>"}, USER, {"role": "assistant", "content": "Two"}]
    assert learnt({"messages": turns})[0] == "One<|im_end|>Two<|im_end|>"
    tokenizer = byte_tokenizer("chatml")
    prompt = DataConfig(path="unused", prompt_weight=1.0)
    row = {"prompt": turns[:2], "completion": turns[3:]}
    example = next(read_examples(prompt, tokenizer, DataReport(), [row]))
    assert tokenizer.decode(example.input_ids.tolist()).count("<|im_end|>") == 3


def test_exports_of_texts_get_the_answer_without_it() -> None:
    """Else a trainer that tokenises again would learn two."""
    rows = [{"prompt": "Hi", "response": "Good<|im_end|>\n"}]
    (located,) = read_located_examples(DataConfig(path="unused"), CHATML, rows)
    assert located.conversation is not None
    assert located.conversation.messages[-1]["content"] == "Good"


def test_nothing_but_an_end_token_is_an_empty_response() -> None:
    text, report = learnt({"prompt": "Hi", "response": "<|im_end|>"})
    assert text == ""
    assert report.skipped["empty response"].count == 1


@pytest.mark.parametrize("answer", ["a <|im_end|> b", "<s>old</s>", "x </b>"])
def test_other_text_stays(answer: str) -> None:
    tokenizer = tiny_tokenizer("chatml", extra_special_tokens={})
    tokenizer.eos_token = "<|im_end|>"
    assert learnt({"prompt": "Hi", "response": answer}, tokenizer)[0] == f"{answer}<|im_end|>"


def test_tokens_with_two_ends_are_told() -> None:
    ids = CHATML("Hi", add_special_tokens=False)["input_ids"]
    end = CHATML.convert_tokens_to_ids("<|im_end|>")
    labels = [-100, -100, *ids, end, end]
    _, report = learnt({"input_ids": [*ids, *ids, end, end], "labels": labels})
    assert report.warnings[TWICE].count == 1
