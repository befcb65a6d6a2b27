"""Lists, numbers and keys as people write them: each is taken as meant, or answered by the right spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import xtf
from tests.conftest import write_jsonl
from xtf.attribute import registry
from xtf.config import DataConfig
from xtf.data.sources import find_sources
from xtf.errors import ConfigError, DataError

BASE: dict[str, Any] = {
    "output": "unused",
    "model": {"path": "m"},
    "data": {"path": "d.jsonl"},
    "attributes": ["knowledge_novelty", "random"],
    "training": {},
}

TAKEN = {
    "training.seeds=0,1": (0, 1),
    "training.seeds=(0, 1)": (0, 1),
    "training.seeds=0 1": (0, 1),
    "training.seeds=3": (3,),
    "training.seeds=0,": (0,),
    "training.arms=full,xtf": ("full", "xtf"),
    "training.arms=('full', 'xtf')": ("full", "xtf"),
    "training.arms=full": ("full",),
    "training.report_to=wandb, tensorboard": ("wandb", "tensorboard"),
    "training.lora.target_modules=q_proj,v_proj": ("q_proj", "v_proj"),
    "training.lora.target_modules=.*[.](q|v)_proj": ".*[.](q|v)_proj",
    "evaluation.metrics=yes_no,choice": ("yes_no", "choice"),
    "evaluation.metrics=choice": ("choice",),
    "evaluation.metrics=auto": "auto",
    "arms.mine.attributes=random": ("random",),
    "attributes=random,knowledge_novelty": {"random": {}, "knowledge_novelty": {}},
    "attributes.random.seed=3": 3,
    "data.path=a, b.jsonl": "a, b.jsonl",
}

ANSWERED = {
    "training.seeds=0-2": r"training\.seeds: cannot be '0-2'\. Write every value: \[0,1,2\]",
    "training.seeds=range(2)": r"Write every value: \[0,1\]",
    "training.seeds=None": r"training\.seeds\.0: expected a whole number, got 'None'\. For none at all: null$",
    "training.seeds=[]": "at least one value is needed",
    "training.seed=0": r"training\.seed: unknown key 'seed'\. Did you mean 'seeds'",
    "training.SEEDS=0": "Did you mean 'seeds'",
    "training.lr=1e-4": "Did you mean 'learning_rate'",
    "training.batch-size=4": "Did you mean 'batch_size'",
    "attribute=random": "Did you mean 'attributes'",
    "threshold.random.share=0.1": "Did you mean 'thresholds'",
    "evaluation.metric=choice": "Did you mean 'metrics'",
    "evaluation.metrics=choices": "no metric named 'choices'. Did you mean 'choice'",
    "data.limit=1,000": r"expected a whole number, got '1,000'\. Write 1000",
    "data.limit=1k": "Write 1000",
    "data.limit=1e3": "Write 1000",
    "training.learning_rate=0,0001": r"expected a number, got '0,0001'\. Write 0\.0001",
    "model=other": r"model: expected a section of keys and values, got 'other'\. Its keys: path, ",
    "data.path=5": r"data\.path: expected a text, got 5; or expected a list",
    "evaluation.metrics=null": r"evaluation\.metrics: cannot be null\. Allowed: auto; or expected a list",
}


@pytest.mark.parametrize("override", TAKEN)
def test_it_is_taken_as_meant(override: str) -> None:
    value: Any = xtf.load_config(BASE, [override])
    for key in override.partition("=")[0].split("."):
        value = value[key] if isinstance(value, dict) else getattr(value, key)
    assert value == TAKEN[override]


@pytest.mark.parametrize("override", ANSWERED)
def test_it_is_answered_by_the_right_spelling(override: str) -> None:
    with pytest.raises(ConfigError, match=ANSWERED[override]):
        xtf.load_config(BASE, [override])


def test_a_single_text_is_one_override() -> None:
    assert (
        xtf.load_config(BASE, "training.seeds=0,1").training == xtf.load_config(BASE, ["training.seeds=[0,1]"]).training
    )


def test_yaml_may_hold_a_single_value_where_a_list_is_meant() -> None:
    training = xtf.load_config({**BASE, "training": {"arms": "full, xtf", "seeds": 7}}).training
    assert training is not None
    assert (training.arms, training.seeds) == (("full", "xtf"), (7,))


def test_parameters_of_scorers_are_read_alike() -> None:
    assert registry.build("token_seek", {"layers": "(-1, -2)"}).params.layers == (-1, -2)
    assert registry.build("token_seek", {"layers": "all"}).params.layers == "all"
    assert registry.build("token_seek", {"layers": -3}).params.layers == (-3,)


def test_several_files_in_one_text_are_answered_by_a_list(tmp_path: Path) -> None:
    one, two = (write_jsonl(tmp_path / name, [{"prompt": "a", "response": "b"}]) for name in ("a.jsonl", "b.jsonl"))
    with pytest.raises(DataError, match=rf"Several files are a list: data\.path=\[{one},{two}\]$"):
        find_sources(DataConfig(path=f"{one}, {two}"))


@pytest.mark.parametrize(
    "thresholds",
    [{"random": {"kind": "\ud800"}}, {"random": {"kind": ["\udc00\ud800"]}}, {"\ud800": {"kind": "never"}}],
    ids=["kind", "list", "attribute"],
)
def test_half_a_character_is_named_and_breaks_nothing(thresholds: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"thresholds\."):
        xtf.load_config({**BASE, "thresholds": thresholds})
