"""Training under a launcher: two processes do what one does with batches of twice the size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import xtf
from tests.conftest import chat_rows, run_module, tiny_config, write_jsonl


def test_two_processes_train_as_one_with_batches_of_twice_the_size(tmp_path: Path, tiny_folder: Path) -> None:
    held_out = write_jsonl(tmp_path / "held-out.jsonl", chat_rows(20)[16:])
    evaluation = {"path": str(held_out), "limit": 3, "metrics": ["text_match"], "max_new_tokens": 4}
    training = {"arms": ["base", "full", "xtf"], "epochs": 1, "batch_size": 4, "schedule": "constant"}
    config = tiny_config(tmp_path, tiny_folder, chat_rows(16), training=training, evaluation=evaluation)
    run = xtf.label(xtf.score(config))
    apart = tmp_path / "apart"
    shutil.copytree(run.path, apart)
    alone = xtf.train(run)
    command = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = run_module(*command, "-m", "xtf", "train", str(apart), "--set", "training.batch_size=2")
    assert done.stdout.count("held-out loss") == 1  # the first process speaks for both
    together = json.loads((apart / "metrics.json").read_text(encoding="utf-8"))
    base, *arms = zip(alone["arms"], together["arms"], strict=True)
    assert base[1]["held_out_loss"]["mean"] == pytest.approx(base[0]["held_out_loss"]["mean"], rel=1e-6)
    answers = [json.loads((path / "model" / "base" / "answers.json").read_text()) for path in (run.path, apart)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3
    for one, two in arms:
        assert one["steps"] == two["steps"] == 4
        assert two["train_losses"][0] == pytest.approx(one["train_losses"][0], rel=1e-4)
        assert two["held_out_loss"]["mean"] == pytest.approx(one["held_out_loss"]["mean"], rel=1e-4)
