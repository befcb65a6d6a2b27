"""XTF as published, end to end on rows of ids, against a rewrite from plain transformers and NumPy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from xtf_attributes.reasoning_importance import ReasoningImportanceParams

import xtf
from tests.conftest import write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer

Floats = NDArray[np.float64]

RELEASED = yaml.safe_load(Path("configs/xtf-released.yaml").read_text())
TEXTS = [
    ("Maria has three apples and buys five more. How many apples does she have now?", "She has 3 + 5 = 8 apples now."),
    ("The train leaves at noon. Which one is faster?", "The answer is the one at three in the afternoon, at 15 * 1."),
    ("What is 2 * 6?", "2 * 6 = 12. The answer is 12, and the next one is 12 + 2 = 14, so the answer is 14."),
]


def rows() -> list[tuple[list[int], int]]:
    """Ids of prompt and answer one after the other, no template; and where the answer begins."""
    tokenizer: Any = tiny_tokenizer()
    split = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in TEXTS]
    return [(prompt + answer, len(prompt)) for prompt, answer in split]


def mean_attention_paid(ids: list[int]) -> Floats:
    """The published importance: in the first layer, mean over heads, then over the keys of each row."""
    with torch.no_grad():
        model = tiny_model()
        model.set_attn_implementation("eager")
        output: Any = model(torch.tensor([ids]), output_attentions=True)
    return np.asarray(output.attentions[0][0].mean(0).mean(-1).double(), np.float64)


def novelty(model: Any) -> list[Floats]:
    found = []
    for ids, start in rows():
        with torch.no_grad():
            share = model(torch.tensor([ids])).logits[0].double().softmax(-1)
        found.append(1.0 - np.array([float(share[i - 1, ids[i]]) for i in range(start, len(ids))]))
    return found


def relevance(model: Any) -> list[Floats]:
    """Prompts and answers: 1 - min-max normalised cosine distance to the words' mean, by a text's first token."""
    tokenizer: Any = tiny_tokenizer()

    def state(token: int) -> Floats:
        with torch.no_grad():
            output = model(torch.tensor([[token]]), output_hidden_states=True)
        return np.asarray(output.hidden_states[-1][0, 0].double(), np.float64)

    words = [
        tokenizer(word, add_special_tokens=False)["input_ids"]
        for word in RELEASED["attributes"]["task_relevance"]["words"]
    ]
    centre = np.mean([np.mean([state(i) for i in word], axis=0) for word in words], axis=0)
    by_text: dict[str, float] = {}
    spelled = {}
    for ids, _ in rows():
        for token in ids:
            text = spelled[token] = tokenizer.decode([token]).strip()
            if text not in by_text:
                own = state(token)
                by_text[text] = 1.0 - float(own @ centre / np.linalg.norm(own) / np.linalg.norm(centre))
    low, high = min(by_text.values()), max(by_text.values())
    return [np.array([1.0 - (by_text[spelled[i]] - low) / (high - low) for i in ids]) for ids, _ in rows()]


def below(scores: Floats, cut: float, share: float) -> NDArray[np.bool_]:
    """Strictly below the cut and below the score that so large a share of the answer lies under."""
    return np.asarray(scores < min(cut, np.sort(scores)[int(share * len(scores))]), np.bool_)


def lowest_threshold(scores: Floats) -> float:
    """Of Otsu's for three classes over 256 bins: the split with the least variance within classes, by trying all."""
    counts, edges = np.histogram(scores, 256)
    centres = (edges[1:] + edges[:-1]) / 2

    def within(part: slice) -> float:
        total = counts[part].sum()
        return (
            float((counts[part] * (centres[part] - (counts[part] @ centres[part]) / total) ** 2).sum())
            if total
            else 0.0
        )

    some = np.flatnonzero(counts)[:-1].tolist()
    splits = [(a, b) for a in some for b in some if a < b]
    best = min(
        splits,
        key=lambda s: within(slice(0, s[0] + 1)) + within(slice(s[0] + 1, s[1] + 1)) + within(slice(s[1] + 1, 256)),
    )
    return float(edges[best[0] + 1])


def test_scores_and_masks_are_those_of_the_published_code(tmp_path: Path, tiny_folder: Path) -> None:
    data = [{"input_ids": ids, "labels": [-100] * start + ids[start:]} for ids, start in rows()]
    thresholds = dict(RELEASED["thresholds"])
    thresholds["knowledge_novelty"] = {**thresholds["knowledge_novelty"], "cut": 0.99}  # a random model is never sure
    thresholds["task_relevance"] = {**thresholds["task_relevance"], "classes": 3}
    config = {
        **{key: RELEASED[key] for key in ("attributes", "combine", "scoring")},
        "thresholds": thresholds,
        "output": str(tmp_path / "run"),
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {"path": str(write_jsonl(tmp_path / "rows.jsonl", data))},
    }
    run = xtf.label(xtf.score(config))
    novel, everywhere = novelty(tiny_model()), relevance(tiny_model())
    relevant = [scores[start:] for scores, (_, start) in zip(everywhere, rows(), strict=True)]
    edge = lowest_threshold(np.concatenate(everywhere))
    assert edge != lowest_threshold(np.concatenate(relevant)), (
        "prompts move no threshold, so this shows nothing of them"
    )
    ((low, high),) = run.rules.cuts["task_relevance"].fixed or ()
    assert low == -np.inf
    assert high == pytest.approx(edge, abs=1e-5)
    ((shard, labels),) = list(run.labelled())
    masked = np.zeros(3, int)
    for place, (first, stop) in enumerate(pairwise(shard.offsets.tolist())):
        ids, start = rows()[place]
        here = slice(first + start, stop)
        found = {name: scores[here] for name, scores in shard.scores.items()}
        np.testing.assert_allclose(found["knowledge_novelty"], novel[place], atol=1e-4)
        np.testing.assert_allclose(found["task_relevance"], relevant[place], atol=1e-4)
        np.testing.assert_array_equal(found["reasoning_importance"], np.float32(1.0 / len(ids)))
        np.testing.assert_allclose(mean_attention_paid(ids), 1.0 / len(ids), atol=1e-7)
        want = [
            np.zeros(len(ids) - start, np.bool_),  # nothing lies below the fence of a constant
            below(novel[place], 0.99, 0.1),
            below(relevant[place], edge, 0.05),
        ]
        for bit, lacking in enumerate(want):
            assert np.array_equal(labels.lacking[here] >> bit & 1, lacking), (place, bit)
            masked[bit] += lacking.sum()
        assert np.array_equal(labels.noise[here], np.any(want, axis=0))
    assert masked[1] > 0
    assert masked[2] > 0


def test_layers_are_refused_where_none_is_read() -> None:
    with pytest.raises(ValueError, match="variant released reads no attention"):
        ReasoningImportanceParams(variant="released", layers=(0,))
