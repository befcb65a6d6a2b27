"""Scoring on a Ray cluster (``xtf score CONFIG --engine ray``), into the same run folder as on one machine.

The driver, which is the process that the command runs in, tokenises, writes every file and keeps the locks; other
machines see neither the data nor the run folder. Once scorers are fitted, token shards travel to a pool of actors,
each with a model and the fitted scorers, and scores travel back. Begin reading in ``scoring``.
"""

from xtf.cluster.engine import RayEngine

__all__ = ["RayEngine"]
