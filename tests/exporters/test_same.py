"""Data sets that trainers have tokenised come back in their own form, masked as the run's labels say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trl import SFTTrainer

import xtf
from tests.conftest import Cli, chat_rows, tiny_config, write_jsonl
from tests.integrations.weighted import model_to_train, sft_config
from tests.tiny import tiny_tokenizer
from xtf.errors import RunError

THRESHOLDS = {"random": {"kind": "bottom_share", "share": 0.3}}
PROMPT = 12


def labelled(folder: Path, model: Path, path: Any, **more: Any) -> xtf.Run:
    """A run over a data set of tokens, three in ten of which are noise."""
    data = {"path": path if isinstance(path, list) else str(path), **more.pop("data", {})}
    usual: dict[str, Any] = {"attributes": {"random": {}}, "thresholds": THRESHOLDS}
    return xtf.label(xtf.score(tiny_config(folder, model, data=data, **usual, **more)))


def learnt_of(run: xtf.Run) -> list[dict[str, Any]]:
    """The rows of ``labels/`` in order."""
    return [row for file in sorted((run.path / "labels").iterdir()) for row in pq.read_table(file).to_pylist()]


def tokens(count: int = 8) -> list[dict[str, Any]]:
    """Rows as axolotl and LLaMA-Factory have them, with columns that XTF does not read."""
    tokenizer: Any = tiny_tokenizer()
    rows = []
    for number, row in enumerate(chat_rows(count)):
        ids = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=True)["input_ids"]
        rows.append(
            {
                "length": len(ids),
                "input_ids": ids,
                "position_ids": list(range(len(ids))),
                "labels": [-100] * PROMPT + ids[PROMPT:],
                "source": f"row {number}: é\n",
                "attention_mask": [1] * len(ids),
                "images": None,
            }
        )
    return rows


FEATURES = datasets.Features(
    {
        "length": datasets.Value("int64"),
        "input_ids": datasets.List(datasets.Value("int32")),
        "position_ids": datasets.List(datasets.Value("int64")),
        "labels": datasets.List(datasets.Value("int64")),
        "source": datasets.Value("string"),
        "attention_mask": datasets.List(datasets.Value("int8")),
        "images": datasets.List(datasets.Value("string")),
    }
)


def check(before: list[dict[str, Any]], after: list[dict[str, Any]], run: xtf.Run) -> None:
    """All columns are as they were, labels those of the run."""
    told = learnt_of(run)
    assert len(before) == len(after) == len(told)
    noise = 0
    for old, new, row in zip(before, after, told, strict=True):
        assert list(old) == list(new)
        assert {**old, "labels": row["labels"]} == new
        noise += sum(row["noise"])
    assert noise > 10


@pytest.mark.parametrize("form", ["folder", "splits", "below"])
def test_a_saved_data_set(form: str, tmp_path: Path, tiny_folder: Path) -> None:
    rows = datasets.Dataset.from_list(tokens(), features=FEATURES)
    path = tmp_path / "prepared"
    if form == "splits":
        other = rows.select(range(2))
        datasets.DatasetDict(train=rows, validation=other).save_to_disk(str(path))
    else:
        rows.save_to_disk(str(path / "0f3c" if form == "below" else path), num_shards=3)
    run = labelled(tmp_path, tiny_folder, path)
    done = xtf.export(run, "same", tmp_path / "back")
    back: Any = datasets.load_from_disk(str(tmp_path / "back"))
    if form == "splits":
        assert back["validation"].to_list() == other.to_list()
        back = back["train"]
    assert back.features == FEATURES
    assert back.data.schema == rows.data.schema
    check(rows.to_list(), back.to_list(), run)
    assert done.export.rows == 8
    assert not done.lost
    again = labelled(tmp_path, tiny_folder, tmp_path / "back", output=str(tmp_path / "again-run"))
    assert [row["input_ids"] for row in learnt_of(again)] == [row["input_ids"] for row in learnt_of(run)]


def test_files(tmp_path: Path, tiny_folder: Path) -> None:
    """Two Parquet files and JSON lines with a broken line; a file that keeps its folder keeps its name."""
    rows = tokens(9)
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    table = pa.Table.from_pylist(rows[:6], FEATURES.arrow_schema)
    pq.write_table(table.slice(0, 4), folder / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(4), folder / "b" / "a.parquet")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows[6:]]
    (folder / "c.jsonl").write_text("\n".join([lines[0], "", "{broken", *lines[1:]]), encoding="utf-8")
    run = labelled(tmp_path, tiny_folder, folder)
    done = xtf.export(run, "same", tmp_path / "back")
    assert [str(file.relative_to(tmp_path / "back")) for file in done] == ["a.parquet", "b/a.parquet", "c.jsonl"]
    assert pq.read_schema(done[0]) == table.schema
    text = done[2].read_text(encoding="utf-8")
    after = [row for file in done[:2] for row in pq.read_table(file).to_pylist()]
    check(rows, [*after, *map(json.loads, text.splitlines())], run)
    assert "é" in text
    assert done.lost == {"rows that were not scored, as the data report of the run says, and are left out": 1}


def test_padding_keeps_its_place_and_the_cut_part_is_masked(tmp_path: Path, tiny_folder: Path) -> None:
    left, right, long = tokens(3)
    for name, padding in (("input_ids", 2), ("labels", -100), ("attention_mask", 0)):
        left[name] = [padding] * 5 + left[name]
        right[name] = right[name] + [padding] * 3
    long = {**long, "input_ids": long["input_ids"] * 3, "labels": long["labels"] + long["input_ids"] * 2}
    long["attention_mask"] = [1] * len(long["input_ids"])
    limit = len(long["input_ids"]) - 20
    path = write_jsonl(tmp_path / "padded.jsonl", [left, right, long])
    run = labelled(tmp_path, tiny_folder, path, data={"max_length": limit})
    done = xtf.export(run, "same", tmp_path / "back")
    told = [row["labels"] for row in learnt_of(run)]
    found = [json.loads(line)["labels"] for line in done[0].read_text(encoding="utf-8").splitlines()]
    assert found == [[-100] * 5 + told[0], told[1] + [-100] * 3, told[2] + [-100] * 20]
    assert list(done.lost.values()) == [1]
    assert "beyond data.max_length" in next(iter(done.lost))


def test_masks_weights_and_rows_without_either(tmp_path: Path, tiny_folder: Path) -> None:
    masked, weighted, whole, plain = tokens(4)
    masks = [[int(label != -100) for label in row["labels"]] for row in (masked, plain)]
    rows: list[dict[str, Any]] = [
        {"input_ids": masked["input_ids"], "completion_mask": masks[0]},
        {**weighted, "weights": [0.5] * len(weighted["labels"])},
        {**whole, "weights": [2] * len(whole["labels"])},
        {"note": "kept", "INPUT_IDS": plain["input_ids"]},
    ]
    path = write_jsonl(tmp_path / "mixed.jsonl", rows)
    run = labelled(tmp_path, tiny_folder, path, combine={"noise_weight": 0.25})
    done = xtf.export(run, "same", tmp_path / "back")
    found = [json.loads(line) for line in done[0].read_text(encoding="utf-8").splitlines()]
    told = learnt_of(run)
    learnt = [[label != -100 for label in row["labels"]] for row in told]
    assert found[0] == {**rows[0], "completion_mask": [int(one) for one in learnt[0]]}
    response = [label != -100 for label in weighted["labels"]]
    halved = [own if is_target else 0.5 for own, is_target in zip(told[1]["weights"], response, strict=True)]
    assert found[1] == {**rows[1], "labels": told[1]["labels"], "weights": halved}
    assert {0.5, 0.125} == set(halved)
    assert found[2] == {**rows[2], "labels": told[2]["labels"]}  # a quarter of a whole number is none
    assert found[3] == {**rows[3], "labels": told[3]["labels"]}
    assert list(found[3]) == ["note", "INPUT_IDS", "labels"]
    noise = sum(sum(row["noise"]) for number, row in enumerate(told) if number != 1)
    assert next(iter(done.lost.values())) == noise > 0


def test_labels_are_added_where_no_column_can_hold_them(tmp_path: Path, tiny_folder: Path) -> None:
    rows = datasets.Dataset.from_list(
        [{"input_ids": row["input_ids"], "id": f"name {number}"} for number, row in enumerate(tokens())]
    )
    rows.with_format("numpy", columns=["input_ids"]).save_to_disk(str(tmp_path / "plain"))
    run = labelled(tmp_path, tiny_folder, tmp_path / "plain")
    xtf.export(run, "same", tmp_path / "back")
    back = datasets.load_from_disk(str(tmp_path / "back"))
    assert back.column_names == ["input_ids", "id", "labels"]
    assert back.format["columns"] == ["input_ids", "labels"]
    assert back.with_format(None).to_list() == [
        {**row, "labels": told["labels"]} for row, told in zip(rows.to_list(), learnt_of(run), strict=True)
    ]


def test_bad_rows_are_left_out(tmp_path: Path, tiny_folder: Path, cli: Cli) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", tokens())
    run = labelled(tmp_path, tiny_folder, path)
    told = learnt_of(run)
    shares = {
        row["example_id"]: sum(row["noise"])
        / sum(a != -100 or b for a, b in zip(row["labels"], row["noise"], strict=True))
        for row in told
    }
    limit = sorted(shares.values())[4]
    out = tmp_path / "back"
    said = cli("export", run.path, "--to", "same", "--output", out, "--drop-worse-than", str(limit))
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    good = [row for row in told if shares[row["example_id"]] <= limit]
    assert 0 < len(good) < len(told)
    assert [row["labels"] for row in rows] == [row["labels"] for row in good]
    assert (out / "left-out.txt").read_text(encoding="utf-8").splitlines() == [
        name for name, share in shares.items() if share > limit
    ]


@pytest.mark.parametrize("kind", ["completion", "assistant", "everything"])
def test_what_trl_prepares(kind: str, tmp_path: Path, tiny_folder: Path) -> None:
    """TRL tokenises; XTF scores what it saved; TRL trains on what comes back."""
    chats: list[Any] = [row["messages"] for row in chat_rows(8)]
    rows = [
        {"prompt": chat[:1], "completion": chat[1:]} if kind == "completion" else {"messages": chat} for chat in chats
    ]
    settings = {"assistant_only_loss": True} if kind == "assistant" else {}

    def trainer(data: Any) -> Any:
        config = sft_config(tmp_path / "out", per_device_train_batch_size=8, **settings)
        return SFTTrainer(model_to_train(), config, train_dataset=data, processing_class=tiny_tokenizer())

    prepared: Any = trainer(datasets.Dataset.from_list(rows)).train_dataset
    assert {"input_ids", "labels"} < set(prepared.column_names)
    prepared.save_to_disk(str(tmp_path / "prepared"))
    run = labelled(tmp_path, tiny_folder, tmp_path / "prepared")
    xtf.export(run, "same", tmp_path / "back")
    again = trainer(datasets.load_from_disk(str(tmp_path / "back")))
    told = {tuple(row["input_ids"]): row["labels"] for row in learnt_of(run)}
    batch = next(iter(again.get_train_dataloader()))
    seen = 0
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        real = mask.bool()
        assert labels[real].tolist() == told[tuple(ids[real].tolist())]
        seen += 1
    assert seen == len(told) == 8


def test_what_cannot_be_written_back_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    texts = xtf.label(xtf.score(tiny_config(tmp_path, tiny_folder, attributes={"random": {}})))
    with pytest.raises(RunError, match=r"no row is left to write\. rows that are texts, .* \(12\)"):
        xtf.export(texts, "same", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(tokens()), encoding="utf-8")
    listed = labelled(tmp_path, tiny_folder, path, output=str(tmp_path / "listed"))
    with pytest.raises(RunError, match=r"rows.json: only folders that .* are written back.*--to saved"):
        xtf.export(listed, "same", tmp_path / "b")
    lines = write_jsonl(tmp_path / "rows.jsonl", tokens())
    run = labelled(tmp_path, tiny_folder, lines, output=str(tmp_path / "lines"))
    write_jsonl(
        lines, [{**row, "input_ids": row["input_ids"][::-1], "labels": row["input_ids"][::-1]} for row in tokens()]
    )
    (tmp_path / "c").mkdir()
    with pytest.raises(RunError, match="no longer holds example '0' as it was scored"):
        xtf.export(run, "same", tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []
    config = tiny_config(tmp_path, tiny_folder, attributes={"random": {}}, output=str(tmp_path / "memory"))
    rows = xtf.label(xtf.score(config, data=tokens()))
    with pytest.raises(RunError, match="no longer holds example"):
        xtf.export(rows, "same", tmp_path / "d")
