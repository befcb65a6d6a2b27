"""Arms that cut the run's scores in their own way: which tokens they learn, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xtf
from tests.conftest import tiny_config
from xtf.api import Run
from xtf.errors import ConfigError
from xtf.steps.labellings import labellings, rules_of_arms
from xtf.steps.preparing import Given
from xtf.steps.training import train_run
from xtf.training import labelled_rows

KEEP = 0.6
TRAINING = {"epochs": 1, "batch_size": 4, "lora": {"r": 2, "alpha": 4}}


def scored_config(folder: Path, model: Path, compared: list[str], **more: Any) -> dict[str, Any]:
    """Attributes ``influence`` and ``knowledge_novelty``; the first is a die, for arms only read scores."""
    attributes = {"influence": {"attribute": "random", "seed": 5}, "knowledge_novelty": {}}
    return tiny_config(folder, model, attributes=attributes, training={**TRAINING, "arms": compared}, **more)


def learnt(run: Run, arm: str) -> dict[str, np.ndarray[Any, Any]]:
    """By example id, the tokens that training as ``arm`` gives a weight."""
    examples, labelled = labellings(run, rules_of_arms(run, run.config))
    rows = labelled_rows(arm, examples, labelled, objective="mask", seed=0)
    return {row.example_id: row.weights > 0 for row in rows}


def tokens(run: Run) -> list[tuple[str, Any, Any, Any]]:
    """Each example's id, response mask, judged mask, and scores by name."""
    found = []
    for shard in run.shards():
        for index in range(len(shard)):
            one = shard.example(index)
            found.append((one.example_ids[0], one.is_response, one.candidates(), one.scores))
    return found


def smallest_kept(scores: np.ndarray[Any, Any], keep: float) -> float:
    return float(np.sort(scores)[int((1 - keep) * len(scores) + 1e-9)])


