"""Files, folders and rows in memory; every fault names file and line."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xtf.config import DataConfig
from xtf.data import DataReport, read_rows
from xtf.errors import DataError

ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(7)]
CELLS = "".join(f"p{i},c{i}\n" for i in range(7))


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=3)


def write_csv(path: Path, separator: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=separator)
        writer.writeheader()
        writer.writerows(ROWS)


def compressed(write: Callable[[Path], object], compress: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def written(path: Path) -> None:
        write(path)
        path.write_bytes(compress(path.read_bytes()))

    return written


def zstd(content: bytes) -> bytes:
    import pyarrow as pa

    half = len(content) // 2  # two frames, as `zstd` writes for appended files
    parts = (pa.compress(part, codec="zstd", asbytes=True) for part in (content[:half], content[half:]))
    return b"".join(parts)


LINES = "\n".join(map(json.dumps, ROWS))
WRITERS: dict[str, Callable[[Path], object]] = {
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "ROWS.JSONL": write_jsonl,
    "lines.json": write_jsonl,
    "list.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "data.json": lambda path: path.write_text(json.dumps({"version": {"a": 1}, "data": ROWS})),
    "bom.jsonl": lambda path: path.write_text("\ufeff" + LINES.replace("\n", "\n\n"), encoding="utf-8"),
    "utf-16.jsonl": lambda path: path.write_text(LINES, encoding="utf-16"),
    "utf-16-without-mark.jsonl": lambda path: path.write_text(LINES, encoding="utf-16-be"),
    "utf-32.json": lambda path: path.write_text(json.dumps(ROWS), encoding="utf-32"),
    "pretty.jsonl": lambda path: path.write_text("\n".join(json.dumps(row, indent=2) for row in ROWS)),
    "pretty.json": lambda path: path.write_text("\n".join(json.dumps(row, indent=2) for row in ROWS)),
    "list.jsonl": lambda path: path.write_text(json.dumps(ROWS)),
    "half-pretty.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS)).replace(", ", ",\n")),
    "rows.csv": write_csv,
    "semicolons.csv": lambda path: write_csv(path, ";"),
    "utf-16.csv": lambda path: path.write_text("prompt,completion\n" + CELLS, encoding="utf-16"),
    "rows.tsv": lambda path: write_csv(path, "\t"),
    "rows.parquet": write_parquet,
    "rows.jsonl.gz": compressed(write_jsonl, gzip.compress),
    "rows.jsonl.bz2": compressed(write_jsonl, bz2.compress),
    "rows.json.xz": compressed(write_jsonl, lzma.compress),
    "rows.jsonl.zst": compressed(write_jsonl, zstd),
    "rows.csv.gz": compressed(write_csv, gzip.compress),
    "rows.parquet.gz": compressed(write_parquet, gzip.compress),
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
    lines += [b'{"m": [{"train": false, "train": true}]}']
    path.write_bytes(b"\n".join(lines))
    report = DataReport()
    rows = list(read_rows(DataConfig(path=str(path)), report))
    assert (len(rows), rows[-1].value, rows[-1].index, rows[-1].location) == (417, {"a": 2}, 420, f"{path}:422")
    assert report.rows == 422
    assert {reason: count.locations for reason, count in report.skipped.items()} == {
        "broken JSON": [f"{path}:417", f"{path}:421", f"{path}:423"],
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
        ("a.json", b'{\n"rows": []}', "empty: there is no row in it"),
        ("a.json", b"{}", r'expected a list of rows or \{"data": \[...\]\}, found an object'),
        (
            "a.json",
            b'{\n"valid": [{"a": 1}], "test": []}',
            "no rows of split 'train'. Set split to one of: test, valid",
        ),
        (
            "a.json",
            b'{"prompt": {"0": "Hi", "1": "Hm"}, "completion": {"0": "Yes", "1": "No"}}',
            r"'prompt' holds a value for each row number, .* frame\.to_json\(path, orient='records', lines=True\)",
        ),
        ("a.jsonl", gzip.compress(b'{"a": 1}\n', mtime=0), r"a\.jsonl: compressed by gzip, .* let it end in '\.gz'"),
        ("a.jsonl", bz2.compress(b'{"a": 1}\n'), r"a\.jsonl: compressed by bzip2, .* let it end in '\.bz2'"),
        ("a.csv", lzma.compress(b"a\n1\n"), r"a\.csv: compressed by xz, .* let it end in '\.xz'"),
        ("a.jsonl", zstd(b'{"a": 1}\n'), r"a\.jsonl: compressed by Zstandard, .* let it end in '\.zst'"),
        ("a.parquet", b"no parquet", "not a readable Parquet file"),
        ("a.xls", b"a,b", r"unknown kind of file '\.xls'. Known kinds: \.jsonl"),
        ("a.csv", b"a,b\n", "empty: there is no row in it"),
        ("a.csv", b"a,a\n1,2\n", r"a\.csv:1: columns of the same name: 'a'"),
        ("a.csv", b"a,b\n1,2\n\xe9,3\n", r"a\.csv:3: not valid UTF-8: byte E9 is 'é' in Latin-1 and Windows-1252"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9], r"a\.jsonl\.gz: damaged or cut off"),
        ("a.jsonl.xz", b"no xz", r"a\.jsonl\.xz: damaged or cut off"),
        ("a.jsonl.zst", b"no zstd", r"a\.jsonl\.zst: (damaged|cannot be read)"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16")[:-1], r"a\.jsonl: not valid utf-16"),
    ],
)
def test_files_of_no_use(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(DataConfig(path=str(tmp_path / name)), DataReport()))


def test_a_row_alone_with_a_repeated_name_is_a_broken_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "Hi", "completion": "Good", "completion": "Bad"}\n')
    report = DataReport()
    assert not list(read_rows(DataConfig(path=str(tmp_path / "a.jsonl")), report))
    assert report.skipped["broken JSON"].detail == "'completion' stands twice in one object"


@pytest.mark.parametrize("path", ["nowhere/train.jsonl", "./nowhere", "a/b/c"])
def test_missing_file(path: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        list(read_rows(DataConfig(path=path)))


def test_hub_ids_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(name: str, configuration: str | None, split: str, streaming: bool = False) -> Any:
        asked.append((name, configuration, split, streaming))
        if name == "no/where":
            raise FileNotFoundError("Dataset 'no/where' doesn't exist on the Hub\nmore")
        if name == "only/cached" and streaming:
            raise ConnectionError("offline")
        rows = datasets.Dataset.from_list(ROWS)
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = list(read_rows(DataConfig(path="openai/gsm8k:main", split="test")))
    assert [row.value for row in rows] == ROWS
    assert rows[0].location == "openai/gsm8k:main[test]: row 1"
    assert [row.value for row in read_rows(DataConfig(path="only/cached", split="train"))] == ROWS
    assert [row.value for row in read_rows(DataConfig(path="a/b", split="train[:7]"))] == ROWS
    assert asked == [
        ("openai/gsm8k", "main", "test", True),
        ("only/cached", None, "train", True),
        ("only/cached", None, "train", False),
        ("a/b", None, "train[:7]", False),
    ]
    with pytest.raises(DataError, match=r"no/where: no such file or folder; .*doesn't exist on the Hub$"):
        list(read_rows(DataConfig(path="no/where")))


def test_a_stream_of_the_hub_is_read_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def endless() -> Iterator[dict[str, str]]:
        for number in count():
            assert number < 9
            yield {"prompt": str(number), "completion": "x"}

    stream = datasets.IterableDataset.from_generator(endless)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    assert [row.index for row in read_rows(DataConfig(path="a/b"), stop=3)] == [0, 1, 2]


def test_folder_of_mixed_kinds(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.CSV")
    compressed(write_jsonl, gzip.compress)(tmp_path / "b.jsonl.gz")
    write_parquet(tmp_path / "c.parquet")
    (tmp_path / "dataset_info.json").write_text("{}")  # LLaMA-Factory's list of data sets
    (tmp_path / "README.md").write_text("# Read me")
    rows = list(read_rows(DataConfig(path=str(tmp_path))))
    assert [row.value for row in rows] == ROWS * 3
    assert [row.file for row in rows[::7]] == ["a.CSV", "b.jsonl.gz", "c.parquet"]


def test_patterns_and_lists(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.jsonl", "a.jsonl", "inner/a.jsonl"):
        write_jsonl(tmp_path / name)
    (tmp_path / "a.txt").write_text("no rows")

    def files(*paths: str) -> list[str]:
        config = DataConfig(path=tuple(str(tmp_path / path) for path in paths))
        return list(dict.fromkeys(row.file for row in read_rows(config)))

    assert files("*") == ["a.jsonl", "b.jsonl", "inner/a.jsonl"]
    assert files("**/a.*") == ["a.jsonl", "inner/a.jsonl"]
    assert files("b.jsonl", "inner", "a.jsonl") == ["b.jsonl", "inner/a.jsonl", "a.jsonl"]
    assert files("inner/*.jsonl") == ["a.jsonl"]
    with pytest.raises(DataError, match="holds no data file"):
        files("*.csv")
    assert DataConfig.model_validate({"path": ["a", "b"]}).place == "a, b"


def test_addresses() -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    for name in ("part/b.jsonl", "part/a.jsonl.gz", "part/notes.md"):
        content = LINES.encode()
        system.pipe(f"/reading/{name}", gzip.compress(content) if name.endswith(".gz") else content)
    try:
        for path in ("memory://reading/part", "memory://reading/part/*"):
            rows = list(read_rows(DataConfig(path=path)))
            assert [row.value for row in rows] == ROWS * 2
            assert [row.file for row in rows[::7]] == ["a.jsonl.gz", "b.jsonl"]
        (first, *_) = read_rows(DataConfig(path="memory://reading/part/b.jsonl"))
        assert first.location == "memory://reading/part/b.jsonl:1"
        for path, why in (("memory://reading/none.jsonl", "none.jsonl"), ("nosuch://a.jsonl", "nosuch")):
            with pytest.raises(DataError, match=f"{path}: cannot be read: .*{why}"):
                list(read_rows(DataConfig(path=path)))
    finally:
        system.rm("/reading", recursive=True)


def test_cells_are_text(tmp_path: Path) -> None:
    long = "x" * 200_000
    text = f'question,answer,,id\n"a, ""b""\n\nc",4,z,7\n\nNA,null,,\nbroken "x" y,"a"b,,\n1,2\n{long},x,,\n'
    (tmp_path / "a.csv").write_text(text)
    report = DataReport()
    rows = list(read_rows(DataConfig(path=str(tmp_path / "a.csv")), report))
    assert [row.value for row in rows] == [
        {"question": 'a, "b"\n\nc', "answer": "4", "Unnamed: 2": "z", "id": "7"},
        {"question": "NA", "answer": "null", "Unnamed: 2": "", "id": ""},
        {"question": long, "answer": "x", "Unnamed: 2": "", "id": ""},
    ]
    assert [row.location.rpartition(":")[2] for row in rows] == ["2", "6", "9"]
    assert {reason: count.locations for reason, count in report.skipped.items()} == {
        "broken CSV": [f"{tmp_path / 'a.csv'}:7"],
        "not as many cells as columns": [f"{tmp_path / 'a.csv'}:8"],
    }


def test_a_stray_zero_makes_no_other_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\x00\n{"a": 1}\n')
    report = DataReport()
    assert [row.value for row in read_rows(DataConfig(path=str(tmp_path / "a.jsonl")), report)] == [{"a": 1}]
    assert report.skipped["broken JSON"].count == 1


def test_latin_1_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": "caf\xe9"}\n')
    report = DataReport()
    list(read_rows(DataConfig(path=str(tmp_path / "a.jsonl")), report))
    assert report.skipped["not valid UTF-8"].detail == (
        "character 11 of the line: byte E9 is 'é' in Latin-1 and Windows-1252. "
        "If that is right: iconv -f WINDOWS-1252 -t UTF-8 < OLD > NEW"
    )


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_rows_within_one_object(tmp_path: Path, name: str, indent: int | None) -> None:
    def read(value: Any, split: str = "train") -> list[Any]:
        (tmp_path / name).write_text(json.dumps(value, indent=indent))
        return [row.value for row in read_rows(DataConfig(path=str(tmp_path / name), split=split))]

    for key in ("data", "rows", "examples", "train", "Train"):
        assert read({"version": "1", key: ROWS}) == ROWS
    assert read({"train": [{"a": 1}], "test": [{"a": 2}]}, "test") == [{"a": 2}]
    assert read({"prompt": "Hi", "data": ["a"]} if indent is None else {"prompt": "Hi"})[0]["prompt"] == "Hi", "a row"


def test_rows_that_are_lists_of_messages(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(talk)}\n\n{json.dumps(talk)}\n")
    (tmp_path / "a.json").write_text(json.dumps([talk, talk], indent=1))
    for name in ("a.jsonl", "a.json"):
        assert [row.value for row in read_rows(str(tmp_path / name))] == [{"messages": talk}] * 2


@pytest.mark.parametrize("text", ['"a";"b, c, d"\n1;2\n', "sep=;\na;b, c, d\n1;2\n", '"sep=|"\r\na|b, c, d\r\n1|2\r\n'])
def test_separators_of_csv_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert [row.value for row in read_rows(str(tmp_path / "a.csv"))] == [{"a": "1", "b, c, d": "2"}]


def test_files_that_are_compressed_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.XZ.gz").write_bytes(gzip.compress(lzma.compress(b'{"a": 1}\n')))
    assert [row.value for row in read_rows(str(tmp_path / "a.jsonl.XZ.gz"))] == [{"a": 1}]


def test_rows_under_their_ids(tmp_path: Path) -> None:
    for between in ("\n", ""):
        (tmp_path / "a.json").write_text(f'{{"17": {{"QUESTION": "Why?"}},{between} "18": {{"id": "x"}}}}')
    assert [row.value for row in read_rows(str(tmp_path / "a.json"))] == [{"id": "17", "QUESTION": "Why?"}, {"id": "x"}]


def test_tables() -> None:
    import datasets
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    dataset = datasets.Dataset.from_list(ROWS)
    frames = [
        dataset.with_format("numpy"),
        dataset.to_iterable_dataset(),
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pl.LazyFrame(ROWS),
        pa.Table.from_pylist(ROWS),
    ]
    for frame in frames:
        assert [row.value for row in read_rows(frame)] == ROWS
        assert [row.index for row in read_rows(frame, start=5)] == [5, 6]
    chats = np.array([{"role": "user", "content": "Hi", "n": np.int64(3)}, {"role": "tool", "content": None}])
    odd = pd.DataFrame({"id": [1, None], "messages": [chats, None], 7: [np.array([1, 2]), np.array([3])]})
    assert [row.value for row in read_rows(odd)] == [
        {"id": 1.0, "messages": [{"role": "user", "content": "Hi", "n": 3}, {"role": "tool"}], "7": [1, 2]},
        {"7": [3]},
    ]
    with pytest.raises(DataError, match="found a dictionary of splits: train"):
        list(read_rows(datasets.DatasetDict({"train": dataset})))


def test_prepared_folders(tmp_path: Path) -> None:
    import datasets

    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(str(tmp_path / "prepared" / "3f2a"))  # as axolotl does
    assert [row.value for row in read_rows(str(tmp_path / "prepared"))] == ROWS
    dataset.save_to_disk(str(tmp_path / "prepared" / "77aa"))
    with pytest.raises(DataError, match=r"several data sets are saved below it; name one: .*3f2a, .*77aa"):
        list(read_rows(str(tmp_path / "prepared")))


def test_import_is_light() -> None:
    code = (
        "import sys, xtf.data; print([m for m in ('torch', 'datasets', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_addresses_of_the_web(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    write_jsonl(tmp_path / "a.jsonl")
    compressed(write_jsonl, gzip.compress)(tmp_path / "b.jsonl.gz")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        try:
            for name in ("a.jsonl", "b.jsonl.gz", "a.jsonl?version=2"):
                rows = list(read_rows(DataConfig(path=f"{place}/{name}")))
                assert [row.value for row in rows] == ROWS
                assert rows[0].location == f"{place}/{name}:1"
            with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: "):
                list(read_rows(DataConfig(path=f"{place}/none.jsonl")))
        finally:
            server.shutdown()


def test_streams_as_datasets_itself_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stands for the hub, and ``datasets`` streams it as it would the hub's files."""
    import datasets

    write_jsonl(tmp_path / "train.jsonl")
    (tmp_path / "test.jsonl").write_text('{"prompt": "Hi", "completion": "Yes"}\n')
    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda name, *more, **how: load(str(tmp_path), *more, **how))
    rows = list(read_rows(DataConfig(path="owner/name", split="train")))
    assert [row.value for row in rows] == ROWS
    (row,) = read_rows(DataConfig(path="owner/name", split="test"))
    assert row.value == {"prompt": "Hi", "completion": "Yes"}
    with pytest.raises(DataError, match="owner/name: no such file or folder; tried as a data set of the hub"):
        list(read_rows(DataConfig(path="owner/name", split="dev")))


def test_arrays_in_the_cells_of_rows_in_memory() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes", "weight": np.float32(0.5)}]
    rows = [{"messages": np.array(messages, dtype=object), "id": np.int64(3)}, {"input_ids": np.arange(2), "x": None}]
    first, second = (row.value for row in read_rows(rows))
    assert first == {"messages": messages, "id": 3}
    assert [type(value) for value in (first["messages"], first["id"])] == [list, int]
    assert second == {"input_ids": [0, 1], "x": None}
