"""The check of a trainer against the silent failures that trainers have, with the trainers themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, DatasetDict
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from trl import SFTTrainer

import xtf
from tests.conftest import Cli, chat_rows, tiny_config
from tests.integrations.weighted import model_to_train, sft_config
from tests.tiny import tiny_tokenizer
from xtf.errors import DataError, RunError, TrainerError
from xtf.integrations.callback import CheckCallback
from xtf.integrations.checking import check_batches, check_dataset, check_trainer
from xtf.integrations.labelled import LabelledTokens
from xtf.integrations.trl import WeightedSFTTrainer

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def made(folder: Path, model: Path, noise_weight: float) -> xtf.Run:
    combine = {"rule": "any", "noise_weight": noise_weight}
    return xtf.label(xtf.score(tiny_config(folder, model, chat_rows(14), combine=combine)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> xtf.Run:
    return made(tmp_path_factory.mktemp("hard"), tiny_folder, 0.0)


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> xtf.Run:
    """A run whose noise counts a quarter."""
    return made(tmp_path_factory.mktemp("soft"), tiny_folder, 0.25)


def labels_of(run: xtf.Run) -> Dataset:
    data: Dataset = Dataset.from_parquet([str(path) for path in sorted((run.path / "labels").glob("*.parquet"))])
    return data


def kept(run: xtf.Run, name: str = "labels") -> int:
    unlearnt = -100 if name == "labels" else 0
    return sum(value != unlearnt for row in labels_of(run) for value in row[name])


def three_columns(run: xtf.Run) -> Dataset:
    return labels_of(run).select_columns(["input_ids", "attention_mask", "labels"])


def sft(run: xtf.Run, folder: Path, data: Any = None, kind: Any = SFTTrainer, **settings: Any) -> Any:
    callbacks = settings.pop("callbacks", None)
    return kind(
        model_to_train().float(),
        sft_config(folder, **settings),
        train_dataset=three_columns(run) if data is None else data,
        processing_class=tiny_tokenizer(),
        callbacks=callbacks,
    )


def plain(run: xtf.Run, folder: Path, collator: Any, data: Any = None, **settings: Any) -> Trainer:
    usual = {"max_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
    callbacks = settings.pop("callbacks", None)
    return Trainer(
        model_to_train().float(),
        TrainingArguments(str(folder), **{**usual, **settings}),
        data_collator=collator,
        train_dataset=three_columns(run) if data is None else data,
        callbacks=callbacks,
    )


RIGHT: dict[str, dict[str, Any]] = {
    "padded": {},
    "one by one": {"per_device_train_batch_size": 1},
    "accumulated": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2},
    "padding-free": {"padding_free": True},
    "bfd": {"packing": True, "max_length": 150},
    "bfd_split": {"packing": True, "packing_strategy": "bfd_split", "max_length": 150},
    "shuffled": {"shuffle_dataset": True},
}


@pytest.mark.parametrize("name", RIGHT)
def test_trls_own_trainer_learns_what_is_labelled(
    name: str, run: xtf.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = sft(run, tmp_path, **RIGHT[name], callbacks=[CheckCallback(run.path)])
    found = check_trainer(trainer, run.path)
    assert (found.learnt, found.kept, found.problems()) == (kept(run), kept(run), [])
    trainer.train()
    said = capsys.readouterr().err
    assert f"as labelled: {kept(run)} of {kept(run)} tokens that count carry loss, and no other" in said
    theirs, own = (float(text) for text in re.findall(r"loss is ([\d.]+), that of the labels ([\d.]+)", said)[0])
    assert theirs == pytest.approx(own, rel=1e-4)


def test_a_stream_and_transformers_own_trainer_learn_what_is_labelled(run: xtf.Run, tmp_path: Path) -> None:
    stream = three_columns(run).to_iterable_dataset()
    assert check_trainer(sft(run, tmp_path, stream), run).learnt == kept(run)
    collator = DataCollatorForSeq2Seq(tiny_tokenizer())
    for size in (1, 4):
        settings: dict[str, Any] = {"per_device_train_batch_size": size, "callbacks": [CheckCallback(run)]}
        trainer = plain(run, tmp_path, collator, **settings)
        assert check_trainer(trainer, run).learnt == kept(run)
        trainer.train()


def test_wrapped_packing_loses_only_what_stands_first(run: xtf.Run, tmp_path: Path) -> None:
    trainer = sft(run, tmp_path, packing=True, packing_strategy="wrapped", max_length=37)
    firsts = sum(row["labels"][0] != -100 for row in trainer.train_dataset)
    assert firsts > 0
    with pytest.raises(
        TrainerError, match=rf"^not as labelled:\n- {firsts} tokens that count in the run arrive without loss"
    ):
        check_trainer(trainer, run)


def stops(trainer: Any, run: xtf.Run, said: str, **options: Any) -> None:
    """The function refuses, and the callback stops training before a step."""
    with pytest.raises(TrainerError, match=said):
        check_trainer(trainer, run, **options)
    trainer.add_callback(CheckCallback(run, **options))
    with pytest.raises(TrainerError, match=said):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("packing", [False, True])
def test_truncation_is_found(packing: bool, run: xtf.Run, tmp_path: Path) -> None:
    lengths = [len(row["input_ids"]) for row in labels_of(run)]
    longest = sorted(lengths)[len(lengths) // 2]
    lost = sum(label != -100 for row in labels_of(run) for label in row["labels"][longest:])
    cut = sum(any(label != -100 for label in row["labels"][longest:]) for row in labels_of(run))
    trainer = sft(run, tmp_path, max_length=longest, packing=packing)
    said = rf"{cut} of 14 rows are cut, and with them {lost} of {kept(run)} tokens that count: .* to {max(lengths)}"
    stops(trainer, run, said)


@pytest.mark.filterwarnings("ignore:.*keep_end:FutureWarning")
def test_truncation_from_the_left_is_found(run: xtf.Run, tmp_path: Path) -> None:
    stops(sft(run, tmp_path, max_length=40, truncation_mode="keep_end"), run, "rows are cut")


def test_labels_that_a_collator_overwrites_are_found(run: xtf.Run, tmp_path: Path) -> None:
    collator = DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False)
    trainer = plain(run, tmp_path, collator, per_device_train_batch_size=1)
    all_tokens = sum(len(row["input_ids"]) - 1 for row in labels_of(run))  # but the first, which nothing predicts
    stops(trainer, run, f"{all_tokens - kept(run)} tokens that the run masks carry loss")


def test_masks_of_all_answers_are_found(run: xtf.Run, tmp_path: Path) -> None:
    rows = [
        {
            "input_ids": row["input_ids"],
            "assistant_masks": [int(a != -100 or b) for a, b in zip(row["labels"], row["noise"], strict=True)],
        }
        for row in labels_of(run)
    ]
    noise = sum(sum(row["noise"]) for row in labels_of(run))
    assert noise > 0
    stops(sft(run, tmp_path, Dataset.from_list(rows)), run, f"{noise} tokens that the run masks carry loss")


def test_a_collator_that_does_not_pad_labels_is_found(run: xtf.Run, tmp_path: Path) -> None:
    for collator in (default_data_collator, DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False)):
        stops(plain(run, tmp_path, collator, per_device_train_batch_size=4), run, "the collator cannot make a batch")


def test_weights_that_do_not_arrive_are_found(soft: xtf.Run, tmp_path: Path) -> None:
    noise = sum(sum(row["noise"]) for row in labels_of(soft))
    assert noise > 0
    for settings in ({}, {"packing": True, "max_length": 150}):
        trainer = sft(soft, tmp_path, labels_of(soft), **settings)
        stops(trainer, soft, f"{noise} tokens have a weight of their own, and weights do not arrive")
    assert check_trainer(sft(soft, tmp_path), soft, weights=False).learnt == kept(soft)


@pytest.mark.parametrize("name", ["padded", "accumulated", "padding-free", "bfd"])
def test_the_trainer_with_weights_learns_what_is_labelled(name: str, soft: xtf.Run, tmp_path: Path) -> None:
    callbacks = [CheckCallback(soft, steps=2)]
    settings: dict[str, Any] = {**RIGHT[name], "max_steps": 2, "learning_rate": 1e-2, "callbacks": callbacks}
    trainer = sft(soft, tmp_path, labels_of(soft), WeightedSFTTrainer, **settings)
    found = check_trainer(trainer, soft)
    assert found.learnt == found.kept == kept(soft, "weights") > kept(soft)
    trainer.train()


def test_weights_that_change_on_the_way_are_found(soft: xtf.Run, tmp_path: Path) -> None:
    data = labels_of(soft).map(lambda row: {"weights": [min(1.0, weight * 2) for weight in row["weights"]]})
    noise = sum(sum(row["noise"]) for row in labels_of(soft))
    trainer = sft(soft, tmp_path, data, WeightedSFTTrainer)
    stops(trainer, soft, f"{noise} tokens arrive with another weight")


class Ignoring(WeightedSFTTrainer):
    """Has the weights in its batches and does not use them."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inputs = {**inputs, "weights": inputs["weights"].sign()}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


