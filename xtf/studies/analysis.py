"""What the outcomes of a study say: every arm, every contrast, and a verdict; the content of ``study.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xtf.evaluation.paired import DRAWS, LEVEL, POWER, Estimate, Matrix, estimate, holm, ratio, smallest_effect
from xtf.studies.bench import Bench, planted_counts
from xtf.studies.outcomes import Outcome
from xtf.studies.planning import Plan, Training
from xtf.studies.verdict import verdict_of
from xtf.tokens import FloatArray

FORMAT = 1
FLOOR = 0.05
"""An exact match below which a model cannot do the task, and no difference between arms is to be had."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of one arm: what is summed, ``(seeds, items)``, and the ``(items,)`` units it is a mean over.

    ``higher`` says whether more is better.
    """

    sums: Matrix
    units: Matrix
    seeds: tuple[int, ...]
    higher: bool = False

    def gain_over(self, other: Measured) -> tuple[Matrix, Matrix]:
        """By how much this is better than another, ``(common seeds, items)``, and the units."""
        common = [seed for seed in self.seeds if seed in other.seeds]
        own = self.sums[[self.seeds.index(seed) for seed in common]]
        others = other.sums[[other.seeds.index(seed) for seed in common]]
        return (own - others if self.higher else others - own), self.units

    @property
    def means(self) -> list[float]:
        """The mean of each seed."""
        return [float(value) for value in self.sums.sum(axis=1) / self.units.sum()] if self.units.sum() else []


class Arms:
    """The outcomes of one setting, by arm and seed, and their measures."""

    def __init__(self, bench: Bench, outcomes: Mapping[Training, Outcome]) -> None:
        self.bench = bench
        self.by_arm: dict[str, dict[int, Outcome]] = {}
        for training, outcome in outcomes.items():
            if training.setting == bench.setting.name:
                self.by_arm.setdefault(training.arm, {})[training.seed] = outcome
        self._judging = judging_rows(bench)

    def held_out(self, arm: str) -> Measured | None:
        """The loss over all response tokens of the judging held-out rows."""
        return self._losses(arm, "held_out", self._judging, None)

    def learnt(self, arm: str, by: str) -> Measured | None:
        """The loss over the tokens of these rows that the labelling ``by`` would have an arm learn."""
        if by not in self.bench.learnt:
            return None
        return self._losses(arm, "held_out", self._judging, self.bench.learnt[by])

    def retention(self, arm: str) -> Measured | None:
        """The loss over unrelated text."""
        return self._losses(arm, "retention", range(len(self.bench.retention)), None)

    def right(self, arm: str) -> Measured | None:
        """Right answers, 1 each."""
        found = {seed: one.right for seed, one in self.by_arm.get(arm, {}).items() if one.right}
        if not found:
            return None
        names = list(next(iter(found.values())))
        sums = np.array([[float(right[name]) for name in names] for right in found.values()])
        return Measured(sums, np.ones(len(names)), tuple(found), higher=True)

    def _losses(
        self, arm: str, what: str, rows: Sequence[int], weights: Sequence[FloatArray] | None
    ) -> Measured | None:
        found = self.by_arm.get(arm)
        if not found or not len(rows):
            return None
        first: Sequence[FloatArray] = getattr(next(iter(found.values())), what)
        own = [np.ones(len(first[row])) if weights is None else weights[row] for row in rows]
        units = np.array([float(one.sum(dtype=np.float64)) for one in own])
        sums = [
            [float(np.dot(getattr(one, what)[row].astype(np.float64), w)) for row, w in zip(rows, own, strict=True)]
            for one in found.values()
        ]
        return Measured(np.array(sums), units, tuple(found))


def analyse(
    plan: Plan,
    outcomes: Mapping[Training, Outcome],
    failed: Mapping[Training, str],
    benches: Mapping[str, Bench | str],
    chosen: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    """The content of ``study.json``.

    Args:
        plan: What was to be trained.
        outcomes: What was measured.
        failed: What failed, and why.
        benches: Of each setting, or why there is none.
        chosen: Setting and arm to the candidate chosen.
    """
    settings = []
    for name, bench in benches.items():
        if isinstance(bench, Bench):
            arms = Arms(bench, outcomes)
            settings.append(_setting(plan, name, arms, {arm: one for (s, arm), one in chosen.items() if s == name}))
    _correct(settings)
    for setting in settings:
        setting["verdict"] = verdict_of(setting, len(plan.study.seeds))
    return {
        "format": FORMAT,
        "study": plan.study.model_dump(mode="json"),
        "trainings": {"planned": len(plan.trainings), "done": len(outcomes), "failed": len(failed)},
        "comparisons": sum(len(setting["contrasts"]) for setting in settings),
        "method": {"draws": DRAWS, "level": LEVEL, "power": POWER, "correction": "Holm", "floor": FLOOR},
        "settings": settings,
        "failed": [
            {"setting": one.setting, "arm": one.arm, "seed": one.seed, "why": why} for one, why in failed.items()
        ],
    }


def _setting(plan: Plan, name: str, arms: Arms, chosen: Mapping[str, str]) -> dict[str, Any]:
    bench, setting = arms.bench, plan.settings[name]
    own = [training for training in plan.trainings if training.setting == name]
    listed = {one.arm: one for one in own if one.role in ("base", "full", "oracle", "method", "random", "inverted")}
    return {
        "name": name,
        "model": setting.config.model.path,
        "rows": len(bench.examples),
        "planted": planted_counts(setting),
        "held_out": {
            "rows": int(np.count_nonzero(~bench.development)),
            "development": int(np.count_nonzero(bench.development)),
            "tokens": _tokens(bench, judging_rows(bench)),
            "in_training": len(bench.held_out.in_training),
        },
        "retention": {"path": plan.study.retention, "texts": len(bench.retention)},
        "metric": next((one.metric for found in arms.by_arm.values() for one in found.values() if one.metric), None),
        "training": bench.training.model_dump(mode="json", exclude={"arms", "seeds"}),
        "fair": fair(arms),
        "chosen": dict(chosen),
        "arms": [_arm(arms, training) for training in listed.values()],
        "gap": _gap(arms),
        "contrasts": [_contrast(arms, method) for method in plan.study.arms if method in arms.by_arm],
        "curve": _curve(arms, own),
        "answers_above_floor": _above_floor(arms),
    }


def judging_rows(bench: Bench) -> list[int]:
    """The places of the held-out rows that judge: all that are not for choosing among candidates."""
    return [int(place) for place in np.flatnonzero(~bench.development)]


def _tokens(bench: Bench, rows: Sequence[int]) -> int:
    return sum(int(bench.held_out.examples[row].is_response.sum()) for row in rows)


def fair(arms: Arms) -> dict[str, bool]:
    """Whether all trained arms began from the same model and went through the same rows and updates, by their files.

    The order is compared between arms of one seed; after a resumption only its end is known.
    """
    trained = [one.facts for found in arms.by_arm.values() for one in found.values() if "updates" in one.facts]
    orders: dict[int, list[Sequence[int]]] = {}
    for facts in trained:
        orders.setdefault(facts["seed"], []).append(facts["order"])
    return {
        "start": len({facts["start"] for facts in trained}) <= 1,
        "rows": len({facts["rows"] for facts in trained}) <= 1,
        "order": all(_same_end(own) for own in orders.values()),
        "updates": len({facts["updates"] for facts in trained}) <= 1,
    }


def _same_end(orders: Sequence[Sequence[int]]) -> bool:
    longest = max(orders, key=len)
    return all(list(order) == list(longest)[len(longest) - len(order) :] for order in orders)


def _arm(arms: Arms, training: Training) -> dict[str, Any]:
    found = arms.by_arm.get(training.arm, {})
    first = next(iter(found.values()), None)
    facts = first.facts if first is not None else {}
    right = arms.right(training.arm)
    response = facts.get("tokens_response")
    return {
        "arm": training.arm,
        "role": training.role,
        "of": training.of,
        "seeds": list(found),
        "updates": facts.get("updates", 0),
        "tokens_response": response or 0,
        "tokens_learnt": _mean([one.facts.get("tokens_learnt", 0) for one in found.values()]),
        "share_learnt": _mean([one.facts["tokens_learnt"] / response for one in found.values()]) if response else None,
        "held_out": _spread(arms.held_out(training.arm)),
        "learnt": _spread(arms.learnt(training.arm, training.of)) if training.of else None,
        "retention": _spread(arms.retention(training.arm)),
        "right": _spread(right),
        "answers": len(right.units) if right is not None else 0,
        "seconds": _mean([one.facts["seconds"] for one in found.values()]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spread(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None or not measured.means:
        return None
    return {
        "mean": float(np.mean(measured.means)),
        "by_seed": dict(zip(map(str, measured.seeds), measured.means, strict=True)),
    }


def _gain(better: Measured | None, worse: Measured | None) -> Estimate | None:
    if better is None or worse is None:
        return None
    gains, units = better.gain_over(worse)
    return estimate(gains, units) if len(gains) else None


def _gap(arms: Arms) -> dict[str, Any] | None:
    """What knowing every mistake would gain over learning all tokens."""
    return _plain(_gain(arms.held_out("oracle"), arms.held_out("full")))


def _contrast(arms: Arms, method: str) -> dict[str, Any]:
    """A method against its random mask, which is what is tested, and what else is to be known of it."""
    control = f"random_of_{method}"
    others = {
        "random_on_learnt": _gain(arms.learnt(method, method), arms.learnt(control, method)),
        "random_on_retention": _gain(arms.retention(method), arms.retention(control)),
        "random_on_answers": _gain(arms.right(method), arms.right(control)),
        "full": _gain(arms.held_out(method), arms.held_out("full")),
        "full_on_learnt": _gain(arms.learnt(method, method), arms.learnt("full", method)),
        "full_on_answers": _gain(arms.right(method), arms.right("full")),
        "inverted": _gain(arms.held_out(method), arms.held_out(f"inverted_of_{method}")),
    }
    return {
        "arm": method,
        "against": control,
        "gain": _plain(_gain(arms.held_out(method), arms.held_out(control))),
        "others": {key: _plain(found) for key, found in others.items()},
        "recovered": _recovered(arms, method),
    }


def _recovered(arms: Arms, arm: str) -> dict[str, Any] | None:
    """``(full - arm) / (full - oracle)`` in held-out loss, over the seeds that all three have."""
    own, full, oracle = arms.held_out(arm), arms.held_out("full"), arms.held_out("oracle")
    if own is None or full is None or oracle is None:
        return None
    common = [seed for seed in own.seeds if seed in full.seeds and seed in oracle.seeds]
    if not common:
        return None

    def rows(one: Measured) -> Matrix:
        return one.sums[[one.seeds.index(seed) for seed in common]]

    found = ratio(rows(full) - rows(own), rows(full) - rows(oracle), full.units)
    return asdict(found) if found is not None else None


def _curve(arms: Arms, trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """For each score, end and share: the gain over masking as many tokens at random."""
    chance = {one.share: one.arm for one in trainings if one.role == "chance"}
    points = {(one.of, one.role, one.share): one.arm for one in trainings if one.role in ("worst", "best")}
    return [
        {
            "score": score,
            "masked": end,
            "share": share,
            "loss": _spread(arms.held_out(arm)),
            "loss_at_random": _spread(arms.held_out(chance[share])),
            "gain": _plain(_gain(arms.held_out(arm), arms.held_out(chance[share]))),
        }
        for (score, end, share), arm in points.items()
    ]


def _above_floor(arms: Arms) -> bool | None:
    """Whether the model can do the task when it learns every token; None where no answer is judged."""
    trained = [found for name in arms.by_arm if name != "base" and (found := arms.right(name)) is not None]
    if not trained:
        return None
    full = arms.right("full")
    shares = [float(np.mean(found.means)) for found in ([full] if full is not None else trained)]
    return max(shares) >= FLOOR


def _correct(settings: Sequence[dict[str, Any]]) -> None:
    """Add Holm's corrected p-values, over all methods of all settings, and the smallest effect that could be seen."""
    tested = [one["gain"] for setting in settings for one in setting["contrasts"] if one["gain"] is not None]
    corrected = holm([math.nan if gain["p"] is None else gain["p"] for gain in tested])
    for gain, p in zip(tested, corrected, strict=True):
        gain["p_corrected"] = None if math.isnan(p) else p
        known = gain["error"] is not None
        gain["smallest_effect"] = smallest_effect(gain["error"], gain["df"], len(tested)) if known else None


def _plain(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in asdict(found).items()}
