"""Held-out loss and final numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xtf.model.head
from tests.tiny import TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.config import LoraSettings, TrainingConfig
from xtf.errors import DataError
from xtf.evaluation.held_out import exact_match, final_number, held_out_loss
from xtf.tokens import TokenizedExample

END = 1  # <|im_end|>


def example(name: str, *turns: tuple[str, str]) -> TokenizedExample:
    """A ChatML conversation; each answer and its end of turn are the response."""
    tokenizer: Any = tiny_tokenizer()
    ids: list[int] = []
    response: list[bool] = []
    for question, answer in turns:
        prompt = tokenizer.encode(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
        written = [*tokenizer.encode(answer), END]
        ids += prompt + written
        response += [False] * len(prompt) + [True] * len(written)
    is_response = np.array(response)
    return TokenizedExample(name, np.array(ids, np.int32), is_response, is_response & (np.array(ids) == END))


EXAMPLES = [
    example("a", ("3 + 4?", "It is 7.\n#### 7")),
    example("b", ("Name a fruit.", "An apple.")),
    example("c", ("1 + 1?", "2"), ("And 2 + 2, explained at some length?", "The answer is $1,004.")),
]


def loss_by_hand(model: Any, examples: list[TokenizedExample]) -> float:
    """Mean over tokens, one example at a time, from full logits."""
    losses: list[float] = []
    for item in examples:
        ids = torch.from_numpy(item.input_ids.astype(np.int64))
        log_probs = torch.log_softmax(model(input_ids=ids[None]).logits[0].double(), dim=-1)
        losses += [-log_probs[i - 1, ids[i]].item() for i in np.flatnonzero(item.is_response)]
    return float(np.mean(losses))


@pytest.mark.parametrize("tokens_per_batch", [1, 90, 4096])
@pytest.mark.parametrize("kind", TINY_KINDS)
def test_held_out_loss_equals_full_logits(
    kind: TinyKind, tokens_per_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(kind)
    monkeypatch.setattr(xtf.model.head, "LOGITS_BYTES", 4 * 300 * 7)
    done: list[int] = []
    result = held_out_loss(model, EXAMPLES, tokens_per_batch=tokens_per_batch, advance=done.append)
    assert result.loss == pytest.approx(loss_by_hand(model, EXAMPLES), rel=1e-5)
    assert result.tokens == sum(int(item.is_response.sum()) for item in EXAMPLES)
    assert sum(done) == 3


def test_held_out_loss_needs_a_response() -> None:
    nothing = np.zeros(3, np.bool_)
    with pytest.raises(DataError, match="no held-out example has a response token"):
        held_out_loss(tiny_model(), [TokenizedExample("x", np.zeros(3, np.int32), nothing, nothing)])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7", "7"),
        ("so 7.\n#### 1,234", "1234"),
        ("#### 5 and later 9", "5"),
        ("It costs $1,004.50.", "1004.50"),
        ("#### $18", "18"),
        ("10-3", "3"),
        ("10 - 3", "3"),
        ("falls to -3 degrees", "-3"),
        ("falls to −3", "-3"),
        ("x = -$5", "-5"),
        ("22.5 hours.", "22.5"),
        ("about .5", ".5"),
        ("1, 2, 3.", "3"),
        ("#### none, though 4 before", "4"),
        ("4 before #### none", None),
        ("no number", None),
        ("", None),
    ],
)
def test_final_number(text: str, number: str | None) -> None:
    assert final_number(text) == number


def greedy(model: Any, prompt: Any, stops: set[int], limit: int) -> list[int]:
    """One prompt, no padding, no cache."""
    ids = [int(token) for token in prompt]
    new: list[int] = []
    while len(new) < limit:
        token = int(model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax())
        if token in stops:
            break
        new.append(token)
    return new


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_answers_equal_greedy_decoding_one_at_a_time(kind: TinyKind) -> None:
    model, tokenizer = tiny_model(kind), tiny_tokenizer()
    model.generation_config.repetition_penalty = 5.0
    result = exact_match(model, tokenizer, EXAMPLES, max_new_tokens=60, batch_size=2)
    assert (result.total, [answer.example_id for answer in result.answers]) == (2, ["a", "c"])
    assert [answer.expected for answer in result.answers] == ["7", "1004"]
    for answer, item in zip(result.answers, [EXAMPLES[0], EXAMPLES[2]], strict=True):
        last = np.flatnonzero(np.diff(item.is_response.astype(int)) == 1)[-1] + 1
        text: str = tokenizer.decode(greedy(model, item.input_ids[:last], {END}, 60), skip_special_tokens=True)  # type: ignore[assignment]
        assert answer.predicted == final_number(text)
        assert answer.correct == (answer.predicted is not None and float(answer.predicted) == float(answer.expected))
    assert model.generation_config.repetition_penalty == 5.0


def test_a_model_that_learned_the_answers_is_right(tmp_path: Any) -> None:
    from xtf.training import ArmRows, Labelling, train_model

    model, tokenizer = tiny_model(), tiny_tokenizer()
    config = TrainingConfig(
        epochs=60, learning_rate=2e-2, batch_size=3, schedule="constant", lora=LoraSettings(r=8, alpha=16)
    )
    rows = ArmRows("full", EXAMPLES, Labelling(), objective="mask", seed=0)
    assert exact_match(model, tokenizer, EXAMPLES, max_new_tokens=40).correct == 0
    before = held_out_loss(model, EXAMPLES).loss
    with train_model(model, tokenizer, rows, config, seed=0, output_dir=tmp_path, fingerprint="f") as trained:
        assert held_out_loss(trained.model, EXAMPLES).loss < 0.1 * before
        result = exact_match(trained.model, tokenizer, EXAMPLES, max_new_tokens=40)
    assert (result.correct, result.total) == (2, 2)
    assert [answer.predicted for answer in result.answers] == ["7", "1004"]


def test_without_numbers_nothing_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    monkeypatch.setattr(model, "generate", None)
    result = exact_match(model, tiny_tokenizer(), [EXAMPLES[1]])
    assert (result.correct, result.total, result.answers) == (0, 0, ())
