"""Fitting once, on a machine that scores; what was fitted comes back into the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xtf.attribute import Attribute
from xtf.cluster.connection import Cluster
from xtf.cluster.packing import Packed, pack, unpack
from xtf.config import RunConfig
from xtf.engine.score import Columns, requests_of
from xtf.engine.stream import TokenShards
from xtf.errors import ModelError
from xtf.model import LoadedModel, load_model, tokenizer_fingerprint
from xtf.progress import busy
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.steps.fingerprints import code_fingerprint
from xtf.steps.fitted import FittedScorers, fitted_path, record_fitted, recorded_fitted
from xtf.steps.preparing import Prepared
from xtf.steps.references import are_made
from xtf.steps.scorers import build_attributes
from xtf.steps.scoring import RunScorers


@dataclass(frozen=True, slots=True)
class _Sample:
    """What another machine fits scorers with.

    Attributes:
        config: With the section ``model`` for that machine.
        inputs: Of the run.
        fingerprints: Of each attribute's scores.
        files: Tokens, and what was fitted before.
    """

    config: RunConfig
    inputs: Mapping[str, str]
    fingerprints: Mapping[str, str]
    files: Packed


def fitted_scorers(cluster: Cluster, ready: Prepared, wanted: Columns) -> FittedScorers:
    """The fitted scorers of a run whose tokens are complete, after fitting what is not fitted yet.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    folder, config, fingerprints = ready.folder, ready.config, wanted.fingerprints
    found = recorded_fitted(folder, config, fingerprints, ready.inputs)
    if found is None:
        attributes, requests = wanted.attributes.values(), requests_of(wanted.attributes.values())
        if any(type(one).fit is not Attribute.fit for one in attributes) or not are_made(requests, {}, folder):
            _fit(cluster, ready, wanted)
        else:
            entries = {
                name: {"fingerprint": fingerprints[name], "code": code_fingerprint(one), "state": None}
                for name, one in wanted.attributes.items()
            }
            record_fitted(folder, entries, {})
        found = recorded_fitted(folder, config, fingerprints, ready.inputs)
    assert found is not None  # it was just recorded
    return found


def load_placed(config: RunConfig, inputs: Mapping[str, str]) -> LoadedModel:
    """The model, on a machine that is not the one where the run was begun.

    Raises:
        ModelError: it is not there, or is another one.
    """
    loaded = load_model(config.model.model_copy(update={"dtype": inputs["dtype"]}))
    found = {"model": loaded.fingerprint, "tokenizer": tokenizer_fingerprint(loaded.tokenizer)}
    for what, fingerprint in found.items():
        if inputs[what] != fingerprint:
            raise ModelError(
                f"{config.model.path}: another {what} than where the run was begun. Every machine of the cluster must "
                "find the same files under model.path."
            )
    return loaded


def _fit(cluster: Cluster, ready: Prepared, wanted: Columns) -> None:
    folder = ready.folder
    config = ready.config.model_copy(update={"model": cluster.placed(ready.config.model)})
    needed = _needed(ready, wanted)
    paths = [folder.shard_path("tokens", shard.index) for shard in needed]
    paths += [folder.record_path("tokens", shard.index) for shard in needed]
    paths += [fitted_path(folder), *folder.state.glob("*.safetensors"), folder.path / "references"]
    sample = _Sample(config, dict(ready.inputs), dict(wanted.fingerprints), pack(folder.path, paths))
    with busy("Fitting the scorers on the cluster"):
        packed, facts = cluster.call(_fit_there, sample)
    unpack(packed, folder.path)
    if facts:
        folder.update_manifest(references=facts)


def _needed(ready: Prepared, wanted: Columns) -> list[ShardRecord]:
    """The token shards that scorers are fitted to: the first ones, or all, if some of the rows train a reference."""
    shards = ready.tokens.wait()
    if not are_made(requests_of(wanted.attributes.values()), {}, ready.folder):
        return shards
    needed: list[ShardRecord] = []
    while len(needed) < len(shards) and sum(one.rows for one in needed) < ready.config.scoring.fit_examples:
        needed.append(shards[len(needed)])
    return needed


def _fit_there(sample: _Sample) -> tuple[Packed, dict[str, Any]]:
    with TemporaryDirectory(prefix="xtf-fit-") as place:
        unpack(sample.files, Path(place))
        folder = RunFolder(place)
        config = sample.config.model_copy(update={"output": place})
        wanted = Columns(build_attributes(config), sample.fingerprints)
        loaded = load_placed(config, sample.inputs)
        ready = Prepared(folder, config, sample.inputs, loaded, TokenShards(folder.records("tokens")))
        with closing(RunScorers(ready, wanted, loaded)) as scorers:
            scorers.prepare_references(wanted.attributes)
            scorers.ready(list(wanted.attributes))
            facts = scorers.references.facts()
        found = recorded_fitted(folder, config, sample.fingerprints, sample.inputs)
        assert found is not None  # it was just recorded
        made = [folder.path / "references", fitted_path(folder), *found.files]
        return pack(folder.path, dict.fromkeys(made)), facts
