"""Sentences about a token have twelve words at most, whatever the scores, and say no more than is so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.explain.test_explain import explained
from tests.labelling.kinds import Above, Below, Outside
from tests.labelling.scored import shard
from xtf.attribute import registry
from xtf.config import CombineConfig
from xtf.noise import known_kinds

PARAMS: dict[str, list[dict[str, Any]]] = {
    "influence": [{}, {"method": "gradient", "target": {"share": 0.1}}],
    "reasoning_importance": [{}, {"variant": "released"}],
    "knowledge_novelty": [{}, {"reference": "other"}],
    "ss_token": [{"history": {"path": "other"}}],
}
SCORES = (-1e6, -2.5, -1e-7, 0.0, 1e-9, 0.2, 0.5, 1.0, 3.25, 1e6)
BUILT_IN = [name for name in registry.names() if registry.provider(name) == registry.provider("random")]


def words(text: str) -> int:
    """How many words a sentence has; a token's text, in quotation marks, is one."""
    return len(re.sub(r"(?<!\w)(['\"]).*?\1(?=[ .,;:)]|$)", "token", text).split())


def details(attribute: Any, seed: int) -> dict[str, str | float]:
    """Random details, as a run hands them on."""
    random, found = np.random.default_rng(seed), dict[str, str | float]()
    for name, detail in attribute.details().items():
        names = detail.names or [""]
        values = {"category": names[random.integers(len(names))], "token": " it's"}
        found[name] = values.get(detail.kind, float(random.random()))
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_an_attribute_says_of_a_score(name: str) -> None:
    for params in PARAMS.get(name, [{}]):
        attribute = registry.build(name, params)
        for score in SCORES if not attribute.is_probability else np.linspace(0, 1, 41).tolist():
            for seed in range(20 if attribute.details() else 1):
                said = attribute.describe_token(score, details(attribute, seed))
                assert words(said) <= 12, said
                assert "-0 " not in said, said


def test_kinds_of_mistakes_are_named_in_few_words() -> None:
    assert max(len(kind.label.split()) for kind in known_kinds().values()) <= 6


@pytest.mark.parametrize(
    "combine",
    [
        CombineConfig(),
        CombineConfig(rule="all"),
        CombineConfig(rule="any", min_kept=6),
        CombineConfig(rule="weighted", threshold=Below(cut=0.5)),
        CombineConfig(rule="weighted", threshold=Below(cut=0.5), max_noise_share=0.1),
    ],
)
@pytest.mark.parametrize("names", [["out_of_fold", "knowledge_novelty"], BUILT_IN[:16], ["random"]])
def test_why_a_token_is_masked_or_kept(names: list[str], combine: CombineConfig) -> None:
    random = np.random.default_rng(len(names))
    scores = {name: (random.random(60) * 10.0 ** random.integers(-3, 6)).astype(np.float32) for name in names}
    kinds = (Below, Above)
    cuts: dict[str, Any] = {
        name: kinds[place % 2](cut=float(np.quantile(scores[name], 0.4)))
        if place % 3
        else Outside(low=float(np.quantile(scores[name], 0.2)), high=float(np.quantile(scores[name], 0.8)))
        for place, name in enumerate(names)
    }
    example = {name: values.tolist() for name, values in scores.items()}
    _, found = explained(shard([example], protected=1), cuts, combine)
    for token in found.tokens:
        for one in token.sentence.split(". "):
            assert words(one) <= 12, one
        lacks = [verdict for verdict in token.verdicts if verdict.lacking]
        if token.combined is None and len(lacks) == 1:
            assert f"{lacks[0].value:.3g}"[:3] in token.sentence
