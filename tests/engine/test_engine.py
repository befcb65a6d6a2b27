"""The engine: batches and their budget, token shards handed on while others are written, threads beside the model."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import xtf
from tests.conftest import chat_rows, tiny_config
from tests.tiny import tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import reader
from xtf.engine.batches import LEAST, MOST, TokenBudget, batches, tokens_within
from xtf.engine.stream import TokenShards
from xtf.engine.token_files import TokenSource, tokenise
from xtf.errors import DataError, ModelError, RunError
from xtf.model import SignalPass, precision
from xtf.parallel import ahead, behind
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.tokens import TokenizedExample


def example(length: int) -> TokenizedExample:
    is_response = np.arange(length) > 0
    return TokenizedExample(str(length), np.zeros(length, np.int32), is_response, np.zeros(length, np.bool_))


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_batches_hold_every_example_once_within_the_budget(lengths: list[int], budget: int) -> None:
    examples = [example(length) for length in lengths]
    made = list(batches(examples, budget))
    assert sorted(position for batch in made for position in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= budget


def test_large_batches_of_very_different_lengths_hold_little_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(5.0, 0.6, 4000).astype(int) + 2
    examples = [example(int(length)) for length in lengths]
    widths = [(max(lengths[batch]), batch) for batch in map(np.array, batches(examples, 65536))]
    assert 1 - lengths.sum() / sum(width * len(batch) for width, batch in widths) < 0.05
    assert len(widths) < lengths.sum() / 4096 * 2  # and they are large


def test_a_budget_that_shrinks_holds_for_the_batches_that_follow(tmp_path: Path) -> None:
    budget = TokenBudget(RunFolder(tmp_path), "cuda", 40)
    sizes = []
    for batch in batches([example(10)] * 8, budget):
        sizes.append(len(batch))
        budget.exceeded(40)
    assert sizes[0] == 4
    assert set(sizes[2:]) == {2}  # the second batch was filled before the first came back


def test_a_halved_budget_is_remembered_for_its_device_only(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    TokenBudget(folder, "cuda", 4096).exceeded(3000)
    assert TokenBudget(folder, "cuda", 4096).tokens == 1500
    assert TokenBudget(folder, "cuda", 800).tokens == 800
    assert TokenBudget(folder, "cpu", 4096).tokens == 4096
    (folder.state / "batch.json").write_text("{", encoding="utf-8")
    assert TokenBudget(folder, "cuda", 4096).tokens == 4096


def test_the_first_budget_follows_the_memory_that_is_free() -> None:
    small, large = (tokens_within(gib * 2**30, 4096, 14336, 2) for gib in (8, 16))
    assert large == pytest.approx(2 * small, abs=2)
    assert tokens_within(8 * 2**30, 4096, 14336, 4) == pytest.approx(small / 2, abs=2)
    assert tokens_within(0, 4096, 14336, 2) == LEAST
    assert tokens_within(2**50, 64, 64, 2) == MOST


def test_a_batch_that_does_not_fit_is_halved_and_the_scores_stay_the_same(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = xtf.score(tiny_config(tmp_path, tiny_folder))
    original = SignalPass.run
    tried: list[int] = []

    def short_of_memory(self: SignalPass, tokens: Any) -> Any:
        tried.append(tokens.input_ids.shape[0])
        if tokens.input_ids.shape[0] > 3:
            raise torch.OutOfMemoryError("not enough")
        return original(self, tokens)

    monkeypatch.setattr(SignalPass, "run", short_of_memory)
    config = {**tiny_config(tmp_path, tiny_folder), "output": str(tmp_path / "small")}
    config["model"] = {**config["model"], "device": "cpu"}
    halved = xtf.score(config)
    assert max(tried) == 12
    assert tried[-1] <= 3
    for ours, theirs in zip(halved.shards(), whole.shards(), strict=True):
        for name, column in ours.scores.items():
            np.testing.assert_allclose(column, theirs.scores[name], atol=1e-4)
    assert TokenBudget(halved.folder, "cpu", 4096).tokens < 4096


def test_an_example_that_never_fits_is_named_and_the_rest_is_kept(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(self: SignalPass, tokens: Any) -> Any:
        raise torch.OutOfMemoryError("not enough")

    monkeypatch.setattr(SignalPass, "run", no_memory)
    with pytest.raises(ModelError, match=r"example 'sum-\d+': its \d+ tokens do not fit .* data\.max_length"):
        xtf.score(tiny_config(tmp_path, tiny_folder))


def test_scoring_begins_before_all_rows_are_tokenised(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, tiny_folder, chat_rows(12), scoring={"examples_per_shard": 4, "fit_examples": 4})
    first_scores = tmp_path / "run" / "scores" / "part-00000.parquet"
    original = reader.read_examples

    def slow(*args: Any, **options: Any) -> Iterator[TokenizedExample]:
        for number, one in enumerate(original(*args, **options)):
            until = time.monotonic() + 60
            while number == 8 and not first_scores.exists():
                assert time.monotonic() < until, "the model waited for the last row"
                time.sleep(0.01)
            yield one

    monkeypatch.setattr("xtf.engine.token_files.read_examples", slow)
    run = xtf.score(config)
    assert run.is_scored
    assert sum(len(shard) for shard in run.shards()) == 12


def test_a_bad_row_far_behind_stops_the_run_and_keeps_what_is_scored(tmp_path: Path, tiny_folder: Path) -> None:
    rows = [*chat_rows(9), {"id": "bad", "messages": 5}]
    config = tiny_config(tmp_path, tiny_folder, rows, scoring={"examples_per_shard": 3, "fit_examples": 3})
    config["data"]["on_error"] = "stop"
    with pytest.raises(DataError, match=r"data\.jsonl:10: malformed messages"):
        xtf.score(config)
    assert all(thread.name != "xtf-tokenise" for thread in threading.enumerate())
    written = RunFolder(config["output"]).records("scores")
    assert [record.index for record in written] == [0, 1, 2]


def test_shards_are_handed_on_in_order_and_an_error_reaches_whoever_waits() -> None:
    shards = TokenShards(complete=False)
    records = [ShardRecord(index, "", 1, {"tokens": 5, "report": {}}) for index in range(3)]
    assert shards.tokens is None

    def write() -> None:
        for record in records:
            time.sleep(0.01)
            shards.add(record)
        shards.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert list(shards) == records
    assert list(shards) == records
    assert shards.tokens == 15
    thread.join()
    broken = TokenShards(complete=False)
    broken.close(DataError("no"))
    with pytest.raises(DataError, match="no"):
        broken.wait()


def test_a_run_keeps_the_precision_it_began_with(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    config["model"]["dtype"] = "bfloat16"
    run = xtf.score(config)
    assert run.manifest["inputs"]["dtype"] == "bfloat16"
    config["model"]["dtype"] = "auto"  # on this machine: float32
    assert xtf.score(config).manifest["inputs"]["dtype"] == "bfloat16"
    config["model"]["dtype"] = "float32"
    with pytest.raises(RunError, match="changed: dtype"):
        xtf.score(config)


@pytest.mark.parametrize(("bfloat16", "chosen"), [(1.0, torch.bfloat16), (2.0, torch.float32), (9.0, torch.float32)])
def test_bfloat16_is_chosen_where_it_is_clearly_faster(
    bfloat16: float, chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_seconds", {torch.bfloat16: bfloat16, torch.float32: 2.0}.__getitem__)
    precision._bfloat16_is_faster.cache_clear()
    try:
        assert precision.automatic_dtype(torch.device("cpu"), precision.LEAST_BYTES) == chosen
        assert precision.automatic_dtype(torch.device("cpu"), precision.LEAST_BYTES - 1) == torch.float32
        assert precision.automatic_dtype(torch.device("mps"), precision.LEAST_BYTES) == torch.float32
    finally:
        precision._bfloat16_is_faster.cache_clear()


def test_reading_ahead_keeps_order_and_passes_errors_on() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise DataError("the end")

    found: list[int] = []
    with pytest.raises(DataError, match="the end"):
        found.extend(ahead(items()))
    assert found == [0, 1, 2, 3, 4]
    assert list(ahead(range(100), depth=3)) == list(range(100))
    assert next(ahead(iter(int, 1))) == 0  # an endless one, given up


def test_work_behind_is_done_in_order_and_its_errors_come_out() -> None:
    done: list[int] = []
    with behind() as later:
        for number in range(20):
            later(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(20))
    with pytest.raises(ZeroDivisionError), behind() as later:
        later(lambda: 1 / 0)


def test_ids_that_files_share_are_the_same_after_an_interruption(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, ids in (("a.jsonl", "01"), ("b.jsonl", "1155x0")):
        rows = ({"id": one, "prompt": "Hi", "completion": "Hello." if one != "x" else ""} for one in ids)
        (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def shards(folder: RunFolder) -> list[list[str]]:
        tokenise(folder, TokenSource(DataConfig(path=str(data)), tiny_tokenizer(), "f", 1))
        return [folder.read_shard("tokens", one)["example_id"].to_pylist() for one in folder.records("tokens")]

    whole = shards(RunFolder(tmp_path / "whole"))
    assert whole == [["0"], ["1"], ["b.jsonl:1"], ["5"], ["b.jsonl:0"]]
    for kept in range(len(whole)):
        folder = RunFolder(tmp_path / f"from-{kept}")
        shutil.copytree(tmp_path / "whole", folder.path)
        for path in (folder.path / "tokens").glob("*"):
            if int(path.stem.partition("-")[2]) >= kept:
                path.unlink()
        assert shards(folder) == whole
