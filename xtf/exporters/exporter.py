"""What an exporter is: labelled tokens, or texts, to rows in the form that one trainer or tool reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from xtf.config import RunConfig
from xtf.errors import PluginError
from xtf.exporters.places import loadable
from xtf.exporters.text import TextExample
from xtf.labelling.shard import Labels, ScoredShard
from xtf.plugins import PluginGroup
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

EXPORTERS = PluginGroup("xtf.exporters", "exporter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written: all that the files beside the rows, and the command to train, may speak of.

    Attributes:
        folder: Where it lies.
        files: Names of the files of rows, in order.
        rows: How many.
        longest: Tokens of the longest row.
        tokens: All tokens of the rows.
        response: Those of them that the assistant wrote, the ends of its turns included.
        learnt: Those of them that are learnt.
        masked_by: For each attribute of the labels how many of the masked ones it is a reason for.
        supervised: Tokens with a label: those learnt, and prompt tokens that weigh something (data.prompt_weight).
        weighted: Tokens whose weight is other than 1 where learnt and 0 elsewhere; learnt prompt tokens are among them.
        drop_worse_than: The greatest share of masked response tokens that a row may have, if there is one.
        left_out: Rows left out because of it.
        config: The run's configuration.
        manifest: The run's manifest.
    """

    folder: Path
    files: tuple[str, ...]
    rows: int
    longest: int
    tokens: int
    response: int
    learnt: int
    supervised: int
    weighted: int
    drop_worse_than: float | None
    left_out: int
    config: RunConfig
    manifest: Mapping[str, Any]
    masked_by: Mapping[str, int] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The base model as any trainer can load it: a hub id, or a whole path; of a GGUF file, its converted copy."""
        return loadable(self.config.model.path)

    @property
    def tokenizer(self) -> str:
        """Its tokenizer, likewise."""
        return loadable(self.config.model.tokenizer or self.config.model.path, weights=False)


class AnyExporter(ABC):
    """What both kinds of exporter have; write an :class:`Exporter` or a :class:`TextExporter`.

    Attributes:
        name: Of its entry point.
        carries_weights: Whether what reads its rows lets a token count for another number than 0 and 1.
        carries_ids: Whether its rows name their examples; else ``ids.txt`` lists them beside the rows, one a line.
    """

    name: ClassVar[str]
    carries_weights: ClassVar[bool] = False
    carries_ids: ClassVar[bool] = True

    def sidecars(self, export: Export) -> Mapping[str, str]:
        """Files to lie beside the rows, by name: a script or a YAML with what the trainer's settings must be."""
        return {}

    def command(self, export: Export) -> Sequence[str]:
        """The command that starts the trainer, as separate arguments; it is quoted where it is shown. None if empty."""
        return ()


class Exporter(AnyExporter):
    """A target that reads tokens.

    Attributes:
        name: Of its entry point.
        suffix: Of the files: Parquet tables, JSON lines, one object a row, or the Arrow files of a saved data set, in
            which ids would be a column too many for trainers: they are written into a file of their own.
    """

    suffix: ClassVar[Literal[".parquet", ".jsonl", ".arrow"]] = ".parquet"

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a target that lacks a part, when it is imported."""
        super().__init_subclass__(**options)
        if not isinstance(getattr(cls, "name", None), str) or cls.table is Exporter.table:
            raise TypeError(f"exporter {cls.__name__} must have a name and implement table()")

    @abstractmethod
    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        """The rows of a shard, in its order, with the column ``example_id``; examples without a learnt token have none.

        Every call gives the same columns. A row depends on its own example only.

        Args:
            shard: The tokens, laid end to end; its scores are not read.
            labels: Which of them are noise, and their weights.
            vocabulary: What each token id spells.
        """

    def lost(self, shard: ScoredShard, labels: Labels) -> Mapping[str, int]:
        """What the rows of a shard cannot carry: in words, and of how many tokens or turns; weights are counted anyway.

        The words name what is counted, and suit any number: "masked tokens in turns that are learnt".
        """
        return {}


class TextExporter(AnyExporter):
    """A target that reads texts and tokenises them itself; its files are JSON lines.

    Attributes:
        name: Of its entry point.
        grain: What its rows say is learnt or not: whole turns, characters, or also tokens that share a character. What
            is lost between characters and tokens is counted by itself, what is lost in whole turns by :meth:`lost`.
    """

    suffix: ClassVar[Literal[".jsonl"]] = ".jsonl"
    grain: ClassVar[Literal["turn", "character", "token"]] = "character"

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a target that lacks a part, when it is imported."""
        super().__init_subclass__(**options)
        if not isinstance(getattr(cls, "name", None), str) or cls.row is TextExporter.row:
            raise TypeError(f"exporter {cls.__name__} must have a name and implement row()")

    @abstractmethod
    def row(self, example: TextExample) -> Mapping[str, Any] | None:
        """The row of an example, JSON values; None leaves it out, which is counted.

        Examples without a learnt token do not come here.
        """

    def lost(self, example: TextExample) -> Mapping[str, int]:
        """What the row of an example cannot carry, as of :meth:`Exporter.lost`; what no text can is counted anyway."""
        return {}


def weighted_tokens(shard: ScoredShard, labels: Labels) -> int:
    """How many tokens have a weight other than 1 where they are learnt and 0 elsewhere."""
    learnt = shard.is_response & ~labels.noise
    return int(np.count_nonzero(labels.weights != learnt))


def load_exporter(name: str) -> AnyExporter:
    """The exporter of this name.

    Raises:
        PluginError: there is none, or what is installed under the name is no exporter of it.
    """
    found = EXPORTERS.load(name)
    if not (isinstance(found, type) and issubclass(found, AnyExporter)) or found.name != name:
        raise PluginError(f"exporter {name!r}: {EXPORTERS.provider(name)} offers no Exporter of that name")
    return found()
