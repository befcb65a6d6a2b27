"""Rows -> tokens/: one pass over the data, cut into shards of a set number of examples."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from xtf.config import DataConfig
from xtf.data import DataReport, ExampleIds, read_examples
from xtf.progress import progress
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.tables import tokens_table
from xtf.runs.worker import Worker
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where token shards come from.

    Attributes:
        config: The ``data`` section.
        tokenizer: The model's tokenizer.
        fingerprint: Of the data and the tokenizer; a shard with another one is made again.
        examples_per_shard: Examples in each shard but the last.
        rows: Rows in memory, instead of ``config.path``; they are gone through more than once.
    """

    config: DataConfig
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    examples_per_shard: int
    rows: Any = None


def tokenise(
    folder: RunFolder,
    source: TokenSource,
    worker: Worker | None = None,
    *,
    written: Callable[[ShardRecord], None] = lambda record: None,
    stopped: threading.Event | None = None,
) -> None:
    """Write the token shards that are missing or damaged; with ``worker``, complete ones of others are not checked.

    Each shard records the report up to its last row, so an interrupted pass goes on behind the last intact shard and a
    damaged shard is made again alone.

    Args:
        folder: The run.
        source: The rows.
        worker: Of several processes that score beside each other.
        written: Called with each shard, in order, once it is there.
        stopped: Set by another thread to give up before the next example.

    Raises:
        DataError: see :func:`xtf.data.read_examples`.
    """
    work = _Tokenising(folder, source, written, stopped or threading.Event())
    complete = folder.completion("tokens")
    if complete is None or complete.get("data") != source.fingerprint:
        prefix = 0
        while (record := work.intact(prefix)) is not None:
            written(record.brief())
            prefix += 1
        report = work.write_from(prefix)
        if report is None:
            return
        complete = {"data": source.fingerprint, "shards": len(folder.indices("tokens")), "report": report.to_dict()}
        folder.complete("tokens", complete)
    else:
        for index in range(complete["shards"]):
            mine = worker is None or worker.takes(index)
            record = work.intact(index) if mine else folder.record("tokens", index)
            if record is not None:
                written(record.brief())
            elif mine and work.write_from(index, only=True) is None:
                return
    folder.update_manifest(data_report=complete["report"], stages={"tokenise": {"done": True}})


class _Stopped(Exception):
    """Another thread asked for the end."""


@dataclass(frozen=True, slots=True)
class _Tokenising:
    """One pass over the rows of a run."""

    folder: RunFolder
    source: TokenSource
    written: Callable[[ShardRecord], None]
    stopped: threading.Event

    def intact(self, index: int) -> ShardRecord | None:
        """The record of a shard that is whole and made from this source."""
        record = self.folder.intact("tokens", index)
        return record if record is not None and record.facts.get("data") == self.source.fingerprint else None

    def write_from(self, index: int, only: bool = False) -> DataReport | None:
        """Write shard ``index`` and, unless ``only``, all that follow; return the report up to there.

        None means that another thread stopped it.
        """
        before = self.folder.record("tokens", index - 1) if index else None
        report = DataReport.from_dict(before.facts["report"]) if before is not None else DataReport()
        config = self.source.config
        if config.limit is not None:
            config = config.model_copy(update={"limit": config.limit - report.examples})
            if config.limit == 0:
                return report
        seen = _ids_before(self.folder, index, report)
        examples = read_examples(config, self.source.tokenizer, report, self.source.rows, start=report.rows, seen=seen)
        try:
            with progress("Tokenising", None if only else self.source.config.limit, "examples") as advance:
                advance(0 if only else report.examples, found=True)
                while part := list(islice(self._counted(examples, advance), self.source.examples_per_shard)):
                    facts = {
                        "data": self.source.fingerprint,
                        "tokens": sum(len(example) for example in part),
                        "response_tokens": sum(int(example.is_response.sum()) for example in part),
                        "report": report.to_dict(),
                    }
                    self.written(self.folder.write_shard("tokens", index, tokens_table(part), facts).brief())
                    index += 1
                    if only:
                        break
        except _Stopped:
            return None
        return report

    def _counted(self, examples: Iterator[TokenizedExample], advance: Any) -> Iterator[TokenizedExample]:
        for example in examples:
            if self.stopped.is_set():
                raise _Stopped
            advance(1)
            yield example


def _ids_before(folder: RunFolder, index: int, report: DataReport) -> ExampleIds:
    """Ids of the examples in the shards before ``index``, which ``report`` counts: a later row may not repeat one."""
    ids = ExampleIds()
    in_files_before = report.examples - report.last_file_examples
    count = 0
    for record in folder.records("tokens"):
        if record.index < index:
            for example_id in folder.read_shard("tokens", record, ["example_id"])["example_id"].to_pylist():
                ids.add(example_id, report.last_file if count >= in_files_before else "")
                count += 1
    return ids
