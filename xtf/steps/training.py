"""The training step: labels -> arms -> metrics.json."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.config import RunConfig, TrainingConfig, arm_parts, refuse_zero_rates
from xtf.data import DataReport, read_examples_with_rows
from xtf.errors import ConfigError, DataError, listed
from xtf.evaluation import ArmResult, Comparison, HeldOut, MetricResult
from xtf.evaluation.contrasts import contrast_arms
from xtf.files import write_json
from xtf.labelling import LabelRules
from xtf.model import LoadedModel, load_model
from xtf.model.placing import refuse_spread
from xtf.progress import busy, notice
from xtf.runs import RunReader
from xtf.runs.settings import write_config
from xtf.runs.staleness import labels_fingerprint, scores_fingerprint, verdicts_fingerprint
from xtf.steps.labellings import labellings, rules_of_arms, truth_of_arms
from xtf.steps.preparing import Given
from xtf.steps.rescoring import Rescorer, described, relabelled
from xtf.tokens import TokenizedExample
from xtf.training import resolve_auto

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOTE = (
    "Held-out loss: mean over response tokens, in nats. ± is the sample standard deviation over seeds; without it, one "
    "seed was run, and nothing is known of how much another would change."
)


def train_run(run: RunReader, config: RunConfig, given: Given) -> dict[str, Any]:
    """Train and evaluate the arms that are not finished yet; see :func:`xtf.train`."""
    assert config.training is not None
    with run.folder.lock():
        started = time.monotonic()
        rules = rules_of_arms(run, config)
        with busy("Reading the labels"):
            examples, labelled = labellings(run, rules, config.training.max_examples, truth_of_arms(config))
        if any(arm != "base" for arm in config.training.arms):
            refuse_zero_rates(config.training, len(examples), int(os.environ.get("WORLD_SIZE", "1")))
        write_config(run.folder, config)
        loaded = loaded_model(config, given)
        rescoring = {}
        if config.training.rescore_steps is not None and (rules := _rescored_rules(run, config, rules)):
            rescorer = Rescorer(run, config, examples, loaded)
            labelled = relabelled(rescorer, labelled, rules)
            rescoring = {"rescoring": described(rescorer)}
            _say(rescoring["rescoring"], config.training.rescore_steps)
        held_out = held_out_examples(config, loaded.tokenizer, examples)
        training = resolve_auto(config.training, loaded.model)
        comparison = Comparison(loaded, held_out, training, config.evaluation, progress=True)
        results = comparison.compare(examples, labelled, run.path / "model")
        rests_on = {
            "labels": labels_fingerprint(run.folder),
            "scores": scores_fingerprint(run.folder),
            "verdicts": verdicts_fingerprint(run.folder),
        }
        decided = {name: [asdict(one) for one in labelling.decided] for name, labelling in labelled.items()}
        people = {"decided": {name: found for name, found in decided.items() if found}}
        metrics = {**metrics_of(config, results, len(examples), held_out), **rescoring, **people, **rests_on}
        write_json(run.folder.metrics_path, metrics)
        run.folder.update_manifest(stages={"train": {"done": True, "seconds": round(time.monotonic() - started, 2)}})
    return metrics


def _rescored_rules(run: RunReader, config: RunConfig, rules: Mapping[str, LabelRules]) -> dict[str, LabelRules]:
    """The rules of each labelling that is taken anew: every one that an arm learns, but for known mistakes."""
    assert config.training is not None
    used = {arm_parts(arm)[1] for arm in config.training.arms}
    return {**rules, **({"xtf": run.rules} if "xtf" in used else {})}


def _say(rescoring: Mapping[str, Any], steps: int) -> None:
    often = "every update" if steps == 1 else f"every {steps} updates"
    kept = "".join(f" {name} keeps its first scores: it {why}." for name, why in rescoring["kept"].items())
    notice(f"Scored anew {often} by the model in training: {listed(rescoring['attributes'])}.{kept}")


def loaded_model(config: RunConfig, given: Given) -> LoadedModel:
    """The model to train: the objects given, or what the configuration names.

    Raises:
        ConfigError: a model object without its tokenizer.
        ModelError: the model cannot be loaded.
    """
    if given.model is not None and given.tokenizer is None:
        raise ConfigError("a model object needs its tokenizer: train(run, model=…, tokenizer=…)")
    if given.model is not None and given.tokenizer is not None:
        return LoadedModel.from_objects(given.model, given.tokenizer)
    loaded = load_model(config.model)
    refuse_spread(loaded.model, "training", "Leave model.device_map out; FSDP shares out weights in training.")
    if given.tokenizer is None:
        return loaded
    return LoadedModel.from_objects(loaded.model, given.tokenizer, loaded.fingerprint)


def held_out_examples(
    config: RunConfig, tokenizer: PreTrainedTokenizerBase, trained: Iterable[TokenizedExample]
) -> HeldOut:
    """The examples of ``evaluation`` and their rows, but for those that are trained on; none if it names no file.

    Raises:
        DataError: the file cannot be read, every row of it is trained on, or one is and ``data.on_error`` is ``stop``.
    """
    settings = config.evaluation
    if settings.path is None:
        return HeldOut()
    source = config.data.model_copy(update=settings.model_dump(include={"path", "split", "limit"}))
    with busy(f"Reading {source.place}"):
        read = list(read_examples_with_rows(source, tokenizer, DataReport()))
    rows = {example.example_id: row for example, row in read}
    values = {name: row.value for name, row in rows.items()}
    held_out = HeldOut([example for example, _ in read], values).apart_from(trained)
    if held_out.in_training:
        first = rows[held_out.in_training[0]].location
        found = (
            f"evaluation: {len(held_out.in_training)} of {len(read)} held-out rows are among the training rows "
            f"(the first: {first})"
        )
        if not held_out.examples or config.data.on_error == "stop":
            raise DataError(f"{found}. Name other rows with evaluation.path or evaluation.split")
        notice(f"{found}; they are left out.")
    return held_out


def metrics_of(config: RunConfig, results: Sequence[ArmResult], trained_on: int, held_out: HeldOut) -> dict[str, Any]:
    """What ``metrics.json`` holds of a comparison."""
    training: TrainingConfig | None = config.training
    arms = [
        _arm([result for result in results if result.arm == arm])
        for arm in dict.fromkeys(result.arm for result in results)
    ]
    return {
        "arms": [{**arm, "gap_recovered": _gap_recovered(arm, arms)} for arm in arms],
        "contrasts": [contrast.to_dict() for contrast in contrast_arms(results)],
        "held_out": {
            "path": config.evaluation.path,
            "split": config.evaluation.split,
            "in_training": list(held_out.in_training),
            "examples": len(held_out.examples),
            "response_tokens": sum(int(np.count_nonzero(example.is_response)) for example in held_out.examples),
        },
        "metrics": _metrics(config, results[0]),
        "training": {"examples": trained_on, **(training.model_dump(mode="json") if training else {})},
        "note": _note(held_out),
    }


def _note(held_out: HeldOut) -> str:
    if not held_out.in_training:
        return NOTE
    return f"{NOTE} {len(held_out.in_training)} held-out rows are among the training rows and were left out."


def _arm(results: Sequence[ArmResult]) -> dict[str, Any]:
    """One arm over its seeds."""
    first = results[0]
    return {
        "arm": first.arm,
        "seeds": [result.seed for result in results],
        "steps": first.steps,
        "tokens_response": first.tokens_response,
        "tokens_kept": first.tokens_kept,
        "mask_share": statistics.fmean(result.mask_share for result in results),
        "train_seconds": statistics.fmean(result.train_seconds for result in results),
        "train_losses": [list(result.train_losses) for result in results],
        "held_out_loss": _spread([r.held_out_loss for r in results if r.held_out_loss is not None]),
        "exact_match": _spread(
            [r.exact_match / r.exact_total for r in results if r.exact_match is not None and r.exact_total]
        ),
        "exact_total": first.exact_total,
        "metrics": {
            one.name: {
                **(_spread([r.metrics[place].correct / one.judged for r in results]) or {}),
                "judged": one.judged,
            }
            for place, one in enumerate(first.metrics)
        },
        "tasks": [
            {
                **asdict(one),
                "value": _spread([r.tasks[place].value for r in results]),
                "error": [r.tasks[place].error for r in results],
            }
            for place, one in enumerate(first.tasks)
        ],
    }


def _metrics(config: RunConfig, result: ArmResult) -> dict[str, Any]:
    """Which metrics judge the answers, and the rows that each cannot judge, which are the same in every arm."""
    return {
        "asked_for": config.evaluation.metrics,
        "answered": result.answered,
        "fits": dict(result.fits),
        "chosen": [
            {"name": one.name, "label": one.label, "judged": one.judged, "unjudged": _unjudged(one)}
            for one in result.metrics
        ],
    }


def _unjudged(metric: MetricResult) -> list[dict[str, Any]]:
    return [{"reason": reason, "rows": len(ids), "example_ids": list(ids)} for reason, ids in metric.unjudged.items()]


def _gap_recovered(arm: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> float | None:
    """``(full - arm) / (full - oracle)`` in held-out loss; None without both, or where the oracle gains nothing."""
    losses = {one["arm"]: one["held_out_loss"] for one in arms}
    full, oracle, own = losses.get("full"), losses.get("oracle"), arm["held_out_loss"]
    if full is None or oracle is None or own is None or arm["arm"] == "base" or full["mean"] <= oracle["mean"]:
        return None
    return float((full["mean"] - own["mean"]) / (full["mean"] - oracle["mean"]))


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "spread": spread, "values": list(values)}
