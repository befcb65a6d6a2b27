"""What ``xtf export`` writes for a trainer is what the trainer learns: its own pipeline, collator and loss say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

import xtf
from tests.conftest import chat_rows, tiny_config
from tests.interop.trainers import DRIVERS, ROOT, Seen, environment, mean_loss, run_in, train, unpacked, unpadded
from tests.tiny import tiny_model

EXAMPLES = ROOT / "docs" / "examples"
STEPS = {"max_steps": 2, "logging_steps": 1, "gradient_accumulation_steps": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "axolotl": {**STEPS, "micro_batch_size": 3, "bf16": False, "dataset_num_proc": 1},
    "llama-factory": {**STEPS, "per_device_train_batch_size": 3, "save_strategy": "no", "use_cpu": True},
    "ms-swift": {
        **STEPS,
        "per_device_train_batch_size": 3,
        "save_strategy": "no",
        "model_type": "llama",
        "torch_dtype": "float32",
        "use_logits_to_keep": False,  # or labels and weights are cut to the learnt part before the loss gets them
    },
}


@pytest.fixture(scope="module", params=["mask", "weights"])
def run(request: Any, tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    """A labelled run of three shards; with weights, kept tokens count for their score."""
    more: dict[str, Any] = {"combine": {"weight_by": "random"}} if request.param == "weights" else {}
    config = tiny_config(
        tmp_path_factory.mktemp("run"),
        tiny_folder,
        attributes={"random": {}},
        thresholds={"random": {"kind": "bottom_share", "share": 0.3}},
        scoring={"examples_per_shard": 5},
        **more,
    )
    return xtf.label(xtf.score(config))


def _labelled(run: Any) -> dict[tuple[int, ...], dict[str, Any]]:
    rows = [row for file in sorted((run.path / "labels").iterdir()) for row in pq.read_table(file).to_pylist()]
    return {tuple(row["input_ids"]): row for row in rows}


def _check_rows(run: Any, seen: Seen) -> None:
    labelled = _labelled(run)
    assert sorted(tuple(row["input_ids"]) for row in seen.rows) == sorted(labelled)
    for row in seen.rows:
        assert row["labels"] == labelled[tuple(row["input_ids"])]["labels"]
    assert any(any(row["noise"]) for row in labelled.values())


@pytest.mark.parametrize("name", ["axolotl", "llama-factory"])
def test_every_label_arrives_and_the_first_loss_is_right(run: Any, name: str, tmp_path: Path) -> None:
    environment(name)
    written = xtf.export(run, name, tmp_path / name)
    assert bool(written.export.weighted) == any("weight" in said for said in written.lost)
    seen = train(name, written.sidecars[-2], CHANGES[name])
    _check_rows(run, seen)
    labelled = _labelled(run)
    assert len(seen.batches) == 2
    for batch in seen.batches:
        for ids, labels in zip(unpadded(batch, "input_ids"), unpadded(batch, "labels"), strict=True):
            assert labels == labelled[tuple(ids)]["labels"]
    first = [
        (ids, [float(label != -100) for label in labelled[tuple(ids)]["labels"]])
        for ids in unpadded(seen.batches[0], "input_ids")
    ]
    by_hand = mean_loss(tiny_model("llama"), first, sum(sum(weights) for _, weights in first))
    assert seen.batches[0]["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_ms_swift_learns_with_the_weights(run: Any, tmp_path: Path) -> None:
    environment("ms-swift")
    written = xtf.export(run, "ms-swift", tmp_path / "out")
    assert not written.lost
    seen = train("ms-swift", tmp_path / "out" / "ms_swift.yaml", CHANGES["ms-swift"])
    labelled = _labelled(run)
    assert sorted(tuple(row["input_ids"]) for row in seen.rows) == sorted(labelled)
    for row in seen.rows:
        wanted = labelled[tuple(row["input_ids"])]
        assert row["loss_scale"] == pytest.approx(wanted["weights"], abs=1e-6)
        learnt = [
            token if weight > 0 else -100 for token, weight in zip(row["input_ids"], wanted["weights"], strict=True)
        ]
        assert row["labels"] == learnt
    assert len(seen.batches) == 2
    for batch in seen.batches:
        for ids, scale in zip(unpadded(batch, "input_ids"), unpadded(batch, "loss_scale"), strict=True):
            assert scale == pytest.approx(labelled[tuple(ids)]["weights"], abs=1e-6)
    first = [(ids, labelled[tuple(ids)]["weights"]) for ids in unpadded(seen.batches[0], "input_ids")]
    tokens = sum(weight > 0 for _, weights in first for weight in weights)
    assert seen.batches[0]["loss"] == pytest.approx(mean_loss(tiny_model("llama"), first, tokens), rel=1e-5)


def test_a_plugin_brings_weights_into_axolotl(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("axolotl")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    xtf.export(run, "axolotl", tmp_path / "out")
    weighted = {
        "plugins": ["axolotl_plugin.WeightsPlugin"],
        "datasets": [{"path": str(run.path / "labels"), "type": None}],
        "remove_unused_columns": False,
    }
    seen = train("axolotl", tmp_path / "out" / "axolotl.yaml", {**CHANGES["axolotl"], **weighted})
    labelled = _labelled(run)
    assert len(seen.batches) == 2
    for batch in seen.batches:
        for ids, weights in zip(unpadded(batch, "input_ids"), unpadded(batch, "weights"), strict=True):
            assert weights == pytest.approx(labelled[tuple(ids)]["weights"], abs=1e-6)
    first = [(ids, labelled[tuple(ids)]["weights"]) for ids in unpadded(seen.batches[0], "input_ids")]
    weight = sum(sum(weights) for _, weights in first)
    assert seen.batches[0]["loss"] == pytest.approx(mean_loss(tiny_model("llama"), first, weight), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "example"), [("llama-factory", "llama_factory_labels.py"), ("ms-swift", "ms_swift_weights.py")]
)
def test_example(run: Any, name: str, example: str, tmp_path: Path) -> None:
    environment(name)
    xtf.export(run, name, tmp_path / "out")
    settings = tmp_path / "out" / f"{name.replace('-', '_')}.yaml"
    short = {key: value for key, value in CHANGES[name].items() if key != "save_strategy"}
    changed = {**yaml.safe_load(settings.read_text(encoding="utf-8")), **short}
    settings.write_text(yaml.safe_dump(changed), encoding="utf-8")
    run_in(name, DRIVERS / "example_driver.py", EXAMPLES / example, tmp_path / "out", tmp_path / "trained")
    assert list((tmp_path / "trained").rglob("model.safetensors"))


def test_axolotl_reads_the_spans_of_texts(run: Any, tmp_path: Path) -> None:
    environment("axolotl")
    xtf.export(run, "axolotl-text", tmp_path / "out")
    seen = train("axolotl", tmp_path / "out" / "axolotl.yaml", CHANGES["axolotl"])
    _check_rows(run, seen)


def test_what_axolotl_has_prepared_is_scored_and_goes_back(run: Any, tmp_path: Path, tiny_folder: Path) -> None:
    """Its packed form has columns of its own, which are kept."""
    environment("axolotl")
    xtf.export(run, "axolotl", tmp_path / "out")
    packed = {**CHANGES["axolotl"], "sample_packing": True, "sequence_len": 250, "micro_batch_size": 1}
    train("axolotl", tmp_path / "out" / "axolotl.yaml", packed)
    (prepared,) = (folder for folder in (tmp_path / "out" / "prepared").iterdir() if folder.is_dir())
    again = _scored_again(prepared, tmp_path, tiny_folder)
    before, after = (datasets.load_from_disk(str(folder)) for folder in (prepared, tmp_path / "back"))
    assert after.column_names == before.column_names
    assert {"position_ids", "length"} <= set(after.column_names)
    for name in set(after.column_names) - {"labels"}:
        assert after[name] == before[name]
    settings = {**packed, "datasets": [{"path": str(tmp_path / "back"), "type": None}]}
    changed = {**settings, "dataset_prepared_path": str(tmp_path / "prepared-again")}
    _check_rows(again, train("axolotl", tmp_path / "out" / "axolotl.yaml", changed))


def test_what_llama_factory_has_prepared_is_scored_and_goes_back(run: Any, tmp_path: Path, tiny_folder: Path) -> None:
    environment("llama-factory")
    rows = [
        {"instruction": row["messages"][0]["content"], "input": "", "output": row["messages"][1]["content"]}
        for row in chat_rows(12)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"xtf": {"file_name": "rows.json"}}), encoding="utf-8")
    xtf.export(run, "llama-factory", tmp_path / "out")
    settings = {**CHANGES["llama-factory"], "dataset_dir": str(tmp_path), "template": "chatml"}
    prepared = tmp_path / "prepared"
    train("llama-factory", tmp_path / "out" / "llama_factory.yaml", {**settings, "tokenized_path": str(prepared)})
    again = _scored_again(prepared, tmp_path, tiny_folder)
    before, after = (datasets.load_from_disk(str(folder)) for folder in (prepared, tmp_path / "back"))
    assert after["train"].column_names == before["train"].column_names
    changed = {**settings, "tokenized_path": str(tmp_path / "back"), "output_dir": str(tmp_path / "trained-again")}
    _check_rows(again, train("llama-factory", tmp_path / "out" / "llama_factory.yaml", changed))


def _scored_again(prepared: Path, folder: Path, model: Path) -> Any:
    """A run over what a trainer has prepared, and the same data set, masked, in ``folder/back``."""
    config = tiny_config(
        folder,
        model,
        data={"path": str(prepared)},
        attributes={"random": {}},
        thresholds={"random": {"kind": "bottom_share", "share": 0.4}},
    )
    again = xtf.label(xtf.score(config))
    xtf.export(again, "same", folder / "back")
    return again


def test_axolotl_packs_without_losing_a_label(run: Any, tmp_path: Path) -> None:
    environment("axolotl")
    xtf.export(run, "axolotl", tmp_path / "out")
    packed = {"sample_packing": True, "sequence_len": 250, "micro_batch_size": 1}
    seen = train("axolotl", tmp_path / "out" / "axolotl.yaml", {**CHANGES["axolotl"], **packed})
    _check_rows(run, seen)
    labelled = _labelled(run)
    for batch in seen.batches:
        rows = list(zip(unpacked(batch, "input_ids"), unpacked(batch, "labels"), strict=True))
        assert len(rows) > 2
        for ids, labels in rows:
            assert labels == labelled[tuple(ids)]["labels"]
