"""Token shards as rows that travel; loads no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from xtf.cluster.failures import attempt
from xtf.runs.folder import RunFolder


def read_tokens(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """``item``, the token shard that it names, and why that cannot be read; on the machine that holds the run."""
    tokens, failure = attempt(_tokens, RunFolder(path), int(item["shard"]))
    return {**item, "tokens": tokens or b"", "failure": failure}


def stream_of(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _tokens(folder: RunFolder, index: int) -> bytes:
    record = folder.record("tokens", index)
    assert record is not None  # the process that holds the run's lock has just seen it
    return stream_of(folder.read_shard("tokens", record))
