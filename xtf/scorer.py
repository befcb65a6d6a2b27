"""Scores and labels of rows in memory, by scorers and cuts that were fitted once: :class:`Scorer`."""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from xtf.api import ConfigLike, Rows, load_config
from xtf.config import RunConfig, read_yaml
from xtf.errors import ConfigError, RunError

if TYPE_CHECKING:
    from xtf.data import RowBatches
    from xtf.steps.fitted import Fitted
    from xtf.steps.scorers import Scorers
    from xtf.tokens import TokenizedExample

IN_MEMORY = "rows in memory"
"""What stands under ``data.path`` of a scorer that was given no data."""

PROBLEM = "problem"
"""The column that says why a row is not to be learnt; empty where it is."""

_IMPORTED_BY = os.getpid()
"""The process that has imported this module itself; one forked from it has another id."""


class Scorer:
    """The scorers, cuts and rule of a configuration: fitted once, then applied to any rows, without a run folder.

    ``scorer(rows)`` returns for every row what ``labels/`` and ``scores/`` of a run would hold. It pickles as the name
    of its folder; a process that receives it loads the model at its first call.

    Args:
        config: See :func:`xtf.load_config`; ``data`` may be left out.
        attributes: Instead of the section ``attributes``: names, or name to parameters.
        model: Instead of the section ``model``: a hub id, a folder, or the section itself.

    Raises:
        ConfigError: with every mistake, one a line.
    """

    def __init__(
        self,
        config: ConfigLike | None = None,
        *,
        attributes: Sequence[str] | Mapping[str, Any] | None = None,
        model: str | Path | Mapping[str, Any] | None = None,
    ) -> None:
        self._config = _checked(config, attributes, model)
        self._fitted: Fitted | None = None
        self._begin()

    def _begin(self) -> None:
        self._ready: _Ready | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})" if self._fitted else f"{type(self).__name__}(not fitted)"

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self._config

    @property
    def folder(self) -> Path | None:
        """The folder it was saved to or loaded from; after ``fit`` one that vanishes with it; None before."""
        return self._fitted.folder.path if self._fitted is not None else None

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes, in the order of the bits of ``reasons``."""
        return self._known().rules.attributes

    def fit(self, rows: Rows | None = None) -> Self:
        """Fit scorers, cuts and rule to a sample of the data, by a run in a folder that vanishes.

        Everything that depends on the whole of the data is settled here: what scorers learn, the numbers that
        corpus-wide cuts come to, the distributions behind ``combine.rule: weighted``.

        Args:
            rows: As for :func:`xtf.score`; if not given, what ``data.path`` names.

        Raises:
            ConfigError: there are neither rows nor a ``data.path``.
            XTFError: of the kind that names any other mistake, as in a run.
        """
        from xtf.model import load_model
        from xtf.steps.fitted import open_fitted, save_fitted
        from xtf.steps.labelling import label_run
        from xtf.steps.preparing import Given, prepared
        from xtf.steps.scorers import build_attributes
        from xtf.steps.scoring import score_folder

        if rows is None and self._config.data.paths == (IN_MEMORY,):
            raise ConfigError("fit: no rows given and no data.path. Pass rows: scorer.fit(rows)")
        with TemporaryDirectory(prefix="xtf-scorer-run-") as run_folder:
            config = self._config.model_copy(update={"output": run_folder})
            with prepared(config, Given(data=rows)) as ready:
                loaded = load_model(config.model.model_copy(update={"dtype": ready.inputs["dtype"]}))
                run = score_folder(replace(ready, loaded=loaded), build_attributes(config))
            label_run(run, config)
            fitted = save_fitted(open_fitted(run_folder), mkdtemp(prefix="xtf-scorer-"))
        weakref.finalize(self, shutil.rmtree, fitted.folder.path, ignore_errors=True)
        with self._lock:
            self._fitted, self._ready = fitted, _Ready.of(fitted, fitted.load(loaded))
        return self

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Self:
        """Write what was fitted into a folder: settings, tensors and numbers, not the model's weights.

        Args:
            folder: Every process that shall use it must see it under the same path.
            overwrite: Replace another scorer that is there.

        Raises:
            RunError: nothing is fitted yet, or the folder holds something else.
        """
        from xtf.steps.fitted import save_fitted

        fitted = save_fitted(self._known(), Path(folder).absolute(), overwrite)
        with self._lock:
            self._fitted = fitted
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what ``save`` wrote, or a labelled run, whose scorers, cuts and rule then serve other rows.

        The model is loaded at the first call.

        Raises:
            RunError: there is neither in the folder, or it is damaged.
        """
        from xtf.steps.fitted import open_fitted

        fitted = open_fitted(Path(folder).absolute())
        scorer = cls.__new__(cls)
        scorer._config, scorer._fitted = fitted.config, fitted
        scorer._begin()
        return scorer

    def __reduce__(self) -> tuple[Any, ...]:
        fitted = self._known()
        return _received, (type(self), str(fitted.folder.path), fitted.fingerprint)

    def __call__(self, rows: Any, numbers: Sequence[int] | None = None) -> Any:
        """Score and label rows.

        Each row gets ``example_id``, the columns of ``labels/``, one of each score and detail under its name in
        ``scores/``, and ``problem``: empty, or why the row is not to be learnt. A row that cannot be used has empty
        lists; one of which nothing is left to learn has labels of -100 and weights of 0. The rows without a problem
        are those of ``labels/`` of a run.

        The rows are treated as a run treats a shard, in pieces of ``scoring.examples_per_shard`` examples: the same
        rows in the same pieces give the same values, bit by bit; in other pieces they may be rounded otherwise.

        Args:
            rows: Columns, name to a list of one cell for each row, as ``datasets.Dataset.map(batched=True)`` hands
                them over; or a list of rows, or a table, as for :func:`xtf.score`.
            numbers: Numbers of the rows in the whole of the data, as ``map(…, with_indices=True)`` hands them over;
                a row without an id is called by its number, which counts for attributes such as ``random``.

        Returns:
            Columns for columns, otherwise a list of mappings, one for each row: arrays ``(seq,)``.

        Raises:
            DataError: these are no rows, or one is bad under ``data.on_error: stop``.
            XTFError: of the kind that names any other mistake.
        """
        with self._lock:
            _keep_to_threads_that_live()
            if self._ready is None:
                fitted = self._known()
                self._ready = _Ready.of(fitted, fitted.load())
            found = list(self._ready.results(rows, numbers))
        if not isinstance(rows, Mapping):
            return found
        return {name: [result[name] for result in found] for name in self._ready.columns}

    def _known(self) -> Fitted:
        if self._fitted is None:
            raise RunError("this scorer is not fitted. Fit it: scorer.fit(rows), or xtf.Scorer.load(FOLDER)")
        return self._fitted