def test_token_cleaning_ranks_all_tokens_and_rho_those_of_an_example(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.label(xtf.score(scored_config(tmp_path, tiny_folder, ["token_cleaning", "rho"])))
    everything = tokens(run)
    of_all = smallest_kept(np.concatenate([scores["influence"][judged] for _, _, judged, scores in everything]), KEEP)
    globally, within = learnt(run, "token_cleaning"), learnt(run, "rho")
    differ = 0
    for example_id, is_response, judged, scores in everything:
        values = scores["influence"]
        here = smallest_kept(values[judged], KEEP)
        assert np.array_equal(globally[example_id], is_response & ~(judged & (values < of_all)))
        assert np.array_equal(within[example_id], is_response & ~(judged & (values < here)))
        differ += int((globally[example_id] != within[example_id]).sum())
    assert differ > 0


def test_arms_of_ones_own_use_the_attributes_they_name(tmp_path: Path, tiny_folder: Path) -> None:
    arms = {
        "novel": {"thresholds": {"knowledge_novelty": {"kind": "top_share", "keep": 0.3, "scope": "example"}}},
        "as_labelled": {"attributes": ["knowledge_novelty", "influence"]},
        "rho": {"thresholds": {"influence": {"kind": "top_share", "keep": 0.2, "scope": "example"}}},
        "both": {
            "attributes": ["influence", "knowledge_novelty"],
            "thresholds": {"knowledge_novelty": {"kind": "bottom_share", "share": 0.5}},
            "combine": {"rule": "all"},
        },
    }
    names = [*arms, "xtf"]
    run = xtf.label(xtf.score(scored_config(tmp_path, tiny_folder, names, arms=arms)))
    found = {name: learnt(run, name) for name in names}
    everything = tokens(run)
    middle = smallest_kept(
        np.concatenate([scores["knowledge_novelty"][judged] for _, _, judged, scores in everything]), 0.5
    )
    low = smallest_kept(np.concatenate([scores["influence"][judged] for _, _, judged, scores in everything]), 0.7)
    for example_id, is_response, judged, scores in everything:
        novelty, influence = scores["knowledge_novelty"], scores["influence"]
        cuts = {"novel": (novelty, 0.3), "rho": (influence, 0.2)}
        for name, (values, keep) in cuts.items():
            lacking = judged & (values < smallest_kept(values[judged], keep))
            assert np.array_equal(found[name][example_id], is_response & ~lacking), name
        assert np.array_equal(found["as_labelled"][example_id], found["xtf"][example_id])
        assert np.array_equal(
            found["both"][example_id], is_response & ~(judged & (novelty < middle) & (influence < low))
        )


def test_one_comparison_of_all_of_them(tmp_path: Path, tiny_folder: Path) -> None:
    arms = ["base", "full", "random", "inverted", "xtf", "token_cleaning", "rho", "random_of_rho"]
    run = xtf.run(scored_config(tmp_path, tiny_folder, arms))
    found = {arm["arm"]: arm for arm in run.metrics["arms"]}
    assert list(found) == arms
    assert {found[arm]["steps"] for arm in arms[1:]} == {3}
    for arm in ("token_cleaning", "rho", "random_of_rho", "xtf"):
        kept = {"random_of_rho": "rho"}.get(arm, arm)
        assert found[arm]["tokens_kept"] == sum(int(mask.sum()) for mask in learnt(run, kept).values())
    assert all(arm["held_out_loss"] is None and arm["exact_match"] is None for arm in found.values())
    assert json.loads((tmp_path / "run/model/rho-seed0/result.json").read_text())["held_out_loss"] is None
    assert xtf.evaluate(run) == run.metrics


def test_cutting_anew_needs_no_model(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = xtf.label(xtf.score(scored_config(tmp_path, tiny_folder, ["rho"])))

    def fail(*arguments: Any) -> Any:
        raise AssertionError("the model is loaded only to be trained")

    monkeypatch.setattr("xtf.steps.training.load_model", fail)
    assert set(learnt(run, "rho")) == {f"sum-{i}" for i in range(1, 13)}
    with pytest.raises(AssertionError, match="only to be trained"):
        train_run(run, run.config, Given())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attributes": {"random": {}}}, "training.arms: rho cuts the scores of 'influence', which .* not score. Add"),
        ({"training": {"arms": ["random_of_rho"]}, "attributes": {"random": {}}}, "random_of_rho cuts the scores of"),
        ({"training": {"arms": ["roh"]}}, "no arm named 'roh'. Did you mean 'rho'.* Known: base, full"),
        ({"training": {"arms": ["random_of_roh"]}}, "no arm named 'random_of_roh'"),
        ({"training": {"arms": ["rho", "rho"]}}, "training.arms: an arm is named twice"),
        ({"arms": {"xtf": {"attributes": ["influence"]}}}, "'xtf' cannot name an arm"),
        ({"arms": {"random_of_x": {"attributes": ["influence"]}}}, "'random_of_x' cannot name an arm"),
        ({"arms": {"mine": {}}}, "arms.mine: name the attributes it uses, or give thresholds"),
        ({"arms": {"mine": {"attributes": ["influense"]}}}, "arms.mine.attributes: no attribute .*mean 'influence'"),
        (
            {"arms": {"mine": {"attributes": ["influence"], "combine": {"weights": {"x": 1.0}}}}},
            "arms.mine.combine.weights.x: no attribute of that name",
        ),
        (
            {"arms": {"mine": {"attributes": ["influence"], "thresholds": {"knowledge_novelty": {"kind": "never"}}}}},
            "thresholds.knowledge_novelty: not among its attributes",
        ),
        (
            {"arms": {"mine": {"thresholds": {"influence": {"kind": "top_shar", "keep": 1}}}}},
            "arms.mine.thresholds.influence.kind: no cut named 'top_shar'. Did you mean 'top_share'",
        ),
        (
            {"arms": {"mine": {"thresholds": {"influence": {"kind": "top_share", "kep": 1}}}}},
            "arms.mine.thresholds.influence.keep: required",
        ),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, tiny_folder: Path, changes: dict[str, Any], words: str) -> None:
    config = {**scored_config(tmp_path, tiny_folder, ["rho"]), **changes}
    with pytest.raises(ConfigError, match=words):
        xtf.load_config(config)


def test_a_cut_that_the_scores_do_not_allow_names_its_arm(tmp_path: Path, tiny_folder: Path) -> None:
    arms = {"mine": {"attributes": ["influence"], "combine": {"rule": "vote", "votes": 2}}}
    run = xtf.label(xtf.score(scored_config(tmp_path, tiny_folder, ["mine"], arms=arms)))
    with pytest.raises(ConfigError, match=r"arms\.mine\.combine\.votes: 2 attributes must lack"):
        xtf.train(run)
