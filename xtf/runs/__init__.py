"""The run folder: what lies on disk, who may write it, and reading it again.

Begin reading in ``folder`` (shards, records, manifest, lock) and ``opened`` (a run opened for reading).
"""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.runs.opened import RunReader

__all__ = ["RunReader"]
__getattr__ = on_demand(__name__, {"xtf.runs.opened": "RunReader"})
