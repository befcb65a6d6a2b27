"""The training step: labels -> arms -> metrics.json."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from xtf.config import RunConfig, TrainingConfig
from xtf.data import DataReport, read_examples
from xtf.files import write_json, write_text
from xtf.rules import apply_rules
from xtf.runs.opened import Run
from xtf.tokens import BoolArray, FloatArray, TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.training import ArmResult

NOTE = (
    "Held-out loss: mean over response tokens, in nats. ± is the sample standard deviation over seeds; without it, one "
    "seed was run, and nothing is known of how much chance alone would change."
)


def train_run(
    run: Run, config: RunConfig, model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerBase | None
) -> dict[str, Any]:
    """Train and evaluate the arms that are not finished yet; see :func:`xtf.train`."""
    from xtf.model import LoadedModel, load_model
    from xtf.training import compare_arms

    assert config.training is not None
    with run.folder.lock():
        started = time.monotonic()
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(run.folder.config_path, text)
        examples, noise, weights = labelled_examples(run, config.training.max_examples)
        if model is not None and tokenizer is not None:
            loaded = LoadedModel.from_objects(model, tokenizer)
        else:
            loaded = load_model(config.model)
        held_out = _held_out(config, loaded.tokenizer)
        results = compare_arms(
            loaded.model,
            loaded.tokenizer,
            examples,
            noise,
            weights,
            held_out,
            training=config.training,
            evaluation=config.evaluation,
            output_dir=run.path / "model",
            fingerprint=loaded.fingerprint,
            progress=True,
        )
        metrics = _metrics(config, results, len(examples), held_out)
        write_json(run.folder.metrics_path, metrics)
        run.folder.update_manifest(stages={"train": {"done": True, "seconds": round(time.monotonic() - started, 2)}})
    return metrics


def labelled_examples(
    run: Run, limit: int | None
) -> tuple[list[TokenizedExample], dict[str, BoolArray], dict[str, FloatArray]]:
    """The first ``limit`` examples with, by example id, their noise labels and weights."""
    rules = run.rules
    examples: list[TokenizedExample] = []
    noise: dict[str, BoolArray] = {}
    weights: dict[str, FloatArray] = {}
    for shard in run.shards():
        labels = apply_rules(rules, shard)
        for index, example_id in enumerate(shard.example_ids):
            if limit is not None and len(examples) == limit:
                return examples, noise, weights
            here = slice(int(shard.offsets[index]), int(shard.offsets[index + 1]))
            examples.append(
                TokenizedExample(example_id, shard.input_ids[here], shard.is_response[here], shard.is_protected[here])
            )
            noise[example_id], weights[example_id] = labels.noise[here], labels.weights[here]
    return examples, noise, weights


def _held_out(config: RunConfig, tokenizer: PreTrainedTokenizerBase) -> list[TokenizedExample]:
    if config.evaluation.path is None:
        return []
    source = config.data.model_copy(update={"path": config.evaluation.path, "limit": config.evaluation.limit})
    return list(read_examples(source, tokenizer, DataReport()))


def _metrics(
    config: RunConfig, results: Sequence[ArmResult], trained_on: int, held_out: Sequence[TokenizedExample]
) -> dict[str, Any]:
    training: TrainingConfig | None = config.training
    return {
        "arms": [
            _arm([result for result in results if result.arm == arm])
            for arm in dict.fromkeys(result.arm for result in results)
        ],
        "held_out": {
            "path": config.evaluation.path,
            "examples": len(held_out),
            "response_tokens": sum(int(np.count_nonzero(example.is_response)) for example in held_out),
        },
        "training": {"examples": trained_on, **(training.model_dump(mode="json") if training else {})},
        "note": NOTE,
    }


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
    }


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "spread": spread, "values": list(values)}
