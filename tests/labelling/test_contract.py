"""Every built-in cut and rule keeps the contract; the suite finds those that do not."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest

from tests.labelling.kinds import Above, Below, BottomShare, Iqr, MultiOtsu, Never, Outside, TopShare
from xtf import testing
from xtf.config import CUTS, RULES
from xtf.labelling.combiners import Combiner
from xtf.labelling.combiners.all import AllLack
from xtf.labelling.combiners.any import AnyLacks
from xtf.labelling.combiners.vote import Vote
from xtf.labelling.combiners.weighted import Weighted
from xtf.labelling.cuts import Bounds, Cut, Seen, StepsControl
from xtf.labelling.cuts.base import Side
from xtf.testing.combiners import CombinerCheck
from xtf.testing.cuts import CutCheck, check_cut_bounds, check_cut_controls, check_cut_side

BUILT_IN_CUTS = [
    Below(cut=0.05),
    Above(cut=0.7),
    Outside(low=-0.5, high=0.5),
    Never(),
    *(Iqr(k=0.5, side=side, scope=scope) for side in ("low", "high", "both") for scope in ("example", "dataset")),
    *(BottomShare(share=0.3, scope=scope) for scope in ("example", "dataset")),
    *(TopShare(keep=0.6, scope=scope) for scope in ("example", "dataset")),
    Below(cut=0.5, at_most=0.1),
    Above(cut=0.2, at_most=0.25),
    Outside(low=-0.1, high=0.4, at_most=0.2),
    Iqr(k=0.0, side="both", at_most=0.05),
    *(MultiOtsu(classes=3, lacking=(1, 2), scope=scope, at_most=0.15) for scope in ("example", "dataset")),
    *(BottomShare(share=0.3, scope=scope, at_most=0.2) for scope in ("example", "dataset")),
    *(MultiOtsu(classes=3, lacking=(0, 2), scope=scope) for scope in ("example", "dataset")),
    MultiOtsu(classes=3, lacking=(0, 2), over="prompts_and_responses"),
    Iqr(k=0.5, side="both", scope="dataset", over="prompts_and_responses"),
    BottomShare(share=0.3, over="prompts_and_responses", at_most=0.5),
    TopShare(keep=0.6, over="prompts_and_responses"),
]
BUILT_IN_RULES: list[Combiner] = [
    AnyLacks(),
    AllLack(),
    Vote(votes=2),
    Weighted(),
    Weighted(weights={"c": 1.0}, threshold=Iqr(k=0.1, side="both", scope="example")),
]


@testing.parametrize_cuts_with_checks(BUILT_IN_CUTS)
def test_cut(cut: Cut, check: CutCheck) -> None:
    check(cut)


@testing.parametrize_combiners_with_checks(BUILT_IN_RULES)
def test_rule(combiner: Combiner, check: CombinerCheck) -> None:
    check(combiner)


def test_every_built_in_is_covered() -> None:
    for group, plugins in ((CUTS, BUILT_IN_CUTS), (RULES, BUILT_IN_RULES)):
        built_in = {kind for kind in group.names() if group.load(kind).__module__.startswith("xtf.")}
        assert built_in == {plugin.kind for plugin in plugins}


class Fallen(Cut):
    """Lacking in two intervals in the wrong order, without a description of its setting."""

    kind: Literal["fallen"] = "fallen"
    cut: float = 0.5

    def bounds(self, seen: Seen) -> Bounds:
        return [(self.cut, math.inf), (-math.inf, 0.0 if self.cut > 0.4 else -1.0)]

    @property
    def lacking_side(self) -> Side:
        return "low"

    def origin(self) -> str:
        return "Somewhere."

    def controls(self) -> tuple[StepsControl, ...]:
        return (StepsControl("cut", (0.1, 0.5)),)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (testing.CUT_CHECKS[0], "the setting cut has no description"),
        (testing.CUT_CHECKS[1], "origin"),
        (check_cut_bounds, "overlap or fall"),
        (check_cut_side, "has an interval above it"),
        (check_cut_controls, "some tokens join and others leave"),
    ],
)
def test_a_broken_cut_is_found(check: CutCheck, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(Fallen())


def test_a_forgotten_part_is_an_error_at_import() -> None:
    with pytest.raises(TypeError, match="cut Half does not implement lacking_side, origin"):

        class Half(Cut):
            kind: Literal["half"] = "half"

            def bounds(self, seen: Seen) -> Bounds:
                return []

    with pytest.raises(TypeError, match="rule Bare does not implement fit, restore"):

        class Bare(Combiner):
            kind: Literal["bare"] = "bare"


def test_a_plugin_that_calls_itself_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    from xtf.errors import PluginError

    def points(group: str, _: Any) -> Any:
        return EntryPoints([EntryPoint("blow", "xtf.labelling.cuts.below:Below", group)])

    monkeypatch.setattr("xtf.plugins._installed", points)
    with pytest.raises(PluginError, match="calls itself 'below'"):
        CUTS.load("blow")
