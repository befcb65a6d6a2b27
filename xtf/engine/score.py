"""tokens/ -> scores/: one shared pass for every active scorer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from xtf.attribute import SignalRequest, Signals
from xtf.engine.batches import batches
from xtf.errors import PluginError
from xtf.progress import progress
from xtf.registry import AnyAttribute
from xtf.store import RunFolder, ShardRecord
from xtf.tables import examples_of, flat, scores_table
from xtf.tokens import FloatArray, TokenBatch, TokenizedExample

if TYPE_CHECKING:
    import torch

    from xtf.model import SignalPass


def requests_of(attributes: Iterable[AnyAttribute]) -> set[SignalRequest]:
    """Every distinct signal that the scorers ask for."""
    return {request for attribute in attributes for request in attribute.requires()}


def score_shards(
    folder: RunFolder,
    attributes: Mapping[str, AnyAttribute],
    fingerprints: Mapping[str, str],
    signal_pass: SignalPass,
    shards: Sequence[ShardRecord],
    tokens_per_batch: int,
) -> None:
    """Score each token shard under ``attributes`` and write it beside the columns that are already right.

    ``fingerprints`` says what each attribute's column is made from; columns of the shard whose recorded fingerprint is
    unknown are dropped, others are kept as they are.
    """
    total = sum(int(shard.facts["tokens"]) for shard in shards)
    with progress("Scoring", total, "tokens") as advance:
        for shard in shards:
            table = folder.read_shard("tokens", shard)
            examples = examples_of(table)
            columns = _score_examples(examples, attributes, signal_pass, tokens_per_batch, advance)
            ids, offsets, _ = flat(table, ["input_ids"])
            kept, facts = _kept_columns(folder, shard.index, fingerprints, attributes)
            scores = scores_table(ids, offsets, columns)
            for name, column in kept.items():
                scores = scores.append_column(name, column)
            facts |= {name: fingerprints[name] for name in attributes}
            scores = scores.select(["example_id", *(name for name in fingerprints if name in facts)])
            folder.write_shard("scores", shard.index, scores, {"attributes": facts, "tokens": shard.sha256})


def missing_attributes(
    folder: RunFolder, shard: ShardRecord, fingerprints: Mapping[str, str], verify: bool = True
) -> list[str]:
    """Names of the attributes whose column in a token shard's scores is absent, outdated or damaged."""
    record = folder.intact("scores", shard.index) if verify else folder.record("scores", shard.index)
    if record is None or record.facts.get("tokens") != shard.sha256:
        return list(fingerprints)
    have = record.facts.get("attributes", {})
    return [name for name, fingerprint in fingerprints.items() if have.get(name) != fingerprint]


def _kept_columns(
    folder: RunFolder, index: int, fingerprints: Mapping[str, str], rescored: Iterable[str]
) -> tuple[dict[str, pa.ChunkedArray], dict[str, str]]:
    record = folder.intact("scores", index)
    if record is None:
        return {}, {}
    have: Mapping[str, str] = record.facts.get("attributes", {})
    names = [n for n in fingerprints if n not in set(rescored) and have.get(n) == fingerprints[n]]
    table = folder.read_shard("scores", record, columns=names)
    return {name: table[name] for name in names}, {name: have[name] for name in names}


def _score_examples(
    examples: Sequence[TokenizedExample],
    attributes: Mapping[str, AnyAttribute],
    signal_pass: SignalPass,
    tokens_per_batch: int,
    advance: object,
) -> dict[str, FloatArray]:
    """Flat score columns of ``examples``, NaN off-response."""
    starts = np.cumsum([0, *(len(example) for example in examples)])
    columns = {name: np.full(int(starts[-1]), np.nan, np.float32) for name in attributes}
    for positions in batches(examples, tokens_per_batch):
        members = [examples[position] for position in positions]
        for rows, signals in _run(signal_pass, members, list(range(len(members)))):
            for name, attribute in attributes.items():
                values = checked_scores(name, attribute, signals)
                for row, member in enumerate(rows):
                    start, length = int(starts[positions[member]]), len(members[member])
                    columns[name][start : start + length] = values[row, :length]
            advance(sum(len(members[member]) for member in rows))  # type: ignore[operator]
    return columns


def _run(
    signal_pass: SignalPass, members: Sequence[TokenizedExample], rows: list[int]
) -> Iterable[tuple[list[int], Signals]]:
    """Run the pass; on out-of-memory halve the batch and try again."""
    import torch

    try:
        batch = TokenBatch.collate([members[row] for row in rows], signal_pass.device)
        yield rows, signal_pass.run(batch)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        torch.cuda.empty_cache()
        half = len(rows) // 2
        yield from _run(signal_pass, members, rows[:half])
        yield from _run(signal_pass, members, rows[half:])


def checked_scores(name: str, attribute: AnyAttribute, signals: Signals) -> FloatArray:
    """Scores of one batch as ``(batch, seq)`` float32 with NaN off-response.

    Raises:
        PluginError: if the scorer fails, returns another shape, or a response token has no finite score.
    """
    import torch

    tokens = signals.tokens
    scores: torch.Tensor = attribute.score(signals)
    where = f"attribute {name!r} ({type(attribute).__module__}.{type(attribute).__qualname__})"
    if not isinstance(scores, torch.Tensor) or scores.shape != tokens.input_ids.shape:
        found = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise PluginError(
            f"{where}: score() must return a tensor of shape {tuple(tokens.input_ids.shape)}, got {found}"
        )
    bad = ~torch.isfinite(scores) & tokens.is_response
    if bad.any():
        row, position = (int(index) for index in bad.nonzero()[0])
        raise PluginError(
            f"{where}: the score of example {tokens.example_ids[row]!r}, position {position} is "
            f"{float(scores[row, position])}; every response token needs a finite score"
        )
    masked = scores.float().masked_fill(~tokens.is_response, torch.nan)
    result: FloatArray = masked.cpu().numpy()
    return result
