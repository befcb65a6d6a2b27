"""A data set of tokens written back as it was read: folder for folder and file for file, with its labels masked."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xtf.data import DataReport, PreTokenized, Row, read_examples_with_rows, to_conversation
from xtf.data.data_files import is_address
from xtf.data.sources import Source, find_sources
from xtf.errors import RunError
from xtf.exporters.same import LearntRow, MaskColumns
from xtf.files import file_digest, write_atomically, write_json
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs import RunReader
from xtf.steps.row_files import ARROW, Masking, Told, has_splits, row_files
from xtf.tokens import BoolArray, IntArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINES = (".jsonl", ".ndjson")
STATE, INFO = "state.json", "dataset_info.json"
"""What lies beside the rows of a saved data set."""
INSTEAD = "Write what trainers read of it instead: --to saved"
TEXTS = "rows that are texts, in which no column says which tokens are learnt, and are left out"
NOTHING = "rows without a learnt token, which are left out"
UNSCORED = "rows that were not scored, as the data report of the run says, and are left out"


@dataclass
class WritingBack:
    """The rows of a run's data, put back as they lay.

    Args:
        run: A labelled run.
        output: The folder to write.
        tokenizer: Of the run.

    Attributes:
        lost: What the rows cannot carry: in words, and how many.

    Raises:
        RunError: the data are not files or a folder that can be written back.
    """

    run: RunReader
    output: Path
    tokenizer: PreTrainedTokenizerBase
    lost: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self._data = self.run.config.data
        self._sources = _sources(self.run)
        self._examples = read_examples_with_rows(self._data, self.tokenizer, DataReport())
        self._scored = 0

    def told(self, shard: ScoredShard, labels: Labels, keep: BoolArray) -> Iterator[tuple[int, LearntRow]]:
        """The examples of the next shard that are kept, with their place in it, and what is learnt of their rows.

        Args:
            shard: The tokens.
            labels: Theirs.
            keep: ``(examples,)`` bool.

        Raises:
            RunError: the data are no longer those that were scored.
        """
        learnt = shard.is_response & ~labels.noise
        counts = shard.is_response & (shard.weights != 0)
        factor = np.ones(len(learnt), np.float32)
        factor[counts] = labels.weights[counts] / shard.weights[counts]
        weighted = shard.counts(counts & (factor != learnt))
        self.lost[NOTHING] += int(np.count_nonzero(shard.counts(shard.learnable() & ~labels.noise) == 0))
        for place, name in enumerate(shard.example_ids):
            here = shard.tokens_of(place, place + 1)
            row = self._next(name, shard.input_ids[here])
            self._scored += 1
            if not keep[place]:
                continue
            if not isinstance(
                to_conversation(row, self._data.columns, self._data.roles, self._data.only), PreTokenized
            ):
                self.lost[TEXTS] += 1
                continue
            yield place, LearntRow(row.index, learnt[here], factor[here], int(weighted[place]))

    def _next(self, name: str, input_ids: IntArray) -> Row:
        found = next((both for both in self._examples if both[0].example_id == name), None)
        if found is None or not np.array_equal(found[0].input_ids, input_ids):
            raise RunError(
                f"{self.run.path}: {self._data.place} no longer holds example {name!r} as it was scored. Score the "
                f"data again. {INSTEAD}"
            )
        return found[1]

    def write(self, told: Iterable[LearntRow]) -> list[Path]:
        """Write all of it; ``told`` are the rows to keep, in the order of the data. Returns the files of rows."""
        masking = Masking(self._columns, Told(iter(told), self.lost))
        files = []
        for source in self._sources:
            for file in row_files(source, self._data.split, self.output):
                write_atomically(file.path, partial(file.write, masking))
                files.append(file.path)
            if source.saved is not None:
                self._write_beside(source.saved, source.load(self._data.split).column_names)
        self.lost[UNSCORED] += masking.place - self._scored
        return files

    def _columns(self, names: list[str]) -> MaskColumns:
        return MaskColumns.of(names, self._data.columns.input_ids, self._data.columns.labels)

    def _write_beside(self, saved: Path, names: list[str]) -> None:
        """What makes a folder a saved data set; of several splits, the others as they are."""
        split = self._data.split
        here, there = (saved / split, self.output / split) if has_splits(saved) else (saved, self.output)
        columns = self._columns(names)
        state, info = (json.loads((here / name).read_text(encoding="utf-8")) for name in (STATE, INFO))
        state["_data_files"] = [{"filename": ARROW}]
        state["_fingerprint"] = file_digest(there / ARROW)[:16]
        if columns.labels is not None and columns.labels not in names:
            info.get("features", {})[columns.labels] = info.get("features", {}).get(columns.ids)
            state["_format_columns"] = state.get("_format_columns") and [*state["_format_columns"], columns.labels]
        write_json(there / STATE, state)
        write_json(there / INFO, info)
        if has_splits(saved):
            for other in saved.rglob("*"):
                if other.is_file() and here not in other.parents:
                    with other.open("rb") as file:
                        write_atomically(self.output / other.relative_to(saved), partial(shutil.copyfileobj, file))


def _sources(run: RunReader) -> list[Source]:
    """What the run was made of, if it can be written back."""
    sources = find_sources(run.config.data)
    if any(source.saved is not None for source in sources) and len(sources) > 1:
        raise RunError(f"{run.path}: made of several data sets; score each by itself. {INSTEAD}")
    for source in sources:
        if source.saved is None and source.files is None:
            raise RunError(f"{source.path}: a data set of the hub is not written back. {INSTEAD}")
        for file in source.files or ():
            if is_address(file.path) or file.compressions or file.kind not in (".parquet", *LINES):
                raise RunError(
                    f"{file.path}: only folders that `datasets` saved, and Parquet and JSONL files without compression "
                    f"on this machine are written back. {INSTEAD}"
                )
    return sources
