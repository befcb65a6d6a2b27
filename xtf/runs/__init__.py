"""The run folder: what lies on disk, who may write it, and reading it again.

Begin reading in ``folder`` (shards, records, manifest, lock) and ``opened`` (a run opened for reading).
"""

from xtf.runs.opened import RunReader

__all__ = ["RunReader"]
