"""The scoring step: what must be computed, and what is already there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from xtf.attribute.registry import AnyAttribute
from xtf.config import RunConfig
from xtf.engine.batches import TokenBudget, fitting_tokens
from xtf.engine.fit import EngineFitContext, fit_attributes
from xtf.engine.score import Columns, missing_attributes, requests_of, score_shards
from xtf.engine.stream import TokenShards
from xtf.errors import DegenerateAttributeError
from xtf.labelling import degenerate
from xtf.labelling.distribution import measure
from xtf.progress import busy, notice
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.locks import hold_after_waiting, wait_until
from xtf.runs.measured import write_distribution
from xtf.runs.tables import examples_of
from xtf.runs.worker import Worker
from xtf.steps.fingerprints import attribute_fingerprint, code_fingerprint
from xtf.steps.fitted import record_fitted
from xtf.steps.preparing import Given, Prepared, prepared
from xtf.steps.scorers import Scorers, build_attributes
from xtf.steps.unjudged import unjudged_examples
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    from xtf.model import LoadedModel, SignalPass


def score_run(
    config: RunConfig,
    given: Given,
    scorers: Mapping[str, AnyAttribute] | None = None,
    overwrite: bool = False,
    worker: Worker | None = None,
) -> RunReader:
    """Tokenise and score what is not there yet; see :func:`xtf.score`."""
    attributes = dict(scorers) if scorers else build_attributes(config)
    launched = Worker.of_launch() if worker is None else None
    with prepared(config, given, overwrite, worker or launched) as ready:
        run = score_folder(ready, attributes)
    if launched is not None:
        wait_until(lambda: run.is_scored, "the other processes, which still score")
    return run


def score_missing(ready: Prepared, wanted: Columns) -> None:
    """Load the model only if some column is missing, and compute only those columns, in this process."""
    folder, config, worker = ready.folder, ready.config, ready.worker
    tokens = ready.tokens
    if worker is not None:
        tokens = TokenShards(shard for shard in tokens if worker.takes(shard.index))  # scorers are fitted to all
    skipped = 0

    def lacking() -> Iterator[tuple[ShardRecord, Sequence[str]]]:
        nonlocal skipped
        for shard in tokens:
            if names := missing_attributes(folder, shard, wanted.fingerprints):
                yield shard, names
            else:
                skipped += int(shard.facts["tokens"])

    def total() -> int | None:
        return None if tokens.tokens is None else tokens.tokens - skipped

    work: Iterable[tuple[ShardRecord, Sequence[str]]] = lacking()
    first = next(iter(work), None)
    if first is None:
        return
    work = chain([first], work)
    folder.update_manifest(stages={"score": {"done": False}})
    from xtf.model import load_model
    from xtf.steps.references import needs_reference

    loaded = ready.loaded
    if loaded is None:
        say_dtype(config, ready.inputs)
        loaded = load_model(config.model.model_copy(update={"dtype": ready.inputs["dtype"]}))
    with closing(RunScorers(ready, wanted, loaded)) as scorers:
        if any(needs_reference(request) for request in requests_of(wanted.attributes.values())):
            work = list(work)  # the base must be bare, and a share of the data is known when all of it is
            scorers.prepare_references({name for _, names in work for name in names})
        score_shards(folder, wanted, scorers, work, total)


def score_folder(
    ready: Prepared,
    attributes: Mapping[str, AnyAttribute],
    score: Callable[[Prepared, Columns], None] = score_missing,
) -> RunReader:
    """Score the token shards of a folder where scores are missing, and say so in its manifest.

    Its tokens may still be growing. With a worker only its shards are scored, and whichever process finds all of them
    scored measures the whole.

    Args:
        ready: The folder.
        attributes: Name to scorer.
        score: What scores where columns are missing.
    """
    started = time.monotonic()
    folder, config = ready.folder, ready.config
    fingerprints = {name: attribute_fingerprint(one, ready.inputs, config) for name, one in attributes.items()}
    wanted = Columns(attributes, fingerprints)
    score(ready, wanted)
    shards = ready.tokens.wait()
    run = RunReader(folder)
    with hold_after_waiting(folder.state / "finish.lock", "the process that measures the scores"):
        if not any(missing_attributes(folder, shard, fingerprints, verify=False) for shard in shards):
            unjudged = unjudged_examples(run, attributes)
            flagged = _measure(run, config, fingerprints)
            _finish(folder, wanted, flagged, unjudged, time.monotonic() - started)
    return run


class RunScorers(Scorers):
    """Fits scorers and makes references, and keeps them in the run, when the first shard asks for it."""

    def __init__(self, ready: Prepared, wanted: Columns, loaded: LoadedModel) -> None:
        folder, config = ready.folder, ready.config
        tokens = config.scoring.tokens_per_batch or fitting_tokens(loaded)
        budget = TokenBudget(folder, loaded.device.type, tokens)
        super().__init__(folder, config, loaded, wanted.attributes, budget)
        self._folder, self._config, self._tokens = folder, config, ready.tokens
        self._fingerprints = wanted.fingerprints
        self._ready: set[str] = set()

    def ready(self, names: Sequence[str]) -> None:
        """Fit the attributes of those names that are not fitted yet, or restore them."""
        chosen = {name: self.attributes[name] for name in names if name not in self._ready}
        if not chosen:
            return
        with hold_after_waiting(self._folder.state / "fit.lock", "the process that fits the scorers"):
            states = fit_attributes(self._folder, chosen, self._fingerprints, self._fit_context)
            entries = {
                name: {"fingerprint": self._fingerprints[name], "code": code_fingerprint(one), "state": states[name]}
                for name, one in chosen.items()
            }
            record_fitted(self._folder, entries, self.references.made)
        self._ready |= chosen.keys()

    def prepare_references(self, names: Iterable[str]) -> None:
        """Make what the influence of those attributes is measured against."""
        with hold_after_waiting(self._folder.state / "fit.lock", "the process that makes the references"):
            self.references.prepare(requests_of(self.attributes[name] for name in names))

    def note(self, signal_pass: SignalPass) -> None:
        self.references.record(signal_pass)

    @cached_property
    def _fit_context(self) -> EngineFitContext:
        return EngineFitContext(
            _first_examples(self._folder, self._tokens, self._config.scoring.fit_examples),
            self.loaded,
            self.embedder,
            seed=self._config.seed,
            columns=self._config.data.columns,
            budget=self.budget,
        )


def say_dtype(config: RunConfig, inputs: Mapping[str, str]) -> None:
    """Say that the machine has chosen another dtype than float32, if it has."""
    if config.model.dtype == "auto" and inputs["dtype"] == "bfloat16":
        notice(
            "Scoring in bfloat16, which is faster here. About 1 label in 100, close to a cut, differs from float32 "
            "(docs/benchmarks.md); for float32: --set model.dtype=float32"
        )


def _first_examples(folder: RunFolder, shards: Iterable[ShardRecord], count: int) -> list[TokenizedExample]:
    examples: list[TokenizedExample] = []
    for shard in shards:
        examples += examples_of(folder.read_shard("tokens", shard))
        if len(examples) >= count:
            break
    return examples[:count]


def _measure(run: RunReader, config: RunConfig, fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Measure each attribute's distribution; return what is degenerate, or refuse it.

    Raises:
        DegenerateAttributeError: unless the configuration allows degenerate attributes.
    """
    with busy("Measuring the scores"):
        distributions = measure(list(fingerprints), run.shards)
    for name, distribution in distributions.items():
        write_distribution(run.folder, name, distribution)
    flagged = {name: text for name, d in distributions.items() if (text := degenerate(d)) is not None}
    if flagged and not config.scoring.allow_degenerate:
        lines = [f"attribute {name!r} does not tell tokens apart: {text}" for name, text in flagged.items()]
        raise DegenerateAttributeError(
            "\n".join(lines)
            + "\nAny cut would select rounding noise. Remove the attribute, change its parameters, or let it pass with "
            "--set scoring.allow_degenerate=true. The scores are kept."
        )
    return flagged


def _finish(
    folder: RunFolder, wanted: Columns, flagged: Mapping[str, str], unjudged: Mapping[str, str], seconds: float
) -> None:
    records = folder.records("tokens")
    folder.update_manifest(
        attributes=[
            {
                "name": name,
                "scorer": attribute.name,
                "params": attribute.params.model_dump(mode="json"),
                "fingerprint": wanted.fingerprints[name],
                "degenerate": flagged.get(name),
                "unjudged": unjudged.get(name),
                "is_probability": attribute.is_probability,
                "rescores": attribute.rescores,
                "details": {detail: asdict(meaning) for detail, meaning in attribute.details().items()},
            }
            for name, attribute in wanted.attributes.items()
        ],
        counts={
            "examples": sum(record.rows for record in records),
            "tokens": sum(int(record.facts["tokens"]) for record in records),
            "response_tokens": sum(int(record.facts["response_tokens"]) for record in records),
        },
        stages={"score": {"done": True, "seconds": round(seconds, 2)}},
    )
