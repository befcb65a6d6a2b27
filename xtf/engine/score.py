"""tokens/ -> scores/: one shared pass for every active scorer, while other threads read ahead and write behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from xtf.attribute import Scored, SignalRequest, Signals
from xtf.attribute.registry import AnyAttribute
from xtf.engine.batches import TokenBudget, batches
from xtf.errors import ModelError, PluginError, listed
from xtf.parallel import ahead, behind
from xtf.progress import Advance, progress
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.tables import Column, attribute_of, examples_of, flat, scores_table
from xtf.tokens import FloatArray, TokenBatch, TokenizedExample

if TYPE_CHECKING:
    import torch

    from xtf.model import SignalPass


def requests_of(attributes: Iterable[AnyAttribute]) -> set[SignalRequest]:
    """Every distinct signal that the scorers ask for."""
    return {request for attribute in attributes for request in attribute.requires()}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that ``scores/`` should hold.

    Attributes:
        attributes: Name to scorer.
        fingerprints: Name to what the column is made from.
    """

    attributes: Mapping[str, AnyAttribute]
    fingerprints: Mapping[str, str]


class Scorers(Protocol):
    """What :func:`score_shards` scores with."""

    def ready(self, names: Sequence[str]) -> None:
        """Fit the attributes of those names, and load what they are measured against, unless it is done."""

    def score(self, examples: Sequence[TokenizedExample], names: Sequence[str], advance: Advance) -> dict[str, Column]:
        """Their scores and details, ``(tokens,)`` each, examples end to end; as :func:`score_examples`."""


def score_shards(
    folder: RunFolder,
    wanted: Columns,
    scorers: Scorers,
    shards: Iterable[tuple[ShardRecord, Sequence[str]]],
    total: Callable[[], int | None],
) -> None:
    """Score token shards under the attributes that each lacks, and write them beside the columns that are right.

    Args:
        folder: The run.
        wanted: All of its columns; those of a shard whose recorded fingerprint is another are dropped, others are kept
            as they are.
        scorers: Asked only when a shard lacks something.
        shards: Those that lack something, with the names of what they lack; a thread goes through them.
        total: Tokens of all these shards, or None while nobody knows.
    """

    def read() -> Iterator[tuple[ShardRecord, Sequence[str], pa.Table]]:
        for shard, names in shards:
            yield shard, names, folder.read_shard("tokens", shard)

    with (
        closing(ahead(read())) as jobs,
        behind() as later,
        progress("Scoring", None, "tokens") as advance,
    ):
        for shard, names, table in jobs:
            scorers.ready(names)
            advance(0, total=total())
            columns = scorers.score(examples_of(table), names, advance)
            later(partial(write_scores, folder, shard, table, columns, wanted.fingerprints))


def write_scores(
    folder: RunFolder,
    shard: ShardRecord,
    tokens: pa.Table,
    columns: Mapping[str, Column],
    fingerprints: Mapping[str, str],
) -> None:
    """Write new columns of a shard beside those that stay.

    Args:
        folder: The run.
        shard: The token shard.
        tokens: Its table.
        columns: Scores and details, ``(tokens,)`` each, examples end to end.
        fingerprints: Of every attribute of the run; other columns that are there are dropped.
    """
    ids, offsets, _ = flat(tokens, ["input_ids"])
    kept, facts = _kept_columns(folder, shard.index, fingerprints, columns)
    scores = scores_table(ids, offsets, columns)
    for name, column in kept.items():
        scores = scores.append_column(name, column)
    facts |= {name: fingerprints[name] for name in map(attribute_of, columns)}
    order = [column for name in fingerprints for column in scores.column_names if attribute_of(column) == name]
    scores = scores.select(["example_id", *order])
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
    new = set(map(attribute_of, rescored))
    names = [n for n in fingerprints if n not in new and have.get(n) == fingerprints[n]]
    table = folder.read_shard("scores", record)
    kept = {column: table[column] for column in table.column_names if attribute_of(column) in names}
    return kept, {name: have[name] for name in names}


def score_examples(
    examples: Sequence[TokenizedExample],
    attributes: Mapping[str, AnyAttribute],
    signal_pass: SignalPass,
    budget: TokenBudget,
    advance: Advance,
) -> dict[str, Column]:
    """The score of each attribute and its details, ``(tokens,)`` each, ``examples`` end to end.

    The same examples in the same order under the same budget make the same batches, and so the same values, bit by
    bit; in other batches a kernel may round the last digit otherwise.
    """
    starts = np.cumsum([0, *(len(example) for example in examples)])
    columns: dict[str, Column] = {}
    for rows, signals in run_batches(examples, signal_pass, budget):
        for name, attribute in attributes.items():
            for column, values in checked_columns(name, attribute, signals).items():
                if column not in columns:
                    columns[column] = _empty(values, int(starts[-1]))
                for row, position in enumerate(rows):
                    start, length = int(starts[position]), len(examples[position])
                    columns[column][start : start + length] = values[row, :length]
        advance(sum(len(examples[position]) for position in rows))
    return columns


