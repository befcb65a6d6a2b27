"""What other tools read: one file a target, found under the entry-point group ``xtf.exporters``.

Begin in ``exporter``, which says what one is; ``labels`` is the first; ``steps/exporting.py`` writes the files.
"""

from typing import TYPE_CHECKING

from xtf.exporters.exporter import (
    EXPORTERS,
    AnyExporter,
    Export,
    Exporter,
    TextExporter,
    load_exporter,
    weighted_tokens,
)
from xtf.exporters.labels import LabelsExporter
from xtf.exporters.text import TextExample
from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.exporters.same import SameExporter

__all__ = [
    "EXPORTERS",
    "AnyExporter",
    "Export",
    "Exporter",
    "LabelsExporter",
    "SameExporter",
    "TextExample",
    "TextExporter",
    "load_exporter",
    "weighted_tokens",
]

__getattr__ = on_demand(__name__, {"xtf.exporters.same": "SameExporter"})
