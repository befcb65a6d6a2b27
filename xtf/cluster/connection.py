"""A Ray cluster: connecting to it, or starting one here, and how many actors find room in it."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from tempfile import TemporaryFile
from typing import Any, Self

from xtf.cluster.engine import RayEngine
from xtf.cluster.failures import attempt, raise_failure
from xtf.config import ModelConfig
from xtf.display import visible
from xtf.errors import ClusterError, ConfigError, first_line
from xtf.progress import busy
from xtf.steps.preparing import choices_here

CPU_THREADS = 4
"""CPUs that an actor without a GPU takes, if its machine has as many."""

_PATIENCE = 5.0  # seconds for a first sign of life

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_enable_worker_prestart": "0",
    "RAY_worker_niceness": "0",
}
"""No statistics sent to Ray's makers, no remarks of Ray's own in between, no processes that nobody needs, and of a
local cluster none that give way to others more than the command itself does."""


@dataclass(frozen=True, slots=True)
class Room:
    """What actors find in a cluster.

    Attributes:
        actors: How many find room, at least one.
        num_cpus: CPUs for each.
        num_gpus: GPUs for each, or the share of one.
    """

    actors: int
    num_cpus: float
    num_gpus: float


class Cluster:
    """The cluster of a ``with`` block, connected to when it is first needed; a local one ends with the block.

    Args:
        engine: What the user asked for.
        model: Says on which kind of device the model shall lie.

    Raises:
        ClusterError: Ray is not installed.
        ConfigError: device and GPUs contradict each other.
    """

    def __init__(self, engine: RayEngine, model: ModelConfig) -> None:
        if find_spec("ray") is None:
            raise ClusterError("--engine ray: Ray is not installed. Install it: pip install 'xtf-tokens[ray]'")
        if model.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"model.device: {model.device!r}: under --engine ray it is Ray that gives each actor its device; "
                "expected auto, cpu or cuda"
            )
        if model.device == "cpu" and engine.num_gpus:
            raise ConfigError(f"--num-gpus {engine.num_gpus:g}: model.device is cpu. Leave out one of them")
        if model.device == "cuda" and engine.num_gpus == 0:
            raise ConfigError("--num-gpus 0: model.device is cuda. Leave out one of them")
        self._engine, self._device = engine, model.device
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def ray(self) -> Any:
        """The module ``ray``, connected.

        Raises:
            ClusterError: Ray is not complete, or the cluster cannot be reached.
        """
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise ClusterError(
                f"--engine ray: Ray cannot be imported: {error}. Install it: pip install 'xtf-tokens[ray]'"
            ) from error
        self._stack.enter_context(_quiet())
        self._connect(ray)
        return ray

    @cached_property
    def room(self) -> Room:
        """Room for actors, as it is now.

        Raises:
            ClusterError: there is none for a single one.
        """
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return room_in(nodes, self.ray.available_resources(), self._engine, self._device)

    def choices(self, model: ModelConfig) -> Mapping[str, str]:
        """What the configuration leaves to the machine, as one that will score would have it."""
        settings = self.placed(model)
        if self.room.num_gpus == 0:
            return choices_here(settings)
        with busy("Asking a machine of the cluster"):
            chosen: Mapping[str, str] = self.call(choices_here, settings)
        return chosen

    def placed(self, model: ModelConfig) -> ModelConfig:
        """The section ``model`` for an actor: on its GPU if it is given one, else on its CPUs."""
        return model.model_copy(update={"device": "cpu"}) if self.room.num_gpus == 0 else model

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do ``work`` on a machine that has what an actor takes.

        Raises:
            XTFError: whichever ``work`` raised.
            ClusterError: its machine was lost again and again.
        """
        task = self.ray.remote(num_cpus=self.room.num_cpus, num_gpus=self.room.num_gpus)(attempt)
        with failing_clearly(self.ray):
            result, failure = self.ray.get(task.remote(work, *arguments))
        raise_failure(failure)
        return result

    def _connect(self, ray: Any) -> None:
        address = self._engine.address
        if ray.is_initialized():
            current = ray.get_runtime_context().gcs_address
            if address not in (None, "auto", current):
                raise ClusterError(f"--address {address}: this process is connected to the Ray cluster at {current}")
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        if address not in ("local", "auto"):
            _check_reachable(address)
        with busy("Starting Ray" if address == "local" else "Connecting to the Ray cluster"), _environment(_SETTINGS):
            try:
                with _without_start_line():
                    ray.init(
                        address, log_to_driver=False, configure_logging=False, ignore_reinit_error=False, **options
                    )
            except Exception as error:  # ConnectionError, RuntimeError, OSError, ValueError, ...
                raise _unreachable(address, error) from error
        self._stack.callback(ray.shutdown)


