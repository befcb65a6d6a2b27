"""The words of the four domains, and the parameter that names them."""

from __future__ import annotations

import re

import pytest
from xtf_attributes.task_relevance import TaskRelevanceParams
from xtf_attributes.task_relevance.words import WORDS

from xtf.attribute import registry
from xtf.errors import PluginError


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
