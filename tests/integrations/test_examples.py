"""The examples of docs/examples that run without a GPU, on a tiny run and its model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

import xtf
from tests.conftest import chat_rows, tiny_config
from xtf.integrations.checking import check_batches

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> xtf.Run:
    combine = {"rule": "any", "noise_weight": -0.25}
    config = tiny_config(tmp_path_factory.mktemp("run"), tiny_folder, chat_rows(6), combine=combine)
    return xtf.label(xtf.score(config))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "name", ["trl_weights", "trl_labels", "transformers_weights", "transformers_labels", "bare_loop"]
)
def test_example(
    name: str,
    run: xtf.Run,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "trained"
    monkeypatch.setattr(sys, "argv", [name, str(run.path), str(tiny_folder), str(output)])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr()
    assert "as labelled: " in said.out + said.err
    assert name == "bare_loop" or "update 1: the trainer's loss is" in said.err
    assert (output / "model.safetensors").is_file()


def test_the_data_set_for_torchtune_keeps_every_label(run: xtf.Run) -> None:
    labelled = runpy.run_path(str(EXAMPLES / "torchtune_labels.py"))["labelled"]
    rows = labelled(tokenizer=None, run=str(run.path))
    batches = [{"input_ids": [row["tokens"]], "labels": [row["labels"]]} for row in rows]
    assert check_batches(batches, run, weights=False).problems() == []
