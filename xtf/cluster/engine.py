"""How a run is to be scored on a Ray cluster: :class:`RayEngine`. Loads no Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xtf.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Scoring on a Ray cluster: ``xtf.score(config, engine=xtf.RayEngine(num_gpus=0.5))``.

    Attributes:
        address: Of the cluster: ``auto`` or ``HOST:PORT``. None: the one in ``RAY_ADDRESS``, which ``ray job submit``
            sets; else the one that this process is connected to; else a local one, which ends with the call.
        num_gpus: GPUs that each actor, which holds one model, takes; a fraction lets several share one. None: 1 if the
            cluster has any, else 0.
        num_cpus: CPUs, and threads, that each actor takes. None: 1 beside a GPU, else up to 4.
        actors: At most so many; None: as many as find room when scoring begins.

    Raises:
        ConfigError: a number that cannot be meant.
    """

    address: str | None = None
    num_gpus: float | None = None
    num_cpus: float | None = None
    actors: int | None = None

    def __post_init__(self) -> None:
        if self.address is not None and self.address.startswith("ray://"):
            raise ConfigError(
                f"--address {self.address}: a Ray Client is no part of the cluster and cannot feed it. Run the command "
                "on a machine of the cluster, with --address auto, or by ray job submit"
            )
        if self.address is not None and not self.address.strip():
            raise ConfigError("--address: expected auto or HOST:PORT, for example 10.0.0.1:6379")
        for name, value, least in (("gpus", self.num_gpus, 0.0), ("cpus", self.num_cpus, 0.01)):
            if value is not None and not (math.isfinite(value) and value >= least):
                raise ConfigError(f"--num-{name} {value:g}: expected a number from {least:g}")
        if self.num_gpus is not None and self.num_gpus > 1:
            raise ConfigError(f"--num-gpus {self.num_gpus:g}: a model lies on one device; expected at most 1")
        if self.actors is not None and self.actors < 1:
            raise ConfigError(f"--actors {self.actors}: expected a number from 1")
