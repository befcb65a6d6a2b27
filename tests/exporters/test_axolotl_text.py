"""Axolotl's span details: XTF's own reader of that form gives every label back but for those that are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import xtf
from tests.conftest import chat_rows
from tests.exporters.made import random_run
from tests.tiny import tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import DataReport, read_examples

ODD: list[dict[str, Any]] = [
    {"id": "text", "text": "Only text."},
    {
        "id": "thoughts",
        "messages": [
            {"role": "user", "content": "1?"},
            {"role": "assistant", "reasoning_content": "Hm.", "content": "1"},
        ],
    },
    {
        "id": "two turns",
        "messages": [
            *({"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Hello, you all."))),
            *({"role": role, "content": text} for role, text in (("user", "Bye"), ("assistant", "So long, ñ 🦊!"))),
        ],
    },
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    return random_run(tmp_path_factory.mktemp("run"), tiny_folder, [*chat_rows(8), *ODD])


def test_the_details_give_every_label_back(run: Any, tmp_path: Path) -> None:
    done = xtf.export(run, "axolotl-text", tmp_path / "out")
    files = [pq.read_table(file) for file in sorted((run.path / "labels").iterdir())]
    labels = {row["example_id"]: row["labels"] for file in files for row in file.to_pylist()}
    rows = DataConfig(path=tuple(str(file) for file in done))
    found = {one.example_id: one for one in read_examples(rows, tiny_tokenizer(), DataReport())}
    assert set(found) == set(labels) - {"text", "thoughts"}
    differing = 0
    for name, example in found.items():
        told = example.is_response & (example.weights > 0)
        learnt = np.array([label != -100 for label in labels[name]])
        assert not (told & ~learnt).any()
        differing += int((told != learnt).sum())
    shared = {said: count for said, count in done.lost.items() if "share a character" in said}
    assert list(shared.values()) == [differing]
    assert sum(label == -100 for name in found for label in labels[name]) > 100
    left_out = {said: count for said, count in done.lost.items() if "left out" in said}
    assert list(left_out.values()) == [len(labels) - len(found)]


def test_its_settings_name_the_files_and_the_fields(run: Any, tmp_path: Path) -> None:
    done = xtf.export(run, "axolotl-text", tmp_path / "out")
    settings = yaml.safe_load((tmp_path / "out" / "axolotl.yaml").read_text(encoding="utf-8"))
    assert [one["path"] for one in settings["datasets"]] == [str(file) for file in done]
    assert {one["message_field_training_detail"] for one in settings["datasets"]} == {"train_detail"}
    assert settings["sequence_len"] == done.export.longest
    assert done.command == ("axolotl", "train", str(tmp_path / "out" / "axolotl.yaml"))
