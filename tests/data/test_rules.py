"""The user's own rules about what is learnt, against what plain Python finds in the text of the turns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.tokenizers import byte_tokenizer, tiny_tokenizer
from xtf.config import DataConfig, TextRule, parse_config
from xtf.data import DataReport, read_examples
from xtf.data.rules import matches
from xtf.errors import ConfigError
from xtf.tokens import Ruling, TokenizedExample

BYTES = byte_tokenizer("chatml")
END = "<|im_end|>"


def read(text: str, tokenizer: Any = BYTES, **settings: Any) -> tuple[TokenizedExample, DataReport]:
    report = DataReport()
    config = DataConfig(path="unused", **settings)
    row = {"messages": [{"role": "user", "content": "secret?"}, {"role": "assistant", "content": text}]}
    (example,) = read_examples(config, tokenizer, report, [row])
    return example, report


def text_of(example: TokenizedExample, chosen: Any, tokenizer: Any = BYTES) -> str:
    return str(tokenizer.decode(example.input_ids[chosen].tolist()))


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("secret", "A  and a SECRET <p>one <p>two</p></p> end </p>."),
        ({"regex": "(?i)secret"}, "A  and a  <p>one <p>two</p></p> end </p>."),
        ({"regex": "^A|end"}, " secret and a SECRET <p>one <p>two</p></p>  </p>."),
        ({"tag": "p"}, "A secret and a SECRET  end </p>."),
        ("<p>…</p>", "A secret and a SECRET  end </p>."),
        ("<p>...</p>", "A secret and a SECRET  end </p>."),
        ("nowhere", "A secret and a SECRET <p>one <p>two</p></p> end </p>."),
        ({"tag": "br"}, "A secret and a SECRET <p>one <p>two</p></p> end </p>."),
        ({"regex": "x*"}, "A secret and a SECRET <p>one <p>two</p></p> end </p>."),
    ],
)
def test_never_learn(rule: Any, left: str) -> None:
    text = "A secret and a SECRET <p>one <p>two</p></p> end </p>."
    example, report = read(text, never_learn=[rule])
    assert text_of(example, example.is_response) == left + END
    never = example.rulings == Ruling.NEVER
    assert int(never.sum()) == len(text) - len(left)
    assert np.array_equal(never | example.is_response, example.in_turn)
    shown = str(TextRule.model_validate(rule))
    count = report.decided[f"never learnt: data.never_learn {shown}"]
    assert count.tokens == int(never.sum())
    if not never.any():
        assert report.lines()[-1] == f"no row: never learnt: data.never_learn {shown}: nothing was found"


def test_the_question_is_not_looked_at_and_one_rule_needs_no_list() -> None:
    example, _ = read("No secret here", never_learn="secret")
    assert int((example.rulings == Ruling.NEVER).sum()) == len("secret")


def test_always_learn_protects_and_never_learn_goes_first() -> None:
    example, report = read("The answer is 42.", always_learn=["42", "answer"], never_learn=[{"regex": "is 4"}])
    always = example.rulings == Ruling.ALWAYS
    assert text_of(example, always) == "answer2"
    assert np.all(example.is_protected[always])
    assert text_of(example, example.is_response) == "The answer 2." + END
    assert [line.partition(":")[0] for line in report.lines()[2:]] == [
        "1 row, 4 tokens",
        "1 row, 1 token",
        "1 row, 6 tokens",
    ]


@pytest.mark.parametrize("rule", [{"regex": "is .*"}, {"regex": "(?s)is .+$"}, {"tag": "b"}])
def test_an_expression_that_runs_to_the_end_spares_the_stop_token(rule: Any) -> None:
    text = "It <b> is here." if "tag" in rule else "It is here."
    example, _ = read(text, never_learn=[rule])
    assert text_of(example, example.is_response) == "It " + END
    ids = BYTES.encode(text + END, add_special_tokens=False)
    report = DataReport()
    rows = [{"input_ids": ids, "labels": [-100, *ids[1:]]}]
    (example,) = read_examples(DataConfig(path="unused", never_learn=[rule]), BYTES, report, rows)
    assert text_of(example, example.is_response) == "t " + END
    named, _ = read(text, never_learn=[END])
    assert text_of(named, named.is_response) == text


def test_tags_that_open_in_the_prompt_or_never_close() -> None:
    rule = TextRule.model_validate({"tag": "think"})
    text = "<|assistant|><think>\nOne</think>Two<think>Three"
    turn = (text.index("One"), len(text))
    assert [text[start:end] for start, end in matches(rule, text, turn)] == ["One</think>", "<think>Three"]


def test_tags_that_close_themselves() -> None:
    text = "one<br/> two<br /> three<br>four<br/>five</br> end"
    example, _ = read(text, never_learn=[{"tag": "br"}])
    assert text_of(example, example.is_response) == f"one two three end{END}"


def test_special_tokens_that_the_tokenizer_knows() -> None:
    tokenizer = tiny_tokenizer("qwen3")
    example, _ = read("<think>\nWell.\n</think>\n\nForty two.", tokenizer, never_learn=["</think>"])
    token = tokenizer.convert_tokens_to_ids("</think>")
    assert not example.is_response[example.input_ids == token].any()
    assert (example.rulings[example.input_ids == token] == Ruling.NEVER).all()


@given(st.text("ab<>/p ", max_size=30), st.sampled_from(["a", "ab", "p>"]))
def test_a_token_is_excluded_exactly_if_it_holds_a_matched_character(text: str, word: str) -> None:
    """Against plain Python, with a tokenizer that knows several characters in a token."""
    tokenizer = tiny_tokenizer("chatml")
    text = f"x{text}x"
    example, _ = read(text, tokenizer, never_learn=[word])
    matched = {place for match in re.finditer(re.escape(word), text) for place in range(*match.span())}
    pieces = [str(tokenizer.decode([token])) for token in example.input_ids[example.in_turn]]
    assert "".join(pieces) == text + END
    ends = np.cumsum([len(piece) for piece in pieces])
    expected = [bool(matched & set(range(end - len(piece), end))) for piece, end in zip(pieces, ends, strict=True)]
    assert (~example.is_response[example.in_turn]).tolist() == expected


def test_rows_in_which_all_is_excluded_are_named() -> None:
    report = DataReport()
    config = DataConfig(path="unused", never_learn=[{"regex": "(?s).+"}])
    rows = [{"prompt": "a", "completion": "b"}]
    with pytest.raises(Exception, match="no usable row"):
        list(read_examples(config, BYTES, report, rows))
    assert report.skipped["nothing in the row is to be learnt"].locations == ["row 1"]


def test_only_the_last_turn() -> None:
    turns = [("user", "a"), ("assistant", "One"), ("user", "b"), ("assistant", "Two")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in turns]}]
    report = DataReport()
    (example,) = read_examples(DataConfig(path="unused", learn="last_turn"), BYTES, report, rows)
    assert text_of(example, example.is_response) == f"Two{END}"
    assert text_of(example, example.rulings == Ruling.EARLIER) == f"One{END}"
    assert report.lines()[-1] == "1 row, 4 tokens: not learnt: an earlier turn (data.learn: last_turn) (row 1)"


def test_weights_of_prompt_tokens() -> None:
    example, report = read("Yes", prompt_weight=0.1, never_learn=["secret"])
    outside = ~example.in_turn
    assert example.weights[0] == 0, "nothing predicts the first token"
    weighs = np.flatnonzero(outside & (example.weights > 0))
    assert np.allclose(example.weights[weighs], 0.1)
    assert "secret" not in text_of(example, weighs)
    assert text_of(example, outside).replace("secret", "") == text_of(example, [0, *weighs])
    assert not example.is_response[weighs].any()
    assert "1 row, 6 tokens: never learnt: data.never_learn 'secret' (row 1)" in report.lines()
    assert f"{len(weighs)} tokens: prompt tokens weigh 0.1 (data.prompt_weight)" in report.lines()[-1]


def test_tokens_without_text_are_decoded_for_the_rules() -> None:
    ids = BYTES.encode("Hi. No secret.", add_special_tokens=False)
    labels = [-100] * 3 + ids[3:]
    report = DataReport()
    config = DataConfig(path="unused", never_learn=["secret"])
    (example,) = read_examples(config, BYTES, report, [{"input_ids": ids, "labels": labels}])
    assert text_of(example, example.is_response) == " No ."
    assert report.decided["never learnt: data.never_learn 'secret'"].tokens == 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"regex": "("}], "not a regular expression"),
        ([{"regex": "a", "text": "b"}], "one of text, regex and tag"),
        ([{}], "one of text, regex and tag"),
        ([{"texts": "a"}], "unknown key"),
        ([""], "at least 1 character"),
    ],
)
def test_mistakes_in_rules_are_named(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse_config({"model": {"path": "m"}, "data": {"path": "d", "never_learn": value}})
    assert "data.never_learn" in str(error.value)


def test_a_rule_survives_being_written() -> None:
    config = DataConfig(path="d", never_learn=["a", {"regex": "b"}, "<c>…</c>"], always_learn="d")
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    assert [str(rule) for rule in config.never_learn] == ["'a'", "/b/", "<c>…</c>"]


def test_a_rule_that_leaves_a_row_nothing_is_counted_as_one_that_was_found() -> None:
    report = DataReport()
    rows = [{"prompt": "Hi", "response": "Sorry."}, {"prompt": "Hi", "response": "Yes."}]
    config = DataConfig(path="unused", never_learn=["Sorry."])
    assert len(list(read_examples(config, tiny_tokenizer("chatml"), report, rows))) == 1
    assert report.decided["never learnt: data.never_learn 'Sorry.'"].count == 1
    assert "nothing was found" not in "\n".join(report.lines())
