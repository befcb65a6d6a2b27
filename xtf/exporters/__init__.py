"""What other tools read: one file a target, found under the entry-point group ``xtf.exporters``.

Begin in ``exporter``, which says what one is; ``labels`` is the first; ``steps/exporting.py`` writes the files.
"""

from xtf.exporters.exporter import EXPORTERS, Exporter, load_exporter
from xtf.exporters.labels import LabelsExporter

__all__ = ["EXPORTERS", "Exporter", "LabelsExporter", "load_exporter"]
