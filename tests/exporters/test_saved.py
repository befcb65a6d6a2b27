"""The folder of a saved data set that trainers take as tokenised: `datasets` reads it, and XTF scores it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

import xtf
from tests.exporters.made import label_rows, random_run

NAMES = ("saved", "axolotl", "llama-factory")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    return random_run(tmp_path_factory.mktemp("run"), tiny_folder)


@pytest.mark.parametrize("name", NAMES)
def test_datasets_loads_the_folder_with_three_columns(run: Any, name: str, tmp_path: Path) -> None:
    xtf.export(run, name, tmp_path / "out")
    rows = datasets.load_from_disk(str(tmp_path / "out"))
    assert isinstance(rows, datasets.Dataset)
    assert rows.column_names == ["input_ids", "attention_mask", "labels"]
    assert rows.to_list() == [
        {name: row[name] for name in rows.column_names} for row in label_rows(run.path / "labels")
    ]
    ids = (tmp_path / "out" / "ids.txt").read_text(encoding="utf-8").splitlines()
    assert ids == [row["example_id"] for row in label_rows(run.path / "labels")]


@pytest.mark.parametrize("as_splits", [False, True])
def test_what_a_trainer_has_prepared_is_scored_and_written_back(
    run: Any, as_splits: bool, tmp_path: Path, tiny_folder: Path
) -> None:
    """A folder as axolotl saves it, and one with splits, as LLaMA-Factory does."""
    prepared = datasets.Dataset.from_list(
        [{n: row[n] for n in ("input_ids", "attention_mask")} for row in label_rows(run.path / "labels")]
    )
    targets = [[token if at > 20 else -100 for at, token in enumerate(row)] for row in prepared["input_ids"]]
    prepared = prepared.add_column("labels", targets)
    saved = datasets.DatasetDict({"train": prepared}) if as_splits else prepared
    saved.save_to_disk(str(tmp_path / "prepared"))
    again = random_run(tmp_path, tiny_folder, data={"path": str(tmp_path / "prepared")})
    xtf.export(again, "saved", tmp_path / "back")
    back = datasets.load_from_disk(str(tmp_path / "back"))
    assert back.column_names == prepared.column_names
    assert back["input_ids"] == prepared["input_ids"]
    masked = 0
    for old, new in zip(prepared["labels"], back["labels"], strict=True):
        assert all(n in (o, -100) for o, n in zip(old, new, strict=True))
        masked += sum(o != n for o, n in zip(old, new, strict=True))
    assert masked == sum(sum(row["noise"]) for row in label_rows(again.path / "labels")) > 0


def test_settings_name_the_rows_and_keep_them_whole(run: Any, tmp_path: Path) -> None:
    longest = max(len(row["input_ids"]) for row in label_rows(run.path / "labels"))
    written = xtf.export(run, "axolotl", tmp_path / "a")
    settings = yaml.safe_load((tmp_path / "a" / "axolotl.yaml").read_text(encoding="utf-8"))
    assert settings["sequence_len"] == longest
    assert settings["datasets"] == [{"path": str(tmp_path / "a"), "type": None}]
    assert written.command == ("axolotl", "train", str(tmp_path / "a" / "axolotl.yaml"))
    xtf.export(run, "llama-factory", tmp_path / "l")
    settings = yaml.safe_load((tmp_path / "l" / "llama_factory.yaml").read_text(encoding="utf-8"))
    assert settings["tokenized_path"] == str(tmp_path / "l")
    xtf.export(run, "ms-swift", tmp_path / "s")
    settings = yaml.safe_load((tmp_path / "s" / "ms_swift.yaml").read_text(encoding="utf-8"))
    assert settings["max_length"] == longest
    assert settings["dataset"] == [str(tmp_path / "s" / f"part-0000{number}.jsonl") for number in range(3)]