def test_a_loss_that_ignores_the_weights_is_found(soft: xtf.Run, tmp_path: Path) -> None:
    trainer = sft(soft, tmp_path, labels_of(soft), Ignoring, callbacks=[CheckCallback(soft)])
    check_trainer(trainer, soft)
    with pytest.raises(TrainerError, match=r"update 1: the trainer's loss is .* Either weights do not reach the loss"):
        trainer.train()
    trainer = sft(soft, tmp_path, labels_of(soft), Ignoring, callbacks=[CheckCallback(soft, steps=0)])
    trainer.train()


def test_the_check_does_not_change_training(run: xtf.Run, tmp_path: Path) -> None:
    states = []
    for callbacks in ([], [CheckCallback(run, steps=2)]):
        torch.manual_seed(3)
        trainer = sft(run, tmp_path, max_steps=4, learning_rate=1e-2, callbacks=callbacks)
        for module in trainer.model.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.3
        if callbacks:
            check_trainer(trainer, run)
        trainer.train()
        states.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_rows_left_out_are_named_unless_meant(run: xtf.Run, tmp_path: Path) -> None:
    some = three_columns(run).select(range(5))
    missing = len(labels_of(run)) - 5
    stops(sft(run, tmp_path, some), run, f"^not as labelled:\n- {missing} of 14 rows never arrive")
    assert check_trainer(sft(run, tmp_path, some), run, subset=True).problems() == []


