"""The detection step: a run and a truth file -> ``detection.json``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.errors import DataError, RunError
from xtf.evaluation.detection import (
    LABELS,
    Grain,
    JudgedTokens,
    NamedKinds,
    finite,
    measure_detection,
    most_telling_example,
)
from xtf.files import write_json
from xtf.labelling.combiners.base import from_lacking_end
from xtf.labelling.decisions import Decisions
from xtf.labelling.rules import LabelRules, judge
from xtf.labelling.shard import Labels, ScoredShard
from xtf.noise import known_kinds
from xtf.noise.truth import TokenTruth, Truth, read_truth
from xtf.progress import progress
from xtf.runs import RunReader
from xtf.runs.decisions import read_decisions
from xtf.runs.staleness import labels_fingerprint
from xtf.steps.labellings import arm_rules
from xtf.steps.truth import truth_of_example

_SHOWN = 5


def detect(run: RunReader, truth_file: str | Path, grain: Grain = "token") -> dict[str, Any]:
    """Compare a run's scores and labels with a truth file, write ``detection.json``, and return what it holds.

    Raises:
        DataError: the truth file cannot be read, speaks of no example of the run, or of other texts.
        RunError: the run has no scores.
    """
    started = time.monotonic()
    truth = read_truth(truth_file)
    tokens, judged, without = _judged(run, truth)
    telling = most_telling_example(tokens)
    measured: dict[str, Any] = {
        "truth": str(truth_file),
        "examples_without_truth": without,
        "example": None if telling is None else judged[telling],
        "rules": run.rules_fingerprint,  # what was measured at the mask speaks of these labels alone
        "labels": labels_fingerprint(run.folder) if run.is_labelled else None,
        **measure_detection(tokens, grain),
    }
    measured["directions"] = {name: _direction(run, name) for name in run.scored}
    written: dict[str, Any] = finite(measured)
    with run.folder.lock():
        write_json(run.folder.detection_path, written)
        run.folder.update_manifest(stages={"detect": {"done": True, "seconds": round(time.monotonic() - started, 2)}})
    return written


def _direction(run: RunReader, name: str) -> str:
    """Which scores are taken for wrong: those at the end that the run's cut calls lacking; low ones by default."""
    rules = _rules(run)
    side = rules.cuts[name].cut.lacking_side if rules is not None and rules.cuts[name].cut.decides else "low"
    return "high" if side == "high" else "low"


def _rules(run: RunReader) -> LabelRules | None:
    try:
        return run.rules
    except RunError:
        return None  # scored, not labelled: there is no mask to judge


def _judged(run: RunReader, truth: Truth) -> tuple[JudgedTokens, list[str], int]:
    """The tokens of all examples whose truth is known, the ids of these, and how many others there are."""
    parts: list[JudgedTokens] = []
    judged: list[str] = []
    without: list[str] = []
    rules = _rules(run)
    directions = {name: -1.0 if _direction(run, name) == "low" else 1.0 for name in run.scored}
    arms = {} if rules is None else {f"arms.{name}": arm_rules(run, run.config, name) for name in run.config.arms}
    here = _Judge(run, rules, arms, directions, read_decisions(run.folder), nameable=_nameable(run))
    with progress("Comparing with the truth", None, "examples") as advance:
        for shard, labels in _read(run, rules is not None):
            for index in range(len(shard)):
                one, inside = shard.example(index), shard.tokens_of(index, index + 1)
                known = truth_of_example(run, truth, one)
                advance(1)
                if known is None:
                    without.append(one.example_ids[0])
                else:
                    judged.append(one.example_ids[0])
                    parts.append(here.tokens(one, labels and labels.within(inside), known, len(parts)))
    if not parts:
        raise DataError(
            f"{truth.path}: speaks of no example of {run.path}. Ids of the run: {', '.join(without[:_SHOWN]) or 'none'}"
        )
    return _concatenated(parts), judged, len(without)


