"""A run against a truth file: through files and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import xtf
from tests.conftest import Cli, chat_rows, tiny_config, write_jsonl
from xtf.api import Run
from xtf.errors import ConfigError, DataError


@pytest.fixture
def planted(tmp_path: Path, tiny_folder: Path) -> Run:
    source = write_jsonl(tmp_path / "clean.jsonl", chat_rows(14))
    xtf.plant(
        source, tmp_path / "noisy.jsonl", rate=0.25, kinds=["digits", "spelling", "uniform"], model=str(tiny_folder)
    )
    config = tiny_config(tmp_path, tiny_folder)
    config["data"]["path"] = str(tmp_path / "noisy.jsonl")
    return xtf.run(config)


def test_the_figures_are_those_of_the_files(planted: Run, tmp_path: Path) -> None:
    found = xtf.detect(planted, tmp_path / "noisy.truth.jsonl")
    assert found == json.loads((planted.path / "detection.json").read_text())
    truth = {
        row["id"]: row["tokens"] for row in map(json.loads, (tmp_path / "noisy.truth.jsonl").read_text().splitlines())
    }
    wrong, score, masked = [], [], []
    for shard in planted.shards():
        for i in range(len(shard)):
            one = shard.example(i)
            explained = planted.explain(one.example_ids[0]).tokens
            kinds = truth[one.example_ids[0]]
            for kind, at in zip(kinds, np.flatnonzero(one.is_response), strict=True):
                if not one.is_protected[at]:
                    wrong.append(kind is not None)
                    score.append(one.scores["knowledge_novelty"][at])
                    masked.append(explained[at].noise)
    assert found["tokens"] == len(wrong)
    assert found["wrong"] == sum(wrong) > 10
    rows = {row["name"]: row for row in found["found"]}
    assert rows["knowledge_novelty"]["auroc"]["value"] == pytest.approx(roc_auc_score(wrong, -np.array(score)))
    assert rows["labels"]["masked"] == sum(masked)
    assert rows["labels"]["masked_wrong"] == sum(w and m for w, m in zip(wrong, masked, strict=True))
    assert set(rows) == {"knowledge_novelty", "reasoning_importance", "random", "labels", "position"}


def test_every_other_labelling_of_the_configuration_is_judged(planted: Run, tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    config["data"]["path"] = str(tmp_path / "noisy.jsonl")
    cuts = {"knowledge_novelty": {"kind": "bottom_share", "share": 0.3}}
    run = xtf.run({**config, "arms": {"novelty": {"attributes": ["knowledge_novelty"], "thresholds": cuts}}})
    row = next(row for row in xtf.detect(run, tmp_path / "noisy.truth.jsonl")["found"] if row["name"] == "arms.novelty")
    alone = xtf.label(
        run,
        [
            "thresholds.knowledge_novelty={kind: bottom_share, share: 0.3}",
            *(f"thresholds.{n}={{kind: never}}" for n in ("reasoning_importance", "random")),
        ],
    )
    rows = {row["name"]: row for row in xtf.detect(alone, tmp_path / "noisy.truth.jsonl")["found"]}
    for key in ("auroc", "precision", "recall", "masked", "masked_wrong"):
        assert row[key] == rows["labels"][key]


def test_the_example_shown_is_the_most_telling(planted: Run, tmp_path: Path) -> None:
    found = xtf.detect(planted, tmp_path / "noisy.truth.jsonl")
    truth = {
        row["id"]: row["tokens"] for row in map(json.loads, (tmp_path / "noisy.truth.jsonl").read_text().splitlines())
    }
    value: dict[str, tuple[bool, int]] = {}
    for example, kinds in truth.items():
        tokens = [token for token in planted.explain(example).tokens if token.is_response]
        pairs = [(kind, token.noise) for kind, token in zip(kinds, tokens, strict=True) if not token.is_protected]
        hit = [kind for kind, noise in pairs if kind is not None and noise]
        wrongly = sum(noise for kind, noise in pairs if kind is None)
        missed = sum(not noise for kind, noise in pairs if kind is not None)
        if hit:
            value[example] = ("digits" in hit, len(hit) - 2 * wrongly - missed)
    assert value[found["example"]] == max(value.values())


def test_the_command_prints_a_table_or_json(cli: Cli, planted: Run, tmp_path: Path) -> None:
    truth = tmp_path / "noisy.truth.jsonl"
    done = cli("evaluate", planted.path, "--truth", truth)
    assert done.code == 0, done.err
    assert "wrong tokens," in done.out
    assert "position alone" in done.out
    assert "a random token" in done.out
    spans = cli("evaluate", planted.path, "--truth", truth, "--grain", "span", "--json")
    assert json.loads(spans.out)["found"][0]["judged_by"] == "worst token"
    assert cli("evaluate", planted.path, "--truth", truth, "--grain", "word").code == 2
    assert cli("evaluate", planted.path, "--truth", truth, "--set", "evaluation.limit=2").code == 2


def test_annotations_of_people_by_text(planted: Run, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "noisy.jsonl").read_text().splitlines()]
    answer = rows[0]["messages"][-1]["content"]
    own = write_jsonl(
        tmp_path / "own.jsonl", [{"prompt": "?", "response": answer, "bad": [[0, 2]], "unknown": [[3, 5]]}]
    )
    found = xtf.detect(planted, own)
    assert found["examples"] == 1
    assert found["examples_without_truth"] == 13
    assert found["wrong"] >= 1


def test_a_truth_of_other_data_is_refused(planted: Run, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [{"id": "elsewhere", "response": "x", "bad": []}])
    with pytest.raises(DataError, match="speaks of no example of"):
        xtf.detect(planted, other)


def test_a_run_that_is_only_scored(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.score(tiny_config(tmp_path, tiny_folder))
    truth = write_jsonl(tmp_path / "truth.jsonl", [{"id": "sum-1", "bad": [[0, 3]]}])
    assert "labels" not in {row["name"] for row in xtf.detect(run, truth)["found"]}


def test_the_oracle_learns_all_but_what_is_wrong(tmp_path: Path, tiny_folder: Path) -> None:
    source = write_jsonl(tmp_path / "clean.jsonl", chat_rows(14))
    xtf.plant(source, tmp_path / "noisy.jsonl", rate=0.25, kinds=["digits", "uniform"], model=str(tiny_folder))
    held_out = write_jsonl(tmp_path / "held-out.jsonl", chat_rows(20)[14:])
    training = {"arms": ["base", "full", "oracle", "random_of_oracle", "xtf"], "max_steps": 2, "batch_size": 4}
    config = tiny_config(
        tmp_path,
        tiny_folder,
        truth=str(tmp_path / "noisy.truth.jsonl"),
        training=training,
        evaluation={"path": str(held_out), "exact_match": False},
    )
    config["data"]["path"] = str(tmp_path / "noisy.jsonl")
    run = xtf.run(config)
    detection = xtf.detect(run, tmp_path / "noisy.truth.jsonl")
    arms = {arm["arm"]: arm for arm in run.metrics["arms"]}
    assert arms["full"]["tokens_kept"] - arms["oracle"]["tokens_kept"] == detection["wrong"]
    assert arms["random_of_oracle"]["tokens_kept"] == arms["oracle"]["tokens_kept"]
    losses = {name: arm["held_out_loss"]["mean"] for name, arm in arms.items()}
    gap = losses["full"] - losses["oracle"]
    for name in ("full", "oracle", "random_of_oracle", "xtf"):
        found = arms[name]["gap_recovered"]
        assert found == (pytest.approx((losses["full"] - losses[name]) / gap) if gap > 0 else None)
    assert arms["base"]["gap_recovered"] is None
    (contrast,) = [one for one in run.metrics["contrasts"] if (one["arm"], one["against"]) == ("oracle", "full")]
    assert contrast["value"] == pytest.approx(gap)
    assert contrast["low"] < gap < contrast["high"]
    assert contrast["items"] == 6


def test_an_oracle_needs_a_truth(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"training\.arms: oracle masks the tokens known to be wrong; name their file"
    ):
        xtf.load_config(tiny_config(tmp_path, tiny_folder, training={"arms": ["oracle"]}))