def test_other_tokens_are_named(run: xtf.Run) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(200, 300, (2, 30))
    with pytest.raises(TrainerError, match="29 tokens that carry loss are in no row of labels/"):
        check_batches([{"input_ids": ids[:1], "labels": ids[:1]}], run)
    with pytest.raises(TrainerError, match="a batch without input_ids or labels: it has input_ids"):
        check_batches([{"input_ids": ids}], run)


def test_two_rows_with_the_same_tokens_and_other_labels() -> None:
    ids = np.arange(20)
    first, second = np.arange(20) > 10, np.arange(20) > 15
    rows = LabelledTokens.joined([(ids, first, first.astype(np.float32)), (ids, second, second.astype(np.float32))])
    for piece in rows.pieces(ids):
        assert (piece.start, piece.length, piece.places.tolist()) == (0, 20, [0, 21])


def brute_pieces(rows: list[Any], sequence: Any) -> Iterator[tuple[int, int]]:
    """Longest stretches of at least 8 tokens, from the left, that are in a row."""
    place = 0
    while place + 8 <= len(sequence):
        longest = max(
            next(
                (size for size in range(len(sequence) - place, 7, -1) if _within(row, sequence[place : place + size])),
                0,
            )
            for row in rows
        )
        if longest:
            yield place, longest
        place += longest or 1


def _within(row: Any, part: Any) -> bool:
    return any(np.array_equal(row[start : start + len(part)], part) for start in range(len(row) - len(part) + 1))


def test_pieces_are_found_as_by_brute_force() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 2, rng.integers(9, 30)) for _ in range(6)]
    labelled = LabelledTokens.joined([(row, row > 0, np.ones(len(row), np.float32)) for row in rows])
    for _ in range(30):
        parts = [rows[i][rng.integers(0, 5) : rng.integers(8, 30)] for i in rng.integers(0, 6, 3)]
        sequence = np.concatenate([*parts, rng.integers(0, 3, 4)])
        found = [(piece.start, piece.length) for piece in labelled.pieces(sequence) if piece.length >= 8]
        assert found == list(brute_pieces(rows, sequence))


def test_prepared_data_sets_are_read(run: xtf.Run, tmp_path: Path) -> None:
    data = three_columns(run)
    data.save_to_disk(str(tmp_path / "arrow"))
    DatasetDict(train=data).save_to_disk(str(tmp_path / "dictionary"))
    for path in (tmp_path / "arrow", tmp_path / "dictionary", run.path / "labels"):
        assert check_dataset(path, run).learnt == kept(run)
    with pytest.raises(DataError, match="no data set"):
        check_dataset(tmp_path, run)
    pq.write_table(data.select_columns(["input_ids"]).data.table, tmp_path / "x.parquet")
    with pytest.raises(TrainerError, match="its columns are input_ids"):
        check_dataset(tmp_path / "x.parquet", run)


def test_a_run_without_labels_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    scored = xtf.score(tiny_config(tmp_path, tiny_folder, chat_rows(3)))
    with pytest.raises(RunError, match="no labels to compare with"):
        check_batches([], scored)


def test_the_command(run: xtf.Run, soft: xtf.Run, tmp_path: Path, cli: Cli) -> None:
    right = cli("check-trainer", run.path)
    assert (right.code, right.err) == (0, "")
    assert right.out.startswith(f"as labelled: {kept(run)} of {kept(run)} tokens that count carry loss, and no other\n")
    assert f"trainer.add_callback(CheckCallback({str(run.path)!r}))" in right.out
    lost = sum(label != -100 for row in labels_of(run) for label in row["labels"][40:])
    cut = cli("check-trainer", run.path, "--max-length", "40")
    assert (cut.code, cut.out) == (1, "")
    assert f"with them {lost} of {kept(run)} tokens that count: set max_length" in cut.err.replace(",", "")
    weighted = cli("check-trainer", soft.path)
    assert weighted.out.startswith(f"as labelled: {kept(soft, 'weights')} of {kept(soft, 'weights')} tokens")
    assert cli("check-trainer", soft.path, "--labels-alone").out.startswith(f"as labelled: {kept(soft)} of")
    three_columns(soft).select(range(4)).save_to_disk(str(tmp_path / "prepared"))
    prepared = cli("check-trainer", soft.path, "--dataset", tmp_path / "prepared")
    assert prepared.code == 1
    assert "weights do not arrive" in prepared.err
    assert "10 of 14 rows never arrive" in prepared.err
    accepted = cli("check-trainer", soft.path, "--dataset", tmp_path / "prepared", "--labels-alone", "--subset")
    assert accepted.code == 0
    assert "10 rows left out" in accepted.out
    assert f"CheckCallback({str(soft.path)!r}, weights=False, subset=True)" in accepted.out
