"""Exporters are plug-ins: the built-in one and a third party's keep one contract, and go from a run to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import xtf
from tests.conftest import Cli, tiny_config
from tests.exporters.made import random_run
from xtf import testing
from xtf.errors import PluginError, RunError
from xtf.exporters import EXPORTERS, Exporter, TextExporter, load_exporter

LOADED = [load_exporter(name) for name in EXPORTERS.points()]


@testing.parametrize_exporters_with_checks([one for one in LOADED if isinstance(one, Exporter)])
def test_contract(exporter: Exporter, check: Any) -> None:
    check(exporter)


@testing.parametrize_text_exporters_with_checks([one for one in LOADED if isinstance(one, TextExporter)])
def test_contract_of_texts(exporter: TextExporter, check: Any) -> None:
    check(exporter)


def test_exporters_are_found() -> None:
    assert {"labels", "trl", "spans", "segments"} <= set(EXPORTERS.points())
    assert EXPORTERS.provider("segments") == "xtf-rarity 0.1.0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    return random_run(tmp_path_factory.mktemp("run"), tiny_folder)


def test_labels_are_what_the_run_folder_holds(run: Any, tmp_path: Path) -> None:
    files = xtf.export(run, "labels", tmp_path / "out")
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    for file in files:
        assert pq.read_table(file).equals(pq.read_table(run.path / "labels" / file.name))


def test_assistant_masks_mark_what_is_learnt(run: Any) -> None:
    rows = [row for file in (run.path / "labels").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(rows) == 12
    for row in rows:
        assert row["assistant_masks"] == [int(label != -100) for label in row["labels"]]
    assert any(noise for row in rows for noise in row["noise"])


def test_a_third_partys_exporter_on_the_command_line(run: Any, tmp_path: Path, cli: Cli) -> None:
    outcome = cli("export", run.path, "--to", "segments", "--output", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    texts = [file.read_text(encoding="utf-8") for file in sorted((tmp_path / "out").iterdir())]
    rows = [json.loads(line) for text in texts for line in text.splitlines()]
    whole = {shard.example_ids[i]: shard.example(i) for shard in run.shards() for i in range(len(shard))}
    assert [row["example_id"] for row in rows] == list(whole)
    for row in rows:
        example = whole[row["example_id"]]
        assert "".join(part["text"] for part in row["segments"]) == run.vocabulary.text(example.input_ids)
        assert not row["segments"][0]["label"]


def test_what_cannot_be_exported_is_said(run: Any, tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(PluginError, match=r"no exporter of that name. Did you mean 'labels'"):
        xtf.export(run, "lables", tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RunError, match="something already"):
        xtf.export(run, "labels", tmp_path / "full")
    scored = xtf.score(tiny_config(tmp_path, tiny_folder, attributes={"random": {}}))
    with pytest.raises(RunError, match="xtf label"):
        xtf.export(scored, "labels", tmp_path / "b")


def test_an_exporter_that_forgets_a_part_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match=r"must have a name and implement table"):
        type("Nameless", (Exporter,), {"table": lambda self, shard, labels, vocabulary: None})
    with pytest.raises(TypeError, match=r"must have a name and implement table"):
        type("Empty", (Exporter,), {"name": "empty"})
