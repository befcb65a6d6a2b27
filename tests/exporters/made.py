"""A small labelled run, and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import xtf
from tests.conftest import tiny_config


def random_run(folder: Path, model: Path, rows: Any = None, *, share: float = 0.3, **more: Any) -> Any:
    """A run over these rows, or a few chats, of whose tokens a random share is masked; shards of five examples."""
    folder.mkdir(exist_ok=True)
    thresholds = {"random": {"kind": "bottom_share", "share": share}}
    more = {"attributes": {"random": {}}, "thresholds": thresholds, "scoring": {"examples_per_shard": 5}, **more}
    return xtf.label(xtf.score(tiny_config(folder, model, rows, **more)))


def label_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder of labels, in their order."""
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
