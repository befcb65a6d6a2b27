"""The words of the four domains, and the parameter that names them."""

from __future__ import annotations

import re

import pytest
from xtf_attributes.task_relevance import TaskRelevanceParams
from xtf_attributes.task_relevance.words import WORDS

import xtf
from xtf.attribute import registry
from xtf.errors import ConfigError, PluginError


def test_every_domain_that_can_be_named_has_words_of_its_own() -> None:
    schema = TaskRelevanceParams.model_json_schema()["properties"]["domain"]["anyOf"][0]
    assert set(schema["enum"]) == set(WORDS)
    for domain, words in WORDS.items():
        assert len(words) >= 50, domain
        assert len(set(words)) == len(words), domain
        assert all(re.fullmatch(r"[a-z]+", word) for word in words), domain
        others = set().union(*(set(WORDS[other]) for other in WORDS if other != domain))
        assert len(set(words) & others) < len(words) / 8, domain


@pytest.mark.parametrize("other", [{"words": ["sum"]}, {"examples": "task.jsonl"}])
def test_one_source_of_prototypes(other: dict[str, object]) -> None:
    with pytest.raises(PluginError, match="give one of words, domain and examples"):
        registry.build("task_relevance", {"domain": "code", **other})


@pytest.mark.parametrize("place", ["thresholds", "arms.other.thresholds"])
@pytest.mark.parametrize(
    ("attribute", "scored"),
    [
        ({"knowledge_novelty": {}}, False),
        ({"task_relevance": {}}, False),
        ({"task_relevance": {"variant": "released", "prompts": False}}, False),
        ({"task_relevance": {"prompts": True}}, True),
        ({"task_relevance": {"variant": "released"}}, True),
    ],
)
def test_a_cut_over_prompts_needs_an_attribute_that_scores_them(
    place: str, attribute: dict[str, dict[str, object]], scored: bool
) -> None:
    (name,) = attribute
    section = {"thresholds": {name: {"kind": "bottom_share", "share": 0.1, "over": "prompts_and_responses"}}}
    rest = {"arms": {"other": section}} if place.startswith("arms") else section
    config = {"model": {"path": "model"}, "data": {"path": "data.jsonl"}, "attributes": attribute, **rest}
    if scored:
        xtf.load_config(config)
        return
    with pytest.raises(ConfigError, match=rf"{place}\.{name}\.over: .* this attribute has none") as caught:
        xtf.load_config(config)
    assert len(caught.value.problems) == 1
