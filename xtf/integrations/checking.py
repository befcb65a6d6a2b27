"""What a trainer really learns, against the labels of a run: before training, and for any batches.

Begin in :func:`check_trainer` and :func:`check_batches`; ``callback`` compares the first losses too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.display import agreeing, counted
from xtf.errors import DataError, TrainerError
from xtf.integrations.labelled import Ids, LabelledTokens, Piece
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder
from xtf.tokens import BoolArray, FloatArray

MOST = 1000
"""Places compared for a piece that rows have in common."""


@dataclass(slots=True)
class Findings:
    """How what arrives compares with what is labelled. A token *counts* when it weighs something; where weights
    need not arrive, when it has a label.

    Attributes:
        rows: Rows of the run.
        kept: Tokens that count in the run.
        learnt: Tokens that carry loss as labelled.
        noise_learnt: Tokens that carry loss although they should not count.
        lost: Tokens that should count, and arrive without loss.
        differing: Tokens that arrive with another weight than their own.
        unweighted: Tokens whose weight is neither 0 nor 1, or not that of their label, and does not arrive.
        strangers: Tokens that carry loss and are in no labelled row.
        context: Tokens without loss that are in no labelled row, padding included where no mask tells it.
        cut_rows: Rows of which a piece never arrives that should count, or the beginning.
        cut: Tokens that should count, in these pieces.
        longest: The length of the longest such row.
        missing_rows: Rows of which nothing arrives.
        missing: Tokens that should count, in these rows.
        subset: Whether rows may be missing on purpose.
    """

    rows: int = 0
    kept: int = 0
    learnt: int = 0
    noise_learnt: int = 0
    lost: int = 0
    differing: int = 0
    unweighted: int = 0
    strangers: int = 0
    context: int = 0
    cut_rows: int = 0
    cut: int = 0
    longest: int = 0
    missing_rows: int = 0
    missing: int = 0
    subset: bool = False

    def problems(self) -> list[str]:
        """What is not as labelled, and what to do about it, a sentence each."""
        said = [
            (
                self.noise_learnt,
                "# [token|tokens] that the run masks [carries|carry] loss: something makes labels anew or reads a mask "
                "of all answers. Leave the column labels as it is; of transformers, use DataCollatorForSeq2Seq, not "
                "DataCollatorForLanguageModeling",
            ),
            (
                self.lost,
                "# [token|tokens] that [counts|count] in the run [arrives|arrive] without loss: a mask of the "
                "trainer's own, or packing",
            ),
            (
                self.strangers,
                "# [token|tokens] that [carries|carry] loss [is|are] in no row of labels/: another tokenizer or "
                "template, padding that is learnt, or other data",
            ),
            (
                self.cut_rows,
                f"# of {counted(self.rows, 'row')} [is|are] cut, and with them {self.cut:,} of {self.kept:,} tokens "
                f"that count: set max_length (cutoff_len, sequence_len) to {self.longest} at least, or to none",
            ),
            (
                0 if self.subset else self.missing_rows,
                f"# of {counted(self.rows, 'row')} never [arrives|arrive], and with them {self.missing:,} of "
                f"{self.kept:,} tokens that count. If a part is trained on purpose, say so with subset",
            ),
            (self.differing, "# [token|tokens] [arrives|arrive] with another weight than labelled"),
            (
                self.unweighted,
                "# [token|tokens] [has|have] a weight of [its|their] own, and weights do not arrive: use "
                "xtf.integrations.trl.WeightedSFTTrainer, or accept labels alone by turning the check of weights off",
            ),
        ]
        return [agreeing(text, count) for count, text in said if count]

    def __str__(self) -> str:
        if problems := self.problems():
            return "not as labelled:\n" + "\n".join(f"- {problem}" for problem in problems)
        parts = f", {counted(self.missing_rows, 'row')} left out" if self.missing_rows else ""
        known = f"; {self.context:,} without loss (padding, other context) are in no row" if self.context else ""
        return f"as labelled: {self.learnt:,} of {self.kept:,} tokens that count carry loss, and no other{parts}{known}"


@dataclass(slots=True)
class Checker:
    """Compares batch after batch with the labels of a run.

    Attributes:
        rows: The labelled rows.
        weights: Whether weights must arrive; otherwise labels alone are compared.
        findings: So far.
    """

    rows: LabelledTokens
    weights: bool = True
    findings: Findings = field(default_factory=Findings)
    _arrived: BoolArray = field(init=False)
    _expected: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._arrived = np.zeros(len(self.rows.input_ids), np.bool_)
        self._expected = self.rows.weights if self.weights else self.rows.learnt.astype(np.float32)
        self.findings.rows = len(self.rows.starts)
        self.findings.kept = int(np.count_nonzero(self._expected))

    def add(self, batch: Mapping[str, Any]) -> None:
        """Compare a batch of ``(batch, seq)`` ``input_ids``, ``labels`` and what else a collator makes.

        Labels stand at their own token, as transformers' models take them, and -100 is none. ``weights``,
        ``attention_mask`` and ``position_ids`` of the same shape are read if they are there.

        Raises:
            TrainerError: there are no labels.
        """
        found, weighted = self.findings, self.weights and batch.get("weights") is not None
        for ids, given, _ in _sequences(batch, weighted):
            places = self._places(ids, given)
            known = places >= 0
            expected = np.where(known, self._expected[places], np.float32(0))
            if self.weights and not weighted:
                labelled = self.rows.learnt[places] & known
                found.unweighted += int(np.count_nonzero(expected != labelled))
                expected = labelled.astype(np.float32)
            self._arrived[places[known]] = True
            wants, has = expected != 0, given != 0
            right = wants & has & np.isclose(expected, given, rtol=1e-5, atol=1e-6)
            found.learnt += int(np.count_nonzero(right))
            found.differing += int(np.count_nonzero(wants & has & ~right))
            found.noise_learnt += int(np.count_nonzero(known & ~wants & has))
            found.lost += int(np.count_nonzero(wants & ~has))
            found.strangers += int(np.count_nonzero(~known & has))
            found.context += int(np.count_nonzero(~known & ~has))

    def weights_of(self, batch: Mapping[str, Any]) -> FloatArray:
        """What each token of a batch should weigh, ``(batch, seq)``; as :meth:`add`, but labels need not be there."""
        expected = np.zeros(tuple(batch["input_ids"].shape), np.float32)
        unlearnt = np.full(expected.shape, -100)
        labels = unlearnt if batch.get("labels") is None else batch["labels"]
        for ids, given, where in _sequences({**batch, "labels": labels}, weighted=False):
            places = self._places(ids, given)
            expected[where] = np.where(places >= 0, self._expected[places], np.float32(0))
        expected[:, 0] = 0
        return expected

    def _places(self, ids: Ids, given: FloatArray) -> Ids:
        """Where each token of a sequence stands in the labelled tokens; -1: nowhere."""
        places = np.full(len(ids), -1)
        for piece in self.rows.pieces(ids):
            here = slice(piece.start, piece.start + piece.length)
            places[here] = self._best(piece, given[here]) + np.arange(piece.length)
        return places

    def _best(self, piece: Piece, given: FloatArray) -> int:
        """Of the places that a piece has, one that agrees with what is given, and has not arrived yet."""

        def distance(place: int) -> tuple[int, int]:
            differing = (self._expected[place : place + piece.length] != 0) != (given != 0)
            return int(np.count_nonzero(differing)), int(self._arrived[place])

        return min(map(int, piece.places[:MOST]), key=distance)

    def finish(self, subset: bool = False) -> Findings:
        """What is found once the whole data set has been added; with ``subset``, rows may be left out on purpose."""
        rows, found = self.rows, self.findings
        counts = (self._expected != 0) & ~self._arrived
        for start, end in zip(rows.starts, rows.ends, strict=True):
            arrived, lost = int(self._arrived[start:end].sum()), int(counts[start:end].sum())
            if not arrived:
                found.missing_rows, found.missing = found.missing_rows + 1, found.missing + lost
            elif lost or (arrived < end - start and not self._arrived[start]):
                found.cut_rows, found.cut = found.cut_rows + 1, found.cut + lost
                found.longest = max(found.longest, int(end - start))
        found.subset = subset
        return found


def check_trainer(trainer: Any, run: RunReader | str | Path, *, weights: bool = True, subset: bool = False) -> Findings:
    """Collate the whole training data of a ``transformers.Trainer`` or one of TRL's, and compare them with a run.

    Args:
        trainer: As it is before ``trainer.train()``. Its data set and its collator are used, its order is not.
        run: A labelled run, or its folder.
        weights: Whether the run's weights must arrive; otherwise labels alone are compared.
        subset: Rows are left out on purpose.

    Raises:
        TrainerError: something else is learnt than is labelled; the text says what, and what to do.
        RunError: the run is not labelled.
    """
    loader = trainer.get_train_dataloader()
    return check_batches(collated(loader), run, weights=weights, subset=subset)


def check_batches(
    batches: Iterable[Mapping[str, Any]],
    run: RunReader | str | Path,
    *,
    weights: bool = True,
    subset: bool = False,
) -> Findings:
    """Compare all batches of one epoch, as a model receives them, with the labels of a run.

    Args:
        batches: Each with ``(batch, seq)`` ``input_ids`` and ``labels``; see :meth:`Checker.add`.
        run: A labelled run, or its folder.
        weights: Whether the run's weights must arrive; otherwise labels alone are compared.
        subset: Rows are left out on purpose.

    Raises:
        TrainerError: something else is learnt than is labelled; the text says what, and what to do.
        RunError: the run is not labelled.
    """
    checker = Checker(LabelledTokens.of(opened(run)), weights)
    for batch in batches:
        checker.add(batch)
    findings = checker.finish(subset)
    if findings.problems():
        raise TrainerError(str(findings))
    return findings


def check_dataset(
    path: str | Path,
    run: RunReader | str | Path,
    *,
    weights: bool = True,
    subset: bool = False,
    longest: int | None = None,
) -> Findings:
    """Compare a data set that some trainer has prepared with the labels of a run; see :func:`check_batches`.

    Args:
        path: A folder of ``Dataset.save_to_disk`` (of a dictionary its ``train``), a Parquet or Arrow file, or a folder
            of such files; with columns ``input_ids`` and ``labels``, or with ``weights``, which then decide alone.
        run: A labelled run, or its folder.
        weights: Whether the run's weights must arrive; otherwise labels alone are compared.
        subset: Rows are left out on purpose.
        longest: Tokens after which the trainer will cut a row.

    Raises:
        TrainerError: something else is learnt than is labelled, or the data set has no labels.
        DataError: there is no such data set.
        RunError: the run is not labelled.
    """
    return check_batches(_rows_of(Path(path), weights, longest), run, weights=weights, subset=subset)


def _rows_of(path: Path, weights: bool, longest: int | None) -> Iterator[Mapping[str, Any]]:
    """Each row of a data set as a batch of one."""
    for table in _tables(path):
        names = [name for name in ("input_ids", "labels", "weights") if name in table.column_names]
        if "input_ids" not in names or "labels" not in names:
            raise TrainerError(
                f"{path}: its columns are {', '.join(table.column_names)}: a prepared data set has input_ids and labels"
            )
        for row in table.select(names).to_pylist():
            batch = {name: np.asarray(values[:longest])[None] for name, values in row.items()}
            if weights and "weights" in batch:
                batch["labels"] = np.where(batch["weights"] != 0, batch["input_ids"], -100)
            yield batch


def _tables(path: Path) -> Iterator[Any]:
    """The tables of a data set, some thousand rows each."""
    import pyarrow as pa
    import pyarrow.ipc as ipc
    import pyarrow.parquet as pq

    folder = path / "train" if (path / "dataset_dict.json").is_file() and (path / "train").is_dir() else path
    files = sorted(folder.glob("*.arrow")) or sorted(folder.glob("*.parquet")) if folder.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path}: no data set: neither Parquet nor Arrow files, nor a folder of them")
    for file in files:
        try:
            if file.suffix == ".parquet":
                yield from (pa.Table.from_batches([batch]) for batch in pq.ParquetFile(file).iter_batches(1000))
            else:
                with pa.memory_map(str(file)) as source:
                    yield from (pa.Table.from_batches([batch]) for batch in ipc.open_stream(source))
        except pa.ArrowException as error:
            raise DataError(f"{file}: neither Parquet nor an Arrow stream: {error}") from None


def collated(loader: Any) -> Iterator[Mapping[str, Any]]:
    """The batches of a data loader: its rows in their order, through its collator; its sampler is left alone.

    Raises:
        TrainerError: the collator fails.
    """
    rows = loader.dataset
    if type(rows).__name__ == "IterableDatasetShard":  # what this process alone would get
        rows = rows.dataset
    ordered = (rows[index] for index in range(len(rows))) if hasattr(rows, "__len__") else iter(rows)
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 1
    while some := list(islice(ordered, size)):
        try:
            yield loader.collate_fn(some)
        except (ValueError, TypeError, KeyError) as error:
            raise TrainerError(
                f"the collator cannot make a batch of these rows: {error}. transformers' default collator does not pad "
                "labels: use DataCollatorForSeq2Seq(tokenizer)"
            ) from error


def opened(run: RunReader | str | Path) -> RunReader:
    """A run, or the one in a folder."""
    return run if isinstance(run, RunReader) else RunReader(RunFolder.existing(run))


def _sequences(batch: Mapping[str, Any], weighted: bool) -> Iterator[tuple[Ids, FloatArray, tuple[int, Any]]]:
    """The sequences of a batch, without padding: their ids, what each token weighs, and where they stand."""
    if batch.get("labels") is None or batch.get("input_ids") is None:
        raise TrainerError(f"a batch without input_ids or labels: it has {', '.join(batch) or 'nothing'}")
    ids, labels, mask, positions, weights = (
        _array(batch.get(name)) for name in ("input_ids", "labels", "attention_mask", "position_ids", "weights")
    )
    assert ids is not None
    assert labels is not None
    carries = (labels != -100).astype(np.float32)
    carries[:, 0] = 0  # nothing predicts the first token
    given = carries * weights if weighted and weights is not None else carries
    real = mask > 0 if mask is not None and mask.shape == ids.shape else np.ones(ids.shape, np.bool_)
    real |= carries != 0  # padding that is learnt is no padding
    if positions is None or positions.shape != ids.shape:
        positions = np.ones(ids.shape, np.int64)
    for row in range(len(ids)):
        where = np.flatnonzero(real[row])
        for part in np.split(where, np.flatnonzero(positions[row][where] == 0)):
            if len(part):
                yield ids[row, part].astype(np.int64), given[row, part], (row, part)


def _array(value: Any) -> NDArray[Any] | None:
    if value is None:
        return None
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
