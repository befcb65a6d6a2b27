"""Held-out loss and generated answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xtf.model.head
from tests.tiny import TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.config import LoraSettings, TrainingConfig
from xtf.errors import DataError
from xtf.evaluation.answers import Generation, generate_answers, task_of
from xtf.evaluation.held_out import held_out_loss
from xtf.evaluation.judging import choose_judges
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
    for item, (loss, tokens) in zip(EXAMPLES, result.by_example, strict=True):
        assert tokens == int(item.is_response.sum())
        assert loss / tokens == pytest.approx(loss_by_hand(model, [item]), rel=1e-5)


def test_held_out_loss_needs_a_response() -> None:
    nothing = np.zeros(3, np.bool_)
    with pytest.raises(DataError, match="no held-out example has a response token"):
        held_out_loss(tiny_model(), [TokenizedExample("x", np.zeros(3, np.int32), nothing, nothing)])


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
    done: list[int] = []
    answers = generate_answers(model, tokenizer, EXAMPLES, Generation(60, 2), advance=done.append)
    for answer, item in zip(answers, EXAMPLES, strict=True):
        last = np.flatnonzero(np.diff(item.is_response.astype(int)) == 1)[-1] + 1
        text = tokenizer.decode(greedy(model, item.input_ids[:last], {END}, 60), skip_special_tokens=True)
        assert answer == text
    assert model.generation_config.repetition_penalty == 5.0
    assert sum(done) == 3


def test_a_task_is_what_stands_before_the_last_response_and_in_it() -> None:
    task = task_of(EXAMPLES[2], {"more": 1}, tiny_tokenizer())
    assert (task.example_id, task.reference, task.row) == ("c", "The answer is $1,004.", {"more": 1})
    assert task.prompt.rstrip().endswith("assistant")
    assert "1 + 1?" in task.prompt
    assert "And 2 + 2, explained at some length?" in task.prompt


def test_a_model_that_learned_the_answers_is_right(tmp_path: Any) -> None:
    from xtf.training import ArmRows, Labelling, TrainingJob, train_model

    model, tokenizer = tiny_model(), tiny_tokenizer()
    config = TrainingConfig(
        epochs=60, learning_rate=2e-2, batch_size=3, schedule="constant", lora=LoraSettings(r=8, alpha=16)
    )
    rows = ArmRows("full", EXAMPLES, Labelling(), objective="mask", seed=0)
    judges = choose_judges([task_of(item, {}, tokenizer) for item in EXAMPLES], "auto")
    assert [metric.name for metric in judges.metrics] == ["math"]
    assert judges.asked == [True, False, True]
    asked = [EXAMPLES[0], EXAMPLES[2]]

    def judged(of: Any) -> tuple[int, int, Any]:
        answers = generate_answers(of, tokenizer, asked, Generation(max_new_tokens=40))
        (result,), shown = judges.judge(dict(zip(("a", "c"), answers, strict=True)))
        assert result.unjudged.keys() == {judges.unfit["math"]["b"]}
        return result.correct, result.judged, [one["predicted"] for one in shown]

    assert judged(model)[:2] == (0, 2)
    before = held_out_loss(model, EXAMPLES).loss
    with train_model(model, tokenizer, rows, config, TrainingJob(tmp_path, "f")) as trained:
        assert held_out_loss(trained.model, EXAMPLES).loss < 0.1 * before
        assert judged(trained.model) == (2, 2, ["7", "$1,004"])
