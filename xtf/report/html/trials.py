"""What the page can try: other settings of the cuts, other rules and guards, as columns that are ready to compare.

Python fits every setting on offer to the whole corpus. For each embedded token the page gets the step of a slider at
which its verdict turns, so that it only compares and counts; for what is not on offer it shows the command.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from xtf.config import RULES
from xtf.errors import ConfigError
from xtf.labelling import LabelRules
from xtf.labelling.combiners import Combiner, FittedCombiner
from xtf.labelling.combiners.base import from_lacking_end
from xtf.labelling.cuts import (
    ChoiceControl,
    Control,
    Cut,
    FittedCut,
    Interval,
    NumberControl,
    StepsControl,
    fit_variants,
)
from xtf.labelling.cuts.statistics import ExampleScores, decimal
from xtf.labelling.shard import ScoredShard, Shards
from xtf.report.html.encode import smallest
from xtf.tokens import BoolArray

_GUARD_STEPS = tuple(step / 100 for step in range(101))


@dataclass(frozen=True, slots=True)
class Trials:
    """What can be tried: ``described`` as JSON, and the ``(response tokens,)`` columns that it names."""

    described: dict[str, Any]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)


def trials(rules: LabelRules, shards: Shards, sample: ScoredShard) -> Trials:
    """Everything that can be tried on the embedded examples, ``sample``; reads the corpus a few times."""
    columns: dict[str, NDArray[Any]] = {}
    fitted = fit_variants({n: [c.cut, *_variants(c.cut)] for n, c in rules.cuts.items()}, shards, rules.distributions)
    cuts = {}
    for bit, name in enumerate(rules.attributes):
        cuts[name], some = _try_cut(fitted[name], sample, name, f"cut-{bit}")
        columns |= some
    tried = []
    for kind in RULES.names():
        found = _try_rule(kind, rules, shards, sample)
        if found is not None:
            tried.append({"kind": kind, **found.described})
            columns |= found.columns
    guard = sorted({*_GUARD_STEPS, rules.combine.max_noise_share})
    shares = [(share, decimal(share).numerator, decimal(share).denominator) for share in guard]
    return Trials({"cuts": cuts, "rules": tried, "voters": list(rules.panel.voters), "shares": shares}, columns)


def _try_rule(kind: str, rules: LabelRules, shards: Shards, sample: ScoredShard) -> Trials | None:
    """One rule with the run's settings of it; None if they do not fit the run, or only Python can apply it."""
    try:
        combiner = rules.combine.settings(kind)
        if not isinstance(combiner, Combiner):
            return None
        fitted = rules.combiner if kind == rules.combine.rule else combiner.fit(rules.panel, shards)
    except (ConfigError, ValidationError):
        return None
    if fitted.cut is not None and combiner.cut_key is not None:
        found = _try_combined(fitted, fitted.cut, shards, sample, f"rule-{kind}")
        return Trials({**found.described, "cutKey": combiner.cut_key}, found.columns)
    if fitted.needed is None:
        return None
    return Trials({"needed": fitted.needed, "countKey": combiner.count_key})


def _try_combined(fitted: FittedCombiner, cut: FittedCut, shards: Shards, sample: ScoredShard, prefix: str) -> Trials:
    """A rule that cuts a score of its own."""
    name = fitted.name

    def scored(shard: ScoredShard) -> ScoredShard:
        combined = fitted.combined(shard)
        assert combined is not None
        return replace(shard, scores={name: combined})

    def again() -> Iterator[ScoredShard]:
        return (scored(shard) for shard in shards())

    here = scored(sample)
    variants = fit_variants({name: [cut.cut, *_variants(cut.cut)]}, again)[name]
    described, columns = _try_cut(variants, here, name, prefix)
    columns[f"{prefix}-score"] = here.scores[name][here.is_response]
    columns[f"{prefix}-severity"] = from_lacking_end(columns[f"{prefix}-score"], cut, top=1.0)
    return Trials({"name": name, "column": prefix, **described}, columns)


