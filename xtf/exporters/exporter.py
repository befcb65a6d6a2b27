"""What an exporter is: labelled tokens to rows in the form that one trainer or tool reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xtf.errors import PluginError
from xtf.labelling.shard import Labels, ScoredShard
from xtf.plugins import PluginGroup
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

EXPORTERS = PluginGroup("xtf.exporters", "exporter")


class Exporter(ABC):
    """One target.

    Attributes:
        name: Of its entry point.
        suffix: Of the files: Parquet tables, or JSON lines, one object a row.
    """

    name: ClassVar[str]
    suffix: ClassVar[Literal[".parquet", ".jsonl"]] = ".parquet"

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


def load_exporter(name: str) -> Exporter:
    """The exporter of this name.

    Raises:
        PluginError: there is none, or what is installed under the name is no exporter of it.
    """
    found = EXPORTERS.load(name)
    if not (isinstance(found, type) and issubclass(found, Exporter)) or found.name != name:
        raise PluginError(f"exporter {name!r}: {EXPORTERS.provider(name)} offers no Exporter of that name")
    return found()
