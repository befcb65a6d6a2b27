"""Files, folders and rows in memory; every fault names file and line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xtf.config import DataConfig
from xtf.data import DataReport, read_rows
from xtf.errors import DataError

ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(7)]


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=3)


WRITERS: dict[str, Callable[[Path], object]] = {
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "lines.json": write_jsonl,
    "list.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "data.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})),
    "bom.jsonl": lambda path: path.write_text("\ufeff" + "\n\n".join(map(json.dumps, ROWS)), encoding="utf-8"),
    "rows.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    report = DataReport()
    rows = list(read_rows(DataConfig(path=str(tmp_path / name)), report))
    assert [row.value for row in rows] == ROWS
    assert [row.index for row in rows] == list(range(7))
    assert (report.rows, report.skipped) == (7, {})


@pytest.mark.parametrize("name", WRITERS)
def test_parts_of_a_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    config = DataConfig(path=str(tmp_path / name))
    whole = list(read_rows(config))
    assert list(read_rows(config, start=2, stop=5)) == whole[2:5]
    assert list(read_rows(config, start=5)) == whole[5:]
    assert list(read_rows(config, start=7, stop=9)) == []


def test_rows_outside_the_part_are_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"broken\n{"a": 1}\n{"broken\n')
    assert [row.value for row in read_rows(DataConfig(path=str(path)), start=1, stop=2)] == [{"a": 1}]


def test_rows_in_memory() -> None:
    import datasets

    assert [row.value for row in read_rows(ROWS)] == ROWS
    assert [row.location for row in read_rows(iter(ROWS[:2]))] == ["row 1", "row 2"]
    dataset = datasets.Dataset.from_list(ROWS)
    assert [row.value for row in read_rows(dataset, start=3)] == ROWS[3:]


@pytest.mark.parametrize("rows", [{"train": ROWS}, 5])
def test_what_is_no_rows(rows: Any) -> None:
    with pytest.raises(DataError, match="expected a list of rows"):
        list(read_rows(rows))


def test_nulls_that_arrow_adds_are_dropped(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g", "arguments": {"b": 2}}}]
    pq.write_table(pa.Table.from_pylist([{"tool_calls": calls}]), tmp_path / "a.parquet")
    assert [row.value for row in read_rows(str(tmp_path / "a.parquet"))] == [{"tool_calls": calls}]


def test_saved_datasets(tmp_path: Path) -> None:
    import datasets

    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": dataset, "test": dataset.select([0])}).save_to_disk(str(tmp_path / "two"))
    assert [row.value for row in read_rows(DataConfig(path=str(tmp_path / "one")))] == ROWS
    rows = list(read_rows(DataConfig(path=str(tmp_path / "two"), split="test")))
    assert [(row.value, row.location) for row in rows] == [(ROWS[0], f"{tmp_path / 'two'}[test]: row 1")]
    with pytest.raises(DataError, match=r"no split 'dev'. Set split to one of: test, train"):
        list(read_rows(DataConfig(path=str(tmp_path / "two"), split="dev")))


def test_folder_of_files(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train-00.jsonl")
    write_parquet(tmp_path / "train-01.parquet")
    (tmp_path / "test.jsonl").write_text('{"a": 1}\n')
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "train.json").write_text("{}")
    rows = list(read_rows(DataConfig(path=str(tmp_path))))
    assert [row.value for row in rows] == ROWS + ROWS
    assert [row.index for row in rows] == list(range(14))
    assert [row.value for row in read_rows(DataConfig(path=str(tmp_path), split="test"))] == [{"a": 1}]
    with pytest.raises(DataError, match=r"no file of split 'dev'. Set split to one of: test, train"):
        list(read_rows(DataConfig(path=str(tmp_path), split="dev")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data file"):
        list(read_rows(DataConfig(path=str(tmp_path / "empty"))))


def test_broken_lines_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [b'{"a": 1}'] * 416 + [b'{"a": ', b"\xff", b"[1]", b"", b"[" * 100_000, b'{"a": 2}']
    path.write_bytes(b"\n".join(lines))
    report = DataReport()
    rows = list(read_rows(DataConfig(path=str(path)), report))
    assert (len(rows), rows[-1].value, rows[-1].index, rows[-1].location) == (417, {"a": 2}, 420, f"{path}:422")
    assert report.rows == 421
    assert {reason: count.locations for reason, count in report.skipped.items()} == {
        "broken JSON": [f"{path}:417", f"{path}:421"],
        "not valid UTF-8": [f"{path}:418"],
        "expected an object with named columns": [f"{path}:419"],
    }
    for config, given in ((DataConfig(path=str(path), on_error="stop"), DataReport()), (str(path), None)):
        with pytest.raises(DataError) as caught:
            list(read_rows(config, given))
        assert str(caught.value) == f"{path}:417: broken JSON: Expecting value at column 6"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "empty: there is no row in it"),
        ("a.jsonl", b"\n \n", "empty: there is no row in it"),
        ("a.json", b"", "empty: there is no row in it"),
        ("a.json", b"[]", "empty: there is no row in it"),
        ("a.json", b'[\n{"a": 1},\n{"a" 2}]', r"a\.json:3: broken JSON: Expecting ':' delimiter at column 6"),
        ("a.json", b'[\n"\xff"]', r"a\.json:2: not valid UTF-8"),
        (
            "a.json",
            b'{\n"rows": []}',
            r'expected a list of rows or \{"data": \[...\]\}, found an object with keys rows',
        ),
        ("a.parquet", b"no parquet", "not a readable Parquet file"),
        ("a.csv", b"a,b", r"unknown kind of file '\.csv'. Known kinds: \.jsonl"),
    ],
)
def test_files_of_no_use(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(DataConfig(path=str(tmp_path / name)), DataReport()))


@pytest.mark.parametrize("path", ["nowhere/train.jsonl", "./nowhere", "a/b/c"])
def test_missing_file(path: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        list(read_rows(DataConfig(path=path)))


def test_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(name: str, configuration: str | None, split: str) -> Any:
        asked.append((name, configuration, split))
        if name == "no/where":
            raise FileNotFoundError("Dataset 'no/where' doesn't exist on the Hub\nmore")
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert [row.value for row in read_rows(DataConfig(path="openai/gsm8k:main", split="test"))] == ROWS
    assert asked == [("openai/gsm8k", "main", "test")]
    with pytest.raises(DataError, match=r"no/where: no data set can be loaded.*doesn't exist on the Hub$"):
        list(read_rows(DataConfig(path="no/where")))


def test_import_is_light() -> None:
    code = (
        "import sys, xtf.data; print([m for m in ('torch', 'datasets', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
