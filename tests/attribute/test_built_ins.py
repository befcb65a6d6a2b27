"""Every built-in scorer, in every variant, keeps the contract."""

from __future__ import annotations

from typing import Any

import pytest

from xtf.attribute import Attribute, registry
from xtf.testing import Check, parametrize_with_checks

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "reasoning_importance": [{"variant": v} for v in ("paper", "released", "corrected")],
    "knowledge_novelty": [
        *({"variant": v} for v in ("paper", "released", "corrected")),
        {"measure": "loss"},
        {"measure": "loss", "variant": "released"},
        {"reference": {"path": "somewhere"}},
    ],
    "task_relevance": [
        *({"variant": v} for v in ("paper", "released", "corrected")),
        {"words": ["sum", "total"]},
        {"examples": "task.jsonl", "clusters": 2},
        {"embedding": "encoder:somewhere", "clusters": 3},
    ],
    "random": [{}, {"seed": 7}],
    "influence": [
        {},
        {"reference": "somewhere"},
        {"reference": {"adapter": "somewhere"}},
        {"reference": {"train_on": "warm-up.jsonl", "steps": 4, "learning_rate": 1e-3}},
        {"method": "gradient"},
        {"method": "gradient", "target": {"path": "trusted.jsonl"}, "parameters": "last_k", "k": 2},
        {"method": "gradient", "parameters": "lora", "adapter": {"share": 0.2}, "preconditioner": "adam"},
    ],
    "entropy": [{}],
    "dft": [{}],
    "profit": [{}],
    "stm": [{}],
    "eaft": [{}, {"top_k": 5}],
    "talr": [{}, {"temperature": 0.5}],
    "label_quality": [{}, {"kinds": ["uniform", "moved"], "networks": 1, "directions": 3, "step_weight": 0.0}],
    "ss_token": [
        {"history": "earlier"},
        {"current": {"share": 0.5}, "gamma": 0.9},
        {"history": "earlier", "current": "newer", "layers": "all", "row": "predicting"},
    ],
}

BUILT_INS = [registry.build(name, spec) for name, specs in VARIANTS.items() for spec in specs]


@parametrize_with_checks(BUILT_INS)
def test_contract(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


def test_every_built_in_is_covered() -> None:
    built_in = {name for name in registry.names() if registry.provider(name).startswith("xtf-tokens")}
    assert built_in == set(VARIANTS)


def test_a_broken_scorer_fails_the_suite() -> None:
    from xtf import testing
    from xtf.attribute import LogProb, NoParams, Signals

    class Leaky(Attribute[NoParams]):
        """Depends on its neighbours."""

        name = "leaky"

        def requires(self) -> set[LogProb]:
            return {LogProb()}

        def score(self, signals: Signals) -> Any:
            log_prob = signals[LogProb()]
            return log_prob - log_prob.nanmean()

    with pytest.raises(AssertionError, match="scoring examples together changed the scores"):
        testing.check_batch(Leaky(NoParams()))


def test_swapped_roles_fail_the_suite() -> None:
    from xtf import testing
    from xtf.attribute import Roles

    influence = type(registry.build("influence", {}))

    class Swapped(influence):  # type: ignore[valid-type, misc]
        """Scores what the newest model forgot."""

        def score(self, signals: Any) -> Any:
            return -super().score(signals)

    with pytest.raises(AssertionError, match="newest and earlier are swapped"):
        testing.check_roles(Swapped(influence.Params()))

    class Elsewhere(influence):  # type: ignore[valid-type, misc]
        """Names a parameter that it never reads."""

        roles = Roles(newest="reference", earlier="adapter")

        def requires(self) -> Any:
            return {r for r in super().requires() if r.model is not None}

    with pytest.raises(AssertionError, match="requires\\(\\) does not ask"):
        testing.check_roles(Elsewhere(influence.Params()))
