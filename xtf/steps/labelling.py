"""The labelling step: scores -> labels, in seconds and without a model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from xtf.config import CombineConfig, RunConfig
from xtf.display import command
from xtf.errors import RunError
from xtf.exporters import LabelsExporter
from xtf.files import digest
from xtf.labelling import LabelRules, fit_rules, judge
from xtf.labelling.cuts.fit import checked_cut
from xtf.labelling.decisions import Decided, Decisions, add_decided, count_decided
from xtf.labelling.rules import combiner_of
from xtf.labelling.shard import Labels, ScoredShard
from xtf.parallel import in_order
from xtf.progress import progress
from xtf.runs import RunReader
from xtf.runs.decisions import read_decisions, write_decisions
from xtf.runs.folder import Kind, ShardRecord
from xtf.runs.measured import write_rules
from xtf.runs.settings import write_config
from xtf.runs.staleness import labels_fingerprint, scores_fingerprint, settings_fingerprint
from xtf.runs.tables import verdicts_table

NAMED = 20
"""So many rows that keep nothing to learn are named in the manifest; the rest are those not in ``labels/``."""


def label_run(run: RunReader, config: RunConfig, decisions: Decisions | None = None) -> RunReader:
    """Fit the cuts to the corpus and write ``labels/``; see :func:`xtf.label`.

    Args:
        run: A scored run.
        config: Its configuration, with the cuts and the combination to label by.
        decisions: What people decided, which goes before them and is kept; None: what the run keeps already.

    Raises:
        ConfigError: the scores do not allow one of the cuts.
        RunError: scoring has not finished, or something is damaged.
    """
    folder = run.folder
    with folder.lock():
        started = time.monotonic()
        records = _all_scored(run)
        decisions = read_decisions(folder) if decisions is None else decisions
        rules = _fit(run, config)
        described = rules.to_dict()
        folder.update_manifest(stages={"label": {"done": False}})
        write_rules(folder, described)
        write_decisions(folder, decisions)
        write_config(folder, config)
        work = _Work(run, rules, decisions)
        counts: dict[str, int] = {}
        dropped: list[str] = []
        decided: list[list[Decided]] = []
        with progress("Labelling", len(records), "shards") as advance:
            for facts in in_order(work.label, records):
                for key, value in facts["counts"].items():
                    counts[key] = counts.get(key, 0) + value
                dropped += facts["dropped"]
                decided.append([Decided(**one) for one in facts.get("decided", ())])
                advance(1)
        folder.update_manifest(
            counts=counts,
            dropped_rows=dropped[:NAMED],
            reasons=list(config.attributes),
            decided=[one.to_dict() for one in add_decided(decided)],
            stages={
                "label": {
                    "done": True,
                    "seconds": round(time.monotonic() - started, 2),
                    "rules": work.fingerprint,
                    "scores": scores_fingerprint(folder),
                    "settings": settings_fingerprint(config),
                    "labels": labels_fingerprint(folder),
                }
            },
        )
    return run


def _fit(run: RunReader, config: RunConfig) -> LabelRules:
    """The rules of a configuration, fitted to the scores of the run."""
    names = run.scored
    thresholds = {name: config.thresholds[name] for name in names}
    combine = config.combine if names else CombineConfig()  # a warm-up round keeps every token
    corpus_wide = [name for name in names if checked_cut(name, thresholds[name]).sees == "dataset"]
    read = names if combiner_of(combine).reads_all_scores() else corpus_wide
    return fit_rules(names, thresholds, combine, partial(run.shards, read), run.distributions())


def _all_scored(run: RunReader) -> list[ShardRecord]:
    """The records of all shards of scores.

    Raises:
        RunError: scoring has not finished, or a shard or its record is damaged.
    """
    folder = run.folder
    records = folder.records("scores")
    if not records or not run.is_scored:
        raise RunError(
            f"{folder.path}: scoring has not finished ({len(records)} of {len(folder.indices('tokens'))} shards "
            f"there). Go on with: {command('xtf', 'score', folder.config_path)}"
        )
    wanted = {*folder.indices("tokens"), *folder.indices("scores")}
    kinds: tuple[Kind, Kind] = ("tokens", "scores")
    for kind in kinds:
        lost = sorted(wanted - {record.index for record in folder.records(kind)})
        if lost:
            raise RunError(
                f"{folder.shard_path(kind, lost[0])}: missing, or its record {folder.record_path(kind, lost[0])} is "
                f"damaged. Repair it (only this shard is computed again): "
                f"{command('xtf', 'score', folder.config_path)}"
            )
    return records


class _Work:
    """Labels shard by shard."""

    def __init__(self, run: RunReader, rules: LabelRules, decisions: Decisions) -> None:
        self._run, self._rules, self._decisions, self._names = run, rules, decisions, run.scored
        heeded = [one.to_dict() for one in decisions.verdicts]
        self.fingerprint = digest(rules.to_dict(), heeded) if heeded else digest(rules.to_dict())

    def label(self, record: ShardRecord) -> Mapping[str, Any]:
        """Label one shard, unless it already carries these rules' labels; return its counts and first rows dropped."""
        folder, made_from = self._run.folder, {"rules": self.fingerprint, "scores": record.sha256}
        kinds: tuple[Kind, Kind] = ("verdicts", "labels")
        before = [folder.intact(kind, record.index) for kind in kinds]
        facts = [{} if one is None else one.facts for one in before]
        if all({key: some.get(key) for key in made_from} == made_from for some in facts) and "dropped" in facts[1]:
            return facts[1]
        shard = self._run.read_scored(record, self._names)
        labels = judge(self._rules, shard, self._decisions)
        table = LabelsExporter().table(shard, labels, self._run.vocabulary)
        there = set(table["example_id"].to_pylist())
        dropped = [example_id for example_id in shard.example_ids if example_id not in there]
        found: dict[str, Any] = {
            **made_from,
            "counts": _counts(shard, labels, len(dropped)),
            "dropped": dropped[:NAMED],
        }
        if self._decisions:
            without = judge(self._rules, shard).noise
            found["decided"] = [one.to_dict() for one in count_decided(self._decisions, labels, without)]
        folder.write_shard("verdicts", record.index, verdicts_table(shard, labels), made_from)
        folder.write_shard("labels", record.index, table, found)
        return found


def _counts(shard: ScoredShard, labels: Labels, dropped: int) -> dict[str, Any]:
    return {
        "noise_tokens": int(np.count_nonzero(labels.noise)),
        "protected_tokens": int(np.count_nonzero(shard.is_protected)),
        "rows_without_supervised_token": dropped,
    }
