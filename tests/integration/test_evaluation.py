"""Which rows arms are evaluated on: the split that is named, and never a row that was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

import xtf
from tests.conftest import chat_rows, tiny_config, write_jsonl
from xtf.errors import DataError

TRAINING = {"epochs": 1, "batch_size": 8, "lora": {"r": 2, "alpha": 4}, "arms": ["base"]}
ROWS = chat_rows(20)
TRAIN, TEST, VALIDATION = ROWS[:12], ROWS[12:15], ROWS[15:]


def folder_of_files(path: Path) -> str:
    path.mkdir()
    for name, rows in (("train", TRAIN), ("test", TEST), ("validation", VALIDATION)):
        write_jsonl(path / f"{name}.jsonl", rows)
    return str(path)


def saved_datasets(path: Path) -> str:
    splits = {"train": TRAIN, "test": TEST, "validation": VALIDATION}
    datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(path)
    return str(path)


def evaluated(tmp_path: Path, model: Path, evaluation: dict[str, Any], **data: Any) -> dict[str, Any]:
    tmp_path.mkdir(exist_ok=True)
    train = write_jsonl(tmp_path / "rows.jsonl", TRAIN)
    config = tiny_config(
        tmp_path,
        model,
        data={"path": str(train), **data},
        attributes={"entropy": {}},
        training=TRAINING,
        evaluation={"exact_match": False, **evaluation},
    )
    found: dict[str, Any] = xtf.run(config).metrics
    return found


@pytest.mark.parametrize("make", [folder_of_files, saved_datasets])
def test_a_folder_is_evaluated_by_its_own_split_and_not_by_that_of_the_data(
    make: Any, tmp_path: Path, tiny_folder: Path
) -> None:
    path = make(tmp_path / "splits")
    held_out = evaluated(tmp_path, tiny_folder, {"path": path})["held_out"]
    assert (held_out["split"], held_out["examples"], held_out["in_training"]) == ("test", 3, [])
    held_out = evaluated(tmp_path, tiny_folder, {"path": path, "split": "validation"})["held_out"]
    assert (held_out["split"], held_out["examples"], held_out["in_training"]) == ("validation", 5, [])
    with pytest.raises(DataError, match=r"no (file of )?split 'dev'.* test, train(ing)?, validation"):
        evaluated(tmp_path, tiny_folder, {"path": path, "split": "dev"})


def test_several_files_are_evaluated_together(tmp_path: Path, tiny_folder: Path) -> None:
    folder_of_files(tmp_path / "splits")
    paths = [str(tmp_path / "splits" / "test.jsonl"), str(tmp_path / "splits" / "valid*.jsonl")]
    held_out = evaluated(tmp_path, tiny_folder, {"path": paths})["held_out"]
    assert (held_out["path"], held_out["examples"]) == (paths, len(TEST) + len(VALIDATION))


def test_training_rows_are_refused_whatever_they_are_called(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = [{**row, "id": f"other-{index}"} for index, row in enumerate(TRAIN[:2])]
    mixed = write_jsonl(tmp_path / "mixed.jsonl", [*TEST, *renamed])
    metrics = evaluated(tmp_path, tiny_folder, {"path": str(mixed)})
    assert metrics["held_out"]["examples"] == 3
    assert metrics["held_out"]["in_training"] == ["other-0", "other-1"]
    assert "2 held-out rows are among the training rows" in metrics["note"]
    assert f"2 of 5 held-out rows are among the training rows (the first: {mixed}:4)" in capsys.readouterr().err


def test_nothing_but_training_rows_stops_and_so_does_one_with_on_error_stop(tmp_path: Path, tiny_folder: Path) -> None:
    path = folder_of_files(tmp_path / "splits")
    with pytest.raises(DataError, match=r"12 of 12 held-out rows .*evaluation\.split"):
        evaluated(tmp_path, tiny_folder, {"path": path, "split": "train"})
    one = write_jsonl(tmp_path / "one.jsonl", [*TEST, TRAIN[0]])
    with pytest.raises(DataError, match=r"1 of 4 held-out rows are among"):
        evaluated(tmp_path / "strict", tiny_folder, {"path": str(one)}, on_error="stop")
