"""Whole studies with a tiny model: comparable arms, resumption, failures, choices, curves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xtf
from tests.conftest import Cli, write_config
from tests.studies.conftest import MakeStudy
from xtf import api
from xtf.errors import ConfigError, ModelError
from xtf.files import read_sealed
from xtf.training import train_model
from xtf.training.loop import MaskedTrainer


def results(study: dict[str, Any], setting: str = "planted") -> dict[str, dict[str, Any]]:
    """Folder name to what ``result.json`` says of a training."""
    found = sorted((Path(study["output"]) / setting / "arms").glob("*/result.json"))
    return {path.parent.name: json.loads(path.read_text())["facts"] for path in found}


def untimed(value: Any) -> Any:
    """What a study found, without how long it took, where it lies, and how it was cut by interruptions."""
    if isinstance(value, dict):
        left_out = ("seconds", "output")
        return {key: untimed(inner) for key, inner in value.items() if key not in left_out}
    return [untimed(inner) for inner in value] if isinstance(value, list) else value


def losses(study: dict[str, Any], name: str, setting: str = "planted") -> np.ndarray[Any, Any]:
    """The held-out losses that a training has left, end to end."""
    path = Path(study["output"]) / setting / "arms" / name / "losses.npz"
    with np.load(io.BytesIO(read_sealed(path))) as arrays:
        return np.array(arrays["held_out"])


def test_arms_are_comparable_by_what_was_written(make_study: MakeStudy) -> None:
    study = make_study(controls=["base", "full", "random", "inverted", "oracle"], seeds=[0, 1])
    found = xtf.study(study)
    written = results(study)
    arms = ["full", "oracle", "novelty", "random_of_novelty", "inverted_of_novelty"]
    assert sorted(written) == sorted(["base", *(f"{arm}-seed{seed}" for arm in arms for seed in (0, 1))])
    trained = [facts for name, facts in written.items() if name != "base"]
    assert len({facts["start"] for facts in written.values()}) == 1
    assert len({facts["rows"] for facts in trained}) == 1
    assert {facts["updates"] for facts in trained} == {3}
    for seed in (0, 1):
        orders = {tuple(facts["order"]) for facts in trained if facts["seed"] == seed}
        assert len(orders) == 1
        assert sorted(orders.pop()) == list(range(12))
    assert written["full-seed0"]["order"] != written["full-seed1"]["order"]
    learnt = {name: facts["tokens_learnt"] for name, facts in written.items() if name != "base"}
    assert learnt["novelty-seed0"] == learnt["random_of_novelty-seed0"] == learnt["inverted_of_novelty-seed1"]
    assert learnt["oracle-seed0"] < learnt["full-seed0"] == trained[0]["tokens_response"]
    setting = found["settings"][0]
    assert setting["fair"] == {"start": True, "rows": True, "order": True, "updates": True}
    assert [arm["arm"] for arm in setting["arms"]] == ["base", *arms]
    assert found["trainings"] == {"planned": 11, "done": 11, "failed": 0}

    _check_figures(study, setting)


def _check_figures(study: dict[str, Any], setting: dict[str, Any]) -> None:
    """The figures are those of the losses on disk."""
    by_seed = [
        losses(study, f"random_of_novelty-seed{seed}").astype(float).mean()
        - losses(study, f"novelty-seed{seed}").astype(float).mean()
        for seed in (0, 1)
    ]
    assert setting["contrasts"][0]["gain"]["value"] == pytest.approx(np.mean(by_seed), rel=1e-6)
    full = next(arm for arm in setting["arms"] if arm["arm"] == "full")
    assert full["held_out"]["mean"] == pytest.approx(
        np.mean([losses(study, f"full-seed{seed}").astype(float).mean() for seed in (0, 1)]), rel=1e-6
    )
    assert setting["planted"]["wrong_share"] > 0.05
    own = next(arm for arm in setting["arms"] if arm["arm"] == "novelty")
    assert own["learnt"]["mean"] != own["held_out"]["mean"]
    assert setting["retention"]["texts"] > 20


class Stop(BaseException):
    """Ends a study as a signal would."""


def test_an_interrupted_study_ends_as_one_that_was_not(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"training": {"save_steps": 1}}
    whole, cut = make_study("whole", changes=changes), make_study("cut", changes=changes)
    expected = xtf.study(whole)
    steps = 0
    step = MaskedTrainer.training_step

    def stopping(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 10:  # the trial has 2, full and oracle 3 each: it is the second of novelty
            raise Stop
        return step(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MaskedTrainer, "training_step", stopping)
        with pytest.raises(Stop):
            xtf.study(cut)
    done = results(cut)
    assert sorted(done) == ["base", "full-seed0", "oracle-seed0"]
    assert (Path(cut["output"]) / "planted/arms/novelty-seed0/checkpoints/checkpoint-1").is_dir()
    before = {path: path.stat().st_mtime_ns for path in Path(cut["output"]).rglob("result.json")}
    found = xtf.study(cut)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert untimed(found) == untimed(expected)
    for name in results(whole):
        assert np.array_equal(losses(whole, name), losses(cut, name)), name


def test_a_failure_does_not_lose_the_other_arms(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study()

    def failing(model: Any, tokenizer: Any, rows: Any, config: Any, job: Any) -> Any:
        if job.output_dir.name == "novelty-seed0":
            raise ModelError("training diverged")
        return train_model(model, tokenizer, rows, config, job)

    with monkeypatch.context() as patched:
        patched.setattr("xtf.studies.running.train_model", failing)
        found = xtf.study(study)
    assert [(one["arm"], one["why"]) for one in found["failed"]] == [("novelty", "training diverged")]
    setting = found["settings"][0]
    assert {arm["arm"] for arm in setting["arms"] if arm["seeds"]} == {"base", "full", "oracle", "random_of_novelty"}
    assert setting["contrasts"] == []
    again = xtf.study(study)
    assert again["failed"] == []
    assert [one["arm"] for one in again["settings"][0]["contrasts"]] == ["novelty"]


def test_candidates_are_chosen_on_rows_that_do_not_judge(make_study: MakeStudy) -> None:
    cuts = [{"knowledge_novelty": {"kind": "bottom_share", "share": share}} for share in (0.1, 0.8)]
    study = make_study(arms={"novelty": {"candidates": cuts}}, development=0.5, controls=["full", "random"])
    setting = xtf.study(study)["settings"][0]
    assert setting["held_out"]["rows"] == setting["held_out"]["development"] == 4
    held_out = api.load_config(study["config"]).evaluation.path
    examples = list(_held_out(study, str(held_out)))
    part = np.random.default_rng(0).permutation(8)[:4]
    tokens = [int(example.is_response.sum()) for example in examples]
    mine = {
        name: np.concatenate(
            [np.split(losses(study, f"{name}-seed0"), np.cumsum(tokens)[:-1])[row] for row in part]
        ).mean()
        for name in ("novelty_cut1", "novelty_cut2")
    }
    best = min(mine, key=lambda name: mine[name])
    assert setting["chosen"] == {"novelty": best}
    written = results(study)
    assert written["random_of_novelty-seed0"]["candidate"] == best
    assert written["novelty-seed0"]["tokens_learnt"] == written[f"{best}-seed0"]["tokens_learnt"]
    assert np.array_equal(losses(study, "novelty-seed0"), losses(study, f"{best}-seed0"))


def _held_out(study: dict[str, Any], path: str) -> Any:
    from xtf.data import DataReport, read_examples
    from xtf.model import load_tokenizer

    config = api.load_config(study["config"])
    source = config.data.model_copy(update={"path": path})
    return read_examples(source, load_tokenizer(config.model), DataReport())


def test_a_curve_masks_the_same_number_of_tokens_at_each_end_and_at_random(make_study: MakeStudy) -> None:
    curve = {"scores": ["knowledge_novelty"], "shares": [0.1, 0.4]}
    study = make_study(arms={}, curve=curve, controls=["full", "random", "oracle"])
    setting = xtf.study(study)["settings"][0]
    written = results(study)
    run = api.open_run(Path(study["output"]) / "planted" / "run")
    shards = list(run.shards())
    judged = int(sum(shard.candidates().sum() for shard in shards))
    whole = written["full-seed0"]["tokens_learnt"]
    for percent in (10, 40):
        for name in (f"curve_worst_knowledge_novelty_{percent}", f"curve_best_knowledge_novelty_{percent}"):
            assert whole - written[f"{name}-seed0"]["tokens_learnt"] == round(percent / 100 * judged)
        assert whole - written[f"curve_chance_{percent}-seed0"]["tokens_learnt"] == round(percent / 100 * judged)
    assert [(one["masked"], one["share"]) for one in setting["curve"]] == [
        *(("worst", 0.1), ("best", 0.1), ("worst", 0.4), ("best", 0.4))
    ]
    assert setting["contrasts"] == []
    assert not (Path(study["output"]) / "planted" / "arms" / "xtf-seed0").exists()


def test_settings_differ_by_their_changes_and_arithmetic_is_answered(make_study: MakeStudy) -> None:
    settings = {
        "kept": {"changes": {"training": {"normalise": "kept"}}},
        "sums": {"arithmetic": {"rows": 8, "held_out": 4}, "changes": {"evaluation": {"max_new_tokens": 4}}},
    }
    study = make_study(settings=settings)
    found = {setting["name"]: setting for setting in xtf.study(study)["settings"]}
    assert found["kept"]["training"]["normalise"] == "kept"
    assert [arm["arm"] for arm in found["kept"]["arms"]] == ["base", "full", "novelty", "random_of_novelty"]
    assert found["kept"]["gap"] is None
    assert (found["sums"]["rows"], found["sums"]["held_out"]["rows"]) == (8, 4)
    assert found["sums"]["metric"] == "mathematics"
    assert found["sums"]["answers_above_floor"] is False
    assert any("nearly all wrong" in line for line in found["sums"]["verdict"])


def test_an_arm_from_a_file_brings_its_attributes(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    base = json.loads(Path(study["config"]).read_text())
    other = write_config(
        tmp_path / "other.yaml",
        {
            **base,
            "attributes": {"random": {"seed": 9}, "knowledge_novelty": {}, "dft": {}},
            "thresholds": {
                "random": {"kind": "bottom_share", "share": 0.2},
                "knowledge_novelty": {"kind": "never"},
                "dft": {"kind": "never"},
            },
            "combine": {"rule": "weighted", "weights": {"random": 2.0, "dft": 0.5}, "weight_by": "dft"},
            "training": {**base["training"], "objective": "weight"},
        },
    )
    study["arms"] = {"other": {"config": str(other)}, **study["arms"]}
    plan = api.plan_study(study)
    config = plan.settings["planted"].config
    assert list(config.attributes) == ["knowledge_novelty", "random", "random_of_other", "dft"]
    assert config.attributes["random_of_other"]["seed"] == 9
    arm = config.arms["other"]
    assert set(arm.used) == {"random_of_other", "knowledge_novelty", "dft"}
    assert arm.combine.weight_by == "dft"
    assert arm.combine.attributes_named()["weights.random_of_other"] == "random_of_other"
    assert plan.settings["planted"].objectives == {"other": "weight", "novelty": "mask"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": {"full": {"attributes": ["random"]}}}, "arms: 'full' is a name of XTF's own"),
        ({"arms": {"a": {}}}, "arms.a: name a config, the attributes it uses, or give thresholds"),
        ({"arms": {"a": {"attributes": ["rndom"]}}}, "arms.a.attributes: no attribute .*Did you mean 'random'"),
        ({"arms": {}}, "arms: name at least one, or give a curve"),
        ({"controls": ["full"]}, "controls: random cannot be left out"),
        ({"seeds": [1, 1]}, "seeds: one is named twice"),
        ({"changes": {"training": None}}, "training: required, but not given: a study trains every arm"),
        ({"changes": {"evaluation": {"path": None}}}, "evaluation.path: required"),
        ({"curve": {"scores": ["entropy"]}}, "the curve asks for 'entropy'"),
        ({"setings": {}}, "unknown key 'setings'. Did you mean 'settings'"),
    ],
)
def test_mistakes_are_named_before_anything_is_done(make_study: MakeStudy, changes: dict[str, Any], words: str) -> None:
    study = make_study(**changes)
    with pytest.raises(ConfigError, match=words):
        api.plan_study(study)
    assert not Path(study["output"]).exists()


def test_the_command_says_its_plan_goes_on_and_fits_a_terminal(make_study: MakeStudy, cli: Cli, tmp_path: Path) -> None:
    path = write_config(tmp_path / "study.yaml", make_study())
    planned = cli("study", path, "--plan")
    assert planned.code == 0
    assert "5 trainings" in planned.out
    assert not (tmp_path / "study").exists()
    first = cli("study", path)
    assert first.code == 0, first.err
    assert "by a trial of 2 updates" in first.err
    assert "[5/5] planted, random_of_novelty, seed 0" in first.err
    assert "One seed was trained" in " ".join(first.out.split())
    page = [line for line in first.out.splitlines() if "read it all" not in line]
    assert max(len(line.rstrip()) for line in page) <= 80
    assert (tmp_path / "study" / "study.html").is_file()
    assert "5 done" in cli("study", path, "--plan").out
    again = cli("study", path, "--json")
    assert json.loads(again.out) == json.loads((tmp_path / "study" / "study.json").read_text())
