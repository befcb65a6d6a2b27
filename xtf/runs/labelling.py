"""The labelling step: scores -> labels, in seconds and without a model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import yaml

from xtf.config import RunConfig
from xtf.errors import RunError
from xtf.files import digest, write_json, write_text
from xtf.progress import progress
from xtf.rules import LabelRules, apply_rules, fit_rules
from xtf.runs.opened import Run
from xtf.shard import Labels, ScoredShard
from xtf.store import ShardRecord
from xtf.tables import labels_table


def label_run(run: Run, config: RunConfig) -> Run:
    """Fit the cuts to the corpus and write ``labels/``; see :func:`xtf.run.label`."""
    folder = run.folder
    records = folder.records("scores")
    if not records or "score" not in run.manifest.get("stages", {}):
        raise RunError(f"{folder.path}: scoring has not finished. Go on with: xtf score {folder.config_path}")
    with folder.lock():
        started = time.monotonic()
        names = list(config.attributes)
        rules = fit_rules(names, config.thresholds, config.combine, run.shards, run.distributions())
        described = rules.to_dict()
        write_json(folder.state / "rules.json", described)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(folder.config_path, text)
        fingerprint = digest(described)
        counts: dict[str, int] = {}
        with progress("Labelling", len(records), "shards") as advance:
            for record in records:
                for key, value in _label_shard(run, rules, fingerprint, record, names).items():
                    counts[key] = counts.get(key, 0) + value
                advance(1)
        folder.update_manifest(
            counts=counts,
            reasons=names,
            stages={"label": {"done": True, "seconds": round(time.monotonic() - started, 2), "rules": fingerprint}},
        )
    return run


def _label_shard(
    run: Run, rules: LabelRules, fingerprint: str, record: ShardRecord, names: list[str]
) -> dict[str, int]:
    """Label one shard, unless it already carries these rules' labels; return its counts."""
    made_from = {"rules": fingerprint, "scores": record.sha256}
    before = run.folder.intact("labels", record.index)
    if before is not None and {key: before.facts.get(key) for key in made_from} == made_from:
        return dict(before.facts["counts"])
    shard = run.read_scored(record, names)
    labels = apply_rules(rules, shard)
    table = labels_table(shard, labels)
    counts = _counts(shard, labels, len(shard) - table.num_rows)
    run.folder.write_shard("labels", record.index, table, {**made_from, "counts": counts})
    return counts


def _counts(shard: ScoredShard, labels: Labels, dropped: int) -> dict[str, Any]:
    return {
        "noise_tokens": int(np.count_nonzero(labels.noise)),
        "protected_tokens": int(np.count_nonzero(shard.is_protected)),
        "rows_without_supervised_token": dropped,
    }