@dataclass(frozen=True, slots=True)
class _Ready:
    """A loaded model with fitted scorers, and the empty result of a row that cannot be used."""

    fitted: Fitted
    scorers: Scorers
    reading: RowBatches
    empty: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, fitted: Fitted, scorers: Scorers) -> _Ready:
        from xtf.data import RowBatches

        empty: dict[str, NDArray[Any]] = {
            "input_ids": np.zeros(0, np.int32),
            "attention_mask": np.zeros(0, np.int8),
            "labels": np.zeros(0, np.int32),
            "assistant_masks": np.zeros(0, np.int8),
            "weights": np.zeros(0, np.float32),
            "noise": np.zeros(0, np.bool_),
            "reasons": np.zeros(0, np.uint16),
        }
        for name, attribute in scorers.attributes.items():
            empty[name] = np.zeros(0, np.float32)
            for detail, meaning in attribute.details().items():
                kind = np.float32 if meaning.kind == "probability" else np.int32
                empty[f"{name}.{detail}"] = np.zeros(0, kind)
        return cls(fitted, scorers, RowBatches(fitted.config.data, scorers.loaded.tokenizer), empty)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("example_id", *self.empty, PROBLEM)

    def results(self, rows: Any, numbers: Sequence[int] | None) -> Iterator[dict[str, Any]]:
        """One mapping for each row, in order."""
        read = self.reading.examples(rows, numbers)
        scored = self._scored([one for one in read if not isinstance(one, str)])
        for one in read:
            yield {"example_id": "", **self.empty, PROBLEM: one} if isinstance(one, str) else next(scored)

    def _scored(self, examples: Sequence[TokenizedExample]) -> Iterator[dict[str, Any]]:
        size = int(self.fitted.facts["inputs"]["examples_per_shard"])
        for start in range(0, len(examples), size):
            yield from self._piece(examples[start : start + size])

    def _piece(self, examples: Sequence[TokenizedExample]) -> Iterator[dict[str, Any]]:
        from xtf.labelling import judge
        from xtf.runs.tables import keeps_something, label_columns, shard_of

        names = list(self.scorers.attributes)
        scores = self.scorers.score(examples, names, lambda n, *, total=None, found=False: None)
        shard = shard_of(examples, scores)
        labels = judge(self.fitted.rules, shard)
        kept = keeps_something(shard, labels)
        lost = ~np.repeat(kept, np.diff(shard.offsets))
        columns = {**label_columns(shard, labels), **scores}
        for name, nothing in (("labels", -100), ("assistant_masks", 0), ("weights", 0)):
            columns[name] = np.where(lost, columns[name].dtype.type(nothing), columns[name])
        for place, example in enumerate(examples):
            here = shard.tokens_of(place, place + 1)
            yield {
                "example_id": example.example_id,
                **{name: columns[name][here].copy() for name in self.empty},
                PROBLEM: "" if kept[place] else "nothing is left to learn",
            }


def _keep_to_threads_that_live() -> None:
    """In a forked process compute on one thread: others do not survive a fork, and OpenMP would wait for them."""
    if os.getpid() != _IMPORTED_BY:
        import torch

        torch.set_num_threads(1)


def _received(kind: type[Scorer], folder: str, fingerprint: str) -> Scorer:
    """The scorer that another process has named.

    Raises:
        RunError: the folder is not there, or holds another one by now.
    """
    scorer = kind.load(folder)
    if scorer._known().fingerprint != fingerprint:
        raise RunError(f"{folder}: holds another scorer than when this one was handed over. Load it again.")
    return scorer


def _checked(
    config: ConfigLike | None,
    attributes: Sequence[str] | Mapping[str, Any] | None,
    model: str | Path | Mapping[str, Any] | None,
) -> RunConfig:
    if config is None and model is None:
        raise ConfigError("Scorer: give a configuration, or a model: xtf.Scorer(model=…, attributes=…)")
    if isinstance(config, RunConfig):
        raw: dict[str, Any] = config.model_dump(mode="json")
    elif config is None or isinstance(config, Mapping):
        raw = dict(config or {})
    else:
        raw = read_yaml(config)
    if attributes is not None:
        raw["attributes"] = dict(attributes) if isinstance(attributes, Mapping) else list(attributes)
    if model is not None:
        raw["model"] = dict(model) if isinstance(model, Mapping) else {"path": str(model)}
    data = raw.get("data") or {}
    if isinstance(data, Mapping) and "path" not in data:
        raw["data"] = {**data, "path": IN_MEMORY}
    checked = load_config(raw)
    if checked.strategy.kind == "self_evolving":
        raise ConfigError("strategy: a scorer is fitted once; it cannot evolve. Use strategy: fixed")
    return checked
