"""XTF as an operator of data-juicer, in a pipeline of three rows that its own command runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

import xtf
from tests.conftest import chat_row, tiny_config, write_config, write_jsonl
from tests.interop.trainers import environment, run_in

SUMS = [chat_row("a", "What is 1 plus 3?", "1 + 3 = 4."), chat_row("b", "And 2 plus 6?", "Let us add. 2 + 6 = 8.")]
ALONE: dict[str, Any] = {"id": "alone", "messages": [{"role": "user", "content": "Alone"}]}
COMMAND = "from data_juicer.tools.process_data import main; main()"


def test_a_pipeline_of_three_rows(tmp_path: Path, tiny_folder: Path) -> None:
    """The labels are those of `xtf run` over the same rows; the row that says nothing goes no further."""
    environment("data-juicer")
    thresholds = {"random": {"kind": "bottom_share", "share": 0.4}}
    rows = [SUMS[0], ALONE, SUMS[1]]
    config = tiny_config(tmp_path, tiny_folder, rows, attributes={"random": {}}, thresholds=thresholds)
    config["data"]["columns"] = {"id": None}  # as in a pipeline: the scores of this attribute follow the names of rows
    run = xtf.label(xtf.score(config))
    operator = {"config": str(write_config(tmp_path / "run.yaml", config)), "output": str(tmp_path / "runs")}
    pipeline = {
        "dataset_path": str(write_jsonl(tmp_path / "three.jsonl", rows)),
        "export_path": str(tmp_path / "out" / "rows.jsonl"),
        "work_dir": str(tmp_path / "work"),
        "text_keys": "messages",
        "np": 1,
        "process": [{"xtf_labeller": operator}],
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline), encoding="utf-8")
    run_in("data-juicer", "-c", COMMAND, "--config", tmp_path / "pipeline.yaml")
    text = (tmp_path / "out" / "rows.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    told = [row for file in sorted((run.path / "labels").iterdir()) for row in pq.read_table(file).to_pylist()]
    assert [row["id"] for row in found] == ["a", "b"]
    for row, own, source in zip(found, told, SUMS, strict=True):
        assert row["messages"] == source["messages"]
        for name in ("input_ids", "attention_mask", "labels", "weights"):
            assert row[name] == own[name]
        assert 0 < row["masked_share"] < 1
