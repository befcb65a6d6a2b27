"""The exporting step: labels as written -> a folder of files in the form that another tool reads."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.display import command, counted, html_facts, visible
from xtf.errors import ConfigError, RunError
from xtf.exporters import AnyExporter, Export, Exporter, SameExporter, TextExporter, weighted_tokens
from xtf.exporters.same import LearntRow
from xtf.files import write_arrow, write_parquet, write_text
from xtf.labelling.shard import Labels, ScoredShard
from xtf.progress import notice, progress
from xtf.runs import RunReader
from xtf.steps.texts import Texts, TextSource
from xtf.steps.writing_back import WritingBack
from xtf.tokens import BoolArray

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

LEFT_OUT = "left-out.txt"
"""File of the ids of rows that an export leaves out though labels/ has them, one a line."""
IDS = "ids.txt"
"""File of the ids of all rows in order, where rows cannot hold them, one a line."""
WEIGHTED = "tokens with a weight other than 0 and 1, of which this form says only that they are learnt"
TOKENS_ONLY = "rows that are tokens already, without a text, and are left out"
NO_ROW = "rows without a form of this kind, or with nothing to learn in it, which are left out"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to export, beside the target.

    Attributes:
        drop_worse_than: Leave out examples of which more than this share of the response tokens is masked as noise.
        tokenizer: Of the run, where it was made with a tokenizer object; needed by targets that read texts.
        rows: Of the run, where it was made of rows in memory; needed by targets that read texts.
    """

    drop_worse_than: float | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    rows: Any = None


@dataclass(frozen=True)
class Exported(Sequence[Path]):
    """What was written: a sequence of the files of rows, and what to know of them.

    Attributes:
        files: The files of rows, in order.
        sidecars: The files beside them.
        export: Counts.
        left_out: Ids of the examples that ``drop_worse_than`` left out.
        lost: What the form cannot carry: in words, and how many.
        command: Starts the trainer, as separate arguments; empty if there is none.
        by_turn: Whether the form tells only whole turns that are learnt from others.
    """

    files: tuple[Path, ...]
    sidecars: tuple[Path, ...]
    export: Export
    left_out: tuple[str, ...]
    lost: Mapping[str, int]
    command: tuple[str, ...] = ()
    by_turn: bool = field(default=False, kw_only=True)

    @property
    def learnt(self) -> str:
        """How much of the responses is learnt, in words."""
        kept = f"{self.export.learnt:,} of {counted(self.export.response, 'response token')}"
        return f"whole turns, though the labels keep {kept}" if self.by_turn else kept

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        return self.files[index]

    def _repr_html_(self) -> str:
        facts = {"folder": self.export.folder, "learnt": self.learnt}
        beside = {"beside them": [file.name for file in self.sidecars], "go on": command(*self.command)}
        return html_facts(
            f"{counted(len(self), 'file')}, {counted(self.export.rows, 'row')}", {**facts, **beside, **self.lost}
        )


def export_run(run: RunReader, target: AnyExporter, output: Path, choice: Choice | None = None) -> Exported:
    """Write one file for each shard of a labelled run into ``output``, and what the target puts beside them.

    What is left out and what the form cannot carry is said on standard error, with a count. If it fails, nothing stays.

    Raises:
        ConfigError: a share outside 0 to 1.
        RunError: the run is not labelled to the end, ``output`` holds files already, no row is left, or a target that
            reads texts finds other data than the run was made of.
    """
    choice = choice or Choice()
    if choice.drop_worse_than is not None and not 0.0 <= choice.drop_worse_than <= 1.0:
        raise ConfigError(f"--drop-worse-than {choice.drop_worse_than}: must lie between 0 and 1")
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise RunError(f"{output}: there is something already. Choose another folder with --output")
    writing = _Writing(run, target, output, choice)
    records = [record for part in run.parts for record in part.folder.records("scores")]
    with _whole_or_nothing(output):
        with progress(f"Exporting {target.name}", len(records), "shards") as advance:
            if isinstance(target, SameExporter):
                writing.write_back(advance)
            else:
                for shard, labels in run.labelled(names=[]):
                    writing.add(shard, labels)
                    advance(1)
        return writing.finish()


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """Where writing into an empty folder fails, leave it as it was."""
    there = folder.is_dir()
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if there:
            folder.mkdir()
        raise


