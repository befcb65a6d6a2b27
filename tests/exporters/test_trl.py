"""The script that is written beside a TRL export, run as it is: TRL's own preparation and collator, label by label."""

from __future__ import annotations

import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import xtf
from tests.conftest import chat_rows
from tests.exporters.made import label_rows, random_run

pytest.importorskip("trl")

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL and transformers, about each other

Rows = list[tuple[tuple[int, ...], tuple[int, ...]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    rows = chat_rows(9)
    rows[3]["messages"][1]["content"] *= 5  # longer than the others
    return random_run(tmp_path_factory.mktemp("trl"), tiny_folder, rows)


def written(run: Any) -> Rows:
    return sorted((tuple(row["input_ids"]), tuple(row["labels"])) for row in label_rows(run.path / "labels"))


def trained(export: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """The trainer that the script has made, after two steps."""
    script = export / "train.py"
    usual = ("--max_steps", "2", "--report_to", "none", "--use_cpu", "true", "--bf16", "false", "--save_strategy", "no")
    monkeypatch.setattr(sys, "argv", [str(script), "--output_dir", str(export / "model"), *usual, *arguments])
    return runpy.run_path(str(script), run_name="__main__")["trainer"]


def arrived(trainer: Any) -> Rows:
    """Rows of ids and labels out of the real batches, padding and packing undone."""
    rows: Rows = []
    for batch in trainer.get_train_dataloader():
        if "position_ids" in batch:
            starts = [*(batch["position_ids"][0] == 0).nonzero().flatten().tolist(), batch["input_ids"].shape[1]]
            ids, labels = (batch[key][0].tolist() for key in ("input_ids", "labels"))
            rows += [(tuple(ids[start:end]), tuple(labels[start:end])) for start, end in pairwise(starts)]
        else:
            for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
                size = int(mask.sum())
                assert set(labels[size:].tolist()) <= {-100}
                rows.append((tuple(ids[:size].tolist()), tuple(labels[:size].tolist())))
    return sorted(rows)


@pytest.mark.parametrize("packing", [(), ("--packing", "true")])
def test_every_label_arrives(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: tuple[str, ...]
) -> None:
    exported = xtf.export(run, "trl", tmp_path / "out")
    assert exported.export.longest == max(len(ids) for ids, _ in written(run))
    assert exported.command == ("python", str(tmp_path / "out" / "train.py"))
    trainer = trained(tmp_path / "out", monkeypatch, *packing)
    assert trainer.state.global_step == 2
    assert arrived(trainer) == written(run)


def test_masks_alone_teach_the_same(run: Any) -> None:
    """TRL makes labels of ``assistant_masks`` where there are none: those that the run wrote."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    files = sorted(map(str, (run.path / "labels").glob("*.parquet")))
    data = load_dataset("parquet", data_files=files, split="train", cache_dir=str(run.path / "cache"))
    settings = SFTConfig(
        output_dir=str(run.path / "model"), report_to="none", use_cpu=True, bf16=False, max_length=None
    )
    auto: Any = AutoTokenizer
    trainer = SFTTrainer(
        model=run.config.model.path,
        args=settings,
        train_dataset=data.select_columns(["input_ids", "assistant_masks"]),
        processing_class=auto.from_pretrained(run.config.model.path),
    )
    assert arrived(trainer) == written(run)
    assert any(-100 in labels[:-1] for _, labels in written(run))


def test_what_would_cut_rows_is_refused(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xtf.export(run, "trl", tmp_path / "out")
    with pytest.raises(SystemExit, match=r"max_length 8 cuts rows"):
        trained(tmp_path / "out", monkeypatch, "--max_length", "8")
    with pytest.raises(SystemExit, match=r"wrapped"):
        trained(tmp_path / "out", monkeypatch, "--packing", "true", "--packing_strategy", "wrapped")


def test_a_label_that_is_lost_stops_the_script(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = xtf.export(run, "trl", tmp_path / "out").files
    table = pq.read_table(files[0])
    pq.write_table(table.slice(1), files[0])
    with pytest.raises(SystemExit, match=r"labels have arrived in the trainer, and"):
        trained(tmp_path / "out", monkeypatch)