def room_in(nodes: Sequence[Mapping[str, float]], free: Mapping[str, float], engine: RayEngine, device: str) -> Room:
    """How many actors find room.

    Args:
        nodes: Of each machine, its resources.
        free: What of all of them is free.
        engine: What the user asked for.
        device: ``model.device``.

    Raises:
        ClusterError: there is no room for a single actor.
    """
    has_gpus = any(node.get("GPU", 0) >= 1 for node in nodes)
    gpus = engine.num_gpus if engine.num_gpus is not None else float(device == "cuda" or (has_gpus and device != "cpu"))
    most = max((node.get("CPU", 0) for node in nodes), default=0)
    cpus = engine.num_cpus if engine.num_cpus is not None else 1 if gpus else max(1, min(CPU_THREADS, most))
    actors = sum(_fit(node, cpus, gpus) for node in nodes)
    if actors == 0 or _fit(free, cpus, gpus) == 0:
        wanted, there, left = (_resources(one) for one in ({"CPU": cpus, "GPU": gpus}, _sum_of(nodes), free))
        machines = "1 machine" if len(nodes) == 1 else f"{len(nodes)} machines"
        raise ClusterError(
            f"--engine ray: the cluster is too small: an actor, which holds one model, takes {wanted} of one machine, "
            f"and in {machines} there are {there} in all, {left} of them free. Take less with --num-cpus and "
            "--num-gpus (0.5: two models share a GPU), or wait until other work ends."
        )
    return Room(min(actors, _fit(free, cpus, gpus), engine.actors or actors), cpus, gpus)


def _fit(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many actors fit: a GPU may be shared, but none takes parts of two."""
    by_cpus = int(resources.get("CPU", 0) / cpus + 1e-6)
    if not gpus:
        return by_cpus
    there = resources.get("GPU", 0)
    on_each = int(1 / gpus + 1e-6)
    shared = int(there + 1e-6) * on_each + int((there % 1) / gpus + 1e-6)
    return min(by_cpus, shared)


def _sum_of(nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {kind: sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU")}


def _resources(found: Mapping[str, float]) -> str:
    return f"{found.get('CPU', 0):g} CPUs and {found.get('GPU', 0):g} GPUs"


@contextmanager
def failing_clearly(ray: Any) -> Iterator[None]:
    """Say in one line that machines or processes of the cluster were lost for good.

    Raises:
        ClusterError: they were.
    """
    failures = ray.exceptions
    try:
        yield
    except (
        failures.RayActorError,
        failures.WorkerCrashedError,
        failures.RaySystemError,
        failures.ObjectLostError,
        failures.OutOfMemoryError,
    ) as error:
        missing = re.search("No module named '([^']+)'", str(error))
        if missing is not None:
            raise ClusterError(
                f"--engine ray: the cluster's machines have no package {missing[1]!r}. Install there what is installed "
                "here, in the environment that runs Ray."
            ) from error
        raise ClusterError(
            f"--engine ray: the cluster has failed: {visible(first_line(error))} What is scored is kept; the same "
            "command goes on."
        ) from error


def _check_reachable(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not host:
        raise ConfigError(f"--address {address}: expected auto or HOST:PORT, for example 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterError:
    if address == "local":
        return ClusterError(f"--engine ray: Ray cannot be started here: {visible(first_line(error))}")
    hint = " Its token is asked for: RAY_AUTH_MODE=token" if "uthentic" in str(error.__cause__ or error) else ""
    how = "Is there one on this machine (ray status)?" if address == "auto" else "Give that of the head node."
    return ClusterError(f"--address {address}: no Ray cluster answers there: {visible(first_line(error))}. {how}{hint}")


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's own remarks and its warnings about itself from people who cannot do anything about them."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _without_start_line() -> Iterator[None]:
    """Hold back standard error for a moment, and of it the line in which Ray's core names its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if b"Set ray log level" not in line:
                    os.write(2, line)