@dataclass(frozen=True, slots=True)
class _Judge:
    """What is the same for all examples; ``rules`` is None in a run without labels.

    Attributes:
        arms: Name to the rules of each other labelling that the configuration defines.
        directions: Attribute to -1 if low scores are taken for wrong, else 1.
        decisions: What people decided, which goes before all rules.
        nameable: Attribute to the kinds of mistakes that it names, in the order of its column; "" for one unknown here.
    """

    run: RunReader
    rules: LabelRules | None
    arms: dict[str, LabelRules]
    directions: dict[str, float]
    decisions: Decisions
    nameable: dict[str, tuple[str, ...]] = field(kw_only=True)

    def tokens(self, shard: ScoredShard, labels: Labels | None, truth: TokenTruth, number: int) -> JudgedTokens:
        """The tokens of one example, the ``number``-th, of which the truth is known."""
        here = np.flatnonzero(truth.wrong >= 0)
        place = np.cumsum(shard.is_response) - 1
        found = JudgedTokens(
            truth.wrong[here] == 1,
            truth.kinds[here],
            np.full(len(here), number, np.int64),
            place[here] / max(int(shard.is_response.sum()) - 1, 1),
            _units(self.run, shard, truth)[here],
        )
        for name, sign in self.directions.items():
            found.suspicion[name] = sign * shard.scores[name][here].astype(np.float64)
        for name in self.run.probabilities:
            found.right[name] = shard.scores[name][here].astype(np.float64)
        if self.rules is not None and labels is not None:
            for bit, name in enumerate(self.rules.attributes):
                if self.rules.cuts[name].cut.decides:
                    found.masked[name] = (labels.lacking[here] >> np.uint16(bit)) & np.uint16(1) == 1
            found.suspicion[LABELS] = _suspicion(self.rules, shard)[here]
            found.masked[LABELS] = labels.noise[here]
        for name, kinds in self.nameable.items():
            found.named[name] = NamedKinds(kinds, _named(kinds, shard.details[f"{name}.kind"][here]))
        if self.rules is not None and len(self.nameable) == 1:
            found.named[LABELS] = next(iter(found.named.values()))
        for name, rules in self.arms.items():
            found.suspicion[name] = _suspicion(rules, shard)[here]
            found.masked[name] = judge(rules, shard, self.decisions).noise[here]
        return found


def _read(run: RunReader, is_labelled: bool) -> Iterator[tuple[ScoredShard, Labels | None]]:
    """Every shard with its details, and its labels if there are any."""
    columns = [*run.scored, *run.detail_columns]
    yield from run.labelled(columns) if is_labelled else ((shard, None) for shard in run.shards(columns))


def _nameable(run: RunReader) -> dict[str, tuple[str, ...]]:
    """For each attribute that says which kind of mistake a token looks like, these kinds."""
    by_words = {kind.label: name for name, kind in known_kinds().items()}
    return {name: tuple(by_words.get(words, "") for words in kinds) for name, kinds in run.kinds.items()}


def _named(kinds: Sequence[str], places: NDArray[np.integer]) -> NDArray[np.object_]:
    """The kinds at ``(tokens,)`` places; "" at a negative one."""
    return np.array([*kinds, ""], object)[np.where(places < 0, len(kinds), places).astype(np.int64)]


def _suspicion(rules: LabelRules, shard: ScoredShard) -> NDArray[np.float64]:
    """The attributes that decide, together: how near the lacking end the nearest of them is, as a corpus percentile."""
    nearest = np.full(len(shard.input_ids), 100.0)
    for name, cut in rules.cuts.items():
        if cut.cut.decides:
            percentile = rules.distributions[name].percentile_of(np.nan_to_num(shard.scores[name]))
            nearest = np.minimum(nearest, from_lacking_end(percentile, cut))
    return -nearest


def _units(run: RunReader, shard: ScoredShard, truth: TokenTruth) -> NDArray[np.int64]:
    """Tokens of one wrong span share a number, and right tokens of one line between such spans."""
    texts = [run.vocabulary.pieces[int(i)] for i in shard.input_ids]
    breaks = np.array([False, *(b"\n" in text for text in texts[:-1])])
    changes = np.concatenate([[False], np.diff(truth.spans) != 0]) | (breaks & (truth.spans < 0))
    return np.cumsum(changes).astype(np.int64)


def _concatenated(parts: list[JudgedTokens]) -> JudgedTokens:
    """The tokens of all examples end to end; units keep apart."""
    units, offset = [], 0
    for part in parts:
        units.append(part.units + offset)
        offset += int(part.units.max(initial=0)) + 1
    first = parts[0]
    return JudgedTokens(
        np.concatenate([part.wrong for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.examples for part in parts]),
        np.concatenate([part.position for part in parts]),
        np.concatenate(units),
        suspicion={name: np.concatenate([part.suspicion[name] for part in parts]) for name in first.suspicion},
        masked={name: np.concatenate([part.masked[name] for part in parts]) for name in first.masked},
        right={name: np.concatenate([part.right[name] for part in parts]) for name in first.right},
        named={
            name: NamedKinds(one.known, np.concatenate([part.named[name].kinds for part in parts]))
            for name, one in first.named.items()
        },
    )
