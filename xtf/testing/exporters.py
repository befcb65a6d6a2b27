"""The public contract suite of exporters.

In a test file of your own package::

    from xtf.testing import parametrize_exporters_with_checks

    @parametrize_exporters_with_checks([MyExporter()])
    def test_contract(exporter, check):
        check(exporter)

No model and no run is needed: tokens and labels are made up; of one example everything is masked. The suite of
exporters that read texts is in ``text_exporters``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from xtf.config import parse_config
from xtf.exporters import EXPORTERS, AnyExporter, Export, Exporter, load_exporter
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.vocabulary import Vocabulary
from xtf.steps.exporting import IDS, LEFT_OUT, write_rows
from xtf.testing.cuts import made_up_scores, made_up_shard
from xtf.testing.suite import parametrize_checks

ExporterCheck = Callable[[Exporter], None]

MASKED = 7
"""The example of :func:`made_up_scores` that keeps nothing."""


def parametrize_exporters_with_checks(
    exporters: Sequence[Exporter], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``exporter`` and ``check``; see :func:`xtf.testing.parametrize_with_checks`."""
    return parametrize_checks("exporter", {one.name: one for one in exporters}, EXPORTER_CHECKS, expected_failures)


def made_up_labels(shard: ScoredShard) -> Labels:
    """Every third id that may be masked is noise; of example :data:`MASKED` all are, its end as well."""
    noise = shard.candidates() & (shard.input_ids % 3 == 0)
    for place, name in enumerate(shard.example_ids):
        if name == str(MASKED):
            noise[shard.offsets[place] : shard.offsets[place + 1]] = True
    noise &= shard.is_response
    weights = (shard.is_response & ~noise).astype(np.float32)
    return Labels(noise, weights, noise.astype(np.uint16), noise.astype(np.uint16), noise)


def made_up_vocabulary(size: int) -> Vocabulary:
    """Ids 0 to ``size - 1`` spell words; none is special."""
    return Vocabulary(tuple(f" w{i}".encode() for i in range(size)), frozenset())


def _rows(exporter: Exporter, shard: ScoredShard) -> list[dict[str, Any]]:
    vocabulary = made_up_vocabulary(1000)
    rows: list[dict[str, Any]] = exporter.table(shard, made_up_labels(shard), vocabulary).to_pylist()
    return rows


def check_exporter_known(exporter: AnyExporter) -> None:
    """It is found by its entry point, and its docstring says what it writes."""
    assert exporter.name in EXPORTERS.points(), f"no entry point {exporter.name!r} under {EXPORTERS.group}"
    assert type(load_exporter(exporter.name)) is type(exporter), "its entry point is another class"
    assert (type(exporter).__doc__ or "").strip(), "the class has no docstring"


def made_up_export(exporter: AnyExporter) -> Export:
    """An export of three rows into a folder whose name would do harm if it were not quoted, from a model of the hub."""
    config = parse_config(
        {
            "output": "runs/made-up",
            "model": {"path": "made-up/model"},
            "data": {"path": "rows.jsonl"},
            "attributes": {"random": {}},
        }
    )
    return Export(
        folder=Path('it\'s "here"; $(touch harm) {x} %s'),
        files=(f"part-00000{getattr(exporter, 'suffix', '.jsonl')}",),
        rows=3,
        longest=1700,
        tokens=4000,
        response=2000,
        learnt=1500,
        supervised=1500,
        weighted=0,
        drop_worse_than=0.5,
        left_out=1,
        config=config,
        manifest={},
    )


