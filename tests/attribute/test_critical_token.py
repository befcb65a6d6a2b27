"""Critical tokens against a loop over the plain model, one token at a time, and a plain comparison of strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tests.tiny import TinyKind, tiny_model
from xtf.attribute import Continuation, TopTokens, registry
from xtf.engine.score import checked_columns
from xtf.errors import ModelError, PluginError
from xtf.model import LoadedModel, SignalPass
from xtf.tokens import Ruling, TokenBatch, TokenizedExample

WORDS = ["<pad>", "<end>", "#### 1\n", "#### 2\n", "so ", "then ", "= ", "as "]
END = 1


def toy_tokenizer() -> Any:
    """Eight tokens, two of which say what the answer is, so that a random model gives both answers."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.decoder = decoders.Fuse()
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")


def toy(name: str, *turns: tuple[list[int], list[int]], excluded: tuple[int, ...] = ()) -> TokenizedExample:
    """Prompts and responses; an end of turn is added to each response."""
    ids: list[int] = []
    response: list[bool] = []
    for prompt, answer in turns:
        ids += [*prompt, *answer, END]
        response += [False] * len(prompt) + [True] * (len(answer) + 1)
    is_response = np.array(response)
    rulings = np.zeros(len(ids), np.uint8)
    rulings[list(excluded)] = Ruling.FLAGGED
    is_response[list(excluded)] = False
    ended = is_response & (np.array(ids) == END)
    return TokenizedExample(name, np.array(ids, np.int32), is_response, ended, rulings=rulings)


EXAMPLES = [
    toy("one", ([4, 6, 5], [4, 7, 2, 5, 3, 5])),
    toy("two", ([5, 5], [4, 3]), ([6, 4, 4, 6], [5, 4, 2, 6])),
    toy("gap", ([7], [4, 6, 7, 5, 4, 2]), excluded=(3, 4)),
    toy("unmarked", ([7, 4], [4, 6, 5])),
]


def loaded(kind: TinyKind = "llama", seed: int = 2) -> LoadedModel:
    return LoadedModel.from_objects(tiny_model(kind, seed=seed, vocab_size=len(WORDS)), toy_tokenizer())


@dataclass
class Found:
    """Of one example, at each place: score, what it means, and the alternative."""

    score: Any
    outcome: Any
    alternative: Any


def scored(base: LoadedModel, examples: list[TokenizedExample], **params: Any) -> list[Found]:
    scorer = registry.build("critical_token", params)
    signals = SignalPass(base, scorer.requires()).run(TokenBatch.collate(examples))
    columns = checked_columns("critical_token", scorer, signals)
    names = np.array([*scorer.details()["outcome"].names, ""])
    score, outcome, alternative = columns.values()
    return [Found(score[row], names[outcome[row]], alternative[row]) for row in range(len(examples))]


def written(model: Any, ids: list[int], longest: int) -> list[int]:
    """The likeliest token again and again: no cache, no padding."""
    new: list[int] = []
    while len(new) < longest and (not new or new[-1] != END):
        new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return new


def answer(ids: list[int]) -> str | None:
    """The last answer that is marked, by plain search."""
    text = "".join(WORDS[i] for i in ids if i != END)
    return text[text.rindex("####") :].split("\n")[0] if "####" in text else None


def by_hand(model: Any, ids: list[int], place: int, turn: tuple[int, int], alternatives: int, margin: int) -> Any:
    """Share of alternatives that end in another answer than the turn's, the outcome, and the first alternative."""
    start, end = turn
    order = model(torch.tensor([ids[:place]])).logits[0, -1].argsort(descending=True).tolist()
    others = [token for token in order if token != ids[place]][:alternatives]
    longest = end - place - 1 + margin

    def is_wrong(token: int) -> bool:
        new = [] if token == END else written(model, [*ids[:place], token], longest)
        return answer([*ids[start:place], token, *new]) != answer(ids[start:end])

    share = sum(is_wrong(token) for token in others) / alternatives
    if answer(ids[start:end]) is None:
        return 1.0, "not judged", others[0]
    if share == 0:
        return share, "replaceable", others[0]
    return share, "wrong either way" if is_wrong(ids[place]) else "critical", others[0]


TURNS = [[(3, 10)], [(2, 5), (9, 14)], [(1, 8)], [(2, 6)]]
"""Of :data:`EXAMPLES`: start and end of each response."""


