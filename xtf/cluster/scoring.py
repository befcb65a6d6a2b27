"""The scoring step on a Ray cluster: what :func:`xtf.steps.scoring.score_run` does, by many machines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from xtf.cluster.connection import Cluster
from xtf.cluster.engine import RayEngine
from xtf.config import RunConfig
from xtf.engine.score import Columns, missing_attributes, write_scores
from xtf.errors import ConfigError
from xtf.parallel import behind
from xtf.progress import progress
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.tables import Column
from xtf.runs.worker import Worker
from xtf.steps.preparing import Given, Prepared, prepared
from xtf.steps.scorers import build_attributes
from xtf.steps.scoring import say_dtype, score_folder


def score_on_ray(config: RunConfig, given: Given, engine: RayEngine, overwrite: bool = False) -> RunReader:
    """Tokenise here and score there what is not there yet; see :func:`xtf.score`.

    The cluster is connected to only if something is to be scored.

    Raises:
        ConfigError: objects that do not travel, or a launch of several processes.
        XTFError: of the kind that names any other mistake.
    """
    if given.model is not None or given.tokenizer is not None:
        raise ConfigError("engine='ray': a model or tokenizer object stays in its process; name it under model.path")
    if Worker.of_launch() is not None:
        raise ConfigError("--engine ray: not under accelerate launch or torchrun; Ray starts the processes itself")
    with Cluster(engine, config.model) as cluster, prepared(config, given, overwrite, choose=cluster.choices) as ready:
        return score_folder(ready, build_attributes(config), partial(_score_missing, cluster))


def _score_missing(cluster: Cluster, ready: Prepared, wanted: Columns) -> None:
    folder, fingerprints = ready.folder, wanted.fingerprints
    shards = {shard.index: shard for shard in ready.tokens.wait()}
    lacking = ((shard, missing_attributes(folder, shard, fingerprints)) for shard in shards.values())
    work = [(shard, names) for shard, names in lacking if names]
    if not work:
        return
    folder.update_manifest(stages={"score": {"done": False}})
    say_dtype(ready.config, ready.inputs)
    from xtf.cluster.fitting import fitted_scorers
    from xtf.cluster.pool import scored_on

    fitted = fitted_scorers(cluster, ready, wanted)
    total = sum(int(shard.facts["tokens"]) for shard, _ in work)
    noted: Mapping[str, object] = {}
    with behind() as later, progress("Scoring", total, "tokens") as advance:
        for scored in scored_on(cluster, fitted, work):
            shard = shards[scored.index]
            later(partial(_write, folder, shard, scored.columns, fingerprints))
            advance(int(shard.facts["tokens"]))
            if scored.facts != noted:
                folder.update_manifest(references=scored.facts)
                noted = scored.facts


def _write(
    folder: RunFolder, shard: ShardRecord, columns: Mapping[str, Column], fingerprints: Mapping[str, str]
) -> None:
    write_scores(folder, shard, folder.read_shard("tokens", shard), columns, fingerprints)
