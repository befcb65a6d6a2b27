"""Rows on their way through a data pipeline: scored and labelled together, and given back one by one.

Cuts may look at the whole corpus, so all rows are taken before the first is given back; they wait on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xtf.config import RunConfig, parse_config, read_yaml
from xtf.data import repeatable
from xtf.errors import ConfigError
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs import RunReader
from xtf.runs.tables import labels_table
from xtf.steps.defaults import completed, problems_of_attributes
from xtf.steps.labelling import label_run
from xtf.steps.preparing import Given
from xtf.steps.scoring import score_run

COLUMNS = ("input_ids", "attention_mask", "labels", "weights")
"""Columns of ``labels/`` that rows are given, for trainers; and :data:`SHARE`."""
SHARE = "masked_share"
"""The share of a row's response tokens, the ends of its turns included, that is masked as noise."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class RowLabeller:
    """What an operator does with the rows that pass it.

    Attributes:
        config: The configuration of a run: its YAML file, or a mapping. ``data.path`` is not read.
        output: The folder of runs; each labelling writes one below it, with scores, labels and reasons.
        drop_worse_than: Leave out rows of which more than this share of the response tokens is masked as noise.

    Raises:
        ConfigError: a share outside 0 to 1, or with every mistake in the configuration.
    """

    config: str | Path | Mapping[str, Any]
    output: str | Path
    drop_worse_than: float | None = None

    def __post_init__(self) -> None:
        if self.drop_worse_than is not None and not 0.0 <= self.drop_worse_than <= 1.0:
            raise ConfigError(f"drop_worse_than {self.drop_worse_than}: must lie between 0 and 1")
        self.run_config("any")

    def run_config(self, name: str) -> RunConfig:
        """The configuration of the run ``name``: rows are known by their number alone."""
        where, raw = "<config>", self.config
        if not isinstance(raw, Mapping):
            where, raw = str(raw), read_yaml(raw)
        data = raw.get("data") or {}
        columns = {**(data.get("columns") or {}), "id": None}
        merged = completed(
            {
                **raw,
                "output": str(Path(self.output) / name),
                "data": {"path": "rows of a pipeline", **data, "columns": columns},
            }
        )
        return parse_config(
            merged, where, check_attributes=lambda attributes: problems_of_attributes(merged, attributes)
        )

    def label(self, rows: Iterable[Item], row_of: Any, name: str) -> Iterator[tuple[Item, Mapping[str, Any] | None]]:
        """Score and label ``rows``, in the run ``name``; a run that is finished there is read again.

        Args:
            rows: What passes by.
            row_of: Makes of each a row, as XTF reads them from files.
            name: Of the run, a folder below ``output``.

        Yields:
            Each of ``rows`` with the columns that it gets; None where it is to be left out: XTF cannot use it, nothing
            of it is learnt, or too much is masked.

        Raises:
            XTFError: of the kind that names what is wrong.
        """
        items = repeatable(iter(rows))
        config = self.run_config(name)
        run = label_run(score_run(config, Given(data=_Rows(items, row_of))), config)
        told = self._told(run)
        number, columns = next(told, (-1, None))
        for place, item in enumerate(items):
            if place != number:
                yield item, None
                continue
            yield item, columns
            number, columns = next(told, (-1, None))

    def _told(self, run: RunReader) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
        """For each row that is not left out its number and its columns, in order."""
        for shard, labels in run.labelled(names=[]):
            table = labels_table(shard, labels)
            shares = dict(zip(shard.example_ids, _masked_share(shard, labels), strict=True))
            for row in table.select(["example_id", *COLUMNS]).to_pylist():
                name = row.pop("example_id")
                if self.drop_worse_than is None or shares[name] <= self.drop_worse_than:
                    yield int(name), {**row, SHARE: shares[name]}


def _masked_share(shard: ScoredShard, labels: Labels) -> list[float]:
    share = shard.counts(labels.noise) / np.maximum(shard.counts(shard.is_response), 1)
    found: list[float] = share.tolist()
    return found


@dataclass(frozen=True, slots=True)
class _Rows(Iterable[Mapping[str, Any]]):
    """What passes by, as rows; may be gone through again."""

    items: Iterable[Any]
    row_of: Any

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self.row_of, self.items)
