"""Self-evolving runs: the same labels and weights as a loop written by hand, resumed wherever they stop."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import xtf
from tests.conftest import Cli, chat_rows, tiny_config, write_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import ConfigError, RunError
from xtf.runs.folder import RunFolder
from xtf.runs.tables import examples_of
from xtf.steps import evolving
from xtf.tokens import FloatArray, TokenizedExample
from xtf.training import TrainingJob, TrainingRow, train_model

KEEP = 0.6
ROUNDS = 3


def evolving_config(folder: Path, model: Path, **more: Any) -> dict[str, Any]:
    training = {
        "batch_size": 2,
        "epochs": 2,
        "learning_rate": 1e-2,
        "warmup_ratio": 0.0,
        "lora": {"r": 2, "alpha": 4, "dropout": 0.1},
        **more.pop("training", {}),
    }
    held_out = write_jsonl(folder / "held-out.jsonl", chat_rows(14)[12:])
    return tiny_config(
        folder,
        model,
        attributes={"influence": {}},
        thresholds={"influence": {"kind": "top_share", "keep": KEEP, "scope": "dataset"}},
        strategy={"kind": "self_evolving", "rounds": ROUNDS},
        training=training,
        evaluation={"path": str(held_out), "max_new_tokens": 4},
        **more,
    )


def losses(model: Any, example: TokenizedExample) -> FloatArray:
    """``(seq,)`` cross-entropy of each token, NaN at position 0."""
    ids = torch.from_numpy(example.input_ids.astype(np.int64))[None]
    with torch.no_grad():
        logits = model(ids).logits[0, :-1].double()
    found = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    return np.concatenate([[np.nan], found.numpy()]).astype(np.float32)


def adapted_by_hand(adapter: Path) -> Any:
    """The tiny model with ``alpha / r`` B A added to its weights."""
    model, weights = tiny_model(), saved(adapter)
    for name in [name for name in weights if ".lora_A." in name]:
        target = model.get_submodule(name.removeprefix("base_model.model.").partition(".lora_A.")[0])
        with torch.no_grad():
            added = weights[name.replace(".lora_A.", ".lora_B.")] @ weights[name]
            target.weight += 4 / 2 * added  # type: ignore[operator]
    return model


def kept_by_hand(part: list[TokenizedExample], reference: Path | None) -> list[np.ndarray[Any, Any]]:
    """Which tokens a part learns: all without a reference, else the top share of the loss difference."""
    if reference is None:
        return [example.is_response for example in part]
    base, trained = tiny_model(), adapted_by_hand(reference)
    scores = [losses(base, example) - losses(trained, example) for example in part]
    judged = [example.is_response & ~example.is_protected for example in part]
    ranked = np.sort(np.concatenate([score[where] for score, where in zip(scores, judged, strict=True)]))
    cut = ranked[int((1 - KEEP) * len(ranked) + 1e-9)]
    return [
        example.is_response & ~(where & (score < cut - 1e-6))
        for example, score, where in zip(part, scores, judged, strict=True)
    ]


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "adapter_model.safetensors"))


def everything(run: Path) -> tuple[Any, ...]:
    """Labels, metrics without times, and the weights of every round, as values."""
    metrics = json.loads((run / "metrics.json").read_text())
    for arm in metrics["arms"]:
        del arm["train_seconds"]
    weights = {
        str(path.relative_to(run)): {name: value.tolist() for name, value in load_file(path).items()}
        for path in sorted(run.rglob("adapter_model.safetensors"))
    }
    scores = [str(pq.read_table(path).to_pylist()) for path in sorted(run.rglob("scores/*.parquet"))]
    return labels_of(run), {**metrics, "held_out": None}, weights, scores


def labels_of(run: Path) -> dict[str, Any]:
    rows = [row for path in sorted((run / "labels").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["example_id"]: row for row in rows}


def test_it_equals_a_loop_written_by_hand(tmp_path: Path, tiny_folder: Path) -> None:
    config = evolving_config(tmp_path, tiny_folder)
    run = xtf.run(config)
    training = run.config.training
    assert training is not None
    examples = [
        example
        for record in run.folder.records("tokens")
        for example in examples_of(run.folder.read_shard("tokens", record))
    ]
    labels = labels_of(run.path)
    assert list(labels) == [example.example_id for example in examples]
    start: Path | None = None
    masked = 0
    for number in range(ROUNDS):
        part = examples[4 * number : 4 * (number + 1)]
        kept = kept_by_hand(part, start)
        for example, keep in zip(part, kept, strict=True):
            want = np.where(keep, example.input_ids, -100)
            assert labels[example.example_id]["labels"] == want.tolist(), (number, example.example_id)
            masked += int((example.is_response & ~keep).sum())
        rows = [
            TrainingRow(example.example_id, example.input_ids, keep.astype(np.float32), example.is_response)
            for example, keep in zip(part, kept, strict=True)
        ]
        by_hand = tmp_path / f"by-hand-{number}"
        model, tokenizer = tiny_model(), tiny_tokenizer()
        train_model(model, tokenizer, rows, training, TrainingJob(by_hand, "", start=start))
        start = by_hand / "model"
        theirs = run.path / ("model" if number == ROUNDS - 1 else f"rounds/{number:02}/model") / "xtf-seed0/model"
        for name, value in saved(start).items():
            assert torch.equal(value, saved(theirs)[name]), (number, name)
    assert masked > 0
    assert run.manifest["counts"]["noise_tokens"] == masked == run.summary().masked_tokens
    entries = run.metrics["rounds"]
    assert [entry["mask_share"] > 0 for entry in entries] == [False, True, True]
    assert [entry["reference"] for entry in entries] == [
        None,
        "rounds/00/model/xtf-seed0/model",
        "rounds/01/model/xtf-seed0/model",
    ]
    assert all(entry["steps"] == 4 and entry["held_out_loss"] is not None for entry in entries)
    assert run.metrics["arms"][0]["steps"] == 12
    assert run.metrics["arms"][0]["held_out_loss"]["mean"] == entries[-1]["held_out_loss"]


class Stop(Exception):
    """Stands for a process that dies."""


@pytest.fixture
def whole(tmp_path: Path, tiny_folder: Path) -> tuple[Path, tuple[Any, ...]]:
    folder = tmp_path / "whole"
    folder.mkdir()
    config = evolving_config(folder, tiny_folder, training={"save_steps": 1})
    return folder, everything(xtf.run(config).path)


@pytest.mark.parametrize("stopped_in", ["score", "label", "train", "update", "evaluate"])
def test_resuming_equals_never_having_stopped(
    tmp_path: Path,
    tiny_folder: Path,
    whole: tuple[Path, tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    stopped_in: str,
) -> None:
    import xtf.evaluation.comparison as compare
    from xtf.training.loop import MaskedTrainer

    config = evolving_config(tmp_path, tiny_folder, training={"save_steps": 1})
    module, name = {
        "score": (evolving, "score_folder"),
        "label": (evolving, "label_run"),
        "train": (compare, "train_model"),
        "update": (MaskedTrainer, "compute_loss"),
        "evaluate": (compare, "token_losses"),
    }[stopped_in]
    original, calls = getattr(module, name), [0]

    def stopping(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == (6 if stopped_in == "update" else 2):
            raise Stop
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, stopping)
        with pytest.raises(Stop):
            xtf.run(config)
    assert [entry["round"] for entry in RunFolder(tmp_path / "run").manifest()["rounds"]] == [0]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/rounds/00").rglob("*.safetensors")}
    run = xtf.run(config)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a finished round is not trained again"
    assert everything(run.path) == whole[1]


def test_a_finished_run_is_left_as_it_is(whole: tuple[Path, tuple[Any, ...]]) -> None:
    folder, values = whole
    kinds = ("*.parquet", "*.safetensors", "result.json")
    files = {path: path.stat().st_mtime_ns for kind in kinds for path in (folder / "run").rglob(kind)}
    xtf.train(folder / "run")
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert everything(folder / "run") == values


def test_other_cuts_repeat_only_what_they_change(whole: tuple[Path, tuple[Any, ...]]) -> None:
    folder, _ = whole
    run = folder / "run"
    names = ("rounds/00/model/xtf-seed0/done.json", "rounds/01/scores/part-00000.parquet")
    kept = {name: (run / name).stat().st_mtime_ns for name in names}
    changed = [run / "rounds/01/model/xtf-seed0/done.json", run / "rounds/02/scores/part-00000.parquet"]
    before = [path.stat().st_mtime_ns for path in changed]
    xtf.train(run, ["thresholds.influence.keep=0.3"])
    assert {name: (run / name).stat().st_mtime_ns for name in names} == kept
    assert all(path.stat().st_mtime_ns > time for path, time in zip(changed, before, strict=True))
    entries = xtf.open_run(run).metrics["rounds"]
    assert all(entry["mask_share"] > 0.5 for entry in entries[1:])
    with pytest.raises(RunError, match="made in other rounds"):
        xtf.train(run, ["strategy.rounds=2"])


def test_ss_token_measures_progress_from_the_base_to_the_newest_model(tmp_path: Path, tiny_folder: Path) -> None:
    config = evolving_config(tmp_path, tiny_folder)
    config |= {"attributes": {"ss_token": {"gamma": 1.0}}, "thresholds": {}, "evaluation": {}}
    run = xtf.run(config)
    assert run.config.strategy.evolving == ("ss_token",)
    part = RunFolder(run.path / "rounds/01")
    (record,) = part.records("tokens")
    examples = examples_of(part.read_shard("tokens", record))
    scores = pq.read_table(part.shard_path("scores", record.index))["ss_token"].to_pylist()
    newest = adapted_by_hand(run.path / "rounds/00/model/xtf-seed0/model")
    for example, found in zip(examples, scores, strict=True):
        progress = (losses(tiny_model(), example) - losses(newest, example))[example.is_response]
        want = (progress - progress.min()) / (progress.max() - progress.min())
        np.testing.assert_allclose(np.asarray(found)[example.is_response], want, atol=1e-3)


def test_a_merged_adapter_with_a_fresh_one_on_top_equals_that_by_hand(tmp_path: Path, tiny_folder: Path) -> None:
    config = evolving_config(tmp_path, tiny_folder)
    config["strategy"]["adapters"] = "merge"
    run = xtf.run(config)
    training = run.config.training
    assert training is not None
    folders = [run.path / f"rounds/0{i}/model/xtf-seed0" for i in (0, 1)] + [run.path / "model/xtf-seed0"]
    labels = labels_of(run.path)
    part = [
        examples_of(RunFolder(run.path / f"rounds/0{i}").read_shard("tokens", record))
        for i in (1, 2)
        for record in RunFolder(run.path / f"rounds/0{i}").records("tokens")
    ]
    for (before, after), examples in zip(pairwise(folders), part, strict=True):
        rows = []
        for example in examples:
            kept = np.asarray(labels[example.example_id]["labels"]) != -100
            rows.append(
                TrainingRow(example.example_id, example.input_ids, kept.astype(np.float32), example.is_response)
            )
        merged, by_hand = (
            adapted_by_hand(before / "model"),
            tmp_path / f"hand-{after.parent.name}-{len(rows)}-{after.name}",
        )
        train_model(merged, tiny_tokenizer(), rows, training, TrainingJob(by_hand, str(after))).release()
        fresh = saved(by_hand / "model")
        for name, value in saved(after / "own").items():
            torch.testing.assert_close(value, fresh[name], atol=2e-4, rtol=1e-3)
        whole, config_of = saved(after / "model"), json.loads((after / "model/adapter_config.json").read_text())
        for name, value in saved(before / "model").items():
            joined = torch.cat([value, saved(after / "own")[name]], dim=0 if ".lora_A." in name else 1)
            assert torch.equal(whole[name], joined)
        assert config_of["lora_alpha"] == 2 * config_of["r"]
    assert [json.loads((one / "model/adapter_config.json").read_text())["r"] for one in folders] == [2, 4, 6]
    again = everything(run.path)
    assert everything(xtf.run(config).path) == again


def test_the_arms_share_parts_order_and_updates(tmp_path: Path, tiny_folder: Path) -> None:
    arms = ["base", "full", "random", "inverted", "xtf"]
    config = evolving_config(tmp_path, tiny_folder, training={"arms": arms, "seeds": [0, 1]})
    metrics = xtf.run(config).metrics
    found = {arm["arm"]: arm for arm in metrics["arms"]}
    assert list(found) == arms
    assert [found[arm]["steps"] for arm in arms] == [0, 12, 12, 12, 12]
    assert found["full"]["mask_share"] == 0 < found["xtf"]["mask_share"] == found["random"]["mask_share"]
    assert len(found["xtf"]["held_out_loss"]["values"]) == 2
    assert (tmp_path / "run/model/full-seed1/model/adapter_model.safetensors").exists()


def test_every_example_is_explained_and_every_round_is_a_run(tmp_path: Path, tiny_folder: Path, cli: Cli) -> None:
    config = evolving_config(tmp_path, tiny_folder)
    config["evaluation"] = {}
    path = write_config(tmp_path / "a.yaml", config)
    outcome = cli("run", path)
    assert (outcome.code, outcome.err) == (0, "")
    summary = cli("summary", tmp_path / "run")
    for text in (outcome.out, summary.out):
        assert "Rounds" in text
        assert "rounds/01/model/xtf-seed0/model" in text
    run = xtf.open_run(tmp_path / "run")
    assert run.summary().examples == 12
    assert not any(token.noise for token in run.explain("sum-1").tokens), "the warm-up learns every token"
    explained = run.explain("sum-12")
    assert any(token.noise for token in explained.tokens)
    assert any("reference model" in token.sentence for token in explained.tokens)
    assert cli("explain", tmp_path / "run", "--example", "sum-12").code == 0
    assert xtf.open_run(tmp_path / "run/rounds/02").summary().examples == 4
    assert {entry["held_out_loss"] for entry in run.metrics["rounds"]} == {None}
    assert run.metrics["arms"][0]["held_out_loss"] is None
    for command in (("score", path), ("label", tmp_path / "run")):
        refused = cli(*command)
        assert refused.code == 2
        assert "each part is scored by the model trained on those before" in refused.err


def test_full_fine_tuning_goes_on_from_round_to_round(tmp_path: Path, tiny_folder: Path) -> None:
    config = evolving_config(tmp_path, tiny_folder, training={"method": "full", "learning_rate": 1e-3})
    config["strategy"] = {"kind": "self_evolving", "rounds": 2}
    run = xtf.run(config)
    assert [entry["tokens_kept"] > 0 for entry in run.metrics["rounds"]] == [True, True]
    assert (run.path / "model/xtf-seed0/model/model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": {"kind": "self_evolving", "rounds": 5}, "training": {"batch_size": 4}}, "12 examples in 5 parts"),
        ({"strategy": {"kind": "self_evolving", "rounds": 1}}, "strategy.rounds: input should be greater"),
        ({"strategy": {"rounds": 3}}, "rounds, evolving and adapters belong to kind: self_evolving"),
        (
            {"strategy": {"kind": "self_evolving", "adapters": "merge"}, "training": {"method": "full"}},
            "strategy.adapters: merge is for training.method: lora",
        ),
        ({"strategy": "evolving"}, "strategy.kind: cannot be 'evolving'"),
        ({"training": None}, "training: required"),
        ({"training": {"arms": ["full"]}}, "trains xtf in any case"),
        ({"training": {"arms": ["xtf", "rho"]}}, "rho cannot be compared in a self-evolving run"),
        ({"training": {"max_examples": 4}}, "use data.limit"),
        ({"attributes": {"influence": {"reference": "x"}}}, "attributes.influence.reference: not with strategy"),
        ({"attributes": {"random": {}}, "thresholds": {}}, "no attribute of this run compares two models"),
        ({"strategy": {"kind": "self_evolving", "evolving": ["inf"]}}, "strategy.evolving: no attribute 'inf'"),
        (
            {
                "attributes": {"random": {}},
                "thresholds": {},
                "strategy": {"kind": "self_evolving", "evolving": ["random"]},
            },
            "strategy.evolving: random compares no two models",
        ),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, tiny_folder: Path, changes: dict[str, Any], words: str) -> None:
    config = {**evolving_config(tmp_path, tiny_folder), **changes}
    with pytest.raises(ConfigError, match=words):
        xtf.run(config)


def test_another_strategy_needs_another_folder(tmp_path: Path, tiny_folder: Path) -> None:
    config = evolving_config(tmp_path, tiny_folder)
    xtf.score({**config, "strategy": "fixed", "attributes": {"random": {}}, "thresholds": {}, "training": None})
    with pytest.raises(RunError, match="other inputs; changed: strategy"):
        xtf.run(config)
