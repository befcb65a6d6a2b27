"""The parts of a self-evolving run: how the data is cut, and the folder in which one part becomes a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xtf.config import RunConfig, refuse_zero_rates
from xtf.data import DataReport
from xtf.display import command
from xtf.errors import ConfigError, RunError
from xtf.files import digest, write_atomically
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.settings import write_config
from xtf.runs.tables import flat, flat_tokens, scores_table, tokens_table
from xtf.runs.versions import versions
from xtf.tokens import TokenizedExample
from xtf.training.storage import ExampleWriter, StoredExamples


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """What a round is.

    Attributes:
        number: From 0.
        reference: The model it is scored against, relative to the run; None for the warm-up, which is not scored.
        model: Fingerprint of the model before the round.
    """

    number: int
    reference: str | None
    model: str


def cut_into_parts(folder: RunFolder, config: RunConfig) -> list[StoredExamples]:
    """The run's examples in ``strategy.rounds`` contiguous parts on disk, whose sizes differ by one at most.

    Raises:
        ConfigError: a part has fewer examples than a batch, or is learnt in one update whose learning rate is 0.
        RunError: the run has no tokens.
    """
    rounds, training = config.strategy.rounds, config.training
    assert rounds is not None  # the configuration was checked
    assert training is not None
    if folder.completion("tokens") is None:
        again = command("xtf", "run", folder.config_path)
        raise RunError(f"{folder.path}: not tokenised to the end. Go on with: {again}")
    records = folder.records("tokens")
    count = sum(record.rows for record in records)
    if count // rounds < training.batch_size:
        most = count // training.batch_size
        lower = f"lower strategy.rounds to {most} at most" if most >= 2 else "give more data"
        raise ConfigError(
            f"strategy.rounds: {count} examples in {rounds} parts leave {count // rounds} in the smallest, fewer than "
            f"a batch of {training.batch_size}. Either {lower}, or lower training.batch_size to "
            f"{max(count // rounds, 1)} at most."
        )
    refuse_zero_rates(training, count // rounds)
    writer = ExampleWriter(folder.state)
    for record in records:
        writer.append(*flat_tokens(folder.read_shard("tokens", record)))
    examples = writer.stored()
    ends = [count * (part + 1) // rounds for part in range(rounds)]
    return [examples[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def begin_round(
    whole: RunFolder, folder: RunFolder, config: RunConfig, part: Sequence[TokenizedExample], facts: RoundFacts
) -> dict[str, str]:
    """Make ``folder`` a run over ``part``: configuration, manifest, vocabulary and tokens; returns its inputs.

    The warm-up gets scores without any attribute, so that it is read like the other rounds.
    """
    given = whole.manifest()["inputs"]
    inputs = {**given, "data": digest(given, facts.number), "model": digest(given["model"], facts.model)}
    write_config(folder, config)
    folder.update_manifest(
        versions=versions(),
        inputs=inputs,
        model=config.model.path,
        data=config.data.place,
        seed=config.seed,
        data_report=DataReport(rows=len(part), examples=len(part)).to_dict(),
        round={"number": facts.number, "reference": facts.reference, "warm_up": facts.reference is None},
    )
    if not folder.vocabulary_path.exists():
        vocabulary = whole.vocabulary_path.read_bytes()
        write_atomically(folder.vocabulary_path, lambda file: file.write(vocabulary))
    size = int(given["examples_per_shard"])
    for index, first in enumerate(range(0, len(part), size)):
        record = _write_tokens(folder, index, list(part[first : first + size]), inputs["data"])
        if facts.reference is None:
            _write_no_scores(folder, record)
    folder.complete("tokens", {"data": inputs["data"]})
    return inputs


def _write_tokens(folder: RunFolder, index: int, examples: Sequence[TokenizedExample], data: str) -> ShardRecord:
    before = folder.intact("tokens", index)
    if before is not None and before.facts.get("data") == data:
        return before
    facts: dict[str, Any] = {
        "data": data,
        "tokens": sum(len(example) for example in examples),
        "response_tokens": sum(int(example.is_response.sum()) for example in examples),
    }
    return folder.write_shard("tokens", index, tokens_table(examples), facts)


def _write_no_scores(folder: RunFolder, tokens: ShardRecord) -> None:
    before = folder.intact("scores", tokens.index)
    if before is None or before.facts.get("tokens") != tokens.sha256:
        ids, offsets, _ = flat(folder.read_shard("tokens", tokens), ["input_ids"])
        table = scores_table(ids, offsets, {})
        folder.write_shard("scores", tokens.index, table, {"attributes": {}, "tokens": tokens.sha256})
