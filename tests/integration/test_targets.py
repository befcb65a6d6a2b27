"""What data and settings say about learning, from the rows to labels, explanations, summary, report and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import xtf
from tests.conftest import tiny_config, write_jsonl
from xtf.report.html.write import html


def chat(number: int, **flags: Any) -> dict[str, Any]:
    return {
        "id": f"row{number}",
        "messages": [
            {"role": "user", "content": f"What is {number} and 4?"},
            {"role": "assistant", "content": "A wrong answer.", **flags},
            {"role": "user", "content": "Again."},
            {"role": "assistant", "content": f"The sum of {number} and 4 is known secret."},
        ],
    }


def test_from_rows_to_labels_and_back(tmp_path: Path, tiny_folder: Path) -> None:
    rows = [chat(0, train=False), chat(1, weight=0.5), chat(2), {**chat(3), "train": False}]
    config = tiny_config(
        tmp_path,
        tiny_folder,
        training={"arms": ["full", "xtf"], "max_steps": 1, "batch_size": 2, "warmup_ratio": 0.0},
        evaluation={"path": str(write_jsonl(tmp_path / "other.jsonl", [chat(9)])), "max_new_tokens": 2},
    )
    config["data"] |= {
        "path": str(write_jsonl(tmp_path / "rows.jsonl", rows)),
        "never_learn": ["secret"],
        "always_learn": ["known"],
        "prompt_weight": 0.25,
    }
    run = xtf.run(config)
    labels = pq.read_table(tmp_path / "run/labels/part-00000.parquet").to_pydict()
    assert labels["example_id"] == ["row0", "row1", "row2"]
    for place, example_id in enumerate(labels["example_id"]):
        explained = run.explain(example_id).tokens
        columns = [labels[name][place] for name in ("input_ids", "labels", "assistant_masks", "weights", "noise")]
        for token, (token_id, label, mask, weight, noise) in zip(explained, zip(*columns, strict=True), strict=True):
            assert (token.token_id, token.weight, token.noise) == (token_id, weight, noise)
            assert mask == (label != -100)
            assert label == (-100 if noise or weight == 0 else token_id)
            if token.ruling in ("a flag of the data", "data.never_learn"):
                assert (label, mask, weight, token.verdicts) == (-100, 0, 0.0, ())
                assert ("is marked in the data" if token.ruling[0] == "a" else "data.never_learn") in token.sentence
            elif token.ruling == "data.always_learn":
                assert token.is_response
                assert not noise
            elif not token.is_response and token.index:
                assert weight == 0.25
                assert "data.prompt_weight" in token.sentence
        ruled = "".join(token.text for token in explained if token.ruling == "data.never_learn")
        assert "secret" in ruled
        flagged = "".join(token.text for token in explained if token.ruling == "a flag of the data")
        assert flagged.startswith("A wrong answer.") == (example_id == "row0")
    halves = {token.weight for token in run.explain("row1").tokens if token.is_response and not token.noise}
    assert halves == {0.5, 1.0}
    assert [one.name for one in run.summary().rulings] == ["flagged", "never", "always"]
    decided = run.manifest["data_report"]["decided"]
    assert decided["never learnt: data.never_learn 'secret'"]["count"] == 3
    assert run.manifest["data_report"]["skipped"]["nothing in the row is to be learnt"]["count"] == 1
    arms = {arm["arm"]: arm for arm in run.metrics["arms"]}
    weighing = sum(sum(weight > 0 for weight in weights) for weights in labels["weights"])
    masked = sum(map(sum, labels["noise"]))
    assert arms["full"]["tokens_kept"] == weighing + masked
    assert arms["xtf"]["tokens_kept"] == weighing
    assert "is named by data.never_learn" in html(run)