def _empty(like: Column, tokens: int) -> Column:
    """A column of nothing: NaN, or -1 where whole numbers stand."""
    if like.dtype == np.int32:
        return np.full(tokens, -1, np.int32)
    return np.full(tokens, np.nan, np.float32)


def run_batches(
    examples: Sequence[TokenizedExample], signal_pass: SignalPass, budget: TokenBudget | int
) -> Iterator[tuple[list[int], Signals]]:
    """Run a pass over ``examples`` in batches within ``budget``: the positions of a batch, and its signals."""
    for positions in batches(examples, budget):
        members = [examples[position] for position in positions]
        for rows, signals in _run(signal_pass, members, list(range(len(members))), budget):
            yield [positions[row] for row in rows], signals


def _run(
    signal_pass: SignalPass, members: Sequence[TokenizedExample], rows: list[int], budget: TokenBudget | int
) -> Iterator[tuple[list[int], Signals]]:
    """Run the pass; on out-of-memory halve the batch and try again, and keep to smaller ones from now on.

    Raises:
        ModelError: not even one example fits.
    """
    import torch

    batch = TokenBatch.collate([members[row] for row in rows], signal_pass.device)
    try:
        signals = signal_pass.run(batch)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        if len(rows) == 1:
            raise ModelError(
                f"example {members[rows[0]].example_id!r}: its {len(members[rows[0]])} tokens do not fit the memory of "
                f"{signal_pass.device}. Shorten examples with data.max_length, or choose model.dtype: bfloat16 or "
                "another model.device. What is scored is kept."
            ) from error
        signals = None
    if signals is not None:
        yield rows, signals
        return
    if isinstance(budget, TokenBudget):
        budget.exceeded(batch.input_ids.numel())
    torch.cuda.empty_cache()
    half = len(rows) // 2
    yield from _run(signal_pass, members, rows[:half], budget)
    yield from _run(signal_pass, members, rows[half:], budget)


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate" in str(error)


def checked_scores(name: str, attribute: AnyAttribute, signals: Signals) -> FloatArray:
    """Scores of one batch as ``(batch, seq)`` float32 with NaN where none is; raises as :func:`checked_columns`."""
    scores: FloatArray = checked_columns(name, attribute, signals)[name].astype(np.float32, copy=False)
    return scores


def checked_columns(name: str, attribute: AnyAttribute, signals: Signals) -> dict[str, Column]:
    """Score and details of one batch, each ``(batch, seq)``: float32 and NaN, or int32 and -1, off-response.

    An attribute that scores prompts has its scores there too.

    Raises:
        PluginError: if the scorer fails, returns another shape, other details than it declares, or if a response token
            has no finite score or detail.
    """
    where = f"attribute {name!r} ({type(attribute).__module__}.{type(attribute).__qualname__})"
    found = attribute.score(signals)
    given = found if isinstance(found, Scored) else Scored(found, {})
    declared = attribute.details()
    if set(given.details) != set(declared):
        raise PluginError(
            f"{where}: score() must return the details that details() declares, {listed(declared) or 'none'}; "
            f"got {listed(given.details) or 'none'}"
        )
    scored = signals.tokens.attention_mask.bool() if attribute.scores_prompts else signals.tokens.is_response
    columns: dict[str, Column] = {name: _checked(where, "score", given.score, signals.tokens, scored)}
    for detail, values in given.details.items():
        checked = _checked(where, f"detail {detail}", values, signals.tokens, signals.tokens.is_response)
        kind = declared[detail]
        if kind.kind != "probability":
            checked = np.where(np.isnan(checked), -1.0, checked).astype(np.int32)
        columns[f"{name}.{detail}"] = checked
    return columns


def _checked(where: str, what: str, values: object, tokens: TokenBatch, wanted: torch.Tensor) -> FloatArray:
    """``values``, finite where ``wanted``, both ``(batch, seq)``; NaN elsewhere."""
    import torch

    shape = tokens.input_ids.shape
    if not isinstance(values, torch.Tensor) or values.shape != shape:
        found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise PluginError(f"{where}: score() must return a tensor of shape {tuple(shape)} as {what}, got {found}")
    bad = ~torch.isfinite(values) & wanted
    if bad.any():
        row, position = (int(index) for index in bad.nonzero()[0])
        raise PluginError(
            f"{where}: the {what} of example {tokens.example_ids[row]!r}, position {position} is "
            f"{float(values[row, position])}; every {'response ' * bool(tokens.is_response[row, position])}token needs "
            f"a finite {what.partition(' ')[0]}"
        )
    result: FloatArray = values.float().masked_fill(~wanted, torch.nan).cpu().numpy()
    return result
