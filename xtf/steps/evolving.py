"""Self-evolving runs (Token Cleaning, arXiv 2502.01968): score a part by the newest model, learn what is kept, go on.

The data is cut into ``strategy.rounds`` contiguous parts. Round 0 learns every token of the first part. Each further
round scores its part by the base against the newest model, cuts the scores within the part, and goes on training.
``RUN/rounds/NN/`` is a run folder of its own for each part; ``RUN/labels/`` holds the labels of all of them. The model
after a round lies in ``rounds/NN/model/xtf-seedN/``, and after the last one in ``RUN/model/xtf-seedN/``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from xtf.attribute.roles import with_newest
from xtf.config import RunConfig, TrainingConfig
from xtf.engine.stream import TokenShards
from xtf.errors import DegenerateAttributeError, RunError
from xtf.evaluation import ArmResult, Comparison, Leg, merge_results
from xtf.files import write_json
from xtf.model import LoadedModel
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder
from xtf.runs.settings import write_config
from xtf.steps.labelling import label_run
from xtf.steps.labellings import labellings
from xtf.steps.parts import RoundFacts, begin_round, cut_into_parts
from xtf.steps.preparing import Given, Prepared, prepared
from xtf.steps.scorers import build_attributes
from xtf.steps.scoring import score_folder
from xtf.steps.training import held_out_examples, loaded_model, metrics_of
from xtf.tokens import TokenizedExample
from xtf.training import Labelling, labelled_rows, resolve_auto


def evolve_run(config: RunConfig, given: Given, overwrite: bool = False) -> RunReader:
    """Tokenise, then go through the rounds; what is finished is kept. See :func:`xtf.run`.

    Raises:
        ConfigError: a part has fewer examples than a batch.
    """
    with prepared(config, given, overwrite) as ready:
        ready.tokens.wait()
        parts = cut_into_parts(ready.folder, config)
        loaded = ready.loaded if ready.loaded is not None else loaded_model(config, Given())
        return _evolve(ready.folder, config, parts, loaded)


def evolve_again(run: RunReader, config: RunConfig, given: Given) -> RunReader:
    """Go through the rounds of a run that has its tokens, under changed settings; see :func:`xtf.train`.

    Raises:
        RunError: the strategy differs from the run's.
    """
    if config.strategy.rounds != run.config.strategy.rounds:
        raise RunError(f"{run.path}: made in other rounds. Choose another folder with --set output=runs/NAME")
    with run.folder.lock():
        parts = cut_into_parts(run.folder, config)
        write_config(run.folder, config)
        return _evolve(run.folder, config, parts, loaded_model(config, given))


def _evolve(
    folder: RunFolder, config: RunConfig, parts: Sequence[Sequence[TokenizedExample]], loaded: LoadedModel
) -> RunReader:
    started = time.monotonic()
    assert config.training is not None  # the configuration was checked
    training = resolve_auto(config.training, loaded.model)
    held_out = held_out_examples(config, loaded.tokenizer, chain.from_iterable(parts))
    comparison = Comparison(
        loaded, held_out, training, config.evaluation, progress=True, merge=config.strategy.adapters == "merge"
    )
    evolution = _Evolution(folder, config, training, loaded, comparison)
    rounds = evolution.rounds(parts)
    results = evolution.arms(rounds)
    metrics = metrics_of(config, results, sum(len(part) for part in parts), held_out)
    metrics["rounds"] = folder.manifest()["rounds"]
    write_json(folder.metrics_path, metrics)
    folder.update_manifest(
        stages={name: {"done": True} for name in ("score", "label")}
        | {"train": {"done": True, "seconds": round(time.monotonic() - started, 2)}}
    )
    return RunReader(folder)


@dataclass(frozen=True, slots=True)
class _Round:
    """A finished round: its examples, their labels, and what training on them gave."""

    examples: Sequence[TokenizedExample]
    labelled: Labelling
    result: ArmResult


@dataclass(frozen=True, slots=True)
class _Evolution:
    """What all rounds share."""

    folder: RunFolder
    config: RunConfig
    training: TrainingConfig
    loaded: LoadedModel
    comparison: Comparison

    def rounds(self, parts: Sequence[Sequence[TokenizedExample]]) -> list[_Round]:
        """Score, label and train part after part."""
        seed = self.training.seeds[0]
        done: list[_Round] = []
        entries: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        start, before = None, self.comparison.loaded.fingerprint
        shards = 0
        for number, part in enumerate(parts):
            run = self._labelled(number, part, start, before)
            shards = self._collect_labels(run.folder, shards)
            examples, labelled = labellings(run, {})
            rows = labelled_rows("xtf", examples, labelled, objective=self.training.objective, seed=seed)
            leg = Leg(rows, self._model_folder("xtf", seed, number))
            result = self.comparison.result("xtf", seed, leg, before, start)
            done.append(_Round(examples, labelled["xtf"], result))
            before = self.comparison.trained_fingerprint("xtf", seed, leg, before)
            entries.append(self._entry(number, len(part), result, start, leg.folder / "model"))
            for key, value in run.manifest["counts"].items():
                counts[key] = counts.get(key, 0) + int(value)
            self.folder.update_manifest(rounds=entries, counts=counts)
            start = leg.folder / "model"
        return done

    def _labelled(self, number: int, part: Sequence[TokenizedExample], start: Path | None, before: str) -> RunReader:
        """The round's folder, scored against the model in ``start`` (None: not at all) and labelled."""
        attributes = self.config.attributes
        if start is not None:
            kind = "adapter" if self.training.method == "lora" else "path"
            attributes = with_newest(attributes, self.config.strategy.evolving, {kind: str(start)})
        folder = RunFolder(self.folder.path / "rounds" / f"{number:02}")
        config = self.config.model_copy(
            update={
                "output": str(folder.path),
                "attributes": attributes,
                "strategy": type(self.config.strategy)(),
                "arms": {},
                "training": None,
            }
        )
        inputs = begin_round(self.folder, folder, config, part, RoundFacts(number, self._shown(start), before))
        try:
            scorers = build_attributes(config) if start is not None else {}
            tokens = TokenShards(folder.records("tokens"))
            run = score_folder(Prepared(folder, config, inputs, self.loaded, tokens), scorers)
        except DegenerateAttributeError as error:
            raise DegenerateAttributeError(f"round {number} ({folder.path}): {error}") from None
        return label_run(run, config)

    def _collect_labels(self, part: RunFolder, first: int) -> int:
        """Put a round's labels where those of all examples are; returns the number of the next shard."""
        records = part.records("labels")
        for index, record in enumerate(records, start=first):
            before = self.folder.intact("labels", index)
            if before is None or before.facts.get("from") != record.sha256:
                facts = {**record.facts, "from": record.sha256}
                self.folder.write_shard("labels", index, part.read_shard("labels", record), facts)
        self.folder.update_manifest(reasons=list(self.config.attributes))
        return first + len(records)

    def _model_folder(self, arm: str, seed: int, number: int) -> Path:
        """Where an arm's model after a round is kept; after the last round, where a run of one round has it."""
        assert self.config.strategy.rounds is not None
        last = number == self.config.strategy.rounds - 1
        within = self.folder.path if last else self.folder.path / "rounds" / f"{number:02}"
        return within / "model" / f"{arm}-seed{seed}"

    def _entry(
        self, number: int, examples: int, result: ArmResult, reference: Path | None, model: Path
    ) -> dict[str, Any]:
        """One round as the manifest and ``metrics.json`` hold it; paths are relative to the run folder."""
        matched = (
            result.exact_match / result.exact_total if result.exact_match is not None and result.exact_total else None
        )
        return {
            "round": number,
            "examples": examples,
            "tokens_response": result.tokens_response,
            "tokens_kept": result.tokens_kept,
            "mask_share": result.mask_share,
            "steps": result.steps,
            "held_out_loss": result.held_out_loss,
            "exact_match": matched,
            "reference": self._shown(reference),
            "model": self._shown(model),
        }

    def _shown(self, path: Path | None) -> str | None:
        return None if path is None else path.relative_to(self.folder.path).as_posix()

    def arms(self, rounds: Sequence[_Round]) -> list[ArmResult]:
        """Every arm of the comparison, each trained over the same parts, round by round."""
        results = []
        for arm in self.training.arms:
            if arm == "base":
                results.append(self.comparison.base(self.folder.path / "model" / arm))
                continue
            for seed in self.training.seeds:
                if (arm, seed) == ("xtf", self.training.seeds[0]):
                    results.append(merge_results([one.result for one in rounds]))
                    continue
                legs = [self._leg(arm, seed, number, one, len(rounds)) for number, one in enumerate(rounds)]
                results.append(merge_results(self.comparison.train(arm, seed, legs)))
        return results

    def _leg(self, arm: str, seed: int, number: int, one: _Round, count: int) -> Leg:
        rows = labelled_rows(arm, one.examples, {"xtf": one.labelled}, objective=self.training.objective, seed=seed)
        return Leg(rows, self._model_folder(arm, seed, number), evaluate=number == count - 1)
