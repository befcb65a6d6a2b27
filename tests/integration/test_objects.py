"""Objects instead of paths, scorers that are nowhere installed, and settings that a step does not read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf
from tests.conftest import Cli, tiny_config
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.attribute import registry
from xtf.errors import ConfigError, RunError


class Gap(xtf.Attribute[xtf.NoParams]):
    """Loss of the token; a scorer that no package provides."""

    name = "gap"

    def requires(self) -> set[Any]:
        return {xtf.LogProb()}

    def score(self, signals: xtf.Signals) -> torch.Tensor:
        return -signals[xtf.LogProb()]

    def default_cut(self) -> dict[str, Any]:
        return {"kind": "bottom_share", "share": 0.25}


TRAINING = {"arms": ["xtf"], "max_steps": 1, "warmup_ratio": 0.0, "batch_size": 2, "max_examples": 4}


def test_scorer_objects_need_no_name_anywhere(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.run(
        tiny_config(tmp_path, tiny_folder, training=TRAINING),
        attributes={"mine": Gap(xtf.NoParams()), "dice": registry.build("random", {"seed": 5})},
    )
    assert list(run.config.attributes) == ["mine", "dice"]
    assert run.config.thresholds["mine"].model_dump()["share"] == 0.25
    assert run.summary().masked_tokens > 0
    losses = np.concatenate([shard.scores["mine"][shard.is_response] for shard in run.shards()])
    probabilities = xtf.score(tiny_config(tmp_path, tiny_folder, output=str(tmp_path / "other")))
    novelty = [shard.scores["knowledge_novelty"][shard.is_response] for shard in probabilities.shards()]
    np.testing.assert_allclose(-np.log1p(-np.concatenate(novelty).astype(np.float64)), losses, rtol=1e-3, atol=1e-4)
    xtf.label(run, ["thresholds.mine.share=0.5"])
    xtf.train(run, ["training.max_steps=2"])


def test_the_cuts_of_replaced_scorers_go_with_them(tmp_path: Path, tiny_folder: Path) -> None:
    config = xtf.load_config(tiny_config(tmp_path, tiny_folder))
    run = xtf.score(config, attributes={"mine": Gap(xtf.NoParams())})
    assert list(run.config.thresholds) == ["mine"]


def test_a_scorer_of_a_closed_notebook_does_not_block_training(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as notebook:
        notebook.setattr(registry, "_registered", {})
        xtf.register(Gap)
        run = xtf.run(tiny_config(tmp_path, tiny_folder, attributes={"gap": {}}))
    with pytest.raises(ConfigError, match="no attribute of that name"):
        xtf.load_config(run.config)
    assert xtf.train(run, ["training={arms: [xtf], max_steps: 1, warmup_ratio: 0, max_examples: 2}"])["arms"]
    assert xtf.evaluate(run)["arms"]


def test_train_takes_the_model_it_is_given(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder))
    overrides = ["training={arms: [full], max_steps: 1, warmup_ratio: 0, max_examples: 2, dtype: float32}"]
    with pytest.raises(ConfigError, match="needs its tokenizer"):
        xtf.train(run, overrides, model=tiny_model("llama"))
    other = tiny_model("llama")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(3.0)
    own = xtf.train(run, overrides)["arms"][0]["train_losses"]
    given = xtf.train(run, overrides, model=other, tokenizer=tiny_tokenizer())["arms"][0]["train_losses"]
    assert own != given
    assert xtf.train(run, overrides, tokenizer=tiny_tokenizer())["arms"][0]["train_losses"] == own


@pytest.mark.parametrize(
    ("step", "override", "reads"),
    [
        ("train", "data.path=other.jsonl", "training, evaluation and arms"),
        ("train", "thresholds.knowledge_novelty.cut=0.5", "training, evaluation and arms"),
        ("train", "seed=4", "training, evaluation and arms"),
        ("train", "model.path=elsewhere", "training, evaluation and arms"),
        ("evaluate", "training.seeds=[1]", "evaluation"),
        ("evaluate", "output=elsewhere", "evaluation"),
        ("label", "training.seeds=[1]", "thresholds and combine"),
    ],
)
def test_a_step_takes_only_what_it_reads(
    cli: Cli, tmp_path: Path, tiny_folder: Path, step: str, override: str, reads: str
) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder, training=TRAINING))
    before = (run.path / "config.yaml").read_bytes()
    refused = cli(step, run.path, "--set", override)
    assert refused.code == 2
    assert f"reads only {reads}" in refused.err.replace("\n", " ")
    assert (run.path / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("content", ["[]", "null", "3", '"x"', "{}", '{"fingerprint": 1}', "{", "\x00"])
def test_an_arm_with_a_damaged_result_is_made_again(tmp_path: Path, tiny_folder: Path, content: str) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder, training=TRAINING))
    before = run.metrics["arms"][0]["train_losses"]
    (result,) = (run.path / "model").glob("*/result.json")
    result.write_text(content)
    assert xtf.train(run)["arms"][0]["train_losses"] == before


@pytest.mark.parametrize("content", ["[]", "null", "3", "{}", '{"arms": 3}', "{"])
def test_damaged_metrics_are_named(tmp_path: Path, tiny_folder: Path, content: str) -> None:
    run = xtf.run(tiny_config(tmp_path, tiny_folder, training=TRAINING))
    (run.path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=r"metrics\.json: damaged.*xtf train"):
        _ = run.metrics


def test_columns_hold_for_files_that_scorers_read(tmp_path: Path, tiny_folder: Path) -> None:
    rows = [{"id": f"r{i}", "ask": f"What is {i}?", "say": f"It is {i} and no more."} for i in range(6)]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tiny_config(
        tmp_path, tiny_folder, rows, attributes={"task_relevance": {"examples": str(tmp_path / "task.jsonl")}}
    )
    config["data"]["columns"] = {"prompt": "ask", "response": "say"}
    assert xtf.score(config).is_scored


def test_everything_public_can_be_imported() -> None:
    for name in xtf.__all__:
        assert getattr(xtf, name) is not None


def test_everything_that_the_docs_import_comes_from_xtf() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "docs" / "examples").glob("*.py")]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    imports = [line.partition("#")[0] for line in lines if re.match(r"from xtf[. ]", line)]
    assert len(imports) > 10
    names = {name.strip() for line in imports for name in line.removeprefix("from xtf import ").split(",")}
    calls = {call for line in lines for call in re.findall(r"\bxtf\.([A-Za-z_]+)\(", line)}
    assert {"find", "label"} <= calls
    assert [name for name in sorted(names | calls) if getattr(xtf, name, None) is None] == []


@pytest.mark.parametrize("made", ["attributes/__init__.py", "random.py", "labels.py"])
def test_a_users_own_file_beside_a_run_breaks_nothing(tmp_path: Path, tiny_folder: Path, made: str) -> None:
    """The installed command, and ``python -m``, where a user keeps a module called like one of ours."""
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("raise RuntimeError('a file of the user')\n" if "random" not in made else "")
    config = tiny_config(tmp_path, tiny_folder, attributes={"knowledge_novelty": {}, "random": {}})
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    command = Path(sys.executable).with_name("xtf")
    done = subprocess.run([command, "score", "run.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "random" not in made:  # under -m the folder comes first on the path, and the standard library's random goes
        listed = [sys.executable, "-m", "xtf", "attributes"]
        done = subprocess.run(listed, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "knowledge_novelty" in done.stdout
