"""xtf.Scorer: the values of a run for rows in memory, in this process and in others."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

import xtf
from tests.conftest import chat_row, chat_rows, tiny_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import ConfigError, DataError, ModelError, RunError
from xtf.tokens import fold_of

ROWS = chat_rows(16)
PIECE = 4
"""Examples in a shard of the run, so that batches can be laid on shards."""

Result = Mapping[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> xtf.Run:
    """A run with corpus-wide cuts and a guard, to compare with."""
    return xtf.label(xtf.score(config(tmp_path_factory.mktemp("run"), tiny_folder)))


@pytest.fixture(scope="module")
def saved(run: xtf.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scorer of the run, in a folder of its own."""
    folder = tmp_path_factory.mktemp("saved") / "scorer"
    xtf.Scorer.load(run.path).save(folder)
    return folder


def config(folder: Path, model: Path) -> dict[str, Any]:
    cuts = {
        "knowledge_novelty": {"kind": "bottom_share", "share": 0.25},
        "reasoning_importance": {"kind": "iqr", "scope": "example"},
        "random": {"kind": "below", "cut": 0.2},
    }
    return tiny_config(
        folder,
        model,
        ROWS,
        thresholds=cuts,
        combine={"max_noise_share": 0.5},
        scoring={"examples_per_shard": PIECE},
    )


def of_run(run: xtf.Run) -> list[dict[str, Any]]:
    """What the run wrote of each example, as the scorer returns it."""
    found = []
    for shard, labels in run.labelled([*run.scored, *run.detail_columns]):
        for place, example_id in enumerate(shard.example_ids):
            here = slice(*shard.offsets[place : place + 2].tolist())
            columns = {**shard.scores, **shard.details}
            kept = {"noise": labels.noise, "weights": labels.weights, "reasons": labels.reasons}
            found.append({"example_id": example_id, **{name: c[here] for name, c in {**columns, **kept}.items()}})
    return found


