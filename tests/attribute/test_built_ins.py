"""Every built-in scorer, in every variant, keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xtf import testing
from xtf.attribute import Attribute, LogProb, TokenEmbedding, registry
from xtf.errors import PluginError
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
        {"domain": "medicine"},
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
        {"method": "gradient", "parameters": "lora", "preconditioner": "ekfac"},
    ],
    "entropy": [{}],
    "dft": [{}],
    "profit": [{}],
    "stm": [{}],
    "eaft": [{}, {"top_k": 5}],
    "talr": [{}, {"temperature": 0.5, "floor": 0.0}, {"examples": 2}],
    "label_quality": [{}, {"kinds": ["uniform", "moved"], "networks": 1, "directions": 3, "step_weight": 0.0}],
    "s_ifd": [{}],
    "token_seek": [{}, {"alpha": 0.0}, {"beta": 0.5, "layers": "all"}],
    "critical_token": [
        {},
        {"metric": "text_match"},
        {"metric": "text_match", "alternatives": 2, "margin": 3},
    ],
    "clipping": [{}, {"old": "earlier", "current": None, "epsilon": 0.2}],
    "out_of_fold": [{}, {"folds": 3, "steps": 4}],
    "loss_trajectory": [{}, {"steps": [2], "share": 0.5}],
    "ss_token": [
        {"history": "earlier"},
        {"current": {"share": 0.5}, "gamma": 0.9},
        {"history": "earlier", "current": "newer", "layers": "all", "row": "predicting"},
    ],
}

CONSTANT = {"check_tells_apart": "a row of softmax sums to one: the constant of the released code, kept as it is"}
UNLEARNT = {"check_tells_apart": "three made-up examples are too few to learn from"}
UNANSWERED = {"check_tells_apart": "no made-up text ends in the right answer"}
EXCEPTIONS = {
    ("reasoning_importance", "released"): CONSTANT,
    ("label_quality", None): UNLEARNT,
    ("critical_token", None): UNANSWERED,
}
"""Name and variant to the checks that it breaks, and why."""

BUILT_INS = [registry.build(name, spec) for name, specs in VARIANTS.items() for spec in specs]


def exceptions(attribute: Attribute[Any]) -> dict[str, str] | None:
    return EXCEPTIONS.get((attribute.name, getattr(attribute.params, "variant", None)))


@parametrize_with_checks([one for one in BUILT_INS if exceptions(one) is None])
def test_contract(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


@parametrize_with_checks([one for one in BUILT_INS if exceptions(one) is CONSTANT], CONSTANT)
def test_contract_but_for_a_constant(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


@parametrize_with_checks([one for one in BUILT_INS if exceptions(one) is UNLEARNT], UNLEARNT)
def test_contract_but_for_what_needs_more_examples(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


@parametrize_with_checks([one for one in BUILT_INS if exceptions(one) is UNANSWERED], UNANSWERED)
def test_contract_but_for_what_needs_right_answers(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


def test_every_built_in_is_covered() -> None:
    built_in = {name for name in registry.names() if registry.provider(name).startswith("xtf-tokens")}
    assert built_in == set(VARIANTS)


def broken(score: Any, requests: Any = None) -> Attribute[Any]:
    """A scorer that scores by a function of its signals."""
    from xtf.attribute import NoParams

    class Broken(Attribute[NoParams]):
        """Breaks a promise."""

        name = "broken"

        def requires(self) -> Any:
            return {LogProb()} if requests is None else requests

        def score(self, signals: Any) -> Any:
            return score(signals)

    return Broken(NoParams())


def opens_a_file(signals: Any) -> Any:
    Path(__file__).read_bytes()
    return signals[LogProb()]


def mean_over_the_prompt(signals: Any) -> Any:
    prompt = signals.tokens.attention_mask & ~signals.tokens.is_response
    values = signals[TokenEmbedding("hidden")].sum(-1)
    return values - (values * prompt).sum(1, keepdim=True) / prompt.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("check", "scorer", "says"),
    [
        (testing.check_opens_nothing, broken(opens_a_file), "went outside: open .*test_built_ins.py"),
        (testing.check_tells_apart, broken(lambda signals: signals[LogProb()] * 0.0 + 2.0), "all 16 scores are 2"),
        (testing.check_scores, broken(lambda signals: signals[LogProb()].log()), "needs a finite score"),
        (testing.check_scores, broken(mean_over_the_prompt, {TokenEmbedding("hidden")}), "needs a finite score"),
        (testing.check_requires, broken(lambda signals: None, {"log_prob"}), "this is a str"),
    ],
)
def test_what_the_engine_refuses_the_suite_refuses(check: Any, scorer: Attribute[Any], says: str) -> None:
    with pytest.raises((AssertionError, PluginError), match=says):
        check(scorer)
    testing.check_opens_nothing(broken(lambda signals: signals[LogProb()]))


def test_a_broken_scorer_fails_the_suite() -> None:
    from xtf.attribute import NoParams, Signals

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
