"""A step of a datatrove pipeline that labels the tokens of its documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.typeshelper import StatHints

from xtf.integrations.pipelines import SHARE, RowLabeller


class XtfLabeller(PipelineStep):  # type: ignore[misc]
    """Gives each document ``input_ids``, ``attention_mask``, ``labels``, ``weights`` and ``masked_share`` as metadata.

    A document is read as a row with its metadata as columns: one with ``messages``, or ``prompt`` and ``completion``,
    is a conversation. Any other is plain text, every token of which is a target. Cuts see the documents of one rank.
    Left out: documents that XTF cannot use, of which nothing is learnt, or too much is masked.

    Args:
        config: The configuration of a run: its YAML file, or a mapping. ``data.path`` is not read.
        output: A folder on this machine; each rank writes a run below it, with scores, labels and reasons.
        drop_worse_than: Leave out documents of which more than this share of the response tokens is masked as noise.

    Raises:
        ConfigError: with every mistake in the configuration.
    """

    name = "XTF token labels"
    type = "🏷️ - LABELS"

    def __init__(
        self, config: str | Path | Mapping[str, Any], output: str | Path, drop_worse_than: float | None = None
    ) -> None:
        super().__init__()
        self._labeller = RowLabeller(config, output, drop_worse_than)

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Take all documents of a rank, then give them back.

        Raises:
            XTFError: of the kind that names what is wrong.
        """
        for document, columns in self._labeller.label(data, _row_of, f"rank-{rank:05}"):
            self.stat_update(StatHints.total)
            if columns is None:
                self.stat_update(StatHints.dropped)
                continue
            self.stat_update(StatHints.forwarded)
            self.stat_update(SHARE, value=columns[SHARE])
            document.metadata.update(columns)
            yield document


def whole_row(reader: Any, row: dict[str, Any], path: str, place: int | str) -> dict[str, Any]:
    """An adapter for datatrove's readers, which leave out rows without a column of text, such as conversations.

    Returns:
        The document: all columns as metadata; as text the column ``text``, or else the row as JSON.
    """
    text = row.get(reader.text_key) or json.dumps(row, ensure_ascii=False, default=str)
    return {"text": text, "id": str(row.get(reader.id_key) or f"{path}/{place}"), "metadata": row}


def _row_of(document: Document) -> dict[str, Any]:
    return {"text": document.text, **document.metadata}
