"""A whole run with a tiny model: what it writes, what it continues, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

import xtf
from tests.conftest import chat_rows, tiny_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import ConfigError, DegenerateAttributeError, RunError
from xtf.runs.folder import RunFolder


def scored_files(run: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted((run / "scores").glob("*.parquet"))}


def test_a_run_writes_what_the_contract_says(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder))
    tokens = pq.read_table(tmp_path / "run/tokens/part-00000.parquet").to_pylist()
    scores = pq.read_table(tmp_path / "run/scores/part-00000.parquet").to_pylist()
    labels = pq.read_table(tmp_path / "run/labels/part-00000.parquet").to_pylist()
    assert [row["example_id"] for row in tokens] == [f"sum-{i}" for i in range(1, 13)]
    for token_row, score_row in zip(tokens, scores, strict=True):
        for name in ("knowledge_novelty", "reasoning_importance", "random"):
            finite = np.isfinite(np.array(score_row[name]))
            assert finite.tolist() == token_row["is_response"]
    by_id = {row["example_id"]: row for row in tokens}
    for row in labels:
        token_row = by_id[row["example_id"]]
        for i, label in enumerate(row["labels"]):
            supervised = token_row["is_response"][i] and not row["noise"][i]
            assert label == (token_row["input_ids"][i] if supervised else -100)
            assert row["weights"][i] == float(supervised)
            assert not (row["noise"][i] and token_row["is_protected"][i])
            assert bool(row["reasons"][i]) == row["noise"][i]
        assert row["assistant_masks"] == [int(label != -100) for label in row["labels"]]
        assert set(row["attention_mask"]) == {1}
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["counts"]["examples"] == 12
    assert manifest["counts"]["noise_tokens"] == sum(sum(row["noise"]) for row in labels)
    assert manifest["reasons"] == ["knowledge_novelty", "reasoning_importance", "random"]
    assert run.summary().masked_tokens == manifest["counts"]["noise_tokens"]


def test_labels_load_as_a_dataset(tmp_path: Path, tiny_folder: Path) -> None:
    xtf.run(tiny_config(tmp_path, tiny_folder))
    pattern = str(tmp_path / "run/labels/*.parquet")
    data = load_dataset("parquet", data_files=pattern, split="train", cache_dir=str(tmp_path / "cache"))
    assert {"input_ids", "attention_mask", "labels", "assistant_masks"} <= set(data.column_names)


def test_scores_equal_the_models_own_probabilities(tmp_path: Path, tiny_folder: Path) -> None:
    import torch

    run = xtf.score(tiny_config(tmp_path, tiny_folder))
    model = tiny_model("llama")
    for shard in run.shards():
        for index in range(len(shard)):
            example = shard.example(index)
            ids = torch.from_numpy(example.input_ids.astype(np.int64))[None]
            with torch.no_grad():
                probabilities = model(ids).logits[0].softmax(-1)
            for position in np.flatnonzero(example.is_response):
                expected = 1.0 - float(probabilities[position - 1, ids[0, position]])
                assert example.scores["knowledge_novelty"][position] == pytest.approx(expected, abs=1e-4)


def test_objects_instead_of_paths(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    from_disk = xtf.score(config)
    config["output"] = str(tmp_path / "objects")
    from_objects = xtf.score(config, model=tiny_model("llama"), tokenizer=tiny_tokenizer(), data=chat_rows(12))
    for left, right in zip(from_disk.shards(), from_objects.shards(), strict=True):
        for name, values in left.scores.items():
            np.testing.assert_allclose(values, right.scores[name], atol=1e-5)


def test_a_scorer_from_a_notebook_cell(tmp_path: Path, tiny_folder: Path) -> None:
    @xtf.register
    class Position(xtf.Attribute[xtf.NoParams]):
        """Where the token stands."""

        name = "position"

        def requires(self) -> set[object]:  # type: ignore[override]
            return set()

        def score(self, signals: xtf.Signals):  # type: ignore[no-untyped-def]
            return signals.tokens.attention_mask.cumsum(1).float()

    config = tiny_config(tmp_path, tiny_folder)
    config["attributes"] = {"position": {}}
    config["thresholds"] = {"position": {"kind": "below", "cut": 20}}
    run = xtf.run(config)
    explanation = run.explain("sum-1")
    for token in explanation.tokens:
        if token.is_response and not token.is_protected:
            assert token.noise == (token.index + 1 < 20)


def test_starting_again_computes_nothing_twice(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, scoring={"examples_per_shard": 5})
    xtf.run(config)
    before = scored_files(tmp_path / "run")
    assert len(before) == 3
    xtf.run(config)
    assert scored_files(tmp_path / "run") == before


def test_adding_an_attribute_keeps_the_other_columns(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    xtf.score(config)
    before = pq.read_table(tmp_path / "run/scores/part-00000.parquet")
    config["attributes"] = {**config["attributes"], "again": {"attribute": "random", "seed": 3}}
    xtf.score(config)
    after = pq.read_table(tmp_path / "run/scores/part-00000.parquet")
    assert after.column_names == [*before.column_names, "again"]
    assert after.select(before.column_names).to_pylist().__repr__() == before.to_pylist().__repr__()


def test_a_damaged_shard_is_named_and_repaired_alone(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, scoring={"examples_per_shard": 4})
    run = xtf.run(config)
    want = [shard.scores["knowledge_novelty"].copy() for shard in run.shards()]
    damaged = tmp_path / "run/scores/part-00001.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"part-00001\.parquet: damaged"):
        run.summary()
    before = scored_files(tmp_path / "run")
    xtf.score(config)
    after = scored_files(tmp_path / "run")
    assert [name for name in after if after[name] != before[name]] == ["part-00001.parquet"]
    for left, right in zip(run.shards(), want, strict=True):
        np.testing.assert_array_equal(left.scores["knowledge_novelty"], right)


def test_a_damaged_token_shard_is_made_again_alone(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, scoring={"examples_per_shard": 4})
    run = xtf.score(config)
    want = list(run.example_ids())
    damaged = tmp_path / "run/tokens/part-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    xtf.score(config)
    assert list(run.example_ids()) == want


def test_another_runs_folder_is_refused_and_names_what_changed(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    xtf.score(config)
    write_jsonl(tmp_path / "data.jsonl", chat_rows(3))
    with pytest.raises(RunError, match="other inputs; changed: data"):
        xtf.score(config)
    assert xtf.score(config, overwrite=True).manifest["counts"]["examples"] == 3


def test_a_folder_with_foreign_files_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="holds other files"):
        xtf.score(tiny_config(tmp_path, tiny_folder))


def test_a_second_writer_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    with RunFolder(tmp_path / "run").lock(), pytest.raises(RunError, match="another process"):
        xtf.score(config)


def test_relabelling_changes_labels_alone(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder))
    scores = scored_files(tmp_path / "run")
    xtf.label(run, ["thresholds.knowledge_novelty.cut=2.0"])
    assert scored_files(tmp_path / "run") == scores
    tokens = run.manifest["counts"]
    assert tokens["noise_tokens"] == tokens["response_tokens"] - tokens["protected_tokens"]
    assert pq.read_table(tmp_path / "run/labels/part-00000.parquet").num_rows == 0, "the end of a turn is no lesson"
    assert tokens["rows_without_supervised_token"] == 12
    assert run.manifest["dropped_rows"] == list(run.example_ids())
    tokens_of_one = [token for token in run.explain(next(run.example_ids())).tokens if token.is_response]
    assert [token.noise for token in tokens_of_one] == [not token.is_protected for token in tokens_of_one]
    with pytest.raises(ConfigError, match="labelling reads only thresholds and combine"):
        xtf.label(run, ["data.limit=3"])


def test_a_degenerate_attribute_is_refused_with_figures(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    config["attributes"] = {"reasoning_importance": {"variant": "released"}}
    with pytest.raises(DegenerateAttributeError, match=r"'reasoning_importance' does not tell tokens apart: .*\d"):
        xtf.score(config)
    config["scoring"] = {"allow_degenerate": True}
    run = xtf.run(config)
    assert run.manifest["attributes"][0]["degenerate"]


def test_training_compares_the_arms(tmp_path: Path, tiny_folder: Path) -> None:
    held_out = write_jsonl(tmp_path / "held-out.jsonl", chat_rows(20)[12:])
    config = tiny_config(
        tmp_path,
        tiny_folder,
        training={"arms": ["base", "full", "random", "inverted", "xtf"], "epochs": 1, "batch_size": 4, "seeds": [0, 1]},
        evaluation={"path": str(held_out), "max_new_tokens": 4},
    )
    run = xtf.run(config)
    arms = {arm["arm"]: arm for arm in run.metrics["arms"]}
    assert list(arms) == ["base", "full", "random", "inverted", "xtf"]
    assert {arm["steps"] for arm in arms.values()} == {0, 3}
    assert arms["random"]["tokens_kept"] == arms["xtf"]["tokens_kept"] < arms["full"]["tokens_kept"]
    assert arms["full"]["held_out_loss"]["spread"] is not None
    assert run.metrics["held_out"]["examples"] == 8
    again = xtf.evaluate(run, ["evaluation.limit=2"])
    assert again["held_out"]["examples"] == 2
    assert [arm["train_losses"] for arm in again["arms"]] == [arm["train_losses"] for arm in arms.values()]