@dataclass
class _Writing:
    """One export on its way."""

    run: RunReader
    target: AnyExporter
    output: Path
    choice: Choice
    files: list[Path] = field(default_factory=list, kw_only=True)
    left_out: list[str] = field(default_factory=list, kw_only=True)
    ids: list[str] = field(default_factory=list, kw_only=True)
    lost: Counter[str] = field(default_factory=Counter, kw_only=True)
    counts: Counter[str] = field(default_factory=Counter, kw_only=True)
    masked_by: Counter[str] = field(default_factory=Counter, kw_only=True)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The run's."""
        from xtf.model import load_tokenizer

        return self.choice.tokenizer if self.choice.tokenizer is not None else load_tokenizer(self.run.config.model)

    @cached_property
    def texts(self) -> Texts:
        """The texts of the run's examples."""
        assert isinstance(self.target, TextExporter)
        return Texts(self.run, TextSource(self.tokenizer, self.choice.rows), self.target.grain)

    def add(self, shard: ScoredShard, labels: Labels) -> None:
        """Write one shard."""
        keep = self._keep(shard, labels)
        assert isinstance(self.target, (Exporter, TextExporter))
        path = self.output / f"part-{len(self.files):05}{self.target.suffix}"
        if isinstance(self.target, Exporter):
            kept, theirs = keep_examples(shard, labels, keep)
            self.lost.update(self.target.lost(kept, theirs))
            write_rows(path, self.target.table(kept, theirs, self.run.vocabulary))
        else:
            rows = dict(self._rows(shard, labels, keep))
            keep = np.array([name in rows for name in shard.example_ids], np.bool_)
            kept, theirs = keep_examples(shard, labels, keep)
            write_lines(path, list(rows.values()))
        self._count(kept, theirs)
        self.files.append(path)

    def _keep(self, shard: ScoredShard, labels: Labels) -> BoolArray:
        """``(examples,)`` bool: those that have a learnt token, and are good enough."""
        keep: BoolArray = shard.counts(shard.learnable() & ~labels.noise) > 0
        if self.choice.drop_worse_than is not None:
            worse = keep & (_masked_share(shard, labels) > self.choice.drop_worse_than)
            self.left_out += [shard.example_ids[index] for index in np.flatnonzero(worse).tolist()]
            keep &= ~worse
        return keep

    def write_back(self, advance: Callable[[int], None]) -> None:
        """Write all shards into copies of the files that they were read from."""
        back = WritingBack(self.run, self.output, self.tokenizer)
        self.files = back.write(self._told(back, advance))
        self.lost.update(back.lost)

    def _told(self, back: WritingBack, advance: Callable[[int], None]) -> Iterator[LearntRow]:
        for shard, labels in self.run.labelled(names=[]):
            keep = self._keep(shard, labels)
            there = np.zeros(len(keep), np.bool_)
            for place, told in back.told(shard, labels, keep):
                there[place] = True
                yield told
            self._count(*keep_examples(shard, labels, there))
            advance(1)

    def _rows(self, shard: ScoredShard, labels: Labels, keep: BoolArray) -> Iterator[tuple[str, Mapping[str, Any]]]:
        assert isinstance(self.target, TextExporter)
        for wanted, text in zip(keep.tolist(), self.texts.of(shard, labels), strict=True):
            if not wanted:
                continue
            row = self.target.row(text.example) if text.example is not None else None
            if text.example is None or row is None:
                self.lost[TOKENS_ONLY if text.example is None else NO_ROW] += 1
                continue
            self.lost.update(text.lost)
            self.lost.update(self.target.lost(text.example))
            yield text.example_id, row

    def _count(self, shard: ScoredShard, labels: Labels) -> None:
        self.ids += [] if self.target.carries_ids else shard.example_ids
        self.counts["rows"] += len(shard)
        self.counts["longest"] = max(self.counts["longest"], *np.diff(shard.offsets).tolist(), 0)
        self.counts["tokens"] += len(shard.input_ids)
        self.counts["response"] += int(shard.is_response.sum())
        self.counts["learnt"] += int((shard.is_response & ~labels.noise).sum())
        self.counts["prompt"] += int((labels.weights[~shard.is_response] > 0).sum())
        self.counts["weighted"] += weighted_tokens(shard, labels)
        for bit, name in enumerate(self.run.manifest.get("reasons", ())):
            self.masked_by[name] += int(np.count_nonzero(labels.noise & (labels.reasons >> bit & 1 == 1)))

    def finish(self) -> Exported:
        """Write what lies beside the rows.

        Raises:
            RunError: no row is left.
        """
        if not self.counts["rows"]:
            raise RunError(f"{self.output}: no row is left to write. {self._why_none()}")
        if self.counts["weighted"] and not self.target.carries_weights:
            self.lost[WEIGHTED] += self.counts["weighted"]
        lost = {said: count for said, count in self.lost.items() if count}
        self._say(lost)
        export = self._export()
        sidecars = {**self.target.sidecars(export)}
        if self.left_out:
            sidecars[LEFT_OUT] = "".join(f"{visible(name)}\n" for name in self.left_out)
        if not self.target.carries_ids:
            sidecars[IDS] = "".join(f"{visible(name)}\n" for name in self.ids)
        for name, text in sidecars.items():
            write_text(self.output / name, text)
        return Exported(
            tuple(self.files),
            tuple(self.output / name for name in sidecars),
            export,
            tuple(self.left_out),
            lost,
            tuple(self.target.command(export)),
            by_turn=isinstance(self.target, TextExporter) and self.target.grain == "turn",
        )

    def _why_none(self) -> str:
        if self.left_out:
            return f"Of all {len(self.left_out)}, more than {self.choice.drop_worse_than:g} is masked: raise the share"
        found = [f"{said} ({count:,})" for said, count in self.lost.items() if count]
        return "; ".join(found) or "The run's labels keep nothing"

    def _say(self, lost: Mapping[str, int]) -> None:
        if self.left_out:
            some = ", ".join(self.left_out[:5]) + (", …" if len(self.left_out) > 5 else "")
            rows = len(self.left_out) + self.counts["rows"]
            notice(
                f"left out: {len(self.left_out):,} of {counted(rows, 'row')}, of which more than "
                f"{self.choice.drop_worse_than:g} of the response tokens is masked: "
                f"{some} (all in {self.output / LEFT_OUT})"
            )
        for said, count in lost.items():
            notice(f"not carried ({count:,}): {said}")

    def _export(self) -> Export:
        return Export(
            folder=self.output,
            files=tuple(path.name for path in self.files),
            config=self.run.config,
            manifest=self.run.manifest,
            rows=self.counts["rows"],
            longest=self.counts["longest"],
            tokens=self.counts["tokens"],
            response=self.counts["response"],
            learnt=self.counts["learnt"],
            supervised=self.counts["learnt"] + self.counts["prompt"],
            weighted=self.counts["weighted"],
            drop_worse_than=self.choice.drop_worse_than,
            left_out=len(self.left_out),
            masked_by=dict(self.masked_by),
        )