@pytest.mark.parametrize(("kind", "alternatives"), [("llama", 1), ("gemma3", 2)])
def test_scores_are_those_of_a_loop_over_the_plain_model(kind: TinyKind, alternatives: int) -> None:
    base, margin = loaded(kind), 2
    seen = set()
    results = scored(base, EXAMPLES, alternatives=alternatives, margin=margin)
    for example, turns, found in list(zip(EXAMPLES, TURNS, results, strict=True))[: None if kind == "llama" else 1]:
        ids, asked = example.input_ids.tolist(), example.is_response
        for start, end in turns:
            for place in range(start, end):
                if asked[place]:
                    want = by_hand(base.model, ids, place, (start, end), alternatives, margin)
                    what = want[1] if example.example_id == "gap" else found.outcome[place]  # what is excluded stands
                    assert (found.score[place], what, found.alternative[place]) == want, f"{example.example_id} {place}"
                    seen.add(want[1])
        assert np.isnan(found.score[: len(ids)][~asked]).all()
    assert {"replaceable", "critical", "wrong either way"} <= seen


@pytest.mark.parametrize("at_once", [1, 60])
def test_no_batch_and_no_company_changes_a_score(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base = loaded("qwen3")
    together = scored(base, EXAMPLES, margin=3)
    monkeypatch.setattr("xtf.model.continuations.TOKENS_AT_ONCE", at_once)
    for example, found in zip(EXAMPLES, together, strict=True):
        (alone,) = scored(base, [example], margin=3)
        for name in ("score", "outcome", "alternative"):
            np.testing.assert_array_equal(getattr(found, name)[: len(example)], getattr(alone, name))


def test_an_answer_that_grows_too_long_is_judged_as_it_stands() -> None:
    """It stops so many tokens behind what stands in the data, unless it has ended before."""
    base = loaded()
    signals = SignalPass(base, {Continuation(1, 0), Continuation(1, 7), TopTokens(1)}).run(
        TokenBatch.collate(EXAMPLES[:1])
    )
    short, long = (signals[Continuation(1, margin)][0] for margin in (0, 7))
    ended: list[bool] = []
    for place in range(3, 10):
        ids = long[place][long[place] >= 0].tolist()
        assert short[place][short[place] >= 0].tolist() == ids[: 10 - place]
        ended.append(ids[-1] == END)
        assert ended[-1] or len(ids) == 10 - place + 7
    assert set(ended) == {True, False}
    assert (short[:3] == -1).all()


def test_a_longest_text_is_heeded() -> None:
    base = loaded("gpt2")
    base.model.config.n_positions = 14
    (found,) = scored(base, EXAMPLES[:1], margin=50)
    assert np.isfinite(found.score[3:10]).all()
    signals = SignalPass(base, {Continuation(1, 50)}).run(TokenBatch.collate(EXAMPLES[:1]))[Continuation(1, 50)]
    assert max(place + int((signals[0, place] >= 0).sum()) for place in range(3, 10)) == 14


def test_what_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"attributes.critical_token.metric: .*no metric of that name.*'math'"):
        registry.build("critical_token", {"metric": "maths"})
    with pytest.raises(PluginError, match="unit_tests needs the tests of a row"):
        registry.build("critical_token", {"metric": "unit_tests"})
    base = loaded()
    monkeypatch.setattr(type(base.model), "can_generate", classmethod(lambda _: False))
    with pytest.raises(ModelError, match="LlamaForCausalLM: cannot write answers"):
        SignalPass(base, {Continuation()})


def test_words_for_each_outcome() -> None:
    scorer = registry.build("critical_token", {})
    assert scorer.describe_token(0.0, {"outcome": "replaceable", "alternative": " so"}) == (
        "the answer stays right with ' so' in its place"
    )
    assert scorer.describe_token(1.0, {"outcome": "critical", "alternative": "7"}) == (
        "the answer becomes wrong with '7' in its place"
    )
    assert "whether it or another token stands there" in scorer.describe_token(
        1.0, {"outcome": "wrong either way", "alternative": "7"}
    )
    assert "the metric math cannot judge" in scorer.describe_token(1.0, {"outcome": "not judged", "alternative": "7"})
    several = registry.build("critical_token", {"alternatives": 4})
    assert several.describe_token(0.5, {"outcome": "critical", "alternative": "7"}) == (
        "the answer becomes wrong with 50% of other tokens tried (first '7')"
    )
    assert several.default_cut() == {"kind": "below", "cut": 0.125}
