"""Rows -> tokens/: one pass over the data, cut into shards of a set number of examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from xtf.config import DataConfig
from xtf.data import DataReport, SeenIds, read_examples
from xtf.progress import progress
from xtf.share import Share
from xtf.store import RunFolder
from xtf.tables import tokens_table
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


def tokenise(folder: RunFolder, source: TokenSource, share: Share | None = None) -> None:
    """Write the token shards that are missing or damaged; with ``share``, complete ones of others are not checked.

    Each shard records the report up to its last row, so an interrupted pass goes on behind the last intact shard and a
    damaged shard is made again alone.

    Raises:
        DataError: see :func:`xtf.data.read_examples`.
    """
    complete = folder.completion("tokens")
    if complete is None or complete.get("data") != source.fingerprint:
        prefix = 0
        while _intact(folder, prefix, source):
            prefix += 1
        report = _write_from(folder, source, prefix)
        complete = {"data": source.fingerprint, "shards": len(folder.indices("tokens")), "report": report.to_dict()}
        folder.complete("tokens", complete)
    else:
        for index in range(complete["shards"]):
            if (share is None or share.takes(index)) and not _intact(folder, index, source):
                _write_from(folder, source, index, only=True)
    folder.update_manifest(data_report=complete["report"], stages={"tokenise": {"done": True}})


def _intact(folder: RunFolder, index: int, source: TokenSource) -> bool:
    record = folder.intact("tokens", index)
    return record is not None and record.facts.get("data") == source.fingerprint


def _write_from(folder: RunFolder, source: TokenSource, index: int, only: bool = False) -> DataReport:
    """Write shard ``index`` and, unless ``only``, all that follow; return the report up to there."""
    before = folder.record("tokens", index - 1) if index else None
    report = DataReport.from_dict(before.facts["report"]) if before is not None else DataReport()
    config = source.config
    if config.limit is not None:
        config = config.model_copy(update={"limit": config.limit - report.examples})
        if config.limit == 0:
            return report
    examples = read_examples(
        config, source.tokenizer, report, source.rows, start=report.rows, seen=_ids_before(folder, index)
    )
    with progress("Tokenising", source.config.limit or None, "examples") as advance:
        while part := list(islice(_counted(examples, advance), source.examples_per_shard)):
            facts = {
                "data": source.fingerprint,
                "tokens": sum(len(example) for example in part),
                "response_tokens": sum(int(example.is_response.sum()) for example in part),
                "report": report.to_dict(),
            }
            folder.write_shard("tokens", index, tokens_table(part), facts)
            index += 1
            if only:
                break
    return report


def _counted(examples: Iterator[TokenizedExample], advance: Any) -> Iterator[TokenizedExample]:
    for example in examples:
        advance(1)
        yield example


def _ids_before(folder: RunFolder, index: int) -> SeenIds:
    """Ids of the examples in the shards before ``index``: a later row may not repeat one."""
    ids = SeenIds()
    for record in folder.records("tokens"):
        if record.index < index:
            for example_id in folder.read_shard("tokens", record, ["example_id"])["example_id"].to_pylist():
                ids.add(example_id)
    return ids
