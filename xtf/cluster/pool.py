"""Token shards -> scores, by Ray Data: one reader beside the run folder, and a pool of actors with a model each.

A row is a shard, so that an actor forms the batches that one machine would form, and a lost one costs its shards only.
The reader takes no CPU of the cluster: with as many actors as CPUs it could not start otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from xtf.cluster.connection import Cluster, failing_clearly
from xtf.cluster.failures import attempt, raise_failure
from xtf.cluster.fitting import load_placed
from xtf.cluster.packing import Packed, pack, unpack
from xtf.cluster.reading import read_tokens, stream_of
from xtf.config import RunConfig
from xtf.engine.score import requests_of
from xtf.errors import ClusterError
from xtf.model import SignalPass
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.tables import Column, examples_of
from xtf.steps.fitted import FittedScorers
from xtf.steps.references import references_of
from xtf.steps.scorers import Scorers

_MOST_BLOCKS = 10_000
_AT_ONCE = 2
"""Shards that an actor has: the one that it scores, and the next."""

_MOST_TRIES = 4
"""Ray scores the shard of a lost actor again without end; one that takes its actor along every time is given up."""


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """What came back.

    Attributes:
        index: The shard's number.
        columns: Scores and details, ``(tokens,)`` each, examples end to end.
        facts: How references and derivatives came about; empty if there are none.
    """

    index: int
    columns: Mapping[str, Column]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Package:
    """Fitted scorers, as they travel."""

    config: RunConfig
    facts: Mapping[str, Any]
    files: Packed
    gpu_share: float


def scored_on(
    cluster: Cluster, fitted: FittedScorers, work: Sequence[tuple[ShardRecord, Sequence[str]]]
) -> Iterator[ScoredShard]:
    """Score shards under the attributes that each lacks, and yield them as they are done, in any order.

    Args:
        cluster: Where.
        fitted: The scorers, in the run folder that holds the tokens.
        work: Shards, with the names of what they lack.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    ray, room = cluster.ray, cluster.room
    config = fitted.config.model_copy(update={"model": cluster.placed(fitted.config.model)})
    package = ray.put(_Package(config, fitted.facts, pack(fitted.folder.path, fitted.files), room.num_gpus))
    items = [{"shard": shard.index, "names": json.dumps(list(names))} for shard, names in work]
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    shards = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_BLOCKS))
    shards = shards.map(
        partial(read_tokens, str(fitted.folder.path.absolute())),
        compute=ray.data.TaskPoolStrategy(1),
        num_cpus=0,
        label_selector=here,
    )
    shards = shards.map_batches(
        ShardScorer,
        fn_constructor_args=(package, ray.remote(num_cpus=0)(Tries).remote()),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=room.num_cpus,
        num_gpus=room.num_gpus,
        compute=ray.data.ActorPoolStrategy(size=min(room.actors, len(items)), max_tasks_in_flight_per_actor=_AT_ONCE),
    )
    shards.context.enable_progress_bars = False
    shards.context.raise_original_map_exception = True
    with failing_clearly(ray):
        for row in shards.iter_rows():
            raise_failure(row["failure"])
            yield ScoredShard(int(row["shard"]), _columns(row["scores"]), json.loads(row["facts"]))


class Tries:
    """An actor that outlives the others: how often each shard was begun."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, shard: int) -> int:
        """Count one more, and return how many there are now."""
        self._begun[shard] += 1
        return self._begun[shard]


class ShardScorer:
    """An actor: one model with fitted scorers, which it loads when the first shard comes.

    Args:
        package: What travels, as a reference to Ray's object store.
        tries: The actor that counts, as a handle.
    """

    def __init__(self, package: Any, tries: Any) -> None:
        self._package, self._tries = package, tries
        self._scorers: _PlacedScorers | None = None

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One row of a token shard in, one of its scores out."""
        row = rows.to_pylist()[0]
        found, failure = None, row["failure"]
        if not failure:
            found, failure = attempt(self._score, row)
        scores, facts = found or (b"", {})
        out = {"shard": row["shard"], "scores": scores, "facts": json.dumps(facts), "failure": failure}
        return pa.Table.from_pylist([out])

    def _score(self, row: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        import ray

        if ray.get(self._tries.begin.remote(row["shard"])) > _MOST_TRIES:
            raise ClusterError(
                f"tokens/part-{row['shard']:05d}.parquet: the process that scored it was lost {_MOST_TRIES} times, "
                "probably for want of memory. Take fewer models on one machine (--num-cpus, --num-gpus), shorten "
                "examples with data.max_length, or set scoring.tokens_per_batch. What is scored is kept."
            )
        if self._scorers is None:
            self._scorers = self._load()
        examples = examples_of(pa.ipc.open_stream(row["tokens"]).read_all())
        columns = self._scorers.score(examples, json.loads(row["names"]), lambda n, *, total=None, found=False: None)
        return stream_of(pa.table(columns)), self._scorers.facts

    def _load(self) -> _PlacedScorers:
        import ray

        package: _Package = ray.get(self._package)
        _keep_to_share(package.gpu_share)
        with TemporaryDirectory(prefix="xtf-actor-") as place:
            unpack(package.files, Path(place))
            loaded = load_placed(package.config, package.facts["inputs"])
            scorers = FittedScorers(RunFolder(place), package.config, package.facts).load(loaded, _PlacedScorers)
            for spec in references_of(sorted(requests_of(scorers.attributes.values()), key=repr)):
                scorers.references.reference(spec)  # all of it now, so that a lost actor leaves no files behind
        assert isinstance(scorers, _PlacedScorers)
        return scorers


class _PlacedScorers(Scorers):
    """Keeps how references came about, for the manifest, which is on another machine."""

    facts: Mapping[str, Any] = {}

    def note(self, signal_pass: SignalPass) -> None:
        self.facts = self.references.facts(signal_pass)


def _keep_to_share(share: float) -> None:
    """Let an actor that has a part of a GPU run out of memory at its part, and halve its batches, before others do."""
    import torch

    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def _columns(content: bytes) -> dict[str, Column]:
    table = pa.ipc.open_stream(content).read_all()
    return {name: table[name].to_numpy() for name in table.column_names}