def _masked_share(shard: ScoredShard, labels: Labels) -> NDArray[np.float64]:
    """``(examples,)``: the share of noise tokens among the response tokens, ends of turns included."""
    share: NDArray[np.float64] = shard.counts(labels.noise) / np.maximum(shard.counts(shard.is_response), 1)
    return share


def keep_examples(shard: ScoredShard, labels: Labels, keep: BoolArray) -> tuple[ScoredShard, Labels]:
    """The examples of a shard for which ``keep``, ``(examples,)`` bool, holds, and their labels."""
    if keep.all():
        return shard, labels
    sizes = np.diff(shard.offsets)
    tokens = np.repeat(keep, sizes)
    kept = ScoredShard(
        [name for name, wanted in zip(shard.example_ids, keep.tolist(), strict=True) if wanted],
        np.cumsum([0, *sizes[keep].tolist()]).astype(np.int64),
        shard.input_ids[tokens],
        shard.is_response[tokens],
        shard.is_protected[tokens],
        {},
        weights=shard.weights[tokens],
        rulings=shard.rulings[tokens],
    )
    return kept, labels.within(tokens)


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a table as its file's name says: Parquet, JSON lines, or an Arrow stream without the ids."""
    if path.suffix == ".jsonl":
        write_lines(path, table.to_pylist())
    elif path.suffix == ".arrow":
        write_arrow(path, table.drop_columns(["example_id"]))
    else:
        write_parquet(path, table)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