def _variants(cut: Cut) -> list[Cut]:
    """All cuts to fit, control after control."""
    return [variant for control in _controls(cut) for variant in _variants_of(cut, control)]


def _controls(cut: Cut) -> tuple[Control, ...]:
    """What can be tried; nothing under a cap, where tokens may both join and leave as a bound moves."""
    return cut.controls() if cut.at_most is None else ()


def _variants_of(cut: Cut, control: Control) -> list[Cut]:
    match control:
        case StepsControl(key=key):
            return [cut.model_copy(update={key: value}) for value in _steps(cut, control)]
        case ChoiceControl(key=key, count=count):
            return [cut.model_copy(update={key: (one,)}) for one in range(count)]
    return []


def _steps(cut: Cut, control: StepsControl) -> list[float]:
    """The steps on offer, and the setting as it is."""
    return sorted({*control.values, getattr(cut, control.key)})


def _try_cut(
    fitted: Sequence[FittedCut], sample: ScoredShard, name: str, prefix: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The controls of a cut; ``fitted`` are the cut as it is and its :func:`_variants`."""
    cut, left = fitted[0].cut, list(fitted[1:])
    scores = ExampleScores(sample.scores[name], sample.offsets, sample.candidates())
    columns: dict[str, NDArray[Any]] = {}
    controls: list[dict[str, Any]] = []
    for control in _controls(cut):
        count = len(_variants_of(cut, control))
        own, left = left[:count], left[count:]
        column = f"{prefix}-{control.key}"
        described: dict[str, Any] = {"key": control.key, "column": column}
        described["intervals"] = [finite(one.typical(scores)) for one in own]
        lacking = [_lacking(one, sample, name, scores) for one in own]
        if isinstance(control, NumberControl):
            controls.append({"is": "number", "key": control.key, "interval": control.interval, "end": control.end})
        elif isinstance(control, ChoiceControl):
            columns[column] = _owners(lacking)
            controls.append({"is": "choice", "count": control.count, **described})
        elif (turning := turning_steps(lacking)) is not None:
            columns[column], joins = turning
            controls.append({"is": "steps", "values": _steps(cut, control), "joins": joins, **described})
    about = (inspect.getdoc(type(cut)) or cut.kind).split("\n")[0]
    return {
        "settings": cut.model_dump(mode="json"),
        "about": about,
        "each": fitted[0].fixed is None,
        "intervals": finite(fitted[0].typical(scores)),
        "controls": controls,
    }, columns


def _lacking(cut: FittedCut, sample: ScoredShard, name: str, scores: ExampleScores) -> BoolArray:
    """``(response tokens,)`` bool."""
    found = cut.lacking(sample.scores[name], sample.offsets, sample.candidates(), scores)
    return found[sample.is_response]


def _owners(lacking: Sequence[BoolArray]) -> NDArray[np.uint8]:
    """For each token the one choice under which it lacks; 255 if under none."""
    owners = np.full(len(lacking[0]), 255, np.uint8)
    for place, one in enumerate(lacking):
        owners[one] = place
    return owners


def turning_steps(lacking: Sequence[BoolArray]) -> tuple[NDArray[Any], bool] | None:
    """For each of ``(tokens,)`` how many steps come before its verdict turns, and whether tokens join then.

    None if some token turns more than once, or some join while others leave.
    """
    joins = bool(lacking[-1].sum() >= lacking[0].sum())
    order = lacking if joins else lacking[::-1]
    if any((one & ~other).any() for one, other in pairwise(order)):
        return None
    before = np.zeros(len(lacking[0]), np.int64)
    for one in lacking:
        before += ~one if joins else one
    return smallest(before), joins


def finite(intervals: Sequence[Interval]) -> list[list[float | None]]:
    """Intervals for JSON; an infinite end is None."""
    return [[end if np.isfinite(end) else None for end in interval] for interval in intervals]