def check_exporter_sidecars(exporter: AnyExporter) -> None:
    """The files beside the rows have plain names and can be read; the command is a list of texts."""
    export = made_up_export(exporter)
    for name, text in exporter.sidecars(export).items():
        assert Path(name).name == name, f"file name {name!r} is a path"
        assert not name.startswith("part-"), f"file name {name!r} is of a file of rows"
        assert name not in (IDS, LEFT_OUT), f"file name {name!r} is of XTF's own lists"
        if name.endswith(".py"):
            ast.parse(text)
        elif name.endswith((".yaml", ".yml")):
            yaml.safe_load(text)
        elif name.endswith(".json"):
            json.loads(text)
    command = exporter.command(export)
    assert not isinstance(command, str), "the command is one text; give its arguments apart"
    assert all(isinstance(word, str) for word in command), f"command {command!r}"


def check_exporter_lost(exporter: Exporter) -> None:
    """What the rows cannot carry is counted, and nothing is where nothing is masked."""
    shard = made_up_shard(made_up_scores())
    nothing = np.zeros(len(shard.input_ids), np.bool_)
    reasons = nothing.astype(np.uint16)
    plain = Labels(nothing, shard.is_response.astype(np.float32), reasons, reasons, nothing)
    assert not any(exporter.lost(shard, plain).values()), "something is lost where every token is learnt"
    for said, count in exporter.lost(shard, made_up_labels(shard)).items():
        assert said.strip(), "a count without words"
        assert isinstance(count, int), f"{said!r}: {count!r}"


def check_exporter_rows(exporter: Exporter) -> None:
    """A row for each example that keeps a token, in order; also of a shard of which none is left."""
    shard = made_up_shard(made_up_scores())
    ids = [row["example_id"] for row in _rows(exporter, shard)]
    assert ids == [name for name in shard.example_ids if name != str(MASKED)], f"rows {ids}"
    alone, whole = shard.example(MASKED), exporter.table(shard, made_up_labels(shard), made_up_vocabulary(1000))
    nothing = exporter.table(alone, made_up_labels(alone), made_up_vocabulary(1000))
    assert nothing.num_rows == 0, "an example without a learnt token has a row"
    assert nothing.schema.equals(whole.schema), "the columns of an empty table differ"


def check_exporter_shards(exporter: Exporter) -> None:
    """Rows do not depend on what else is in the shard."""
    shard = made_up_shard(made_up_scores())
    alone = [row for place in range(len(shard)) for row in _rows(exporter, shard.example(place))]
    assert alone == _rows(exporter, shard), "an example alone gives another row"


def check_exporter_masks(exporter: Exporter) -> None:
    """Where rows have ``input_ids`` and ``labels``, a label is -100 or the token, and noise has none."""
    shard = made_up_shard(made_up_scores())
    labels, places = made_up_labels(shard), {name: place for place, name in enumerate(shard.example_ids)}
    for row in _rows(exporter, shard):
        if "labels" in row and "input_ids" in row:
            start, stop = shard.offsets[places[row["example_id"]] :][:2].tolist()
            learnt = (shard.is_response & ~labels.noise)[start:stop]
            wanted = np.where(learnt, shard.input_ids[start:stop], -100).tolist()
            assert row["labels"] == wanted, f"example {row['example_id']}: labels {row['labels']}, wanted {wanted}"


def check_exporter_files(exporter: Exporter) -> None:
    """Rows survive the file that they are written to."""
    shard = made_up_shard(made_up_scores())
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"part{exporter.suffix}"
        write_rows(path, exporter.table(shard, made_up_labels(shard), made_up_vocabulary(1000)))
        if exporter.suffix == ".parquet":
            read = pq.read_table(path).to_pylist()
        elif exporter.suffix == ".arrow":
            read = pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist()
        else:
            read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        wanted = _rows(exporter, shard)
        if exporter.suffix == ".arrow":
            wanted = [{name: value for name, value in row.items() if name != "example_id"} for row in wanted]
        assert read == wanted, "the file reads back otherwise"


EXPORTER_CHECKS: tuple[ExporterCheck, ...] = (
    check_exporter_known,
    check_exporter_rows,
    check_exporter_shards,
    check_exporter_masks,
    check_exporter_files,
    check_exporter_lost,
    check_exporter_sidecars,
)