def assert_equal(found: Sequence[Result], expected: Sequence[Result]) -> None:
    """Every value bit by bit."""
    assert [one["example_id"] for one in found] == [one["example_id"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(np.asarray(one[name], value.dtype), value, strict=True, err_msg=name)


def test_it_gives_the_values_of_the_run(run: xtf.Run, saved: Path) -> None:
    found = xtf.Scorer.load(saved)(ROWS)
    assert_equal(found, of_run(run))
    assert sum(int(one["noise"].sum()) for one in found) == run.manifest["counts"]["noise_tokens"] > 0
    written = datasets.load_dataset("parquet", data_files=f"{run.path}/labels/*.parquet", split="train")
    kept = [one for one in found if not one["problem"]]
    assert len(kept) == len(written)
    for one, row in zip(kept, written, strict=True):
        for name in ("input_ids", "attention_mask", "labels", "assistant_masks", "weights", "noise", "reasons"):
            assert one[name].tolist() == row[name], name


def test_fitting_to_rows_gives_the_values_of_a_run_on_them(run: xtf.Run, tmp_path: Path, tiny_folder: Path) -> None:
    settings = {key: value for key, value in config(tmp_path, tiny_folder).items() if key not in ("data", "output")}
    scorer = xtf.Scorer(settings)
    assert scorer.fit(ROWS) is scorer
    assert_equal(scorer(ROWS), of_run(run))
    assert scorer.attributes == tuple(run.scored)
    kept = scorer.folder
    assert kept is not None
    assert sorted(path.name for path in kept.iterdir()) == ["config.yaml", "scorer.json", "state"]
    assert_equal(pickle.loads(pickle.dumps(scorer))(ROWS[:PIECE]), of_run(run)[:PIECE])
    del scorer
    assert not kept.exists()


def test_a_cut_of_the_corpus_stays_the_number_it_came_to(run: xtf.Run, saved: Path) -> None:
    """Rows that all lie above the cut hold no noise, though a quarter of them would lack if they were the corpus."""
    scorer = xtf.Scorer.load(saved)
    cut = run.rules.cuts["knowledge_novelty"].fixed
    assert cut is not None
    for one in scorer(ROWS):
        lacking = one["knowledge_novelty"] < np.float32(cut[0][1])
        assert not (one["noise"] & (one["reasons"] & 1 > 0) & ~lacking).any()


def test_other_pieces_differ_by_rounding_only(run: xtf.Run, saved: Path) -> None:
    scorer = xtf.Scorer.load(saved)
    odd = [one for start in range(0, len(ROWS), 5) for one in scorer(ROWS[start : start + 5])]
    for one, other in zip(odd, of_run(run), strict=True):
        for name in run.scored:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_data_set_is_mapped(run: xtf.Run, saved: Path, processes: int) -> None:
    data = datasets.Dataset.from_list(ROWS)
    scorer = xtf.Scorer.load(saved)
    mapped = data.map(scorer, batched=True, batch_size=PIECE, num_proc=processes, load_from_cache_file=False)
    assert len(mapped) == len(ROWS)
    assert set(data.column_names) < set(mapped.column_names)
    assert mapped.features["knowledge_novelty"].feature.dtype == "float32"
    assert mapped.features["reasons"].feature.dtype == "uint16"
    assert_equal(list(mapped), of_run(run))


def test_a_forked_process_does_not_wait_for_threads_that_are_gone(saved: Path) -> None:
    """OpenMP's threads stay behind at a fork; computing on more than one would hang for ever."""
    scorer = xtf.Scorer.load(saved)

    def threads(columns: Mapping[str, Any]) -> dict[str, Any]:
        scorer(dict(columns))
        return {"threads": [torch.get_num_threads()] * len(columns["id"])}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        data = datasets.Dataset.from_list(ROWS[:2])
        mapped = data.map(threads, batched=True, num_proc=2, load_from_cache_file=False)
        scorer(ROWS[:1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert mapped["threads"][:] == [1, 1]


def score_in_child(scorer: xtf.Scorer, rows: Sequence[Mapping[str, Any]], sink: Any) -> None:
    """What a process that shares nothing with this one does."""
    torch.set_num_threads(1)
    sink.put(scorer(rows))


def test_it_works_in_a_process_of_its_own(run: xtf.Run, saved: Path) -> None:
    context = multiprocessing.get_context("spawn")
    sink = context.Queue()
    process = context.Process(target=score_in_child, args=(xtf.Scorer.load(saved), ROWS, sink))
    process.start()
    found = sink.get(timeout=240)
    process.join(timeout=60)
    assert process.exitcode == 0
    assert_equal(found, of_run(run))


def test_rows_that_cannot_be_learnt_stay_and_say_why(saved: Path, tmp_path: Path) -> None:
    rows = [ROWS[0], {"question": 1}, ROWS[1], chat_row("empty", "Say nothing.", ""), {**ROWS[2], "id": "sum-1"}]
    found = xtf.Scorer.load(saved)(rows)
    assert [bool(one["problem"]) for one in found] == [False, True, False, True, True]
    assert "duplicate id" in found[4]["problem"]
    assert all(len(found[place][name]) == 0 for place in (1, 3, 4) for name in ("input_ids", "labels", "random"))
    columns = xtf.Scorer.load(saved)({"messages": [None, ROWS[0]["messages"]]})
    assert [len(ids) > 0 for ids in columns["input_ids"]] == [False, True]
    assert {column.dtype for column in columns["noise"]} == {np.dtype(np.bool_)}


def test_a_row_of_noise_alone_teaches_nothing(tmp_path: Path, tiny_folder: Path) -> None:
    """A run drops such a row from labels/; here it stays, and its end of turn is not learnt either."""
    cuts = {"random": {"kind": "below", "cut": 2.0}}
    scorer = xtf.Scorer({"attributes": {"random": {}}, "model": {"path": str(tiny_folder)}, "thresholds": cuts})
    found = scorer.fit(ROWS)(ROWS[:2])
    for one in found:
        assert one["problem"] == "nothing is left to learn"
        assert set(one["labels"].tolist()) == {-100}
        assert not one["weights"].any()
        assert not one["assistant_masks"].any()


def test_numbers_stand_for_missing_ids(saved: Path, run: xtf.Run) -> None:
    """Scores that depend on the id are those of the whole data set, whatever batch a row is in."""
    rows = [{"messages": row["messages"]} for row in ROWS]
    scorer = xtf.Scorer.load(saved)
    whole = scorer(rows)
    mapped = datasets.Dataset.from_list(rows).map(
        scorer, batched=True, batch_size=PIECE, with_indices=True, load_from_cache_file=False
    )
    assert mapped["example_id"][:] == [str(number) for number in range(len(rows))]
    assert_equal(list(mapped), whole)
    with pytest.raises(DataError, match="2 numbers for 3 rows"):
        scorer(rows[:3], [0, 1])


def test_what_needs_references_and_directions_is_saved_too(tmp_path: Path, tiny_folder: Path) -> None:
    """An adapter for each fold, a direction, and a reference trained on a share: all found again without the data."""
    trusted = write_jsonl(tmp_path / "trusted.jsonl", chat_rows(3))
    attributes = {
        "out_of_fold": {"folds": 2, "steps": 1},
        "influence": {"method": "gradient", "target": {"path": str(trusted)}},
    }
    settings = tiny_config(tmp_path, tiny_folder, ROWS, attributes=attributes, scoring={"examples_per_shard": 16})
    run = xtf.label(xtf.score(settings))
    expected = of_run(run)
    folder = tmp_path / "scorer"
    xtf.Scorer.load(run.path).save(folder)
    shutil.rmtree(run.path)
    for file in (Path(settings["data"]["path"]), trusted):
        file.unlink()
    assert {fold_of(row["id"], 2) for row in ROWS} == {0, 1}
    assert_equal(xtf.Scorer.load(folder)(ROWS), expected)


def test_a_scorer_is_named_by_what_it_was_given(tiny_folder: Path) -> None:
    scorer = xtf.Scorer(attributes=["random", "entropy"], model=tiny_folder)
    assert list(scorer.config.attributes) == ["random", "entropy"]
    assert scorer.config.model.path == str(tiny_folder)
    for ask in (lambda: scorer(ROWS), lambda: pickle.dumps(scorer), lambda: scorer.save("nowhere")):
        with pytest.raises(RunError, match=r"not fitted. Fit it: scorer.fit\(rows\)"):
            ask()
    with pytest.raises(ConfigError, match="no rows given"):
        scorer.fit()
    with pytest.raises(ConfigError, match="give a configuration, or a model"):
        xtf.Scorer(attributes=["random"])


def test_what_is_not_there_any_more_is_refused(run: xtf.Run, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither a scorer nor a run"):
        xtf.Scorer.load(tmp_path)
    handed_over = pickle.dumps(xtf.Scorer.load(saved).save(tmp_path / "scorer"))
    with pytest.raises(RunError, match="overwrite=True replaces it"):
        xtf.Scorer.load(saved).save(tmp_path / "scorer")
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    xtf.label(other, ["thresholds.random.cut=0.3"])
    xtf.Scorer.load(other).save(tmp_path / "scorer", overwrite=True)
    with pytest.raises(RunError, match="holds another scorer than when this one was handed over"):
        pickle.loads(handed_over)


def test_another_model_in_its_place_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_tokenizer().save_pretrained(str(model))
    tiny_model("llama").save_pretrained(str(model))
    scorer = xtf.Scorer(attributes=["entropy"], model=model).fit(ROWS).save(tmp_path / "scorer")
    tiny_model("llama", seed=1).save_pretrained(str(model))
    with pytest.raises(ModelError, match=r"not the model that .* was fitted with"):
        xtf.Scorer.load(tmp_path / "scorer")(ROWS)
    assert len(scorer(ROWS[:1])) == 1  # its model is in memory


def test_columns_must_be_columns(saved: Path) -> None:
    scorer = xtf.Scorer.load(saved)
    with pytest.raises(DataError, match="Put one row into a list"):
        scorer({"prompt": "Hello", "response": "Hello."})
    with pytest.raises(DataError, match="different lengths"):
        scorer({"prompt": ["Hello"], "response": ["Hello.", "Hi."]})
