"""What a run will take, before it is begun: parameters, memory, tokens, passes, disk, time; no weights are loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from xtf.attribute import SignalRequest
from xtf.attribute.registry import AnyAttribute
from xtf.config import DataConfig, RunConfig, TrainingConfig, updates
from xtf.data import DataReport, read_examples, read_rows
from xtf.engine.batches import CPU_TOKENS, fitting_shard, tokens_within
from xtf.engine.footprint import passes, scoring_memory
from xtf.engine.score import requests_of
from xtf.model import load_tokenizer
from xtf.model.outline import Outline, outline
from xtf.model.precision import automatic_dtype
from xtf.steps.disk import bytes_an_example, bytes_beside_weights
from xtf.steps.pace import Pace, memory_at_hand, own_memory, stated_pace, tried_pace
from xtf.steps.scorers import build_attributes
from xtf.tokens import TokenizedExample
from xtf.training.footprint import Batch, examples_seen, trained_parameters, training_memory

SAMPLE = 2000
"""Examples that are tokenised to know how long they are; the rest are counted only."""


@dataclass(frozen=True, slots=True)
class Volume:
    """How much data there is.

    Attributes:
        examples: In the data.
        sample: The first of them, tokenised.
    """

    examples: int
    sample: tuple[TokenizedExample, ...]

    @property
    def tokens(self) -> int:
        """Of all examples."""
        return round(sum(map(len, self.sample)) * self.examples / len(self.sample))

    @property
    def response_share(self) -> float:
        """Share of the tokens that are responses."""
        return sum(int(one.is_response.sum()) for one in self.sample) / max(1, sum(map(len, self.sample)))

    @property
    def reach(self) -> float:
        """Mean length of the example that a response token stands in."""
        reached = sum(len(one) * int(one.is_response.sum()) for one in self.sample)
        return reached / max(1, sum(int(one.is_response.sum()) for one in self.sample))

    @property
    def longest(self) -> int:
        """Tokens of the longest example of the sample."""
        return max(map(len, self.sample))

    def distinct(self, vocabulary: int) -> int:
        """Distinct tokens: those of the sample, more by the square root of what the data is more (Heaps' law)."""
        seen = len(np.unique(np.concatenate([one.input_ids for one in self.sample])))
        return min(vocabulary, round(seen * math.sqrt(self.examples / len(self.sample))))


def measure_volume(config: DataConfig, tokenizer: Any) -> Volume:
    """Tokenise the first examples and count the rows behind them.

    Raises:
        DataError: no such file, or no usable row.
    """
    report = DataReport()
    looked = config.model_copy(update={"limit": min(config.limit or SAMPLE, SAMPLE)})
    sample = tuple(read_examples(looked, tokenizer, report))
    if len(sample) < SAMPLE or config.limit == SAMPLE:
        return Volume(len(sample), sample)
    rows = sum(1 for _ in read_rows(config, DataReport()))
    examples = round(rows * len(sample) / report.rows)
    return Volume(min(config.limit or examples, examples), sample)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        config: The run's, the dtype of its training settled.
        model: The base.
        volume: The data.
        attributes: The scorers by name.
        beside: Bytes that lie beside the weights of each trained model.
        libraries: What Python and its libraries take of the device's memory, in bytes.
        free: What a process beginning now could use of it.
        everywhere: What it could use of all GPUs and of host memory.
    """

    config: RunConfig
    model: Outline
    volume: Volume
    attributes: Mapping[str, AnyAttribute]
    beside: int = field(kw_only=True)
    libraries: int
    free: int
    everywhere: int = field(kw_only=True)

    @property
    def room(self) -> int:
        """What scoring could use: of one device, or of all where the model may be spread."""
        return self.free if self.config.model.device_map is None else self.everywhere

    @property
    def requests(self) -> AbstractSet[SignalRequest]:
        """The signals that the scorers ask for."""
        return requests_of(self.attributes.values())

    @property
    def passes(self) -> dict[str, float]:
        """Passes over the data by what asks for them, those of fitting included, in forwards of the base model."""
        found = passes(self.requests, self.volume.response_share, self.volume.reach)
        for name, attribute in self.attributes.items():
            used = min(self.config.scoring.fit_examples, self.volume.examples)
            if seen := attribute.fit_passes(used):
                found[f"fitting {name}"] = seen / self.volume.examples
        return found

    @property
    def trained_on(self) -> int:
        """Examples that each training learns from."""
        most = self.config.training.max_examples if self.config.training is not None else None
        return min(self.volume.examples, most or self.volume.examples)


def estimate_run(config: RunConfig, throughput: float | None = None) -> dict[str, Any]:
    """The forecast of a run; see :func:`xtf.estimate`."""
    model = outline(config.model)
    tokenizer = load_tokenizer(config.model)
    volume = measure_volume(config.data, tokenizer)
    settled = config.model_copy(update={"training": _settled(config.training, model)})
    attributes = build_attributes(config)
    memory = own_memory(model.device), memory_at_hand(model.device)
    beside = bytes_beside_weights(tokenizer)
    work = Work(settled, model, volume, attributes, *memory, beside=beside, everywhere=_memory_everywhere())
    if throughput is not None:
        pace = stated_pace(throughput, settled.training)
    else:
        pace = tried_pace(model, tokenizer, volume.sample, work.requests, settled.training)
    return forecast(work, pace)


def forecast(work: Work, pace: Pace) -> dict[str, Any]:
    """Everything that is known, as JSON; sizes in bytes, times in seconds."""
    config, model, volume = work.config, work.model, work.volume
    scoring, training = scoring_needs(work), training_needs(work, pace)
    needs = {"scoring": sum(scoring.values()), **({"training": sum(training.values())} if training else {})}
    found: dict[str, Any] = {
        "model": {
            "name": config.model.path,
            "architecture": type(model.model).__name__,
            "parameters": model.parameters,
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": model.quantization,
            "device": str(model.device),
        },
        "data": {
            "examples": volume.examples,
            "tokens": volume.tokens,
            "response_tokens": round(volume.tokens * volume.response_share),
            "longest": volume.longest,
            "tokenised": len(volume.sample),
        },
        "scoring": {
            "memory": scoring,
            "passes": work.passes,
            "read_for_every_batch": model.weight_bytes(model.dtype.itemsize) - scoring["weights"],
            "seconds": None if pace.scoring is None else pace.scoring * volume.tokens * sum(work.passes.values()),
        },
        "disk": disk_needs(work),
        "time_from": pace.source,
        "memory_at_hand": work.room,
        "fits": fits(work, needs),
        "would_fit": [] if all(fits(work, needs).values()) else list(advice(work, pace)),
    }
    if config.training is not None:
        found["training"] = {"memory": training, **_training(work, config.training, pace)}
    return found


def scoring_needs(work: Work) -> dict[str, int]:
    """Bytes by part while scoring."""
    model, width = work.model, work.model.dtype.itemsize
    tokens = work.config.scoring.tokens_per_batch
    if tokens is None and model.device.type == "cuda":
        tokens = tokens_within(work.free - model.weight_bytes(width), model.hidden, model.inner, width)
    widest = max(tokens or CPU_TOKENS, work.volume.longest)
    parts = scoring_memory(model, work.requests, widest, work.volume.distinct(model.vocabulary))
    paths = {request.reference.path for request in work.requests if request.reference is not None}
    others = [outline(work.config.model.model_copy(update={"path": path, "revision": None})) for path in paths - {None}]
    if others:
        parts["reference models"] = sum(other.weight_bytes(other.dtype.itemsize) for other in others)
    if work.config.model.device_map is not None:  # what finds no room stays on disk
        room = work.room - work.libraries - sum(parts.values()) + parts["weights"]
        parts["weights"] = min(parts["weights"], max(room, model.largest * width))
    return {"libraries": work.libraries, **parts}


def fits(work: Work, needs: Mapping[str, int]) -> dict[str, bool]:
    """Whether there is room for what each step needs."""
    return {name: need <= (work.room if name == "scoring" else work.free) for name, need in needs.items()}


def training_needs(work: Work, pace: Pace) -> dict[str, int]:
    """Bytes by part while training; none without a training section."""
    if work.config.training is None:
        return {}
    batch = Batch(min(work.config.training.batch_size, work.trained_on), work.volume.longest)
    return {"libraries": work.libraries, **training_memory(work.model, work.config.training, batch, pace.kept)}


def disk_needs(work: Work) -> dict[str, int]:
    """Bytes by folder of the run."""
    shard = work.config.scoring.examples_per_shard or fitting_shard(work.model.device.type)
    each = bytes_an_example(work.volume.sample[:shard], work.attributes)
    found = {folder: round(size * work.volume.examples) for folder, size in each.items()}
    if (training := work.config.training) is not None:
        one = 4 * trained_parameters(work.model, training) + work.beside
        found["model"] = one * _trainings(training)
    return found


def advice(work: Work, pace: Pace) -> Iterator[dict[str, Any]]:
    """Settings with which everything would fit, each on top of those before it; ends at the first that suffices."""
    changes: list[str] = []
    for setting, config in _lighter(work.config):
        dtype = torch.bfloat16 if config.model.dtype == "bfloat16" else work.model.dtype
        model = replace(work.model, dtype=dtype, quantization=config.model.quantization)
        lighter = replace(work, config=config, model=model)
        keys = [part.partition("=")[0] for part in setting.split()]
        changes = [one for one in changes if one.partition("=")[0] not in keys] + [setting]
        needs = {
            "scoring": sum(scoring_needs(lighter).values()),
            "training": sum(training_needs(lighter, pace).values()),
        }
        suffices = all(fits(lighter, needs).values())
        yield {"set": list(changes), "memory": max(needs.values()), "fits": suffices}
        if suffices:
            return


def _lighter(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """Settings that need less memory, the harmless first, each with the configuration that it and those before make."""
    training = config.training
    if training is not None and not training.gradient_checkpointing:
        training = training.model_copy(update={"gradient_checkpointing": True})
        config = config.model_copy(update={"training": training})
        yield "training.gradient_checkpointing=true", config
    while training is not None and training.batch_size > 1:
        half = {
            "batch_size": training.batch_size // 2,
            "gradient_accumulation": training.gradient_accumulation * 2,
        }
        training = training.model_copy(update=half)
        config = config.model_copy(update={"training": training})
        yield " ".join(f"training.{name}={value}" for name, value in half.items()), config
    if training is not None and training.method == "full":
        training = training.model_copy(update={"method": "lora"})
        config = config.model_copy(update={"training": training})
        yield "training.method=lora", config
    if config.model.dtype != "bfloat16":
        config = config.model_copy(update={"model": config.model.model_copy(update={"dtype": "bfloat16"})})
        yield "model.dtype=bfloat16", config
    if training is not None and training.dtype != "bfloat16":
        config = config.model_copy(update={"training": training.model_copy(update={"dtype": "bfloat16"})})
        yield "training.dtype=bfloat16", config
    for kind in ("8bit", "4bit") if config.model.quantization == "none" else ():
        config = config.model_copy(update={"model": config.model.model_copy(update={"quantization": kind})})
        yield f"model.quantization={kind}", config
    if training is None and config.model.device_map is None:  # the slowest: what finds no room is read for every batch
        places = {"device": "auto", "device_map": "auto"}
        config = config.model_copy(update={"model": config.model.model_copy(update=places)})
        yield " ".join(f"model.{name}={value}" for name, value in places.items()), config


def _memory_everywhere() -> int:
    gpus = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return sum(memory_at_hand(device) for device in [torch.device("cpu"), *gpus])


def _training(work: Work, config: TrainingConfig, pace: Pace) -> dict[str, Any]:
    seen = examples_seen(config, work.trained_on)
    tokens = round(seen * work.volume.tokens / work.volume.examples)
    return {
        "trainings": _trainings(config),
        "updates": updates(config, work.trained_on),
        "tokens": tokens,
        "trained_parameters": trained_parameters(work.model, config),
        "seconds": None if pace.update is None else pace.update * tokens * _trainings(config),
    }


def _trainings(config: TrainingConfig) -> int:
    """Arms that are trained, times seeds; the base is not."""
    return sum(arm != "base" for arm in config.arms) * len(config.seeds)


def _settled(training: TrainingConfig | None, model: Outline) -> TrainingConfig | None:
    if training is None or training.dtype != "auto":
        return training
    dtype = automatic_dtype(model.device, model.parameters * model.dtype.itemsize)
    return training.model_copy(update={"dtype": str(dtype).removeprefix("torch.")})
