"""Operators of data pipelines: rows that pass get labels, as `xtf run` gives them to the same rows in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter

import xtf
from tests.conftest import chat_row, tiny_config
from xtf.errors import ConfigError
from xtf.integrations.datatrove import XtfLabeller, whole_row
from xtf.integrations.pipelines import RowLabeller

SUMS = [chat_row("a", "What is 1 plus 3?", "1 + 3 = 4."), chat_row("b", "And 2 plus 6?", "Let us add. 2 + 6 = 8.")]
ROWS: list[dict[str, Any]] = [SUMS[0], {"messages": [{"role": "user", "content": "Alone"}]}, SUMS[1]]
"""Three rows, of which XTF cannot use the second: nothing is said."""


def config_of(folder: Path, model: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = {"random": {"kind": "bottom_share", "share": 0.4}}
    config = tiny_config(folder, model, ROWS, attributes={"random": {}}, thresholds=thresholds)
    config["data"]["columns"] = {"id": None}  # as in a pipeline: the scores of this attribute follow the names of rows
    return config


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> list[dict[str, Any]]:
    """The columns of the two rows that can be used, from files, and the share of the response that is masked."""
    run = xtf.label(xtf.score(config_of(tmp_path_factory.mktemp("files"), tiny_folder)))
    rows = [row for file in sorted((run.path / "labels").iterdir()) for row in pq.read_table(file).to_pylist()]
    for row in rows:
        response = sum(label != -100 or noise for label, noise in zip(row["labels"], row["noise"], strict=True))
        row["masked_share"] = sum(row["noise"]) / response
    names = ("input_ids", "attention_mask", "labels", "weights", "masked_share")
    assert len({row["masked_share"] for row in rows}) == len(rows) == 2
    return [{name: row[name] for name in names} for row in rows]


def through(folder: Path, labeller: XtfLabeller, documents: list[Document]) -> list[dict[str, Any]]:
    """What a pipeline of datatrove's own executor writes."""
    writer = ParquetWriter(str(folder / "written"), expand_metadata=True)
    executor = LocalPipelineExecutor([documents, labeller, writer], logging_dir=str(folder / "logs"))
    executor.run()
    (file,) = (folder / "written").glob("*.parquet")
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def documents() -> list[Document]:
    return [
        Document(text="for people", id=f"document {number}", metadata={"messages": row["messages"], "source": "sums"})
        for number, row in enumerate(ROWS)
    ]


def test_a_datatrove_pipeline_of_three_documents(
    expected: list[dict[str, Any]], tmp_path: Path, tiny_folder: Path
) -> None:
    labeller = XtfLabeller(config_of(tmp_path, tiny_folder), tmp_path / "runs")
    rows = through(tmp_path, labeller, documents())
    assert [row["id"] for row in rows] == ["document 0", "document 2"]
    for row, told in zip(rows, expected, strict=True):
        assert {name: row[name] for name in told} == told
        assert (row["text"], row["source"]) == ("for people", "sums")
    assert xtf.open_run(tmp_path / "runs" / "rank-00000").is_labelled


def test_no_row_of_a_file_is_left_out_for_want_of_text(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "c", "text": "As it is."}]
    Path(tmp_path, "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = list(JsonlReader(str(tmp_path), glob_pattern="*.jsonl", adapter=whole_row).run())
    assert [one.id for one in read] == ["a", "some.jsonl/1", "b", "c"]
    for document, row in zip(read, rows, strict=True):
        assert row.items() <= document.metadata.items()
    assert json.loads(read[1].text) == rows[1]
    assert read[3].text == "As it is."


def test_bad_documents_are_dropped(expected: list[dict[str, Any]], tmp_path: Path, tiny_folder: Path) -> None:
    shares = [row["masked_share"] for row in expected]
    labeller = XtfLabeller(config_of(tmp_path, tiny_folder), tmp_path / "runs", drop_worse_than=min(shares))
    rows = through(tmp_path, labeller, documents())
    assert [row["id"] for row in rows] == [f"document {2 * shares.index(min(shares))}"]


def test_plain_text_is_a_target_as_a_whole(tmp_path: Path, tiny_folder: Path) -> None:
    labeller = XtfLabeller(config_of(tmp_path, tiny_folder), tmp_path / "runs")
    texts = [Document(text=f"Maria has {number} apples and buys five more.", id=str(number)) for number in range(3)]
    rows = through(tmp_path, labeller, texts)
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        masked = sum(label == -100 for label in row["labels"][1:])
        assert row["masked_share"] == pytest.approx(masked / (len(row["labels"]) - 1))


def test_mistakes_are_said_before_anything_runs(tmp_path: Path, tiny_folder: Path) -> None:
    config = config_of(tmp_path, tiny_folder)
    with pytest.raises(ConfigError, match=r"drop_worse_than 1\.5: must lie between 0 and 1"):
        RowLabeller(config, tmp_path, 1.5)
    with pytest.raises(ConfigError, match="no attribute of that name"):
        XtfLabeller({**config, "attributes": {"rnadom": {}}}, tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({**config, "modle": {}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run.yaml: modle"):
        XtfLabeller(path, tmp_path)
